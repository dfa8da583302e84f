"""What glTF files may hold: component types, sparse data, modes, skins, instances, morph targets, placed textures."""

import io
import json
import logging
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instantmesh import InputError, MissingBackendError, backends
from instantmesh.files.asset_files import read_asset
from instantmesh.files.asset_part import AssetPart

TYPES = {
    np.dtype(name): code
    for name, code in {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}.items()
}
WIDTHS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([0, 1, 2, 0, 2, 3], np.uint16)


class Builder:
    """A GLB, piece by piece."""

    def __init__(self) -> None:
        self.binary = b""
        self.document: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}

    def view(self, data: bytes, **more: Any) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data), **more}
        self.document["bufferViews"].append(view)
        self.binary += data
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, **more: Any) -> int:
        values = values.reshape(len(values), -1)
        entry = {"componentType": TYPES[values.dtype], "count": len(values), "type": WIDTHS[values.shape[1]]}
        self.document["accessors"].append({"bufferView": self.view(values.tobytes()), **entry, **more})
        return len(self.document["accessors"]) - 1

    def add(self, key: str, entry: dict[str, Any]) -> int:
        self.document.setdefault(key, []).append(entry)
        return len(self.document[key]) - 1

    def square(self, **more: Any) -> dict[str, Any]:
        """A primitive."""
        return {"attributes": {"POSITION": self.accessor(SQUARE)}, "indices": self.accessor(FACES), **more}

    def read(self, folder: Path, *primitives: dict[str, Any], **node: Any) -> list[AssetPart]:
        """The parts of a mesh of these primitives, in the frame of glTF (x right, y up)."""
        mesh = self.add("meshes", {"primitives": list(primitives), **node.pop("of_mesh", {})})
        self.document.setdefault("nodes", []).insert(0, {"mesh": mesh, **node})
        self.document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        binary = self.binary + b"\0" * (-len(self.binary) % 4)
        size = 28 + len(text) + len(binary)
        head = struct.pack("<4sIII4s", b"glTF", 2, size, len(text), b"JSON")
        path = folder / "a.glb"
        path.write_bytes(head + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary)
        return read_asset(path)


def gltf_frame(vertices: np.ndarray) -> np.ndarray:
    """World to glTF: (x, y, z), +z up, front +x -> (y, z, x)."""
    return vertices[:, [1, 2, 0]]


def corners(part: AssetPart) -> np.ndarray:
    return gltf_frame(part.vertices)


def test_quantised_and_interleaved_vertices(tmp_path):
    """KHR_mesh_quantization: 16-bit positions beside 8-bit normals with a stride, scaled by the node."""
    builder = Builder()
    both = np.zeros(4, np.dtype([("p", "<i2", 4), ("n", "i1", 4)]))
    both["p"][:, :3], both["n"][:, 2] = SQUARE * 1000, 127
    view = builder.view(both.tobytes(), byteStride=12)
    position = {"bufferView": view, "componentType": 5122, "count": 4, "type": "VEC3"}
    normal = {
        "bufferView": view,
        "byteOffset": 8,
        "componentType": 5120,
        "count": 4,
        "type": "VEC3",
        "normalized": True,
    }
    names = {"POSITION": builder.add("accessors", position), "NORMAL": builder.add("accessors", normal)}
    builder.document["extensionsRequired"] = ["KHR_mesh_quantization"]
    primitive = {"attributes": names, "indices": builder.accessor(FACES)}
    (part,) = builder.read(tmp_path, primitive, scale=[0.001] * 3, translation=[0, 0, 5])
    np.testing.assert_allclose(corners(part), SQUARE + np.array([0, 0, 5]), atol=1e-9)
    assert part.normals is not None
    np.testing.assert_allclose(gltf_frame(part.normals), np.tile([0, 0, 1], (4, 1)), atol=1e-9)


