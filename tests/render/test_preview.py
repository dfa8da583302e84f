"""Preview sheets: framing, sides, shading, files."""

from pathlib import Path

import pytest
import torch
import trimesh
from PIL import Image

from instantmesh.errors import InputError, OutputError
from instantmesh.files.image_files import untile
from instantmesh.render.preview import preview_sheet, save_preview
from instantmesh.structures import Mesh


def _head() -> Mesh:
    """A ball, red in front (+x), blue on its left (+y), green above; dark elsewhere."""
    ball = trimesh.creation.icosphere(4)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    colors = torch.zeros_like(vertices)
    for axis, channel in ((0, 0), (1, 2), (2, 1)):
        colors[vertices[:, axis] > 0.8, channel] = 1
    return Mesh(vertices, torch.tensor(ball.faces), colors)


def _tiles(mesh: Mesh, size_px: int = 64) -> torch.Tensor:
    return untile(preview_sheet(mesh, size_px), rows=2, columns=4)


def test_sides_are_front_left_back_right_and_upright() -> None:
    front, left, back, right = _tiles(_head())[:4]
    centre = (slice(None), 30, 32)
    assert front[centre][0] > 0.8 > 0.2 > front[centre][2]
    assert left[centre][2] > 0.8 > 0.2 > left[centre][0]
    for dark in (back, right):
        assert float(dark[centre].max()) < 0.2
    for side in (front, left, back, right):
        assert side[1, 7, 32] > 0.5 > side[0, 7, 32]  # green above
    assert front[2, 34, 60] > 0.4  # seen from the front, its left is on the right
    assert left[0, 34, 3] > 0.4


def test_lower_row_is_grey_on_white() -> None:
    grey = _tiles(_head())[4:]
    torch.testing.assert_close(grey[:, 0], grey[:, 1])
    assert bool((grey[:, :, 0, 0] == 1).all())
    assert float(grey[:, 0, 32, 32].max()) < 0.9
    assert float(grey[:, 0, 20, 26].min()) > float(grey[:, 0, 52, 48].max()) + 0.2  # lit from above left


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.0), (500.0, 0.0), (0.3, 40.0)])
def test_framing_follows_size_and_place(scale: float, shift: float) -> None:
    mesh = _head()
    moved = Mesh(mesh.vertices * scale + shift, mesh.faces, mesh.vertex_colors)
    assert float((preview_sheet(moved, 48) - preview_sheet(mesh, 48)).abs().mean()) < 2e-3


def test_mesh_fills_the_tiles_and_stray_vertices_do_not_count() -> None:
    box = trimesh.creation.box((0.2, 0.4, 3.0))
    vertices = torch.cat([torch.tensor(box.vertices, dtype=torch.float32), torch.tensor([[90.0, 0.0, 0.0]])])
    covered = (_tiles(Mesh(vertices, torch.tensor(box.faces)), 100)[4:, 0] < 0.99).any(2)
    heights = covered.sum(1)
    assert int(heights.max()) in range(86, 97)
    assert not bool(covered[:, [0, -1]].any())


def test_turned_faces_are_lit_alike() -> None:
    mesh = _head()
    turned = Mesh(mesh.vertices, mesh.faces.flip(1), mesh.vertex_colors)
    difference = (preview_sheet(turned, 64) - preview_sheet(mesh, 64)).abs()
    assert float(difference.mean()) < 0.01


def test_mesh_without_faces_is_white() -> None:
    sheet = preview_sheet(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), 16)
    assert sheet.shape == (3, 32, 64)
    assert bool((sheet == 1).all())


def test_needs_no_gradient_and_no_colours() -> None:
    mesh = _head()
    sheet = preview_sheet(Mesh(mesh.vertices.clone().requires_grad_(), mesh.faces), 16)
    assert not sheet.requires_grad


def test_save_preview(tmp_path: Path) -> None:
    path = save_preview(_head(), tmp_path / "head.png", 32)
    with Image.open(path) as image:
        assert image.size == (128, 64)
    with pytest.raises(OutputError):
        save_preview(_head(), path, 32, overwrite=False)
    with pytest.raises(InputError, match="size_px"):
        preview_sheet(_head(), 0)
