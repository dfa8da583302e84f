"""Files as one mesh: colours and textures at their places, whatever the file's parts."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial

from instantmesh import MissingFileError
from instantmesh.files.colors import linear_to_srgb, srgb_to_linear
from instantmesh.mesh.reading import read_mesh
from instantmesh.mesh.uv_layout import uv_layout
from instantmesh.render.texture_lookup import sample_texture
from instantmesh.structures import Mesh
from tests.files.lettered import colored_letter, textured_letter

KEPT = {"size_m": None, "origin": None}
SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
CORNERS = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def color_at(mesh: Mesh, face: int, weights: tuple[float, float, float]) -> np.ndarray:
    assert mesh.texture is not None
    uv = (mesh.texture.uv[face] * torch.tensor(weights)[:, None]).sum(0, keepdim=True)
    return sample_texture(mesh.texture.image, uv)[0].numpy()


def colored_cells(*rows: list[tuple[int, int, int]], cell_px: int = 8) -> Image.Image:
    """An image of flat cells."""
    return Image.fromarray(np.array(rows, np.uint8).repeat(cell_px, 0).repeat(cell_px, 1))


def square(shift: float, image: Image.Image | None, uv: np.ndarray = CORNERS, **material) -> trimesh.Trimesh:
    mesh = trimesh.Trimesh(SQUARE + np.array([shift, 0, 0]), [[0, 1, 2], [0, 2, 3]], process=False)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=PBRMaterial(baseColorTexture=image, **material))
    return mesh


@pytest.mark.parametrize("name", ["m.glb", "m.obj", "m.usdz"])
def test_a_texture_comes_back(name, tmp_path):
    mesh = textured_letter()
    found = read_mesh(mesh.save(tmp_path / name, **KEPT))
    assert found.texture is not None
    assert mesh.texture is not None
    assert found.vertex_colors is None
    torch.testing.assert_close(found.texture.image, mesh.texture.image, atol=0.5 / 255, rtol=0)
    torch.testing.assert_close(found.vertices[found.faces], mesh.vertices[mesh.faces], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.texture.uv, mesh.texture.uv, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["m.glb", "m.ply", "m.obj"])
def test_vertex_colours_come_back(name, tmp_path):
    mesh = colored_letter(1)
    found = read_mesh(mesh.save(tmp_path / name, **KEPT))
    assert found.texture is None
    assert found.vertex_colors is not None
    assert mesh.vertex_colors is not None
    torch.testing.assert_close(found.vertex_colors[found.faces], mesh.vertex_colors[mesh.faces], atol=1 / 255, rtol=0)


def test_a_file_without_colours_has_none(tmp_path):
    found = read_mesh(colored_letter(1).save(tmp_path / "m.stl"))
    assert found.texture is None
    assert found.vertex_colors is None


def test_parts_of_plain_colours_keep_them(tmp_path):
    """Two materials without textures, and one alone: what tells them apart, or from grey, stays."""
    red, blue = ([1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    scene = trimesh.Scene()
    for k, color in enumerate((red, blue)):
        box = trimesh.creation.box()
        box.visual = trimesh.visual.TextureVisuals(material=PBRMaterial(baseColorFactor=color))
        scene.add_geometry(box.apply_translation([2.0 * k, 0, 0]))
        if k == 0:
            scene.export(tmp_path / "one.glb")
    scene.export(tmp_path / "two.glb")
    for name, expected in (("one", [red[:3]]), ("two", [blue[:3], red[:3]])):
        colors = read_mesh(tmp_path / f"{name}.glb").vertex_colors
        assert colors is not None
        assert torch.unique(colors, dim=0).tolist() == expected


def test_several_textures_and_a_plain_part_share_one_image(tmp_path):
    red_green = colored_cells([(250, 10, 10), (10, 250, 10)])
    blue = colored_cells([(10, 10, 250)], cell_px=24)
    plain = square(2, None, baseColorFactor=[0.25, 0.5, 0.75, 1.0])
    scene = trimesh.Scene([square(0, red_green), square(1, blue), plain])
    scene.export(tmp_path / "m.glb")
    found = read_mesh(tmp_path / "m.glb")
    assert len(found.faces) == 6
    order = found.vertices[found.faces].mean(1).argsort(0)[:, 1].tolist()  # the file's x is the world's y
    near_first, near_second = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05)
    first = order[:2]
    lower = min(first, key=lambda face: float(found.vertices[found.faces[face]][:, 1].mean()) * -1)
    np.testing.assert_allclose(color_at(found, lower, near_first) * 255, (250, 10, 10), atol=1)
    np.testing.assert_allclose(color_at(found, lower, near_second) * 255, (10, 250, 10), atol=1)
    for face in order[2:4]:
        for weights in (near_first, near_second, (1.0, 0.0, 0.0)):  # nothing bleeds in from beside
            np.testing.assert_allclose(color_at(found, face, weights) * 255, (10, 10, 250), atol=1)
    expected = linear_to_srgb(np.array([0.25, 0.5, 0.75]))
    for face in order[4:]:
        np.testing.assert_allclose(color_at(found, face, near_first), expected, atol=2 / 255)


def test_colours_multiply_a_texture_in_linear_light(tmp_path):
    square(0, colored_cells([(200, 100, 50)]), baseColorFactor=[0.5, 1.0, 1.0, 1.0]).export(tmp_path / "m.glb")
    found = read_mesh(tmp_path / "m.glb")
    expected = linear_to_srgb(srgb_to_linear(np.array([200, 100, 50]) / 255) * [0.5, 1, 1])
    np.testing.assert_allclose(color_at(found, 0, (0.4, 0.3, 0.3)), expected, atol=3 / 255)


def test_repeated_textures_are_taken_from_the_first(tmp_path):
    image = colored_cells([(250, 10, 10), (10, 250, 10)], [(10, 10, 250), (250, 250, 10)])
    plain, shifted = square(0, image, CORNERS * 0.9 + 0.05), square(0, image, CORNERS * 0.9 + 0.05 + [3, -2])
    for name, mesh in (("plain.glb", plain), ("shifted.glb", shifted)):
        mesh.export(tmp_path / name)
    one, other = read_mesh(tmp_path / "plain.glb").texture, read_mesh(tmp_path / "shifted.glb").texture
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.uv, other.uv, atol=1e-5, rtol=0)


def test_many_large_textures_are_shrunk(tmp_path, monkeypatch):
    monkeypatch.setattr("instantmesh.mesh.reading._LARGEST_PX", 64)
    squares = [square(k, colored_cells([(40 * k, 200, 20)], cell_px=60)) for k in range(4)]
    trimesh.Scene(squares).export(tmp_path / "m.glb")
    found = read_mesh(tmp_path / "m.glb")
    assert found.texture is not None
    assert max(found.texture.image.shape) <= 64
    colors = sorted(round(color_at(found, face, (0.4, 0.3, 0.3))[0] * 255) for face in range(0, 8, 2))
    assert colors == [0, 40, 80, 120]


def test_no_such_file(tmp_path):
    with pytest.raises(MissingFileError):
        read_mesh(tmp_path / "nothing.glb")


def test_layouts_in_numbers():
    half = np.array([[[0.0, 0], [1, 0], [1, 1]]])  # half of the texture
    quarter = np.array([[[0.0, 0], [0.5, 0], [0.5, 0.5]], [[0.0, 0], [0.5, 0.5], [0, 0.5]]])
    assert uv_layout(half).coverage == pytest.approx(0.5, abs=1e-3)
    assert uv_layout(half).overlap < 2e-3
    assert uv_layout(quarter).coverage == pytest.approx(0.25, abs=1e-3)
    twice = uv_layout(np.concatenate([quarter, quarter[:, ::-1]]))
    assert twice.coverage == pytest.approx(0.25, abs=1e-3)
    assert twice.overlap == pytest.approx(0.5, abs=2e-3)
    partly = uv_layout(np.concatenate([quarter, quarter + 0.25]))  # a quarter of each square lies on the other
    assert partly.coverage == pytest.approx(7 / 16, abs=1e-3)
    assert partly.overlap == pytest.approx(1 / 8, abs=2e-3)
    nowhere = uv_layout(np.full((3, 3, 2), 0.3))
    assert (nowhere.coverage, nowhere.overlap) == (0, 0)
