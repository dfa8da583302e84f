"""Photos of several sides without cameras: sides, first cameras, resampling, and cameras found with the mesh."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from instantmesh.cameras import elevations_deg, photo_camera, spherical_cameras, zoom_cameras
from instantmesh.errors import InputError
from instantmesh.fitting.camera_search import camera_of
from instantmesh.fitting.photo_set import SidePhoto, azimuth_of, first_guess, pose_photos, seen_by
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh, Views


@pytest.fixture(scope="module")
def shape() -> Mesh:
    """A box with a thinner tower on its left half and a bar to its front: all sides differ."""
    import trimesh

    parts = [trimesh.creation.box((0.6, 1.0, 0.5)), trimesh.creation.box((0.3, 0.3, 0.5))]
    parts.append(trimesh.creation.box((0.5, 0.15, 0.15)))
    parts[1].apply_translation((0, 0.35, 0.5))
    parts[2].apply_translation((0.5, -0.3, 0.1))
    whole = trimesh.util.concatenate([part.subdivide().subdivide() for part in parts])
    vertices = torch.tensor(whole.vertices, dtype=torch.float32)
    return Mesh(vertices, torch.tensor(whole.faces), (0.5 + 0.5 * torch.sin(4 * vertices)).clamp(0, 1))


def photo_of(shape: Mesh, side: str, elevation_deg: float, size: float = 1.0, told_deg: float = 10.0) -> SidePhoto:
    """A photo of one side, cropped by itself as cut-outs are; `told_deg` is what is known of its elevation."""
    azimuth = azimuth_of(side)
    cameras = zoom_cameras(spherical_cameras([azimuth], [elevation_deg], 4.0, 30.0), size)
    seen = render_mesh(shape, cameras, 512, antialias=False)
    color, mask = (avg_pool2d(x, 2)[0] for x in (seen.color, seen.mask))
    return SidePhoto(side, azimuth, told_deg, color.clamp(0, 1), mask)


def test_sides_are_the_objects_own():
    assert [azimuth_of(side) for side in ("front", "left", "back", "right", "front-left")] == [0, 90, 180, 270, 45]
    assert azimuth_of(30) == 30.0
    for wrong in ("top", "Front ", float("nan"), True):
        with pytest.raises(InputError):
            azimuth_of(wrong)


def test_what_another_camera_in_the_same_place_sees():
    """A rolled, zoomed and shifted image, seen by a straight camera, is the image that this one takes itself."""
    import trimesh

    ball = trimesh.creation.icosphere(4, 0.6)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    mesh = Mesh(vertices, torch.tensor(ball.faces), (0.5 + 0.4 * torch.sin(5 * vertices)).clamp(0, 1))
    odd = camera_of(np.array([0.0, 20.0, 15.0, 0.3, 0.04, -0.03]))
    straight = photo_camera(20.0)
    images = [avg_pool2d(render_mesh(mesh, c, 512, antialias=False).color, 4)[0] for c in (odd, straight)]
    found = 1 - seen_by(straight, 1 - images[0], odd, 128)
    inside = images[1].amin(0) < 0.98
    assert float((found - images[1]).abs().mean(0)[inside].mean()) < 0.015
    smaller = seen_by(straight, 1 - images[0], odd, 32)
    assert float((1 - smaller - avg_pool2d(images[1], 4)).abs().mean()) < 0.02


def test_first_cameras_see_the_object_equally_high(shape):
    """Photos of any size become views in which heights agree and the longest side covers 85 % of the image."""
    sides = {"front": 0.7, "left": 1.3, "back": 1.0}
    photos = [photo_of(shape, side, 0.0, size, told_deg=0.0) for side, size in sides.items()]
    given = []
    first_guess(photos, lambda views: given.append(views) or shape)
    inside = given[0].images.amin(1) < 0.9
    heights = [int(x.any(1).sum()) for x in inside]
    widths = [int(x.any(0).sum()) for x in inside]
    assert max(heights) - min(heights) <= 0.02 * 512
    assert max(heights + widths) == pytest.approx(0.85 * 512, rel=0.03)
    assert torch.allclose(elevations_deg(given[0].known_cameras), torch.zeros(3), atol=1e-4)


def test_cameras_are_found_with_the_mesh(shape):
    """With a reconstruction that is right, elevations and sizes are found, drawn a little to what is told of them."""
    elevations = {"front": 25.0, "left": 2.0, "back": 18.0, "right": 8.0}
    photos = [photo_of(shape, side, e, 1.0 - 0.2 * (i % 2)) for i, (side, e) in enumerate(elevations.items())]
    found = pose_photos(photos, lambda views: shape)
    assert found.iou > 0.95
    for camera, (side, elevation) in zip(found.cameras, elevations.items(), strict=True):
        assert camera.elevation_deg == pytest.approx(elevation, abs=5)
        assert (camera.azimuth_deg - azimuth_of(side) + 180) % 360 - 180 == pytest.approx(0, abs=3)
    cameras = found.views.known_cameras
    for view, (side, elevation) in zip(found.views.images, elevations.items(), strict=True):
        true = render_mesh(shape, spherical_cameras([azimuth_of(side)], [elevation], 4.0, 30.0), 512).mask[0, 0] > 0.5
        seen = view.amin(0) < 0.98
        assert float((true & seen).sum() / (true | seen).sum()) > 0.85
    assert torch.allclose(cameras.intrinsics, photo_camera().intrinsics.expand(4, 3, 3))


def test_a_photo_of_another_object_is_named(shape, caplog):
    ring = torch.tensor([[0.0, 0.0, 0.9], [0.0, 0.5, -0.9], [0.0, -0.5, -0.9]])
    other = Mesh(ring, torch.tensor([[0, 1, 2], [0, 2, 1]]), torch.zeros(3, 3))
    photos = [photo_of(shape, "front", 10.0), photo_of(shape, "left", 10.0), photo_of(other, "back", 10.0)]
    pose_photos(photos, lambda views: shape)
    assert "the photo of the back side disagrees" in caplog.text
    assert "the front side disagrees" not in caplog.text


def test_photos_that_make_no_set_are_refused(shape):
    front = photo_of(shape, "front", 10.0)
    with pytest.raises(InputError, match="two or more sides"):
        pose_photos([front], lambda views: shape)
    with pytest.raises(InputError, match="the same side"):
        pose_photos([front, SidePhoto("0.5", 0.5, 10.0, front.image, front.mask)], lambda views: shape)


def test_views_keep_their_cameras(shape):
    found = first_guess([photo_of(shape, "front", 0.0), photo_of(shape, "left", 0.0)], lambda views: shape)
    assert isinstance(found.views, Views)
    assert len(found.views) == len(found.cameras) == 2
