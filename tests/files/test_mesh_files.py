"""Every mesh format read back, by trimesh and by the package itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from instantmesh import backends
from instantmesh.errors import InputError, OutputError
from instantmesh.files.asset_files import read_asset
from instantmesh.files.mesh_files import written_files
from instantmesh.structures import Mesh

from .lettered import SIZE_PX, colored_letter, textured_letter
from .small import asymmetric_mesh

USDZ = pytest.param(".usdz", marks=pytest.mark.skipif(not backends.available("pxr"), reason="needs usd-core"))
WORLD = {"size_m": None, "origin": None}


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply", ".stl"])
def test_round_trip_through_trimesh(tmp_path: Path, ending: str):
    mesh = asymmetric_mesh()
    loaded = trimesh.load(mesh.save(tmp_path / f"a{ending}", **WORLD), force="mesh", process=False)
    assert loaded.volume == pytest.approx(0.9 * 0.5 * 0.25 / 6, rel=1e-5)  # positive: neither mirrored nor inside out
    np.testing.assert_allclose(loaded.bounds, [[0, 0, 0], [0.5, 0.25, 0.9]], atol=1e-6)
    corners = mesh.vertices.numpy()[mesh.faces.numpy()][..., [1, 2, 0]]
    np.testing.assert_allclose(loaded.vertices[loaded.faces], corners, atol=1e-6)


@pytest.mark.parametrize("ending", [".obj", ".ply"])
def test_colours_of_the_other_formats_stay_srgb(tmp_path: Path, ending: str):
    mesh = asymmetric_mesh()
    loaded = trimesh.load(mesh.save(tmp_path / f"a{ending}"), force="mesh", process=False)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, np.asarray(mesh.vertex_colors), atol=1 / 255)


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply", ".stl", USDZ])
@pytest.mark.parametrize("textured", [True, False])
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, textured: bool):
    mesh = textured_letter() if textured else colored_letter(2)
    (part,) = read_asset(mesh.save(tmp_path / f"my letter{ending}", **WORLD))
    corners = part.vertices[part.faces]
    np.testing.assert_allclose(corners, mesh.vertices[mesh.faces], atol=1e-6)
    if ending == ".stl":
        return
    assert part.normals is not None
    np.testing.assert_allclose(part.normals[part.faces], mesh.vertex_normals()[mesh.faces], atol=1e-5)
    if not textured:
        assert part.colors is not None
        np.testing.assert_allclose(part.colors[part.faces], mesh.vertex_colors[mesh.faces], atol=0.51 / 255)
    elif ending != ".ply":
        assert mesh.texture is not None
        assert part.uv is not None
        assert part.texture is not None
        np.testing.assert_allclose(part.uv[part.faces], mesh.texture.uv, atol=1e-6)
        np.testing.assert_array_equal(part.texture, (mesh.texture.image * 255).round().permute(1, 2, 0))
        assert part.colors is None or part.colors.min() == 1


def test_a_texture_becomes_vertex_colours_in_ply(tmp_path: Path):
    mesh = textured_letter()
    assert mesh.texture is not None
    (part,) = read_asset(mesh.save(tmp_path / "a.ply", **WORLD))
    assert part.colors is not None
    assert len(part.vertices) == len(mesh.vertices)
    image = Image.fromarray((mesh.texture.image * 255).round().byte().permute(1, 2, 0).numpy())
    for vertex in range(0, len(mesh.vertices), 7):
        at = mesh.texture.uv[mesh.faces == vertex] * SIZE_PX - 0.5  # in pixels, here far from the image's border
        colors = [
            np.asarray(image.transform((1, 1), Image.Transform.AFFINE, (1, 0, x, 0, 1, y), Image.Resampling.BILINEAR))
            for x, y in at.tolist()
        ]
        expected = np.mean(np.array(colors, float), axis=0).ravel() / 255
        np.testing.assert_allclose(part.colors[vertex], expected, atol=2 / 255)


def test_obj_is_three_files_that_name_each_other(tmp_path: Path):
    mesh = textured_letter()
    assert mesh.texture is not None
    path = mesh.save(tmp_path / "my letter.obj", **WORLD)
    assert set(written_files(path)) == set(tmp_path.iterdir())
    lines = path.read_text().splitlines()
    assert lines[0] == "mtllib my letter.mtl"
    material = (tmp_path / "my letter.mtl").read_text()
    assert "Kd 1 1 1\n" in material
    assert "map_Kd my letter_texture.png\n" in material
    # the surface stays in one piece: corners have texture places of their own
    assert sum(line.startswith("v ") for line in lines) == len(mesh.vertices)
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    places = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], float)
    corners = np.array([[c.split("/") for c in line.split()[1:]] for line in lines if line.startswith("f ")], int) - 1
    np.testing.assert_allclose(vertices[corners[..., 0]], mesh.vertices[mesh.faces][..., [1, 2, 0]], atol=1e-7)
    np.testing.assert_allclose(places[corners[..., 1]] * (1, -1) + (0, 1), mesh.texture.uv, atol=1e-6)  # v runs up
    np.testing.assert_array_equal(corners[..., 2], mesh.faces)


def test_obj_appears_whole_or_not_at_all(tmp_path: Path):
    (tmp_path / "a.mtl").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.mtl exists"):
        textured_letter().save(tmp_path / "a.obj", overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mtl"]
    assert asymmetric_mesh().save(tmp_path / "a.obj", overwrite=False).is_file()  # without a texture that file isn't
    assert (tmp_path / "a.mtl").read_text() == "mine"


def test_a_photo_of_the_same_name_survives(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    textured_letter().save(tmp_path / "a.obj")
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("name", ["a.fbx", "a"])
def test_unknown_endings(tmp_path: Path, name: str):
    with pytest.raises(OutputError, match="unknown mesh ending"):
        asymmetric_mesh().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply", ".stl", USDZ])
def test_an_empty_mesh_is_refused(tmp_path: Path, ending: str):
    with pytest.raises(InputError, match="no triangles"):
        Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)).save(tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []
