from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from instantmesh.errors import InputError, MissingFileError
from instantmesh.evaluation.datasets.object_lists import draw, first_of_each_category, listed, read_list
from instantmesh.evaluation.datasets.objects import EvaluationObject, find_objects
from instantmesh.evaluation.true_meshes import read_in_world

MATERIAL = "newmtl material_0\nmap_Kd texture.png\nKd 1 1 1\n"


def write_obj(path: Path, vertices: np.ndarray, material: str = "") -> None:
    """A tetrahedron at (4, 3) vertices, with texture coordinates if it has a material."""
    lines = [f"mtllib {material}", "usemtl material_0"] if material else []
    lines += [f"v {x} {y} {z}" for x, y, z in vertices]
    lines += ["vt 0.1 0.1", "vt 0.9 0.1", "vt 0.1 0.9"] if material else []
    for face in ((1, 3, 2), (1, 2, 4), (1, 4, 3), (2, 3, 4)):
        lines.append("f " + " ".join(f"{v}/{k + 1}" if material else str(v) for k, v in enumerate(face)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])


def gso_folder(root: Path, *names: str) -> Path:
    for name in names:
        write_obj(root / name / "meshes/model.obj", CORNERS, "model.mtl")
        (root / name / "meshes/model.mtl").write_text(MATERIAL)
        textures = root / name / "materials/textures"
        textures.mkdir(parents=True)
        Image.new("RGB", (8, 8), (255, 0, 0)).save(textures / "texture.png")
    return root


def test_gso_as_downloaded(tmp_path):
    """Texture in another folder than the material says; z up, front -y; a folder without its mesh is named."""
    (gso_folder(tmp_path, "Shoe", "Box") / "Broken/meshes").mkdir(parents=True)
    found = find_objects(tmp_path)
    assert (found.layout, [obj.name for obj in found.objects]) == ("gso", ["Box", "Shoe"])
    assert found.missing == (("Broken", "no meshes/model.obj"),)
    mesh = found.objects[0].read()
    assert mesh.texture is not None
    assert mesh.texture.image[:, 4, 4].tolist() == [1, 0, 0]
    size = (mesh.vertices.amax(0) - mesh.vertices.amin(0)).numpy()
    assert size / size[0] == pytest.approx([1, 0.5, 1.5], rel=1e-5)  # the file's (1, 2, 3): its y is our -x, z is z
    assert float(mesh.vertices.norm(dim=1).max()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("layout", "mesh", "category"),
    [
        ("omniobject3d", "raw_scans/apple/apple_001/Scan/Scan.obj", "apple"),
        ("toys4k", "toys4k_obj_files/apple/apple_001/mesh.obj", "apple"),
        ("ycb", "013_apple/google_16k/textured.obj", ""),
        ("ycb", "013_apple/tsdf/textured.obj", ""),
        ("plain", "anything/apple.obj", ""),
    ],
)
def test_layouts(tmp_path, layout, mesh, category):
    write_obj(tmp_path / mesh, CORNERS)
    found = find_objects(tmp_path)
    assert (found.layout, len(found.objects)) == (layout, 1)
    assert found.objects[0].mesh == tmp_path / mesh
    assert found.objects[0].category == category
    assert find_objects(tmp_path, layout) == found
    assert len(found.objects[0].read().faces) == 4


def test_renderings_are_found_beside_the_scans(tmp_path):
    write_obj(tmp_path / "raw_scans/apple/apple_001/Scan/Scan.obj", CORNERS)
    render = tmp_path / "blender_renders/apple/apple_001/render"
    render.mkdir(parents=True)
    (render / "transforms.json").write_text("{}")
    assert find_objects(tmp_path).objects[0].renderings == render
    assert find_objects(tmp_path / "raw_scans").objects[0].renderings == render