def test_normalised_positions_and_colours(tmp_path):
    builder = Builder()
    positions = builder.accessor((SQUARE * 32767).astype(np.int16), normalized=True)
    colors = builder.accessor(np.tile(np.array([255, 0, 128, 255], np.uint8), (4, 1)), normalized=True)
    primitive = {"attributes": {"POSITION": positions, "COLOR_0": colors}, "indices": builder.accessor(FACES)}
    (part,) = builder.read(tmp_path, primitive)
    np.testing.assert_allclose(corners(part), SQUARE, atol=1e-9)
    np.testing.assert_allclose(colors_of(part)[0], [1, 0, 0.7366], atol=1e-3)  # linear 128 / 255 in sRGB


@pytest.mark.parametrize("based", [True, False])
def test_sparse_positions(based, tmp_path):
    builder = Builder()
    where, what = np.array([1, 2], np.uint8), np.array([[3, 0, 0], [3, 1, 0]], np.float32)
    sparse = {
        "count": 2,
        "indices": {"bufferView": builder.view(where.tobytes()), "componentType": 5121},
        "values": {"bufferView": builder.view(what.tobytes())},
    }
    if based:
        position = builder.accessor(SQUARE, sparse=sparse)
    else:
        entry = {"componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse}
        position = builder.add("accessors", entry)
    primitive = {"attributes": {"POSITION": position}, "indices": builder.accessor(FACES)}
    (part,) = builder.read(tmp_path, primitive)
    expected = SQUARE.copy() if based else np.zeros_like(SQUARE)
    expected[[1, 2]] = what
    np.testing.assert_allclose(corners(part), expected)


@pytest.mark.parametrize(
    ("mode", "order"), [(4, [0, 1, 2, 0, 2, 3]), (5, [1, 2, 0, 3]), (5, [1, 1, 2, 0, 3]), (6, [0, 1, 2, 3])]
)
def test_lists_strips_and_fans_are_the_same_square(mode, order, tmp_path):
    """Two triangles that look along +z; degenerate ones of a strip are left out."""
    builder = Builder()
    primitive = {"attributes": {"POSITION": builder.accessor(SQUARE)}, "mode": mode}
    primitive["indices"] = builder.accessor(np.array(order, np.uint8))
    if mode == 5 and len(order) == 5:  # an even number of extra vertices keeps the turning
        primitive["indices"] = builder.accessor(np.array([1, 1, 1, 2, 0, 3], np.uint8))
    (part,) = builder.read(tmp_path, primitive)
    a, b, c = (corners(part)[part.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    assert len(part.faces) == 2
    np.testing.assert_allclose(normals, np.tile([0, 0, 1], (2, 1)), atol=1e-9)


def test_morph_targets_and_the_nodes_weights(tmp_path):
    builder = Builder()
    raised = builder.accessor(np.tile(np.array([0, 0, 2], np.float32), (4, 1)))
    primitive = builder.square(targets=[{"POSITION": raised}, {"POSITION": raised}])
    (part,) = builder.read(tmp_path, primitive, weights=[0.25, 0.5], of_mesh={"weights": [1, 1]})
    np.testing.assert_allclose(corners(part), SQUARE + np.array([0, 0, 1.5]))


def test_skins_move_vertices_and_their_nodes_place_has_no_part(tmp_path):
    """Two joints: one stays, one is turned by 90 degrees about x above y = 0.5; a third weight blends both."""
    builder = Builder()
    joints = np.array([[0, 1, 0, 0]] * 4, np.uint8)
    weights = np.array([[255, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [51, 204, 0, 0]], np.uint8)
    inverse = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    inverse[1, 3, 1] = -0.5  # columns are stored one after the other
    names = {
        "POSITION": builder.accessor(SQUARE),
        "JOINTS_0": builder.accessor(joints),
        "WEIGHTS_0": builder.accessor(weights, normalized=True),
    }
    half = np.sqrt(0.5)
    builder.add("nodes", {"scale": [2.0] * 3})  # becomes 1
    builder.add("nodes", {"translation": [0, 0.5, 0], "rotation": [half, 0, 0, half]})  # becomes 2
    matrices = builder.accessor(inverse.reshape(2, 16))
    builder.add("skins", {"joints": [1, 2], "inverseBindMatrices": matrices})
    primitive = {"attributes": names, "indices": builder.accessor(FACES)}
    (part,) = builder.read(tmp_path, primitive, skin=0, translation=[100, 0, 0])
    moved = corners(part)
    np.testing.assert_allclose(moved[:2], 2 * SQUARE[:2], atol=1e-6)
    np.testing.assert_allclose(moved[2], [1, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(moved[3], 0.2 * 2 * SQUARE[3] + 0.8 * np.array([0, 0.5, 0.5]), atol=1e-6)


def test_instances_stand_where_they_are_put_and_mirrored_ones_keep_their_outside(tmp_path):
    builder = Builder()
    attributes = {
        "TRANSLATION": builder.accessor(np.array([[0, 0, 0], [5, 0, 0]], np.float32)),
        "SCALE": builder.accessor(np.array([[1, 1, 1], [-2, 2, 2]], np.float32)),
    }
    instancing = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    parts = builder.read(tmp_path, builder.square(), extensions=instancing, translation=[0, 1, 0])
    np.testing.assert_allclose(corners(parts[0]), SQUARE + np.array([0, 1, 0]))
    np.testing.assert_allclose(corners(parts[1]), SQUARE * [-2, 2, 2] + [5, 1, 0])
    for part in parts:
        a, b, c = (corners(part)[part.faces[:, i]] for i in range(3))
        assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def image_of(builder: Builder, colors: list[list[tuple[int, int, int]]], **material: Any) -> dict[str, Any]:
    """A primitive with a texture of cells of 8 pixels and coordinates over all of it; `material` may hold `info`."""
    pixels = np.kron(np.array(colors, np.uint8), np.ones((8, 8, 1), np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    image = builder.add("images", {"bufferView": builder.view(file.getvalue()), "mimeType": "image/png"})
    sampler = builder.add("samplers", material.pop("sampler", {}))
    texture = builder.add("textures", {"source": image, "sampler": sampler})
    info = {"index": texture, **material.pop("info", {})}
    pbr = {"baseColorTexture": info, **material.pop("pbr", {})}
    index = builder.add("materials", {"pbrMetallicRoughness": pbr, **material})
    primitive = builder.square(material=index)
    uv = material.pop("uv", np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32))
    primitive["attributes"]["TEXCOORD_0"] = builder.accessor(uv)
    return primitive


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colors_of(part: AssetPart) -> np.ndarray:
    assert part.colors is not None
    return part.colors


def texel(part: AssetPart, vertex: int, inwards: float = 0.1) -> tuple[int, ...]:
    """The texture's colour a little inside the square beside one of its corners."""
    assert part.uv is not None
    assert part.texture is not None
    place = part.uv[vertex] * (1 - inwards) + part.uv.mean(0) * inwards
    height, width, _ = part.texture.shape
    x, y = np.floor(place % 1 * (width, height)).astype(int)
    return tuple(part.texture[y, x].tolist())


def test_transformed_textures(tmp_path):
    """Scale, then a counter-clockwise turn of the coordinates (as one looks at the image), then the offset."""
    colors = [[RED, GREEN], [BLUE, WHITE]]
    builder = Builder()
    (plain,) = builder.read(tmp_path, image_of(builder, colors))
    assert [texel(plain, i) for i in range(4)] == [BLUE, WHITE, GREEN, RED]
    builder = Builder()
    corner = {"extensions": {"KHR_texture_transform": {"offset": [0.5, 0.0], "scale": [0.5, 0.5]}}}
    (part,) = builder.read(tmp_path, image_of(builder, colors, info=corner))
    assert [texel(part, i) for i in range(4)] == [GREEN] * 4
    builder = Builder()
    turned = {"extensions": {"KHR_texture_transform": {"rotation": np.pi / 2, "offset": [0.0, 1.0]}}}
    (part,) = builder.read(tmp_path, image_of(builder, colors, info=turned))
    assert part.uv is not None
    np.testing.assert_allclose(part.uv[0], [1, 1], atol=1e-6)  # (0, 1) -> (v, 1 - u)
    np.testing.assert_allclose(part.uv[2], [0, 0], atol=1e-6)


def test_clamped_and_mirrored_textures(tmp_path):
    uv = np.array([[0, 2], [2, 2], [2, 0], [0, 0]], np.float32)
    builder = Builder()
    primitive = image_of(builder, [[RED, GREEN]], sampler={"wrapS": 33648, "wrapT": 33071})
    primitive["attributes"]["TEXCOORD_0"] = builder.accessor(uv)
    (part,) = builder.read(tmp_path, primitive)
    assert part.texture.shape == (8, 32, 3)  # red, green, green, red
    assert part.texture[0, ::8].tolist() == [list(c) for c in (RED, GREEN, GREEN, RED)]
    assert part.uv[:, 0].max() == 1
    assert part.uv[:, 1].max() < 1


def test_light_is_the_colour_of_what_has_no_other_and_losses_are_told(tmp_path, caplog):
    builder = Builder()
    glowing = builder.add("materials", {"emissiveFactor": [1, 0, 0], "pbrMetallicRoughness": {"metallicFactor": 0}})
    (part,) = builder.read(tmp_path, builder.square(material=glowing))
    np.testing.assert_allclose(colors_of(part), np.tile([1, 0, 0], (4, 1)), atol=1e-6)
    assert caplog.text == ""
    builder = Builder()
    material = {
        "pbrMetallicRoughness": {"baseColorFactor": [0, 1, 0, 0.5]},
        "emissiveFactor": [1, 0, 0],
        "alphaMode": "BLEND",
    }
    index = builder.add("materials", material)
    with caplog.at_level(logging.WARNING):
        (part,) = builder.read(tmp_path, builder.square(material=index))
    np.testing.assert_allclose(colors_of(part), np.tile([0, 1, 0], (4, 1)), atol=1e-6)
    assert "without its emission, transparency" in caplog.text


def test_old_specular_materials_have_a_diffuse_colour(tmp_path):
    builder = Builder()
    glossy = {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0, 0, 1, 1]}}
    index = builder.add("materials", {"extensions": glossy})
    (part,) = builder.read(tmp_path, builder.square(material=index))
    np.testing.assert_allclose(colors_of(part), np.tile([0, 0, 1], (4, 1)), atol=1e-6)


def compressed(builder: Builder) -> dict[str, Any]:
    draco = backends.load("DracoPy")
    data = draco.encode(SQUARE, FACES.reshape(-1, 3).astype(np.uint32), quantization_bits=14)
    view = builder.view(data)
    position = {"componentType": 5126, "count": 4, "type": "VEC3"}
    index = {"componentType": 5123, "count": 6, "type": "SCALAR"}
    builder.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    extension = {"bufferView": view, "attributes": {"POSITION": 0}}
    return {
        "attributes": {"POSITION": builder.add("accessors", position)},
        "indices": builder.add("accessors", index),
        "extensions": {"KHR_draco_mesh_compression": extension},
    }


def test_draco(tmp_path, monkeypatch):
    builder = Builder()
    (part,) = builder.read(tmp_path, compressed(builder))
    a, b, c = (corners(part)[part.faces[:, i]] for i in range(3))
    np.testing.assert_allclose(np.cross(b - a, c - a), np.tile([0, 0, 1], (2, 1)), atol=1e-3)
    found = corners(part)[np.unique(part.faces)].round(3) + 0.0
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, SQUARE.tolist()))
    damaged = Builder()
    primitive = compressed(damaged)
    damaged.binary = b"DRACO" + b"\xff" * (len(damaged.binary) - 5)
    with pytest.raises(InputError, match="Draco data is damaged"):
        damaged.read(tmp_path, primitive)
    builder = Builder()
    primitive = compressed(builder)
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(MissingBackendError, match=r"instantmesh\[draco\]"):
        builder.read(tmp_path, primitive)
