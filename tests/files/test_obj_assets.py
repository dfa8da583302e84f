"""OBJ, PLY and STL files as other people write them."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instantmesh import InputError
from instantmesh.files.asset_files import read_asset
from instantmesh.files.asset_part import AssetPart
from instantmesh.mesh.reading import read_mesh

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
PLACES = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TEXTURED = f"mtllib a.mtl\n{SQUARE}{PLACES}usemtl paint\nf 1/1 2/2 3/3 4/4\n"


def read(folder: Path, text: str, **files: str) -> list[AssetPart]:
    """An OBJ file, with others beside it."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    (folder / "a.obj").write_text(text)
    return read_asset(folder / "a.obj")


def corners(part: AssetPart) -> np.ndarray:
    """(f, 3, 3) in the file's frame: x right, y up, z towards the viewer."""
    return part.vertices[part.faces][..., [1, 2, 0]]


def given(values: np.ndarray | None) -> np.ndarray:
    assert values is not None
    return values


def image(path: Path, *colors: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (len(colors), 1))
    picture.putdata(colors)
    picture.save(path)


def test_polygons_relative_numbers_and_continued_lines(tmp_path):
    (part,) = read(tmp_path, "v 9 9 9\n" + SQUARE.replace("v 1 1 0", "v 1 \\\n1 0") + "f -4 -3 -2 \\\n-1\n")
    np.testing.assert_allclose(corners(part), [[(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 0, 0), (1, 1, 0), (0, 1, 0)]])
    np.testing.assert_allclose(given(part.colors), np.full((4, 3), 0.8))


def test_corners_with_and_without_places_and_normals(tmp_path):
    image(tmp_path / "t.png", (255, 0, 0))
    text = TEXTURED + "vn 0 0 2\nvn nan 0 0\nf 1//1 3//1 4//2\nf 1 2 3\n"
    textured, plain = read(tmp_path, text, a_mtl="newmtl paint\nKd 0 0 1\nmap_Kd t.png\n")
    assert textured.texture is not None
    assert textured.normals is None
    assert len(textured.faces) == 2
    np.testing.assert_allclose(given(plain.colors), [(0, 0, 1)] * len(plain.vertices))
    lone = read(tmp_path, SQUARE + "vn 0 0 2\nvn nan 0 0\nf 1//1 3//1 4//2\n")[0]
    np.testing.assert_allclose(given(lone.normals), [(1, 0, 0), (1, 0, 0), (0, 0, 0)])


@pytest.mark.parametrize(
    ("statement", "file"),
    [
        ("map_Kd -s 1 1 1 -o 0 0 0 -mm 0 1 -bm 0.5 -clamp off t.png", "t.png"),
        ("map_Kd textures\\\\t.png", "textures/t.png"),
        ("map_Kd C:\\\\work\\\\t.png", "t.png"),
        ("map_Kd /home/me/t.png", "t.png"),
        ("map_Kd ../elsewhere/t.png", "t.png"),
        ("map_Kd with spaces.png", "with spaces.png"),
        ("map_Kd -imfchan l with spaces.png", "with spaces.png"),
        ("MAP_KD t.png", "t.png"),
        ("map_Kd t.png", "../materials/textures/t.png"),
    ],
)
def test_textures_are_found(tmp_path, statement, file):
    folder = tmp_path / "meshes"
    image(folder / file, (0, 255, 0))
    (part,) = read(folder, TEXTURED, a_mtl=f"newmtl paint\n{statement}\n".replace("\\\\", "\\"))
    assert part.texture is not None
    assert part.texture[0, 0].tolist() == [0, 255, 0]
    np.testing.assert_allclose(np.unique(given(part.uv)), [0, 1])


def test_nothing_outside_the_folder_is_opened(tmp_path):
    image(tmp_path / "t.png", (0, 255, 0))
    (tmp_path / "in").mkdir()
    for name in ("../t.png", str(tmp_path / "t.png")):
        with pytest.raises(InputError, match=r"its texture .* is missing"):
            read(tmp_path / "in", TEXTURED, a_mtl=f"newmtl paint\nmap_Kd {name}\n")


