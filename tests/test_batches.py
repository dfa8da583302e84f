"""Several photos in one call give what calls one by one give."""

import inspect
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from instantmesh import EmptySurfaceError, ImageError, InputError, InstantMeshError, Mesh, Pipeline, Result, Views
from instantmesh.batches import InTurn, finished_behind, generators_of, prepared_batches, worker_beside
from instantmesh.cameras import six_view_cameras
from instantmesh.reconstruction import Reconstructor
from instantmesh.settings import Settings

PHOTOS = ["examples/egg.png", "examples/ring.png", "examples/crossed.png"]
FEW = {"steps": 2, "resolution": 24}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_pretrained("tiny", device="cpu")


def test_a_list_gives_the_results_of_calls_one_by_one(pipeline: Pipeline):
    alone = [pipeline(photo, seed=seed, **FEW) for photo, seed in zip(PHOTOS, (4, 5, 4), strict=True)]
    together = pipeline(list(PHOTOS), seed=[4, 5, 4], batch_size=2, **FEW)
    assert len(together) == 3
    for result, expected in zip(together, alone, strict=True):
        assert torch.equal(result.photo, expected.photo)
        torch.testing.assert_close(result.views.images, expected.views.images, atol=1e-4, rtol=0)
        assert len(result.mesh.faces) == pytest.approx(len(expected.mesh.faces), rel=0.02)
    same = pipeline([PHOTOS[0]], seed=4, **FEW)
    torch.testing.assert_close(same[0].mesh.vertices, alone[0].mesh.vertices, atol=1e-5, rtol=0)


def test_views_encoded_together_are_those_encoded_alone(pipeline: Pipeline):
    batch = [
        Views(torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(k)), six_view_cameras())
        for k in range(2)
    ]
    points = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(9)) - 0.5
    for views, field in zip(batch, pipeline.reconstructor.encode_batch(batch), strict=True):
        expected = pipeline.reconstructor.encode(views).colors(points[0])
        torch.testing.assert_close(field.colors(points[0]), expected, atol=1e-5, rtol=0)


def test_the_fast_mode_takes_20_steps_and_another_solver(pipeline: Pipeline):
    calls: list[tuple[int, int]] = []
    pipeline.generate_views(PHOTOS[0], seed=1, fast=True, callback=lambda *step: calls.append(step))
    assert calls == [(step + 1, 20) for step in range(20)]
    fast, again, exact = (
        pipeline.generate_views(PHOTOS[0], seed=1, fast=fast, steps=4).images for fast in (True, True, False)
    )
    assert torch.equal(fast, again)
    assert float((fast - exact).abs().mean()) > 1e-3


