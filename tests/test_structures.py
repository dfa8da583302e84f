"""Structures refuse what isn't one, and say why."""

import pytest
import torch

from instantmesh.cameras import six_view_cameras
from instantmesh.errors import CameraError, InputError, OutputError
from instantmesh.images import open_image
from instantmesh.structures import Cameras, Mesh, Texture, Views

EYE4, EYE3 = torch.eye(4)[None], torch.eye(3)[None]


def mirrored() -> torch.Tensor:
    return torch.diag(torch.tensor([-1.0, 1, 1, 1]))[None]


@pytest.mark.parametrize(
    ("pose", "intrinsics", "message"),
    [
        (torch.eye(4), EYE3, "cameras need poses"),
        (EYE4, torch.eye(2)[None], "cameras need poses"),
        (EYE4.repeat(2, 1, 1), EYE3, "2 poses and 1 intrinsics"),
        (EYE4[:0], EYE3[:0], "at least one"),
        (EYE4 * float("nan"), EYE3, "finite"),
        (EYE4 * 2, EYE3, "proper rotations"),
        (mirrored(), EYE3, "proper rotations"),
        (EYE4, -EYE3, "focal"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_cameras_refuse(pose, intrinsics, message):
    with pytest.raises(CameraError, match=message):
        Cameras(pose, intrinsics)


def test_cameras_can_be_made_in_a_host_applications_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert len(six_view_cameras()) == 6


def test_cameras_are_chosen_by_lists_and_slices():
    rig = six_view_cameras()
    assert len(rig[[0, 2, 4, 5]]) == 4
    torch.testing.assert_close(rig[1:3].camera_to_world, rig.camera_to_world[1:3])


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(6, 4, 8, 8), InputError, r"\(n, 3, h, w\)"),
        (torch.rand(6, 3, 0, 8), InputError, r"\(n, 3, h, w\)"),
        (torch.zeros(6, 3, 8, 8, dtype=torch.uint8), InputError, "float"),
        (torch.rand(6, 3, 8, 8) * 255, InputError, "divide 8-bit"),
        (torch.full((6, 3, 8, 8), float("inf")), InputError, "finite"),
        (torch.rand(5, 3, 8, 8), CameraError, "5 images but 6 cameras"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_views_refuse(images, error, message):
    with pytest.raises(error, match=message):
        Views(images, six_view_cameras())


def test_views_save_as_three_rows_of_two(tmp_path):
    shades = torch.linspace(0, 1, 6)
    views = Views(shades[:, None, None, None].expand(6, 3, 16, 16), six_view_cameras())
    image = open_image(views.save(tmp_path / "views.png"))
    assert image.shape == (3, 48, 32)
    assert image[0, 8::16, 8::16].flatten().tolist() == pytest.approx(shades.tolist(), abs=0.5 / 255)
    with pytest.raises(OutputError, match="exists"):
        views.save(tmp_path / "views.png", overwrite=False)


TRIANGLE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
FACE = torch.tensor([[0, 1, 2]])


@pytest.mark.parametrize(
    ("vertices", "faces", "colors", "message"),
    [
        (TRIANGLE[:, :2], FACE, None, "vertices must be"),
        (TRIANGLE, FACE[:, :2], None, "faces must be"),
        (TRIANGLE, FACE.float(), None, "integers"),
        (TRIANGLE, FACE + 1, None, r"outside 0\.\.2"),
        (TRIANGLE, FACE - 1, None, r"outside 0\.\.2"),
        (TRIANGLE * float("nan"), FACE, None, "finite"),
        (TRIANGLE, FACE, torch.zeros(2, 3), "vertex_colors must be"),
        (TRIANGLE, FACE, TRIANGLE * 2, r"\[0, 1\]"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_meshes_refuse(vertices, faces, colors, message):
    with pytest.raises(InputError, match=message):
        Mesh(vertices, faces, colors)


def test_vertex_normals_weigh_faces_by_area_and_have_gradients():
    # a unit triangle in z = 0 (normal +z) and one of twice its area in x = 0 (normal +x) share the origin
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]], requires_grad=True)
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    normals = mesh.vertex_normals()
    torch.testing.assert_close(normals[1], torch.tensor([0.0, 0, 1]))
    torch.testing.assert_close(normals[3], torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(normals[0], torch.tensor([2.0, 0, 1]) / 5**0.5)
    normals[0, 0].backward()
    assert vertices.grad is not None
    assert bool(torch.isfinite(vertices.grad).all())
    assert bool(vertices.grad.any())


@pytest.mark.parametrize(
    ("image", "uv", "message"),
    [
        (torch.zeros(4, 4, 3), torch.zeros(1, 3, 2), "image must be"),
        (torch.zeros(3, 4, 4), torch.zeros(3, 2), "uv must be"),
        (torch.zeros(3, 4, 4), torch.full((1, 3, 2), 1.5), "uv must lie in"),
        (torch.full((3, 4, 4), 255.0), torch.zeros(1, 3, 2), "divide 8-bit"),
        (torch.zeros(3, 4, 4), torch.full((1, 3, 2), float("nan")), "finite"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_textures(image: torch.Tensor, uv: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Texture(image, uv)


def test_a_texture_has_places_for_every_face() -> None:
    triangle = torch.eye(3), torch.tensor([[0, 1, 2]])
    texture = Texture(torch.zeros(3, 4, 4), torch.zeros(2, 3, 2))
    with pytest.raises(InputError, match="places for 2 faces, the mesh has 1"):
        Mesh(*triangle, None, texture)
