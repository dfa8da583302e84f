"""Files: every mesh format read back by others' code, frames, colours, and writing whole or not at all."""

import json
import os
import struct

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from instantmesh.errors import InputError, InstantMeshError, MissingFileError, OutputError
from instantmesh.files import mesh_files, pictures
from instantmesh.files.atomic import replacing, write_bytes
from instantmesh.structures import Mesh


def asymmetric_mesh(colored: bool = True) -> Mesh:
    """A tetrahedron with different extents along x (the longest), y and z, counter-clockwise from outside."""
    vertices = torch.tensor([[0.0, 0, 0], [0.9, 0, 0], [0, 0.5, 0], [0, 0, 0.25]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    colors = torch.tensor([[0.0, 0.02, 0.2], [1, 0.5, 0.25], [0.1, 0.9, 0.03], [0.6, 0.7, 0.8]])
    return Mesh(vertices, faces, colors if colored else None)


def read_glb(data: bytes) -> tuple[dict, list[np.ndarray]]:
    """A GLB's document and its accessors' arrays, straight from the glTF 2.0 specification."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, json_type = struct.unpack_from("<I4s", data, 12)
    assert json_type == b"JSON"
    document = json.loads(data[20 : 20 + json_length])
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert binary_type == b"BIN\0"
    assert json_length % 4 == binary_length % 4 == 0
    binary = data[28 + json_length :]
    assert len(binary) == binary_length == document["buffers"][0]["byteLength"]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        dtype = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        assert view["byteOffset"] % 4 == 0
        raw = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        arrays.append(np.frombuffer(raw, dtype).reshape(accessor["count"], width))
    return document, arrays


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def test_glb_holds_the_geometry_in_its_frame_and_linear_colours(tmp_path):
    mesh = asymmetric_mesh()
    document, (indices, positions, colors) = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())
    np.testing.assert_array_equal(indices.reshape(-1, 3), mesh.faces.numpy())
    np.testing.assert_array_equal(positions, mesh.vertices.numpy()[:, [1, 2, 0]])
    # the front (+x, the longest extent) is glTF's +z, up (the shortest) its +y
    np.testing.assert_allclose(positions.max(0), [0.5, 0.25, 0.9], atol=1e-7)
    assert document["accessors"][1]["min"] == positions.min(0).tolist()
    assert document["accessors"][1]["max"] == positions.max(0).tolist()
    assert document["accessors"][2]["normalized"] is True
    assert document["meshes"][0]["primitives"][0]["attributes"] == {"POSITION": 1, "COLOR_0": 2}
    linear = colors / 65535
    assert linear[1, 1] == pytest.approx(0.2140, abs=1e-4)  # sRGB 0.5
    np.testing.assert_allclose(linear_to_srgb(linear[:, :3]), mesh.vertex_colors, atol=0.5 / 255)
    assert (linear[:, 3] == 1).all()


def test_every_8_bit_colour_survives_glb(tmp_path):
    grey = torch.arange(256).float()[:, None].repeat(1, 3) / 255
    mesh = Mesh(torch.rand(256, 3), torch.tensor([[0, 1, 2]]), grey)
    _, (_, _, colors) = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())
    back = (linear_to_srgb(colors[:, 0] / 65535) * 255).round()
    np.testing.assert_array_equal(back, np.arange(256))


@pytest.mark.parametrize(("count", "dtype"), [(65534, np.uint16), (65535, np.uint32), (70000, np.uint32)])
def test_glb_indices_are_wide_enough(tmp_path, count, dtype):
    mesh = Mesh(torch.zeros(count, 3), torch.tensor([[0, 1, count - 1]]))
    _, (indices, positions) = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())
    assert indices.dtype == dtype
    assert indices.ravel().tolist() == [0, 1, count - 1]
    assert len(positions) == count


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply", ".stl"])
def test_round_trip_through_trimesh(tmp_path, ending):
    mesh = asymmetric_mesh()
    loaded = trimesh.load(mesh.save(tmp_path / f"a{ending}"), force="mesh", process=False)
    assert loaded.volume == pytest.approx(0.9 * 0.5 * 0.25 / 6, rel=1e-5)  # positive: neither mirrored nor inside out
    np.testing.assert_allclose(loaded.bounds, [[0, 0, 0], [0.5, 0.25, 0.9]], atol=1e-6)
    corners = mesh.vertices.numpy()[mesh.faces.numpy()][..., [1, 2, 0]]
    np.testing.assert_allclose(loaded.vertices[loaded.faces], corners, atol=1e-6)


@pytest.mark.parametrize("ending", [".obj", ".ply"])
def test_colours_of_the_other_formats_stay_srgb(tmp_path, ending):
    mesh = asymmetric_mesh()
    loaded = trimesh.load(mesh.save(tmp_path / f"a{ending}"), force="mesh", process=False)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, mesh.vertex_colors, atol=2 / 255)


@pytest.mark.parametrize("ending", [".obj", ".ply", ".stl"])
def test_up_z_keeps_the_world_frame(tmp_path, ending):
    loaded = trimesh.load(asymmetric_mesh().save(tmp_path / f"a{ending}", up="z"), force="mesh", process=False)
    np.testing.assert_allclose(loaded.bounds[1], [0.9, 0.5, 0.25], atol=1e-6)


def test_a_mesh_without_colours(tmp_path):
    document, arrays = read_glb(asymmetric_mesh(colored=False).save(tmp_path / "a.glb").read_bytes())
    assert len(arrays) == 2
    assert "COLOR_0" not in document["meshes"][0]["primitives"][0]["attributes"]


def test_frames_are_inverse_proper_rotations():
    np.testing.assert_array_equal(mesh_files.gltf_to_world(mesh_files.world_to_gltf(np.eye(3))), np.eye(3))
    assert np.linalg.det(mesh_files.world_to_gltf(np.eye(3))) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "up", "message"),
    [
        ("a.fbx", "y", "unknown mesh ending"),
        ("a", "y", "unknown"),
        ("a.glb", "z", "isn't possible"),
        ("a.obj", "x", "up"),
    ],
)
def test_mesh_options_are_checked(tmp_path, name, up, message):
    with pytest.raises(OutputError, match=message):
        asymmetric_mesh().save(tmp_path / name, up=up)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_mesh_is_refused(tmp_path):
    with pytest.raises(InputError, match="no triangles"):
        Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)).save(tmp_path / "a.glb")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_midway_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_our_own_errors_pass_unchanged(tmp_path):
    with pytest.raises(InstantMeshError) as caught, replacing(tmp_path / "a.bin"):
        raise MissingFileError("that file")
    assert type(caught.value) is MissingFileError
    assert str(caught.value) == "that file"


def test_existing_files_are_kept_when_asked(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(OutputError, match="exists"):
        write_bytes(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_folders_are_made_and_what_is_no_folder_is_named(tmp_path):
    path = write_bytes(tmp_path / "a/b/c.bin", b"x")
    assert path.read_bytes() == b"x"
    with pytest.raises(OutputError, match="can't write into"):
        write_bytes(path / "d.bin", b"x")
    with pytest.raises(OutputError, match="is a folder"):
        write_bytes(tmp_path / "a", b"x")


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_files_get_the_usual_mode(tmp_path):
    mask = os.umask(0o027)
    try:
        path = write_bytes(tmp_path / "a.bin", b"x")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_untile_undoes_tile(rows, columns, c, h, w):
    images = torch.arange(rows * columns * c * h * w).float().reshape(rows * columns, c, h, w)
    picture = pictures.tile(images, columns)
    assert picture.shape == (c, rows * h, columns * w)
    assert torch.equal(pictures.untile(picture, rows, columns), images)


def test_tiles_are_row_major_and_padded_with_white():
    picture = pictures.tile(torch.tensor([0.1, 0.2, 0.3])[:, None, None, None].expand(3, 1, 1, 1), columns=2)
    torch.testing.assert_close(picture[0], torch.tensor([[0.1, 0.2], [0.3, 1.0]]))
    with pytest.raises(InputError, match="doesn't divide"):
        pictures.untile(torch.zeros(3, 10, 9), 3, 2)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_rounded_not_cut(tmp_path, channels):
    image = torch.full((channels, 5, 7), 0.5)  # 127.5 rounds to the even 128, truncation would give 127
    path = pictures.write_picture(tmp_path / "a.png", image)
    with Image.open(path) as picture:
        assert picture.size == (7, 5)
        assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.asarray(picture).flatten().tolist() == [128] * (35 * channels)


def test_picture_endings(tmp_path):
    with pytest.raises(OutputError, match="unknown picture ending"):
        pictures.write_picture(tmp_path / "a.xyz", torch.zeros(3, 4, 4))
    with pytest.raises(OutputError, match="JPEG"):  # has no alpha
        pictures.write_picture(tmp_path / "a.jpg", torch.zeros(4, 4, 4))
    assert list(tmp_path.iterdir()) == []
