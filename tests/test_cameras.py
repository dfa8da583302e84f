"""Cameras: the numbers of docs/conventions.md, projection against rays, turning cameras and object together."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from instantmesh import cameras as cam
from instantmesh.errors import InputError
from tests.paths import GOLDEN

angles = st.floats(-360, 360)
elevations = st.floats(-85, 85)
radii = st.floats(1.5, 6)
fovs = st.floats(10, 90)


def test_azimuth_zero_looks_from_plus_x_with_z_up():
    pose = cam.spherical_cameras([0.0], [0.0], 2.0, 30.0).camera_to_world[0]
    right, up, backward, position = pose[:3].unbind(1)
    torch.testing.assert_close(position, torch.tensor([2.0, 0.0, 0.0]))
    torch.testing.assert_close(backward, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(right, torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(up, torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(pose[3], torch.tensor([0.0, 0.0, 0.0, 1.0]))


def test_spherical_position_follows_the_formula():
    position = cam.spherical_cameras([40.0], [25.0], 3.0, 30.0).camera_to_world[0, :3, 3]
    a, e = math.radians(40), math.radians(25)
    expected = 3 * torch.tensor([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    torch.testing.assert_close(position, expected)


def test_intrinsics_of_thirty_degrees():
    k = cam.intrinsics_from_fov(30.0, 1)[0]
    focal = 1.8660254
    torch.testing.assert_close(k, torch.tensor([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]]))


def test_six_views_are_those_of_the_released_code():
    with safe_open(GOLDEN / "instant_mesh_tiny.expected.safetensors", "pt") as file:
        expected = file.get_tensor("cameras")[0]
    torch.testing.assert_close(cam.camera_vector(cam.six_view_cameras()), expected, atol=1e-6, rtol=0)


def test_six_views_lie_at_the_documented_angles():
    position = cam.six_view_cameras().camera_to_world[:, :3, 3]
    azimuth = torch.rad2deg(torch.atan2(position[:, 1], position[:, 0])) % 360
    torch.testing.assert_close(azimuth, torch.tensor([30.0, 90, 150, 210, 270, 330]), atol=1e-4, rtol=0)
    elevation = torch.rad2deg(torch.asin(position[:, 2] / 4))
    torch.testing.assert_close(elevation, torch.tensor([20.0, -10, 20, -10, 20, -10]), atol=1e-4, rtol=0)


def test_camera_vector_order():
    k = torch.tensor([[[1.5, 0, 0.4], [0, 2.5, 0.6], [0, 0, 1]]])
    pose = cam.look_at_origin(torch.tensor([[1.0, 2.0, 0.5]]))
    vector = cam.camera_vector(cam.Cameras(pose, k))[0]
    assert vector[:4].tolist() == pose[0, 0].tolist()
    assert vector[4:12].tolist() == pose[0, 1:3].flatten().tolist()
    torch.testing.assert_close(vector[12:], torch.tensor([1.5, 2.5, 0.4, 0.6]))


def test_what_is_right_and_up_in_the_world_is_right_and_up_in_the_image():
    front = cam.spherical_cameras([0.0], [0.0], 4.0, 30.0)
    # seen from +x, the world's +y is to the right and +z above (v points down)
    uv, depth = cam.project(torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.5], [0.5, 0.0, 0.0]]), front)
    assert uv[0, 0, 0] > 0.5
    assert uv[0, 0, 1] == pytest.approx(0.5)
    assert uv[0, 1, 0] == pytest.approx(0.5)
    assert uv[0, 1, 1] < 0.5
    torch.testing.assert_close(depth[0], torch.tensor([4.0, 4.0, 3.5]))


def test_the_field_of_view_ends_at_the_images_edge():
    camera = cam.spherical_cameras([0.0], [0.0], 4.0, 30.0)
    edge = 4 * math.tan(math.radians(15))
    uv, _ = cam.project(torch.tensor([[0.0, edge, edge]]), camera)
    torch.testing.assert_close(uv[0, 0], torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)


def test_pixel_centres():
    uv = cam.pixel_centres(2, 4)
    assert uv[0, 0].tolist() == [0.125, 0.25]
    assert uv[1, 3].tolist() == [0.875, 0.75]


@settings(max_examples=25, deadline=None)
@given(angles, elevations, radii, fovs, st.integers(1, 5), st.integers(1, 5), st.floats(0.2, 5))
def test_points_on_a_ray_project_onto_its_pixel(azimuth, elevation, radius, fov, height, width, t):
    rig = cam.spherical_cameras([azimuth, azimuth + 70], [elevation, -elevation], radius, fov)
    origin, direction = cam.rays(rig, height, width)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(2, height * width))
    expected = cam.pixel_centres(height, width).reshape(-1, 2)
    for n in range(2):
        uv, depth = cam.project(origin[n] + t * direction[n], rig[[n]])
        torch.testing.assert_close(uv[0], expected, atol=1e-3, rtol=0)
        forward = -rig.camera_to_world[n, :3, 2]
        torch.testing.assert_close(depth[0], t * direction[n] @ forward, atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(angles, elevations, radii, st.floats(-7, 7))
def test_turning_cameras_and_object_together_changes_no_image(azimuth, elevation, radius, angle):
    rig = cam.spherical_cameras([azimuth, azimuth + 100], [elevation, elevation / 2], radius, 40.0)
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turned = cam.rotate_about_up(rig, torch.tensor([angle, angle]))
    for a, b in zip(cam.project(points, rig), cam.project(points @ rotation.T, turned), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_turning_by_an_angle_adds_to_the_azimuth():
    turned = cam.rotate_about_up(cam.spherical_cameras([10.0], [20.0], 3.0, 30.0), torch.tensor([math.radians(35)]))
    expected = cam.spherical_cameras([45.0], [20.0], 3.0, 30.0)
    torch.testing.assert_close(turned.camera_to_world, expected.camera_to_world, atol=1e-5, rtol=0)


def test_orbit_starts_at_the_front_and_goes_round_evenly():
    position = cam.orbit_cameras(4, elevation_deg=0.0, radius=2.0).camera_to_world[:, :3, 3]
    expected = torch.tensor([[2.0, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]])
    torch.testing.assert_close(position, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("z", [2.0, -2.0])
def test_a_camera_at_the_pole_is_a_proper_rotation(z):
    pose = cam.look_at_origin(torch.tensor([[0.0, 0.0, z]]))[0, :3, :3]
    torch.testing.assert_close(pose @ pose.T, torch.eye(3))
    assert torch.linalg.det(pose) == pytest.approx(1.0)
    torch.testing.assert_close(pose[:, 1], torch.tensor([-math.copysign(1.0, z), 0.0, 0.0]))


def test_errors():
    with pytest.raises(InputError, match="2 azimuths but 1"):
        cam.spherical_cameras([0.0, 1.0], [0.0], 1.0, 30.0)
    with pytest.raises(InputError, match="fov_deg"):
        cam.intrinsics_from_fov(180.0, 1)
    with pytest.raises(InputError, match="at least one"):
        cam.orbit_cameras(0)
