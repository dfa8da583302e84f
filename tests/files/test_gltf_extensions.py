"""glTF files that need more than can be read here are refused by name."""

import json
import logging
import struct
from pathlib import Path
from typing import Any

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
        ("KHR_draco_mesh_compression", "Draco compression"),
        ("KHR_mesh_quantization", "quantised vertices"),
        ("KHR_texture_transform", "transformed textures"),
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
        mesh = read_mesh(with_extensions(path, extensionsUsed=["KHR_texture_transform"]))
    assert "transformed textures" in caplog.text
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
