"""The photo's camera: found on renderings of known meshes, and told in numbers that are right."""

import math
from dataclasses import replace

import pytest
import torch

from instantmesh import Mesh
from instantmesh.cameras import crop_cameras, spherical_cameras
from instantmesh.errors import ImageError, InputError
from instantmesh.fitting.camera_search import camera_of, compare_from, find_camera
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras

SIZE_PX = 160


def figure() -> Mesh:
    """A body with an arm to one side and a nose in front, each in its own colour."""
    from trimesh.creation import box, icosphere

    body = icosphere(subdivisions=3, radius=0.45)
    arm, nose = box((0.2, 0.5, 0.2)), box((0.5, 0.15, 0.15))
    arm.apply_translation((0, 0.55, 0.25))
    nose.apply_translation((0.5, 0, -0.1))
    vertices, faces, colors, first = [], [], [], 0
    for part, color in ((body, (0.2, 0.4, 0.8)), (arm, (0.9, 0.6, 0.1)), (nose, (0.8, 0.1, 0.1))):
        vertices.append(torch.tensor(part.vertices, dtype=torch.float32))
        faces.append(torch.tensor(part.faces) + first)
        colors.append(torch.tensor([color]).expand(len(part.vertices), 3))
        first += len(part.vertices)
    return Mesh(torch.cat(vertices), torch.cat(faces), torch.cat(colors))


def taken(mesh: Mesh, camera: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """A photo of a mesh and its mask."""
    with torch.no_grad():
        seen = render_mesh(mesh, camera, SIZE_PX)
    return seen.color[0].clamp(0, 1), seen.mask[0]


@pytest.mark.parametrize("elevation", [-5.0, 12.0, 33.0])
def test_the_camera_of_a_rendering_is_found(elevation):
    mesh = figure()
    whole = spherical_cameras((4.0,), (elevation,), 4.0, 30.0)
    camera = crop_cameras(whole, 0.12, 0.08, 0.8, 0.8)  # as a photo is cropped to its object
    found = find_camera(mesh, *taken(mesh, camera))
    assert found.elevation_deg == pytest.approx(elevation, abs=1.0)
    assert found.azimuth_deg == pytest.approx(4.0, abs=1.0)
    assert found.roll_deg == pytest.approx(0.0, abs=1.0)
    assert found.zoom == pytest.approx(1 / 0.8, rel=0.005)
    assert found.shift == pytest.approx((-0.025 + 0.0, 0.025), abs=0.005)
    assert found.iou > 0.95
    assert found.color_rms < 0.02
    assert f"elevation {elevation:.0f}" in str(found)


def test_light_and_exposure_do_not_mislead():
    mesh = figure()
    image, mask = taken(mesh, spherical_cameras((0.0,), (20.0,), 4.0, 30.0))
    darker = mask * (0.6 * image + 0.1) + (1 - mask)
    found = find_camera(mesh, darker, mask)
    assert found.elevation_deg == pytest.approx(20.0, abs=1.0)


def test_a_pose_and_its_camera_tell_the_same():
    pose = torch.tensor([7.0, -12.0, 5.0, math.log(1.2), 0.03, -0.02]).double().numpy()
    mesh = figure()
    told = compare_from(camera_of(pose), mesh, *taken(mesh, camera_of(pose)))
    assert told.azimuth_deg == pytest.approx(7.0, abs=1e-3)
    assert told.elevation_deg == pytest.approx(-12.0, abs=1e-3)
    assert told.roll_deg == pytest.approx(5.0, abs=1e-3)
    assert told.zoom == pytest.approx(1.2, abs=1e-5)
    assert told.shift == pytest.approx((0.03, -0.02), abs=1e-6)
    assert told.iou > 0.97


def test_a_wrong_camera_agrees_less():
    mesh = figure()
    image, mask = taken(mesh, spherical_cameras((0.0,), (10.0,), 4.0, 30.0))
    right, wrong = (compare_from(spherical_cameras((a,), (10.0,), 4.0, 30.0), mesh, image, mask) for a in (0.0, 40.0))
    assert right.iou > wrong.iou + 0.05
    assert right.color_rms < wrong.color_rms


def test_what_cannot_be_told_stays_as_expected():
    """A plain ball looks the same from everywhere."""
    from trimesh.creation import icosphere

    ball = icosphere(subdivisions=3, radius=0.6)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    mesh = Mesh(vertices, torch.tensor(ball.faces), torch.full_like(vertices, 0.5))
    photo = taken(mesh, spherical_cameras((0.0,), (10.0,), 4.0, 30.0))
    found = find_camera(mesh, *photo, expected=(0.0, 10.0))
    assert found.elevation_deg == pytest.approx(10.0, abs=2.0)
    assert found.azimuth_deg == pytest.approx(0.0, abs=2.0)


def test_what_cannot_be_compared_is_refused(as_users_run_it):
    mesh = figure()
    image, mask = taken(mesh, spherical_cameras((0.0,), (10.0,), 4.0, 30.0))
    with pytest.raises(ImageError, match="empty"):
        find_camera(mesh, image, torch.zeros_like(mask))
    with pytest.raises(InputError, match="square"):
        find_camera(mesh, image[:, :-1], mask[:, :-1])
    with pytest.raises(InputError, match="alike"):
        find_camera(mesh, image, mask[0])
    with pytest.raises(InputError, match="no faces"):
        find_camera(replace(mesh, faces=mesh.faces[:0]), image, mask)