def test_another_layout_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("no mesh here")
    with pytest.raises(InputError, match=r"looked for gso: \*/meshes/model\.obj; .*plain"):
        find_objects(tmp_path)
    write_obj(tmp_path / "apple.obj", CORNERS)
    with pytest.raises(InputError, match="gso"):
        find_objects(tmp_path, "gso")
    with pytest.raises(InputError, match="unknown layout 'gos'"):
        find_objects(tmp_path, "gos")
    with pytest.raises(MissingFileError):
        find_objects(tmp_path / "nowhere")


def test_frames_are_rotations(tmp_path):
    """The file's point (1, 2, 3): its coordinates along front, left and up."""
    write_obj(tmp_path / "a.obj", CORNERS + np.array([1, 2, 3]))
    for (up, front), expected in {
        ("y", "z"): [3, 1, 2],
        ("z", "x"): [1, 2, 3],
        ("z", "-y"): [-2, 1, 3],
    }.items():
        assert read_in_world(tmp_path / "a.obj", up, front).vertices[0].tolist() == pytest.approx(expected)


def test_a_listed_turn_turns_the_object(tmp_path):
    write_obj(tmp_path / "a.obj", CORNERS)
    straight, turned = (EvaluationObject("a", tmp_path / "a.obj", turn_deg=turn).read() for turn in (0.0, 90.0))
    x, y, z = straight.vertices.unbind(1)
    assert torch.allclose(turned.vertices, torch.stack([-y, x, z], 1), atol=1e-6)


def test_lists_draws_and_categories(tmp_path):
    data = gso_folder(tmp_path / "data", *(f"Thing_{k}" for k in range(8)))
    found = find_objects(data)
    names = lambda chosen: [obj.name for obj in chosen.objects]  # noqa: E731
    once, again, other = (names(draw(found, 4, seed)) for seed in (0, 0, 1))
    assert once == again != other
    assert once == ["Thing_0", "Thing_2", "Thing_3", "Thing_4"]  # fixed for ever
    fewer = find_objects(data)
    fewer = type(fewer)(fewer.layout, tuple(o for o in fewer.objects if o.name != once[0]))
    assert set(once[1:]) < set(names(draw(fewer, 4, 0)))
    with pytest.raises(InputError, match="can't draw 9 of 8"):
        draw(found, 9, 0)
    listing = tmp_path / "mine.txt"
    listing.write_text("# my own\nThing_3\nthing_5 90  # turned\nGone\n\n")
    chosen = listed(found, listing)
    assert [(obj.name, obj.turn_deg) for obj in chosen.objects] == [("Thing_3", 0), ("Thing_5", -90)]
    assert [name for name, _ in chosen.missing] == ["Gone"]
    listing.write_text("thing\n")
    with pytest.raises(InputError, match="fits several"):
        listed(found, listing)
    listing.write_text("one two three\n")
    with pytest.raises(InputError, match="line 1"):
        listed(found, listing)
    with pytest.raises(InputError, match="no categories"):
        first_of_each_category(found, 5)


def test_first_of_each_category(tmp_path):
    for name in ("apple_002", "apple_001", "apple_003", "ball_001"):
        write_obj(tmp_path / name.split("_")[0] / name / "Scan/Scan.obj", CORNERS)
    found = find_objects(tmp_path)
    chosen = [obj.name for obj in first_of_each_category(found, 2).objects]
    assert chosen == ["apple_001", "apple_002", "ball_001"]
    assert len(first_of_each_category(found, 5, ["ball"]).objects) == 1
    with pytest.raises(InputError, match="category pear"):
        first_of_each_category(found, 5, ["pear"])


def test_the_published_list():
    entries = dict(read_list("syncdreamer-30"))
    assert len(entries) == 30
    assert (entries["sorter"], entries["train"], entries["hat"]) == (112.5, 225, 0)


def test_damaged_files_are_refused(tmp_path):
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]], [[0, 1, 2]], process=False).export(tmp_path / "nan.ply")
    with pytest.raises(InputError, match=r"finite|no triangles"):
        EvaluationObject("nan", tmp_path / "nan.ply").read()
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError):
        EvaluationObject("empty", tmp_path / "empty.obj").read()
