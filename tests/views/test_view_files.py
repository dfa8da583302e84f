"""Views on disk, there and back; what is wrong with a folder is named."""

import json

import pytest
import torch

from instantmesh.cameras import orbit_cameras, six_view_cameras
from instantmesh.errors import CameraError, ImageError, OutputError
from instantmesh.files.image_files import tile, write_image
from instantmesh.structures import Cameras, Views
from instantmesh.views.files import read_views, write_views


def views(n: int = 3, height: int = 20, width: int = 20) -> Views:
    images = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Views(images, orbit_cameras(n, elevation_deg=15.0))


def edited(folder, **changes):
    """The folder after its second entry was changed; None drops a key."""
    path = folder / "cameras.json"
    entries = json.loads(path.read_text())
    entries[1] = {key: value for key, value in {**entries[1], **changes}.items() if value is not None}
    path.write_text(json.dumps(entries))
    return folder


def test_round_trip(tmp_path):
    original = views(3, 20, 28)
    k = original.cameras.intrinsics.clone()
    k[:, 0, 2] = 0.4
    original = Views(original.images, Cameras(original.cameras.camera_to_world, k))
    back = read_views(write_views(original, tmp_path / "views"))
    torch.testing.assert_close(back.images, original.images, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(back.cameras.camera_to_world, original.cameras.camera_to_world)
    assert torch.equal(back.cameras.intrinsics, original.cameras.intrinsics)


def test_six_views_from_one_image(tmp_path):
    images = torch.rand(6, 3, 32, 32)
    image = tile(images, 2)
    for source in (image, write_image(tmp_path / "six.png", image)):
        back = read_views(source)
        torch.testing.assert_close(back.images, images, atol=0.5 / 255 + 1e-6, rtol=0)
        torch.testing.assert_close(back.cameras.camera_to_world, six_view_cameras().camera_to_world)


def test_transparent_views_are_laid_on_white():
    rgba = torch.zeros(4, 96, 64)
    assert read_views(rgba).images.min() == 1


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 66)])
def test_other_shapes_are_no_six_views(size):
    with pytest.raises(ImageError, match=f"not {size[1]} x {size[0]}"):
        read_views(torch.zeros(3, *size))


def test_fov_stands_for_intrinsics_of_square_images(tmp_path):
    folder = edited(write_views(views(), tmp_path / "square"), intrinsics=None, fov_deg=30)
    torch.testing.assert_close(read_views(folder).cameras.intrinsics[1], six_view_cameras().intrinsics[0])
    folder = edited(write_views(views(3, 20, 28), tmp_path / "wide"), intrinsics=None, fov_deg=30)
    with pytest.raises(CameraError, match="square"):
        read_views(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_to_world": None}, 'needs "camera_to_world"'),
        ({"fov_deg": 30}, 'one of "intrinsics"'),
        ({"intrinsics": None}, 'one of "intrinsics"'),
        ({"fov": 30}, "unknown keys fov"),
        ({"intrinsics": None, "fov_deg": 190}, "between 0 and 180"),
        ({"intrinsics": None, "fov_deg": "wide"}, "wide"),
        ({"camera_to_world": [[1, 0], [0, 1]]}, "matrices must be"),
        ({"camera_to_world": [[1, 0], [0]]}, "entry 1"),
        ({"camera_to_world": "front"}, "entry 1"),
        ({"camera_to_world": torch.eye(4).mul(2).tolist()}, "proper rotations"),
        ({"intrinsics": torch.zeros(3, 3).tolist()}, "focal"),
        ({"file": 3}, '"file"'),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, changes, message):
    folder = edited(write_views(views(), tmp_path), **changes)
    with pytest.raises(CameraError, match=message) as caught:
        read_views(folder)
    assert "entry 1" in str(caught.value)


def test_wrong_images_are_named(tmp_path):
    folder = write_views(views(), tmp_path)
    write_image(folder / "2.png", torch.zeros(3, 24, 20))
    with pytest.raises(ImageError, match=r"0\.png and 2\.png have 20 x 20 and 20 x 24"):
        read_views(folder)
    (folder / "2.png").unlink()
    with pytest.raises(ImageError, match=r"no file .*2\.png"):
        read_views(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', "[3]"])
def test_what_is_no_list_of_cameras(tmp_path, text):
    (tmp_path / "cameras.json").write_text(text)
    with pytest.raises(CameraError, match=r"cameras\.json"):
        read_views(tmp_path)


def test_a_folder_without_cameras(tmp_path):
    with pytest.raises(CameraError, match=r"there is no .*cameras\.json"):
        read_views(tmp_path)


def test_overwriting(tmp_path):
    write_views(views(), tmp_path)
    with pytest.raises(OutputError, match="exists"):
        write_views(views(), tmp_path, overwrite=False)
