"""GLB: read straight from its specification, and by the Khronos validator in `test_viewers`."""

import io
import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from instantmesh.errors import InputError, OutputError
from instantmesh.mesh.reading import read_mesh
from instantmesh.structures import Mesh, Texture
from tests.mesh.shapes import sphere, with_faces

from .lettered import textured_letter
from .small import asymmetric_mesh


def read_glb(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray], list[bytes]]:
    """A GLB's document, its primitive's arrays by name, and its images, from the glTF 2.0 specification."""
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

    def raw(index: int) -> bytes:
        view = document["bufferViews"][index]
        assert view["byteOffset"] % 4 == 0
        return binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    primitive = document["meshes"][0]["primitives"][0]
    arrays = {}
    for name, index in {**primitive["attributes"], "indices": primitive["indices"]}.items():
        accessor = document["accessors"][index]
        dtype = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        arrays[name] = np.frombuffer(raw(accessor["bufferView"]), dtype).reshape(accessor["count"], width)
    return document, arrays, [raw(image["bufferView"]) for image in document.get("images", [])]


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def test_geometry_in_its_frame_and_linear_colours(tmp_path):
    mesh = asymmetric_mesh()
    path = mesh.save(tmp_path / "a.glb", size_m=None, origin=None)
    document, arrays, _ = read_glb(path.read_bytes())
    positions = arrays["POSITION"]
    np.testing.assert_array_equal(arrays["indices"].reshape(-1, 3), mesh.faces.numpy())
    np.testing.assert_array_equal(positions, mesh.vertices.numpy()[:, [1, 2, 0]])
    # the front (+x, the longest extent) is glTF's +z, up (the shortest) its +y
    np.testing.assert_allclose(positions.max(0), [0.5, 0.25, 0.9], atol=1e-7)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "NORMAL", "COLOR_0"}
    accessor = document["accessors"][attributes["POSITION"]]
    assert (accessor["min"], accessor["max"]) == (positions.min(0).tolist(), positions.max(0).tolist())
    assert document["accessors"][attributes["COLOR_0"]]["normalized"] is True
    linear = arrays["COLOR_0"] / 65535
    assert linear[1, 1] == pytest.approx(0.2140, abs=1e-4)  # sRGB 0.5
    np.testing.assert_allclose(linear_to_srgb(linear[:, :3]), np.asarray(mesh.vertex_colors), atol=0.5 / 255)
    assert (linear[:, 3] == 1).all()
    assert document["materials"] == [
        {"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}, "doubleSided": False}
    ]


def test_the_texture_is_inside_as_it_is_and_vertices_are_split_at_seams_only(tmp_path):
    mesh = textured_letter()
    assert mesh.texture is not None
    document, arrays, (png,) = read_glb(mesh.save(tmp_path / "a.glb", size_m=None, origin=None).read_bytes())
    assert set(arrays) == {"POSITION", "NORMAL", "TEXCOORD_0", "indices"}
    faces = arrays["indices"].reshape(-1, 3)
    np.testing.assert_array_equal(arrays["POSITION"][faces], mesh.vertices[mesh.faces][..., [1, 2, 0]])
    np.testing.assert_array_equal(arrays["TEXCOORD_0"][faces], mesh.texture.uv)
    pairs = {(int(v), *uv.tolist()) for v, uv in zip(mesh.faces.flatten(), mesh.texture.uv.reshape(-1, 2), strict=True)}
    assert len(arrays["POSITION"]) == len(pairs) > len(mesh.vertices)
    # copies of a vertex share one normal, so that the seam doesn't show
    np.testing.assert_allclose(arrays["NORMAL"][faces], mesh.vertex_normals()[mesh.faces][..., [1, 2, 0]], atol=1e-6)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        expected = (mesh.texture.image * 255).round().permute(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert document["images"][0]["mimeType"] == "image/png"
    (material,) = document["materials"]
    assert material["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0}
    assert document["textures"] == [{"source": 0, "sampler": 0}]
    (sampler,) = document["samplers"]  # linear with mipmaps, clamped
    assert sampler == {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}


def test_every_8_bit_colour_survives(tmp_path):
    grey = torch.arange(256).float()[:, None].repeat(1, 3) / 255
    mesh = Mesh(torch.rand(256, 3), torch.tensor([[0, 1, 2]]), grey)
    _, arrays, _ = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())
    back = (linear_to_srgb(arrays["COLOR_0"][:, 0] / 65535) * 255).round()
    np.testing.assert_array_equal(back, np.arange(256))


@pytest.mark.parametrize(("count", "dtype"), [(65534, np.uint16), (65535, np.uint32), (70000, np.uint32)])
def test_indices_are_wide_enough(tmp_path, count, dtype):
    mesh = Mesh(torch.zeros(count, 3), torch.tensor([[0, 1, count - 1]]))
    _, arrays, _ = read_glb(mesh.save(tmp_path / "a.glb", size_m=None).read_bytes())
    assert arrays["indices"].dtype == dtype
    assert arrays["indices"].ravel().tolist() == [0, 1, count - 1]
    assert len(arrays["POSITION"]) == count
    np.testing.assert_array_equal(arrays["NORMAL"], [(0, 1, 0)] * count)  # no area, no direction: up


def test_a_seam_counts_for_the_width_of_indices(tmp_path):
    count = 65000
    faces = torch.arange(count - 2)[:, None] + torch.arange(3)
    uv = torch.zeros(len(faces), 3, 2)
    uv[:1000, 0, 0] = 0.5
    mesh = Mesh(torch.rand(count, 3), faces, None, Texture(torch.rand(3, 2, 2), uv))
    _, arrays, _ = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())
    assert len(arrays["POSITION"]) == count + 999  # of those thousand vertices the first is in one face only
    assert arrays["indices"].dtype == np.uint32


def test_a_mesh_without_colours(tmp_path):
    document, arrays, images = read_glb(asymmetric_mesh(colored=False).save(tmp_path / "a.glb").read_bytes())
    assert set(arrays) == {"POSITION", "NORMAL", "indices"}
    assert images == []
    assert "textures" not in document


def test_only_the_front_is_free(tmp_path):
    with pytest.raises(OutputError, match=r"up='z' isn't possible: .glb is \+y up"):
        asymmetric_mesh().save(tmp_path / "a.glb", up="z")
    assert list(tmp_path.iterdir()) == []
    path = asymmetric_mesh().save(tmp_path / "a.glb", front="-z", size_m=None, origin=None)
    positions = read_glb(path.read_bytes())[1]["POSITION"]
    np.testing.assert_allclose([positions.min(0), positions.max(0)], [(-0.5, 0, -0.9), (0, 0.25, 0)], atol=1e-7)


@pytest.mark.parametrize("texture_format", ["jpeg", "webp"])
def test_textures_take_less_room_as_jpeg_and_webp(tmp_path, texture_format):
    """And read the same, here and by trimesh."""
    mesh = smoothly_textured()
    plain = mesh.save(tmp_path / "plain.glb")
    small = mesh.save(tmp_path / "small.glb", texture_format=texture_format)
    document, _, images = read_glb(small.read_bytes())
    assert document["images"][0]["mimeType"] == f"image/{texture_format}"
    assert Image.open(io.BytesIO(images[0])).format == texture_format.upper()
    if texture_format == "webp":
        assert document["textures"][0]["extensions"] == {"EXT_texture_webp": {"source": 0}}
        assert document["extensionsRequired"] == document["extensionsUsed"] == ["EXT_texture_webp"]
    assert len(images[0]) < len(read_glb(plain.read_bytes())[2][0]) / 4
    image = read_mesh(small).texture.image
    assert float((image - mesh.texture.image).abs().mean()) < 0.01


def test_a_texture_keeps_the_format_of_its_file(tmp_path):
    smoothly_textured().save(tmp_path / "a.glb", texture_format="jpeg")
    again = read_mesh(tmp_path / "a.glb")
    assert again.texture.format == "jpeg"
    images = read_glb(again.save(tmp_path / "b.glb").read_bytes())[2]
    assert Image.open(io.BytesIO(images[0])).format == "JPEG"
    images = read_glb(again.save(tmp_path / "c.glb", texture_format="png").read_bytes())[2]
    assert Image.open(io.BytesIO(images[0])).format == "PNG"
    assert read_mesh(again.save(tmp_path / "d.obj")).texture.format == "png"


def test_open_surfaces_are_double_sided(tmp_path):
    solid = sphere()
    for mesh, expected in ((solid, False), (with_faces(solid, solid.faces[1:]), True)):
        document = read_glb(mesh.save(tmp_path / "a.glb").read_bytes())[0]
        assert document["materials"][0]["doubleSided"] is expected


def test_texture_formats_that_cannot_be(tmp_path, as_users_run_it):
    mesh = smoothly_textured()
    with pytest.raises(InputError, match="png, jpeg, webp"):
        mesh.save(tmp_path / "a.glb", texture_format="gif")
    with pytest.raises(OutputError, match=r"for \.glb files"):
        mesh.save(tmp_path / "a.obj", texture_format="jpeg")
    assert list(tmp_path.iterdir()) == []


def smoothly_textured() -> Mesh:
    """A letter with a texture as photos are: smooth, with a little noise."""
    letter = textured_letter()
    ramp = torch.linspace(0, 1, 256)
    noise = 0.02 * torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
    image = torch.stack([ramp.expand(256, 256), ramp[:, None].expand(256, 256), 1 - ramp.expand(256, 256)])
    return replace(letter, texture=Texture((image * 0.9 + noise), letter.texture.uv))
