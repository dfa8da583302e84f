"""The adapter from pipeline to `MultiviewGenerator`."""

import pytest
import torch
from PIL import Image

from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError
from instantmesh.files.pictures import to_pil, untile
from instantmesh.multiview.generator import MultiviewGenerator, Zero123PlusGenerator
from instantmesh.multiview.zero123plus import Zero123PlusPipeline

pytestmark = pytest.mark.filterwarnings(
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def test_six_views_with_the_six_cameras_row_by_row(pipeline: Zero123PlusPipeline):
    stage: MultiviewGenerator = Zero123PlusGenerator(pipeline)
    picture, calls = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)), []
    views = stage.generate(
        picture,
        steps=3,
        generator=torch.Generator().manual_seed(5),
        callback=lambda done, steps: calls.append((done, steps)),
    )
    image: Image.Image = to_pil(picture)
    painted = pipeline(image, 3, generator=torch.Generator().manual_seed(5), output_type="pt").images
    assert torch.equal(views.images, untile(painted[0], 3, 2))
    assert views.images.shape == (6, 3, 16, 16)
    assert torch.equal(views.cameras.camera_to_world, six_view_cameras().camera_to_world)
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("picture", [torch.rand(3, 4, 4) + 1, torch.full((3, 4, 4), torch.nan)])
def test_photos_out_of_range_are_refused(pipeline: Zero123PlusPipeline, picture: torch.Tensor):
    with pytest.raises(InputError):
        Zero123PlusGenerator(pipeline).generate(picture)
