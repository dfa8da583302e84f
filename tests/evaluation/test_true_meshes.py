from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from instantmesh.cameras import project, spherical_cameras
from instantmesh.errors import InputError, MissingFileError
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.files.colors import linear_to_srgb, srgb_to_linear
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh

from .shapes import cuboid, sphere, volume

# A square in the plane z = 0 of the file (y up, seen from +z), its texture's corners at the square's corners.
QUAD_OBJ = """{head}
v -1 -1 0
v 1 -1 0
v 1 1 0
v -1 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
{use}
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def four_colors() -> Image.Image:
    """Red top left, green top right, blue bottom left, black bottom right."""
    corners = np.array([[RED, GREEN], [BLUE, BLACK]], dtype=np.uint8)
    return Image.fromarray(corners.repeat(8, 0).repeat(8, 1))


def color_at(mesh: Mesh, y: float, z: float) -> list[float]:
    """At (0, y, z) of a textured mesh, seen from +x; of the nearest vertex of another one."""
    if mesh.texture is not None:
        camera = spherical_cameras((0.0,), (0.0,), 4.0, 30.0)
        column, row = (project(torch.tensor([[0.0, y, z]]), camera)[0][0, 0] * 64).long().tolist()
        return render_mesh(mesh, camera, 64).color[0, :, row, column].tolist()
    assert mesh.vertex_colors is not None
    nearest = (mesh.vertices - torch.tensor([0.0, y, z])).norm(dim=-1).argmin()
    return mesh.vertex_colors[nearest].tolist()


def assert_four_colors(mesh: Mesh) -> None:
    assert color_at(mesh, -0.5, 0.5) == pytest.approx([1, 0, 0], abs=0.01)
    assert color_at(mesh, 0.5, 0.5) == pytest.approx([0, 1, 0], abs=0.01)
    assert color_at(mesh, -0.5, -0.5) == pytest.approx([0, 0, 1], abs=0.01)
    assert color_at(mesh, 0.5, -0.5) == pytest.approx([0, 0, 0], abs=0.01)


def test_a_texture_shows_on_a_coarse_mesh(tmp_path: Path):
    (tmp_path / "quad.obj").write_text(QUAD_OBJ.format(head="mtllib quad.mtl", use="usemtl paint"))
    (tmp_path / "quad.mtl").write_text("newmtl paint\nKd 0 0 0\nmap_Kd paint.png\n")
    four_colors().save(tmp_path / "paint.png")
    mesh = load_mesh_in_world(tmp_path / "quad.obj")
    assert len(mesh.faces) == 2
    assert_four_colors(mesh)


def test_a_texture_beside_the_mesh_is_taken(tmp_path: Path):
    (tmp_path / "quad.obj").write_text(QUAD_OBJ.format(head="", use=""))
    four_colors().save(tmp_path / "quad_texture.png")
    assert_four_colors(load_mesh_in_world(tmp_path / "quad.obj"))


def test_a_textured_glb_and_its_factor(tmp_path: Path):
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    material = PBRMaterial(baseColorTexture=four_colors(), baseColorFactor=[128, 255, 255, 255])
    visual = TextureVisuals(uv=(corners[:, :2] + 1) / 2, material=material)
    trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False).export(tmp_path / "quad.glb")
    mesh = load_mesh_in_world(tmp_path / "quad.glb")
    assert color_at(mesh, 0.5, 0.5) == pytest.approx([0, 1, 0], abs=0.01)
    assert color_at(mesh, -0.5, 0.5) == pytest.approx([0.735, 0, 0], abs=0.01)  # linear 0.502 in sRGB


@pytest.mark.parametrize("ending", [".glb", ".ply", ".obj"])
def test_what_the_package_writes_is_read_back(tmp_path: Path, ending: str):
    mesh = sphere(subdivisions=2)
    read = load_mesh_in_world(mesh.save(tmp_path / f"ball{ending}"))
    nearest = (read.vertices[:, None] - mesh.vertices[None]).norm(dim=-1)
    assert float(nearest.amin(0).max()) < 1e-4
    assert read.vertex_colors is not None
    assert mesh.vertex_colors is not None
    expected = mesh.vertex_colors[nearest.argmin(1)]
    torch.testing.assert_close(read.vertex_colors, expected, atol=0.0021, rtol=0)  # half a step of 8 bits
    assert volume(read) == pytest.approx(volume(mesh), rel=1e-3)


def test_up_and_front_of_the_file_become_z_and_x(tmp_path: Path):
    trimesh.creation.box(extents=(1, 2, 4)).export(tmp_path / "box.stl")  # right 1, up 2, forward 4
    mesh = load_mesh_in_world(tmp_path / "box.stl")
    sides = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    assert (sides / sides[1]).tolist() == pytest.approx([4, 1, 2], rel=1e-4)
    assert float(mesh.vertices.norm(dim=-1).max()) == pytest.approx(1)


def test_a_plain_mesh_gets_light_from_above(tmp_path: Path):
    trimesh.creation.icosphere(subdivisions=3).export(tmp_path / "ball.stl")
    mesh = load_mesh_in_world(tmp_path / "ball.stl")
    assert mesh.vertex_colors is not None
    top, bottom = mesh.vertex_colors[mesh.vertices[:, 2].argmax()], mesh.vertex_colors[mesh.vertices[:, 2].argmin()]
    assert float(top.mean()) > float(bottom.mean()) + 0.3
    assert float(mesh.vertex_colors.std(1).max()) < 1e-6


def test_parts_of_a_scene_keep_their_places_and_colours(tmp_path: Path):
    scene = trimesh.Scene()
    for x, color in ((-2, RED), (2, BLUE)):
        ball = trimesh.creation.icosphere(subdivisions=1)
        ball.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[*color, 255]))
        scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh_in_world(tmp_path / "two.glb")
    assert color_at(mesh, -0.66, 0) == pytest.approx([1, 0, 0])
    assert color_at(mesh, 0.66, 0) == pytest.approx([0, 0, 1])


def test_the_sphere_is_filled_by_what_faces_use():
    mesh = cuboid(2, 2, 2)
    stray = Mesh(torch.cat([mesh.vertices + 3, torch.full((1, 3), 50.0)]), mesh.faces)
    assert to_unit_sphere(stray).vertices[:-1].abs().flatten().tolist() == pytest.approx([3**-0.5] * 24)
    with pytest.raises(InputError, match="no faces"):
        to_unit_sphere(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long)))
    with pytest.raises(InputError, match="one point"):
        to_unit_sphere(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))


def test_srgb_there_and_back():
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=2e-7)
    assert linear_to_srgb(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 0.735357, 1], abs=1e-5)


def test_files_that_are_no_meshes_are_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match="nowhere"):
        load_mesh_in_world(tmp_path / "nowhere.obj")
    (tmp_path / "mesh.blend").write_bytes(b"x")
    with pytest.raises(InputError, match="unknown mesh ending"):
        load_mesh_in_world(tmp_path / "mesh.blend")
    (tmp_path / "broken.glb").write_bytes(b"nothing like glTF")
    with pytest.raises(InputError, match="can't be read"):
        load_mesh_in_world(tmp_path / "broken.glb")
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(InputError, match=r"points\.obj"):
        load_mesh_in_world(tmp_path / "points.obj")
