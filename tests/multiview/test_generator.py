"""The adapter from pipeline to `MultiviewGenerator`."""

import pytest
import torch
from PIL import Image

from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError
from instantmesh.files.image_files import to_pil, untile
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.multiview.zero123plus_generator import Zero123PlusGenerator

pytestmark = pytest.mark.filterwarnings(
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_six_views_with_the_six_cameras_row_by_row(pipeline: Zero123PlusPipeline):
    stage: MultiviewGenerator = Zero123PlusGenerator(pipeline)
    photo, calls = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)), []
    (views,) = stage.generate(
        [photo],
        steps=3,
        generators=[torch.Generator().manual_seed(5)],
        callback=lambda done, steps: calls.append((done, steps)),
    )
    image: Image.Image = to_pil(photo)
    sheets = pipeline(image, 3, generator=torch.Generator().manual_seed(5), output_type="pt").images
    assert torch.equal(views.images, untile(sheets[0], 3, 2))
    assert views.images.shape == (6, 3, 16, 16)
    assert torch.equal(views.cameras.camera_to_world, six_view_cameras().camera_to_world)
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("photo", [torch.rand(3, 4, 4) + 1, torch.full((3, 4, 4), torch.nan)])
def test_photos_out_of_range_are_refused(pipeline: Zero123PlusPipeline, photo: torch.Tensor):
    with pytest.raises(InputError):
        Zero123PlusGenerator(pipeline).generate([photo])


def test_a_batch_gives_each_photo_the_views_it_gets_alone_with_its_generator(pipeline: Zero123PlusPipeline):
    stage: MultiviewGenerator = Zero123PlusGenerator(pipeline)
    photos = [torch.rand(3, n, n, generator=torch.Generator().manual_seed(n)) for n in (40, 24, 33)]
    alone = [stage.generate([photo], steps=3, generators=[seeded(k)])[0].images for k, photo in enumerate(photos)]
    calls = []
    together = stage.generate(
        photos, steps=3, generators=[seeded(k) for k in range(3)], callback=lambda *step: calls.append(step)
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for views, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(views.images, expected, atol=1e-4, rtol=0)
    assert float((alone[0] - alone[1]).abs().max()) > 1e-2


def test_generators_of_a_batch_end_where_they_would_alone(pipeline: Zero123PlusPipeline):
    stage, photo = Zero123PlusGenerator(pipeline), torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    single, first, second = seeded(1), seeded(1), seeded(2)
    stage.generate([photo], steps=2, generators=[single])
    stage.generate([photo, 1 - photo], steps=2, generators=[first, second])
    assert torch.equal(first.get_state(), single.get_state())


@pytest.mark.parametrize("photos", [0, 1, 3])
def test_batches_need_photos_and_a_generator_for_each(pipeline: Zero123PlusPipeline, photos: int):
    with pytest.raises(InputError, match="generators"):
        Zero123PlusGenerator(pipeline).generate([torch.rand(3, 8, 8)] * photos, generators=[seeded(0), seeded(1)])