def test_a_damaged_texture_is_named(tmp_path):
    (tmp_path / "t.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"its texture t\.png can't be read"):
        read(tmp_path, TEXTURED, a_mtl="newmtl paint\nmap_Kd t.png\n")


def test_textures_of_any_size_are_scaled_moved_and_clamped(tmp_path):
    image(tmp_path / "t.png", (255, 0, 0), (0, 0, 255))
    (part,) = read(tmp_path, TEXTURED, a_mtl="newmtl paint\nmap_Kd -s 2 3 -o 0.5 t.png\n")
    assert part.texture is not None
    assert part.texture.shape == (1, 2, 3)
    np.testing.assert_allclose(given(part.uv)[part.faces[0]], [(0.5, 1), (2.5, 1), (2.5, -2)])  # v runs down
    (part,) = read(tmp_path, TEXTURED, a_mtl="newmtl paint\nmap_Kd -s 2 2 -clamp on t.png\n")
    np.testing.assert_allclose(given(part.uv)[part.faces[0]], [(0, 1), (1, 1), (1, 0)], atol=1e-5)


def test_a_palette_of_two_by_two_is_a_texture(tmp_path):
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)).save(tmp_path / "p.png")
    (part,) = read(tmp_path, TEXTURED, a_mtl="newmtl paint\nKd 1 1 1\nmap_Kd p.png\n")
    assert part.texture is not None
    assert part.texture[1, 0].tolist() == [0, 0, 255]


def test_colours_of_vertices_times_those_of_materials(tmp_path):
    square = "v 0 0 0 1 0.5 0\nv 1 0 0 1 0.5 0\nv 1 1 0 1 0.5 0\nv 0 1 0 1 0.5 0\n"
    (part,) = read(tmp_path, f"mtllib a.mtl\n{square}usemtl p\nf 1 2 3 4\n", a_mtl="newmtl p\nKd 1 0.5 1\n")
    np.testing.assert_allclose(given(part.colors), [(1, 0.237, 0)] * 4, atol=1e-3)  # linear light: sRGB 0.5 is 0.214
    (part,) = read(tmp_path, square.replace("1 0.5 0\n", "255 128 0\n") + "f 1 2 3 4\n")
    np.testing.assert_allclose(given(part.colors), [(1, 128 / 255, 0)] * 4)


def test_lamps_shine_and_single_numbers_are_greys(tmp_path):
    text = f"mtllib a.mtl\n{SQUARE}usemtl lamp\nf 1 2 3\nusemtl grey\nf 1 3 4\n"
    lamp, grey = read(tmp_path, text, a_mtl="newmtl lamp\nKd 0 0 0\nKe 1 0.5 0\nnewmtl grey\nKd 0.25\n")
    np.testing.assert_allclose(given(lamp.colors), [(1, 0.5, 0)] * 3)
    np.testing.assert_allclose(given(grey.colors), [(0.25, 0.25, 0.25)] * 3)


def test_several_libraries(tmp_path):
    faces = "usemtl one\nf 1 2 3\nusemtl two\nf 1 3 4\nusemtl three\nf 2 3 4\n"
    text = f"mtllib a.mtl b.mtl\nmtllib with space.mtl\n{SQUARE}{faces}"
    (tmp_path / "with space.mtl").write_text("newmtl three\nKd 0 0 1\n")
    parts = read(tmp_path, text, a_mtl="newmtl one\nKd 1 0 0\n", b_mtl="newmtl two\nKd 0 1 0\n")
    np.testing.assert_allclose([given(part.colors)[0] for part in parts], np.eye(3))


