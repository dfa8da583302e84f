"""Several photos in one call give what calls one by one give."""

import dataclasses
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor

from instantmesh import EmptySurfaceError, ImageError, InputError, Mesh, Pipeline, Result, Views
from instantmesh.cameras import six_view_cameras
from instantmesh.finishing import Finishing, FinishingOptions
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.rig import SIX_VIEW_RIG
from instantmesh.pipeline import streaming
from instantmesh.pipeline.options import (
    PhotoOptions,
    PhotoSettings,
    Reconstruction,
    ReconstructionOptions,
    Sampling,
    SamplingOptions,
    StreamOptions,
    StreamSettings,
)
from instantmesh.pipeline.pipeline import random_generators
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.pipeline.streaming import SynchronousExecutor, executor_beside, stream
from tests.paths import EXAMPLES
from tests.pipeline.plain import PLAIN
from tests.pipeline.two_stages import two_stages

PHOTOS = [EXAMPLES / f"{name}.png" for name in ("egg", "ring", "crossed")]
FEW = {"steps": 2, "resolution": 24, **PLAIN}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return two_stages()


def test_a_stream_gives_the_results_of_calls_one_by_one(pipeline: Pipeline):
    alone = [pipeline(photo, seed=seed, **FEW) for photo, seed in zip(PHOTOS, (4, 5, 4), strict=True)]
    together = list(pipeline.stream(PHOTOS, seed=[4, 5, 4], batch_size=2, **FEW))
    assert [outcome.index for outcome in together] == [0, 1, 2]
    for outcome, expected in zip(together, alone, strict=True):
        result = outcome.unwrap()
        assert torch.equal(result.photo, expected.photo)
        torch.testing.assert_close(result.views.images, expected.views.images, atol=1e-4, rtol=0)
        assert len(result.mesh.faces) == pytest.approx(len(expected.mesh.faces), rel=0.02)


def test_the_steps_one_by_one_are_the_call(pipeline: Pipeline):
    """What README shows: the line can be written out with the public steps."""
    expected = pipeline(PHOTOS[0], seed=4, **{**FEW, "target_faces": 500})
    image = pipeline.prepare(PHOTOS[0])
    views = pipeline.generate_views(image, seed=4, steps=2)
    field = pipeline.encode(views)
    mesh = pipeline.finish(pipeline.extract(field, 24), field, target_faces=500).mesh
    assert torch.equal(mesh.vertices, expected.mesh.vertices)


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
    pipeline.generate_views(pipeline.prepare(PHOTOS[0]), seed=1, fast=True, callback=lambda *step: calls.append(step))
    assert calls == [(step + 1, 20) for step in range(20)]
    image = pipeline.prepare(PHOTOS[0])
    fast, again, exact = (
        pipeline.generate_views(image, seed=1, fast=fast, steps=4).images for fast in (True, True, False)
    )
    assert torch.equal(fast, again)
    assert float((fast - exact).abs().mean()) > 1e-3


class Repeat(MultiviewGenerator):
    """A generator of someone's own: no steps, no fast mode, nothing to compile."""

    rig = SIX_VIEW_RIG

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def generate(
        self, images: Sequence[Tensor], *, steps, guidance_scale=4.0, generators=None, callback=None, fast=False
    ) -> list[Views]:
        assert (steps, fast) == (1, False)
        assert generators is not None
        self.seeds += [generator.initial_seed() for generator in generators]
        return [Views(image.expand(6, -1, -1, -1), self.rig.cameras()) for image in images]


def test_a_generator_of_someones_own(pipeline: Pipeline):
    own = Pipeline(Repeat(), pipeline.reconstructor)
    own.set_progress_bar_config(disable=True)
    with pytest.raises(InputError, match="Repeat has no fast mode"):
        own(PHOTOS[0], fast=True)
    results = [outcome.unwrap() for outcome in own.stream(PHOTOS, seed=7, batch_size=3, **{**FEW, "steps": None})]
    assert own.multiview.seeds == [7, 7, 7]
    assert torch.equal(results[1].views.images[3], results[1].photo)