class Stage:
    """A multiview stage of someone's own: no batches, no fast mode."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def generate(self, photo: Tensor, *, steps, guidance_scale, generator, callback) -> Views:
        self.seeds.append(generator.initial_seed())
        return Views(photo.expand(6, -1, -1, -1), six_view_cameras())


def test_stages_without_batches_paint_one_by_one(pipeline: Pipeline):
    own = Pipeline(Stage(), pipeline.reconstructor)
    with pytest.raises(InputError, match="Stage has no fast mode"):
        own(PHOTOS[0], fast=True)
    results = own(list(PHOTOS), seed=7, batch_size=3, resolution=24)
    assert own.multiview.seeds == [7, 7, 7]
    assert torch.equal(results[1].views.images[3], results[1].photo)


@pytest.mark.parametrize(
    "wrong", [{"seed": [1, 2]}, {"batch_size": 0}, {"generator": torch.Generator()}, {"seed": 1, "steps": 0}]
)
def test_wishes_that_cannot_be_are_refused(pipeline: Pipeline, wrong: dict):
    with pytest.raises(InputError):
        pipeline(list(PHOTOS), **wrong)
    with pytest.raises(InputError):
        pipeline([])


def test_the_next_batch_is_made_while_this_one_is_used():
    third = threading.Event()

    def make(number: int) -> int:
        if number == 2:
            third.set()
        if number == 9:
            raise InputError("nine")
        return number * number

    batches = prepared_batches(make, [0, 1, 2, 3, 9], 2, ThreadPoolExecutor(1))
    assert next(batches) == (range(2), [0, 1])
    assert third.wait(10)
    assert next(batches) == (range(2, 4), [4, 9])
    numbers, (error,) = next(batches)
    assert numbers == range(4, 5)
    assert isinstance(error, InputError)
    assert str(error) == "nine"


def test_a_batch_is_finished_while_the_next_one_is_fetched():
    fetching, finishing = threading.Event(), threading.Event()

    def batches() -> Iterator[list[int | InstantMeshError]]:
        yield [1, InputError("no photo"), 2]
        fetching.set()
        assert finishing.wait(10)  # the first batch is being finished meanwhile
        yield [3]

    def finish(number: int) -> int:
        if number == 1:
            assert fetching.wait(10)
            finishing.set()
        if number == 3:
            raise EmptySurfaceError("three")
        return 10 * number

    results = finished_behind(batches(), finish, ThreadPoolExecutor(1))
    assert [str(x) for x in results] == ["10", "no photo", "20", "three"]


def test_in_turn_each_item_is_there_before_the_next_batch_is_fetched():
    fetched: list[int] = []

    def batches() -> Iterator[list[int | InstantMeshError]]:
        for number in range(3):
            fetched.append(number)
            yield [number]

    results = finished_behind(batches(), lambda number: 10 * number, InTurn())
    assert [(next(results), list(fetched)) for _ in range(3)] == [(0, [0]), (10, [0, 1]), (20, [0, 1, 2])]
    with pytest.raises(ZeroDivisionError):
        InTurn().submit(lambda: 1 / 0).result()


def test_other_threads_work_beside_gpus_alone():
    assert isinstance(worker_beside(torch.device("cpu")), InTurn)
    assert isinstance(worker_beside(torch.device("cuda", 0)), ThreadPoolExecutor)


@pytest.mark.parametrize("threads", [False, True])
def test_a_stream_goes_on_after_a_photo_that_fails(pipeline: Pipeline, threads: bool, monkeypatch: pytest.MonkeyPatch):
    """Errors stand where their photos stood; the others are what they are without them."""
    if threads:
        monkeypatch.setattr("instantmesh.pipeline.worker_beside", lambda _device: ThreadPoolExecutor(1))
    photos = [PHOTOS[0], "nowhere.png", torch.ones(3, 80, 80), PHOTOS[1]]
    outcomes = list(pipeline.stream(photos, seed=[1, 2, 3, 4], batch_size=2, **FEW))
    assert [type(x) for x in outcomes] == [Result, ImageError, ImageError, Result]
    alone = pipeline(PHOTOS[1], seed=4, **FEW)
    torch.testing.assert_close(outcomes[3].views.images, alone.views.images, atol=1e-4, rtol=0)
    with pytest.raises(ImageError, match=re.escape("nowhere.png")):
        pipeline(photos, seed=1, batch_size=4, **FEW)


def test_a_batch_without_a_good_photo_leaves_the_next_one_alone(pipeline: Pipeline):
    outcomes = list(pipeline.stream(["a.png", "b.png", PHOTOS[0]], seed=0, batch_size=2, **FEW))
    assert [type(x) for x in outcomes] == [ImageError, ImageError, Result]


def test_an_empty_field_is_the_error_of_its_photo(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    extract, calls = Reconstructor.extract, []

    def second_is_empty(*arguments: Any) -> Mesh:
        calls.append(arguments)
        if len(calls) == 2:
            raise EmptySurfaceError("nothing there")
        return extract(*arguments)

    monkeypatch.setattr(Reconstructor, "extract", second_is_empty)
    outcomes = list(pipeline.stream(PHOTOS, seed=0, batch_size=3, **FEW))
    assert [type(x) for x in outcomes] == [Result, EmptySurfaceError, Result]


def test_settings_are_the_arguments_of_a_call():
    call = dict(inspect.signature(Pipeline.__call__).parameters)
    wanted = {name: p.default for name, p in call.items() if name not in ("self", "photo")}
    assert {name: field.default for name, field in Settings.model_fields.items()} == wanted


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": "a"}, "steps: .*integer, got 'a'"),
        ({"steps": 2.5}, "steps: .*integer"),
        ({"texture_size": 1024.0}, "texture_size: .*integer"),
        ({"guidance_scale": float("nan")}, "guidance_scale: .*finite"),
        ({"seed": 2**70}, "seed: .*less than"),
        ({"resolution": 1}, "resolution: .*2"),
        ({"fast": "yes"}, "fast: .*boolean"),
        ({"callback": 5}, "callback: .*callable"),
        ({"sseed": 1}, "'sseed'; did you mean 'seed'"),
        ({"target_faces": 3}, "has 4 faces"),
    ],
)
def test_arguments_of_wrong_kinds_are_refused_before_any_work(pipeline: Pipeline, wrong: dict, message: str):
    with pytest.raises(InputError, match=message):
        pipeline.stream([PHOTOS[0]], **wrong)


def test_whole_numbers_may_be_numpy_s():
    settings = Settings.of(seed=np.int64(3), steps=np.int32(7), guidance_scale=np.float64(2), texture_size=np.int64(64))
    assert (settings.seed, settings.steps, settings.guidance_scale, settings.texture_size) == (3, 7, 2.0, 64)
    assert type(settings.seed) is int


@pytest.mark.parametrize("photos", ["examples/egg.png", []])
def test_a_stream_is_of_a_list(pipeline: Pipeline, photos: Any):
    with pytest.raises(InputError, match="list of one or more"):
        pipeline.stream(photos)


def test_threads_may_share_a_pipeline(pipeline: Pipeline):
    expected = pipeline.generate_views(PHOTOS[0], seed=1, steps=3).images
    with ThreadPoolExecutor(2) as workers:
        painted = list(
            workers.map(lambda photo: pipeline.generate_views(photo, seed=1, steps=3).images, [PHOTOS[0]] * 4)
        )
    for images in painted:
        assert torch.equal(images, expected)


def test_generators():
    assert generators_of(3, None, None) is None
    made = generators_of(2, 5, None)
    assert [g.initial_seed() for g in made] == [5, 5]
    assert made[0] is not made[1]
    own = torch.Generator()
    assert generators_of(1, None, own) == [own]
    with pytest.raises(InputError, match="not both"):
        generators_of(1, 0, own)
