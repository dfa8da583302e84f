"""Inspection sheets and wireframes: what is drawn where."""

import numpy as np
import pytest
import torch

from instantmesh import InputError, Mesh, OutputError, Texture
from instantmesh.cameras import spherical_cameras
from instantmesh.files.image_files import untile
from instantmesh.render.inspection_sheet import inspection_sheet, save_inspection, uv_image
from instantmesh.render.wireframe import wireframe
from tests.files.lettered import colored_letter, textured_letter

CAMERA = spherical_cameras([0.0], [0.0], 4.0, 30.0)


def square(divisions: int) -> Mesh:
    """A square of side 1.6 that faces +x, of 2 * divisions^2 faces."""
    ticks = torch.linspace(-0.8, 0.8, divisions + 1)
    y, z = torch.meshgrid(ticks, ticks, indexing="ij")
    first = torch.arange(divisions)[:, None] * (divisions + 1) + torch.arange(divisions)
    a, b = first.flatten(), first.flatten() + 1
    c, d = a + divisions + 1, b + divisions + 1
    faces = torch.cat([torch.stack([a, c, d], 1), torch.stack([a, d, b], 1)])
    return Mesh(torch.stack([torch.zeros_like(y), y, z], -1).reshape(-1, 3), faces)


def test_lines_are_where_edges_are_and_thin():
    image = wireframe(square(4), CAMERA, 200)[0, 0]
    # the square spans 200 * 0.8 * f / 4 pixels to each side of the middle, f = 0.5 / tan(15)
    half_px = 200 * 0.8 * 0.5 / np.tan(np.radians(15)) / 4
    row = image[100 + round(half_px / 4)]  # between two lines: crosses 5 upright ones and 4 slanting ones
    dark = np.flatnonzero(row.numpy() < 0.75)
    for k in (1, 2, 3):
        assert np.abs(dark - (99.5 - half_px + k * half_px / 2)).min() < 1
    assert len(dark) < 20
    left = round(99.5 - half_px)
    assert float(row[left - 2]) == 1
    assert float(row[left : left + 2].min()) < 0.9  # half of the outermost lines lies beyond the object
    assert float(row[100 + round(half_px / 6)]) == pytest.approx(0.93, abs=0.01)
    assert float(image[2, 2]) == 1


def test_fine_meshes_are_grey_not_black():
    fine = wireframe(square(120), CAMERA, 100)[0, 0, 40:60, 40:60]
    assert 0.3 < float(fine.mean()) < 0.8
    assert float(fine.std()) < 0.15


def test_what_lies_behind_is_not_drawn():
    front, back = square(1), square(8)
    both = Mesh(
        torch.cat([front.vertices, back.vertices - torch.tensor([0.5, 0, 0])]),
        torch.cat([front.faces, back.faces + len(front.vertices)]),
    )
    torch.testing.assert_close(wireframe(both, CAMERA, 80), wireframe(front, CAMERA, 80), atol=0.05, rtol=0)


def test_tiles_of_a_textured_mesh():
    sheet = inspection_sheet(textured_letter(), 128)
    assert sheet.shape == (3, 256, 6 * 128)
    tiles = untile(sheet, 2, 6)
    color, grey, normals, lines = (tiles[[i, 6 + i], :, 16:] for i in range(4))  # below the labels
    assert float((grey.amax(1) - grey.amin(1)).max()) < 0.01
    assert float((lines.amax(1) - lines.amin(1)).max()) < 0.01
    assert float((color.amax(1) - color.amin(1)).max()) > 0.1
    assert float((lines.flatten(1).sort()[0][:, :300] < 0.6).float().mean()) == 1
    assert float(normals.std()) > 0.1


def test_normals_are_coloured_by_their_direction():
    front = untile(inspection_sheet(square(2), 64), 2, 4)[2]
    expected = torch.tensor([1, 0.5, 0.5])  # (1, 0, 0), drawn as (n + 1) / 2
    torch.testing.assert_close(front[:, 30:34, 30:34].mean((1, 2)), expected, atol=0.01, rtol=0)


def test_without_a_texture_its_tile_is_left_out():
    assert inspection_sheet(colored_letter(2), 64).shape == (3, 128, 4 * 64)
    assert inspection_sheet(Mesh(square(2).vertices, square(2).faces), 64).shape == (3, 128, 4 * 64)


def test_seams_stand_out_over_the_texture():
    uv = torch.tensor([[[0.1, 0.1], [0.1, 0.9], [0.9, 0.9]], [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1]]])
    image = np.asarray(uv_image(Texture(torch.full((3, 8, 8), 0.9), uv), 200)).astype(int)
    ground = round(0.9 * 255)
    assert (image[5, 5] == ground).all()
    assert (np.abs(image[60, 140] - ground) <= 1).all()
    red, green, _ = image[100, 20]  # the left side of the square belongs to one face
    assert red - green > 60
    inner = image[100, 98:103].min(0)  # the diagonal to two
    assert inner.max() < ground - 10
    assert np.ptp(inner) < 10


def test_files_and_refusals(tmp_path):
    path = save_inspection(colored_letter(1), tmp_path / "sheet.png", 64)
    assert path.stat().st_size > 1000
    with pytest.raises(OutputError, match="exists"):
        save_inspection(colored_letter(1), path, 64, overwrite=False)
    with pytest.raises(InputError, match="64"):
        inspection_sheet(colored_letter(1), 32)
    with pytest.raises(InputError, match="no faces"):
        inspection_sheet(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)))
