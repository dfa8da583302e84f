"""Cameras that can't be those of the images are refused, and the convention that fits is named."""

import pytest
import torch

from instantmesh.cameras import cameras_from_matrices, intrinsics_from_fov, orbit_cameras
from instantmesh.cameras import six_view_cameras as six
from instantmesh.errors import CameraError
from instantmesh.structures import Cameras, Views
from instantmesh.views.checks import check_views, placement
from instantmesh.views.normalization import normalize_views, upright_views

from .spheres import photographed

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))


def moved(cameras: Cameras, offset: torch.Tensor, factor: float = 1.0) -> Cameras:
    pose = cameras.camera_to_world.clone()
    pose[:, :3, 3] = pose[:, :3, 3] * factor + offset
    return Cameras(pose, cameras.intrinsics)


@pytest.mark.parametrize("cameras", [six(), orbit_cameras(3), orbit_cameras(12, elevation_deg=-20.0, radius=6.0)])
def test_sound_views_pass(cameras):
    views = photographed(cameras)
    check_views(views)
    place = placement(views)
    assert place.center.norm() < 0.5
    assert place.half_size == pytest.approx(0.75, abs=0.15)


def test_views_that_tell_nothing_pass():
    for images in (torch.ones(3, 3, 32, 32), torch.rand(3, 3, 32, 32)):
        check_views(Views(images, orbit_cameras(3)))
    check_views(Views(torch.rand(2, 3, 8, 8)))
    check_views(photographed(orbit_cameras(1)))


@pytest.mark.parametrize(
    ("pose_of", "advice"),
    [
        (lambda pose: pose @ FLIP, 'OpenCV\'s camera-to-world matrices: pass convention="opencv"'),
        (torch.linalg.inv, 'OpenGL\'s world-to-camera matrices: pass poses="world_to_camera"'),
        (
            lambda pose: torch.linalg.inv(pose @ FLIP),
            'OpenCV\'s world-to-camera matrices: pass convention="opencv", poses="world_to_camera"',
        ),
    ],
)
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_other_conventions_are_recognised(pose_of, advice, offset):
    sound = photographed(moved(six(), torch.tensor([offset, 0.0, 0.0])), offset=torch.tensor([offset, 0.0, 0.0]))
    wrong = Views(sound.images, Cameras(pose_of(sound.cameras.camera_to_world), sound.cameras.intrinsics))
    with pytest.raises(CameraError) as caught:
        check_views(wrong)
    assert advice in str(caught.value)


def test_cameras_that_look_past_the_object_are_noticed():
    turn = torch.tensor(25.0).deg2rad()
    aside = torch.eye(4)
    aside[0, 0], aside[0, 2], aside[2, 0], aside[2, 2] = turn.cos(), turn.sin(), -turn.sin(), turn.cos()
    views = photographed(six())
    with pytest.raises(CameraError, match=r"outlines don't meet$"):
        check_views(Views(views.images, Cameras(views.cameras.camera_to_world @ aside, views.cameras.intrinsics)))
    one = orbit_cameras(1)
    away = Views(photographed(one).images, Cameras(one.camera_to_world @ FLIP, one.intrinsics))
    with pytest.raises(CameraError, match="no camera sees the origin"):
        check_views(away)


def test_intrinsics_in_pixels_and_absurd_angles():
    cameras = six()
    pixels = cameras.intrinsics * torch.tensor([[320.0], [320.0], [1.0]])
    with pytest.raises(CameraError, match="intrinsics_px"):
        check_views(Views(photographed(cameras).images, Cameras(cameras.camera_to_world, pixels)))
    wide = Cameras(cameras.camera_to_world, intrinsics_from_fov(160.0, 6))
    with pytest.raises(CameraError, match="160 degrees"):
        check_views(Views(photographed(cameras).images, wide))


@pytest.mark.parametrize(("factor", "offset"), [(400.0, 0.0), (1.0, 3.0), (0.1, 0.0), (25.0, -90.0)])
def test_other_units_and_places_are_normalised(factor, offset):
    where = torch.tensor([offset, 0.0, -offset / 2])
    views = photographed(moved(six(), where, factor), scale=factor, offset=where)
    with pytest.raises(CameraError, match="normalize"):
        check_views(views)
    normal = normalize_views(views)
    check_views(normal)
    expected = placement(photographed(six()))
    positions = (six().camera_to_world[:, :3, 3] - expected.center.float()) / expected.half_size
    torch.testing.assert_close(normal.cameras.camera_to_world[:, :3, 3], positions, atol=0.05, rtol=0)


def test_what_cannot_be_normalised():
    with pytest.raises(CameraError, match="two of them show the whole object"):
        normalize_views(photographed(orbit_cameras(1)))
    views = photographed(six())
    with pytest.raises(CameraError, match="don't meet"):
        normalize_views(Views(views.images, Cameras(views.cameras.camera_to_world @ FLIP, views.cameras.intrinsics)))


def test_a_world_without_direction_is_turned_upright():
    views = photographed(orbit_cameras(8, elevation_deg=25.0))
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))
    turned = turned * torch.linalg.det(turned)
    pose = views.cameras.camera_to_world.clone()
    pose[:, :3] = turned @ pose[:, :3]
    back = upright_views(Views(views.images, Cameras(pose, views.cameras.intrinsics)))
    torch.testing.assert_close(back.cameras.camera_to_world, views.cameras.camera_to_world, atol=1e-5, rtol=0)


def test_upside_down_every_other_time():
    cameras = orbit_cameras(8)
    pose = cameras.camera_to_world.clone()
    pose[::2] = pose[::2] @ torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(CameraError, match="every way"):
        upright_views(Views(torch.ones(8, 3, 8, 8), Cameras(pose, cameras.intrinsics)))


@pytest.mark.parametrize("rows", [3, 4])
def test_matrices_of_other_programs(rows):
    cameras = orbit_cameras(3, elevation_deg=40.0)
    world_to_camera = torch.linalg.inv(cameras.camera_to_world @ FLIP)[:, :rows]
    k = cameras.intrinsics * torch.tensor([[640.0], [480.0], [1.0]])
    found = cameras_from_matrices(world_to_camera, k, convention="opencv", poses="world_to_camera", size_px=(640, 480))
    torch.testing.assert_close(found.camera_to_world, cameras.camera_to_world, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.intrinsics, cameras.intrinsics)


@pytest.mark.usefixtures("as_users_run_it")
def test_matrices_that_are_none():
    k = intrinsics_from_fov(30.0, 1)
    with pytest.raises(CameraError, match=r"\(n, 4, 4\) or \(n, 3, 4\)"):
        cameras_from_matrices(torch.eye(3)[None], k)
    with pytest.raises(CameraError, match="proper rotations"):
        cameras_from_matrices(2 * torch.eye(4)[None], k)
    with pytest.raises(CameraError, match="opengl, opencv"):
        cameras_from_matrices(torch.eye(4)[None], k, convention="blender")
