"""glTF files that need more than can be read here, are damaged, or ask for files elsewhere: refused by name."""

import base64
import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from instantmesh import InputError, Mesh, read_mesh
from instantmesh.files.image_files import write_image

from .lettered import textured_letter


def with_extensions(path: Path, **lists: list[str]) -> Path:
    """A GLB whose document also says this."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document: dict[str, Any] = {**json.loads(data[20 : 20 + length]), **lists}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    changed = path.with_name(f"changed_{path.name}")
    changed.write_bytes(head + text + rest)
    return changed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EXT_meshopt_compression", "meshopt compression"),
        ("KHR_texture_basisu", "Basis Universal textures"),
        ("VENDOR_of_tomorrow", "VENDOR_of_tomorrow"),
    ],
)
def test_what_a_file_requires_is_named(tmp_path, name, words):
    path = textured_letter().save(tmp_path / "a.glb")
    with pytest.raises(InputError, match=words):
        read_mesh(with_extensions(path, extensionsUsed=[name], extensionsRequired=[name]))


def test_what_it_can_do_without_is_told(tmp_path, caplog):
    path = textured_letter().save(tmp_path / "a.glb")
    with caplog.at_level(logging.WARNING):
        mesh = read_mesh(with_extensions(path, extensionsUsed=["MSFT_texture_dds"]))
    assert "DDS textures" in caplog.text
    assert len(mesh.faces) == len(textured_letter().faces)
    caplog.clear()
    read_mesh(with_extensions(path, extensionsUsed=["KHR_materials_ior"], extensionsRequired=["KHR_materials_unlit"]))
    assert caplog.text == ""


@pytest.mark.parametrize(
    "content", [b"glTF", b"glTF\2\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffJSON", b"[1]", b"{", b"[" * 100_000]
)
def test_what_is_no_gltf_is_refused(tmp_path, content):
    for name in ("a.glb", "a.gltf"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_mesh(tmp_path / name)


def test_a_texture_beside_a_file_does_not_replace_its_own(tmp_path):
    """As `finish a.glb -o a.obj` leaves one there."""
    mesh: Mesh = textured_letter()
    path = mesh.save(tmp_path / "a.glb")
    write_image(tmp_path / "a_texture.png", torch.zeros(3, 32, 32))
    read = read_mesh(path)
    assert read.texture is not None
    assert mesh.texture is not None
    assert float((read.texture.image - mesh.texture.image).abs().max()) < 1 / 255


def triangle(**changes: Any) -> dict[str, Any]:
    """A document of one triangle whose buffer is a data URI."""
    data = base64.b64encode(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()).decode()
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"uri": f"data:application/octet-stream;base64,{data}", "byteLength": 36}],
        **changes,
    }


def test_data_may_stand_in_the_document_or_in_a_file_with_an_escaped_name(tmp_path):
    (tmp_path / "a.gltf").write_text(json.dumps(triangle()))
    assert read_mesh(tmp_path / "a.gltf").vertices.shape == (3, 3)
    data = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0]], "<f4").tobytes()
    (tmp_path / "my data.bin").write_bytes(data)
    (tmp_path / "b.gltf").write_text(json.dumps(triangle(buffers=[{"uri": "my%20data.bin", "byteLength": 36}])))
    assert float(read_mesh(tmp_path / "b.gltf").vertices.max()) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"asset": {"version": "1.0"}}, "glTF 1.0"),
        ({"buffers": [{"uri": "/etc/hostname", "byteLength": 36}]}, "isn't in its folder"),
        ({"buffers": [{"uri": "../x.bin", "byteLength": 36}]}, "isn't in its folder"),
        ({"buffers": [{"uri": "%2e%2e/x.bin", "byteLength": 36}]}, "isn't in its folder"),
        ({"buffers": [{"uri": "https://example.org/x.bin", "byteLength": 36}]}, "isn't in its folder"),
        ({"buffers": [{"uri": "nowhere.bin", "byteLength": 36}]}, "nowhere.bin"),
        ({"buffers": [{"uri": "data:;base64,%%%", "byteLength": 36}]}, "damaged"),
        ({"buffers": [{"byteLength": 36}]}, "has no data"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 37}]}, "beyond its buffer"),
        ({"bufferViews": [{"buffer": 0, "byteLength": -1}]}, "whole number"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}]}, "too short"),
        ({"accessors": [{"bufferView": 0, "componentType": 5124, "count": 3, "type": "VEC3"}]}, "type"),
        ({"accessors": [{"componentType": 5126, "count": 10**15, "type": "VEC3"}]}, "asks for"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "its own ancestor"),
        ({"nodes": [{"mesh": 1}]}, r"meshes\[1\]"),
        ({"nodes": [{"mesh": 0, "matrix": [1, 2]}]}, "16 numbers"),
        ({"nodes": {"mesh": 0}}, "a list is needed"),
        ({"scenes": [[0]]}, "an object is needed"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}]}, r"materials\[0\]"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 1}]}]}, "no triangles"),
    ],
)
def test_damaged_and_hostile_documents_are_one_clear_error(changes, words, tmp_path):
    (tmp_path / "a.gltf").write_text(json.dumps(triangle(**changes)))
    with pytest.raises(InputError, match=words):
        read_mesh(tmp_path / "a.gltf")


def test_a_face_without_vertices(tmp_path):
    indices = base64.b64encode(np.array([0, 1, 3], "<u2").tobytes()).decode()
    document = triangle()
    document["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}]
    document["accessors"].append({"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"})
    document["bufferViews"].append({"buffer": 1, "byteLength": 6})
    document["buffers"].append({"uri": f"data:;base64,{indices}", "byteLength": 6})
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    with pytest.raises(InputError, match="vertex 3, and there are 3"):
        read_mesh(tmp_path / "a.gltf")