def test_what_is_lost_is_said(tmp_path, caplog):
    text = f"mtllib a.mtl\nmtllib gone.mtl\n{SQUARE}usemtl p\nf 1 2 3 4\nl 1 2\n"
    with caplog.at_level(logging.WARNING):
        read(tmp_path, text, a_mtl="newmtl p\nKd 1 0 0\nd 0.5\nmap_Bump n.png\n")
    assert "gone.mtl" in caplog.text
    assert "read without its normal maps, points and lines, transparency" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SQUARE + "f 1 2 5\n", "number 5 of 4 vertices"),
        (SQUARE + "f 0 1 2\n", "number 0 of 4 vertices"),
        (SQUARE + "f -9 1 2\n", "of 4 vertices"),
        (SQUARE + "f 1/1 2/1 3/1\n", "number 1 of 0 texture places"),
        (SQUARE + "f 1 2 x\n", "can't be read as OBJ"),
        (SQUARE + "f 1 2 99999999999999999999\n", "can't be read as OBJ"),
        (SQUARE.replace("v 1 1", "v one 1") + "f 1 2 3\n", "one"),
        (SQUARE.replace("v 1 1", "v inf 1") + "f 1 2 3\n", "aren't finite"),
        (SQUARE.replace("v 1 1 0", "v 1") + "f 1 2 3\n", "aren't finite"),
        (SQUARE + "f 1 2\n", "holds no triangles"),
        ("<html>", "holds no triangles"),
    ],
)
def test_damaged_files_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_coordinates_of_a_map(tmp_path, caplog):
    far = "v 4512345.00 121.5 5403210.00\nv 4512345.25 121.5 5403210.00\nv 4512345.00 121.75 5403210.00\nf 1 2 3\n"
    with caplog.at_level(logging.WARNING):
        read(tmp_path, far)
    assert "stands far from the origin" in caplog.text
    size = np.ptp(read_mesh(tmp_path / "a.obj").vertices.numpy(), axis=0)
    np.testing.assert_allclose(size, [0, 0.25, 0.25], atol=1e-7)


def test_colours_of_faces_stay_apart(tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 2\nproperty list uchar int vertex_indices\nproperty uchar red\nproperty uchar green\n"
    rows = "property uchar blue\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n"
    (tmp_path / "a.ply").write_text(header + rows)
    mesh = read_mesh(tmp_path / "a.ply")
    assert mesh.texture is not None
    side = np.array(mesh.texture.image.shape[:0:-1])
    texels = (mesh.texture.uv.mean(1).numpy() * side).astype(int)
    colors = mesh.texture.image.numpy()[:, texels[:, 1], texels[:, 0]].T
    np.testing.assert_allclose(colors, [(1, 0, 0), (0, 0, 1)])


def test_ply_with_numbers_that_are_none(tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    rows = "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 nan 0\n1 1 0\n3 0 1 2\n"
    (tmp_path / "a.ply").write_text(header + rows)
    with pytest.raises(InputError, match="aren't finite"):
        read_asset(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("name", "fits"), [("t.png", True), ("../t.png", False), ("a.eps", False), ("gone.png", False)]
)
def test_the_texture_of_a_ply_file(tmp_path, name, fits):
    folder = tmp_path / "in"
    image(folder / "t.png", (0, 255, 0))
    image(tmp_path / "t.png", (255, 0, 0))
    (folder / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    header = f"ply\nformat ascii 1.0\ncomment TextureFile {name}\nelement vertex 3\n"
    header += "".join(f"property float {field}\n" for field in ("x", "y", "z", "s", "t"))
    rows = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows += "0 0 0 0 0\n1 0 0 1 0\n1 1 0 1 1\n3 0 1 2\n"
    (folder / "a.ply").write_text(header + rows)
    if name != "t.png":
        with pytest.raises(InputError, match="a texture is missing or can't be read"):
            read_asset(folder / "a.ply")
        return
    (part,) = read_asset(folder / "a.ply")
    assert part.texture is not None
    assert part.texture[0, 0].tolist() == [0, 255, 0]