@pytest.mark.parametrize(
    "wrong", [{"seed": [1, 2]}, {"batch_size": 0}, {"generator": torch.Generator()}, {"seed": 1, "steps": 0}]
)
def test_options_that_cannot_be_are_refused(pipeline: Pipeline, wrong: dict):
    with pytest.raises(InputError):
        pipeline.stream(PHOTOS, **wrong)


class Number(int):
    """Views of a photo that is a number."""

    def at_camera_distance(self, factor: float) -> int:
        return self


class Steps:
    """A pipeline whose steps record when they run, with photos that are numbers; 9 can't be read, 3 has no surface."""

    reconstructor: Any

    def __init__(self) -> None:
        self.reconstructor = self
        self.device = torch.device("cpu")
        self.events: list[str] = []
        self.prepared = {number: threading.Event() for number in range(10)}
        self.wait_for: dict[int, threading.Event] = {}

    def prepare_photo(self, photo: int, background: str) -> Any:
        self.events.append(f"prepare {photo}")
        self.prepared[photo].set()
        if photo == 9:
            raise ImageError("nine")
        return SimpleNamespace(image=photo)

    def input_views(self, images: list[int], settings: list) -> list[Any]:
        self.events.append(f"views {images}")
        return [Number(image) for image in images]

    def encode_batch(self, views: list[int]) -> list[int]:
        return views

    def extract(self, field: int, resolution: int | None) -> int:
        if field in self.wait_for:
            assert self.wait_for[field].wait(10)
        if field == 3:
            raise EmptySurfaceError("three")
        return field

    def fit_photo(self, mesh: int, *_: Any) -> int:
        self.events.append(f"fit {mesh}")
        return mesh

    def result(self, photo: Any, *_: Any) -> Result:
        self.events.append(f"result {photo.image}")
        result = Result.__new__(Result)
        object.__setattr__(result, "photo", photo.image)
        return result


def test_one_after_the_other_on_a_cpu():
    steps = Steps()
    outcomes = stream(steps, [1, 9, 2], StreamSettings())
    assert next(outcomes).unwrap().photo == 1
    assert "views [2]" not in steps.events  # the first is finished before the last one is begun
    failed, last = outcomes
    assert (failed.index, str(failed.error), failed.result) == (1, "nine", None)
    with pytest.raises(ImageError, match="nine"):
        failed.unwrap()
    assert last.unwrap().photo == 2


def test_the_next_batch_is_prepared_while_this_one_is_worked_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming, "executor_beside", lambda _device: ThreadPoolExecutor(1))
    steps = Steps()
    steps.wait_for = {1: steps.prepared[4]}  # photo 1 is extracted only when photo 4, of the next batch, is prepared
    outcomes = list(stream(steps, [1, 2, 3, 4], StreamSettings(batch_size=2)))
    assert [outcome.result and outcome.result.photo for outcome in outcomes] == [1, 2, None, 4]
    assert isinstance(outcomes[2].error, EmptySurfaceError)
    assert "views [1, 2]" in steps.events
    assert "views [3, 4]" in steps.events


def test_errors_of_other_kinds_are_bugs_and_go_on():
    steps = Steps()
    steps.extract = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(stream(steps, [1], StreamSettings()))


def test_other_threads_work_beside_gpus_alone():
    assert isinstance(executor_beside(torch.device("cpu")), SynchronousExecutor)
    assert isinstance(executor_beside(torch.device("cuda", 0)), ThreadPoolExecutor)


@pytest.mark.parametrize("threads", [False, True])
def test_a_stream_goes_on_after_a_photo_that_fails(pipeline: Pipeline, threads: bool, monkeypatch: pytest.MonkeyPatch):
    """Errors stand where their photos stood; the others are what they are without them."""
    if threads:
        monkeypatch.setattr("instantmesh.pipeline.streaming.executor_beside", lambda _device: ThreadPoolExecutor(1))
    photos = [PHOTOS[0], "nowhere.png", torch.ones(3, 80, 80), PHOTOS[1]]
    outcomes = list(pipeline.stream(photos, seed=[1, 2, 3, 4], batch_size=2, **FEW))
    assert [type(x.error or x.result) for x in outcomes] == [Result, ImageError, ImageError, Result]
    alone = pipeline(PHOTOS[1], seed=4, **FEW)
    torch.testing.assert_close(outcomes[3].unwrap().views.images, alone.views.images, atol=1e-4, rtol=0)
    with pytest.raises(ImageError, match=re.escape("nowhere.png")):
        outcomes[1].unwrap()


def test_a_batch_without_a_good_photo_leaves_the_next_one_alone(pipeline: Pipeline):
    outcomes = list(pipeline.stream(["a.png", "b.png", PHOTOS[0]], seed=0, batch_size=2, **FEW))
    assert [type(x.error or x.result) for x in outcomes] == [ImageError, ImageError, Result]


def test_an_empty_field_is_the_error_of_its_photo(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    extract, calls = Reconstructor.extract, []

    def second_is_empty(*arguments: Any) -> Mesh:
        calls.append(arguments)
        if len(calls) == 2:
            raise EmptySurfaceError("nothing there")
        return extract(*arguments)

    monkeypatch.setattr(Reconstructor, "extract", second_is_empty)
    outcomes = list(pipeline.stream(PHOTOS, seed=0, batch_size=3, **FEW))
    assert [type(x.error or x.result) for x in outcomes] == [Result, EmptySurfaceError, Result]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (SamplingOptions, Sampling),
        (ReconstructionOptions, Reconstruction),
        (PhotoOptions, PhotoSettings),
        (StreamOptions, StreamSettings),
    ],
)
def test_keyword_arguments_and_checked_settings_are_the_same(options: type, settings: type):
    assert set(options.__annotations__) | set(get_type_hints(options)) == set(settings.model_fields)
    assert set(FinishingOptions.__annotations__) == {field.name for field in dataclasses.fields(Finishing)}


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
    settings = PhotoSettings.of(
        seed=np.int64(3), steps=np.int32(7), guidance_scale=np.float64(2), texture_size=np.int64(64)
    )
    assert (settings.seed, settings.steps, settings.guidance_scale, settings.texture_size) == (3, 7, 2.0, 64)
    assert type(settings.seed) is int


@pytest.mark.parametrize("photos", [str(EXAMPLES / "egg.png"), []])
def test_a_stream_is_of_a_list(pipeline: Pipeline, photos: Any):
    with pytest.raises(InputError, match="list of one or more"):
        pipeline.stream(photos)


def test_threads_may_share_a_pipeline(pipeline: Pipeline):
    image = pipeline.prepare(PHOTOS[0])
    expected = pipeline.generate_views(image, seed=1, steps=3)
    with ThreadPoolExecutor(2) as workers:
        generated = list(workers.map(lambda image: pipeline.generate_views(image, seed=1, steps=3), [image] * 4))
    for views in generated:
        assert torch.equal(views.images, expected.images)


def test_random_generators():
    assert random_generators(StreamSettings().of_photos(3)) is None
    made = random_generators(StreamSettings(seed=5).of_photos(2))
    assert [g.initial_seed() for g in made] == [5, 5]
    assert made[0] is not made[1]
    own = torch.Generator()
    assert random_generators(StreamSettings(generator=own).of_photos(1)) == [own]
    with pytest.raises(InputError, match="not both"):
        StreamSettings.of(seed=0, generator=own)
    with pytest.raises(InputError, match="2 seeds for 3 photos"):
        StreamSettings(seed=[1, 2]).of_photos(3)
