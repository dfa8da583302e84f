"""Binary glTF 2.0 with one mesh, all of it in one file.

Written here because trimesh stores vertex colours as 8-bit numbers without converting them: glTF's COLOR_0 is linear,
and 8 linear bits lose dark tones. 16 normalised bits keep every sRGB step. Textures are sRGB in glTF, and stay as they
are. Normals are written because viewers draw meshes without them flat, each triangle for itself.
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.colors import srgb_to_linear
from instantmesh.files.mesh_arrays import MeshArrays
from instantmesh.files.texture_images import TextureFormat, texture_bytes

_UINT16, _UINT32, _FLOAT = 5123, 5125, 5126
_VERTEX_DATA, _INDICES = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP = 9729, 9987, 33071


def glb_bytes(mesh: MeshArrays, texture_format: TextureFormat | None = None) -> bytes:
    """The file's content; `mesh` is in glTF's frame already.

    PNG and JPEG are glTF's own; WebP needs the ratified extension EXT_texture_webp, which the file declares.
    """
    file = _Builder()
    faces, source = mesh.faces, np.arange(len(mesh.vertices))
    material: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    attributes: dict[str, int] = {}
    textured: dict[str, Any] = {}
    if mesh.texture is not None:
        source, faces, uv = mesh.split_at_seams()
        attributes["TEXCOORD_0"] = file.vertex_data(uv)
        texture_format = texture_format or mesh.texture.format
        source_of_texture = {"source": 0}
        if texture_format == "webp":
            source_of_texture = {"extensions": {"EXT_texture_webp": source_of_texture}}
            textured = {name: ["EXT_texture_webp"] for name in ("extensionsUsed", "extensionsRequired")}
        image = file.view(texture_bytes(mesh.texture.image, texture_format))
        textured |= {
            "textures": [{**source_of_texture, "sampler": 0}],
            "samplers": [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP, "wrapT": _CLAMP}],
            "images": [{"bufferView": image, "mimeType": f"image/{texture_format}"}],
        }
        material["baseColorTexture"] = {"index": 0}
    elif mesh.colors is not None:
        attributes["COLOR_0"] = file.vertex_data(_linear_16_bit(mesh.colors))
    attributes["POSITION"] = file.vertex_data(mesh.vertices[source].astype(np.float32), with_bounds=True)
    if mesh.normals is not None:
        attributes["NORMAL"] = file.vertex_data(mesh.normals[source].astype(np.float32))
    primitive = {"attributes": attributes, "indices": file.indices(faces, len(source)), "material": 0}
    return file.content(
        {
            "asset": {"version": "2.0", "generator": "instantmesh"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [primitive]}],
            "materials": [{"pbrMetallicRoughness": material, "doubleSided": mesh.is_open()}],
            **textured,
        }
    )


def _linear_16_bit(colors: NDArray[np.floating]) -> NDArray[np.uint16]:
    linear = np.ones((len(colors), 4))  # four numbers: three of 16 bits would break the alignment to 4 bytes
    linear[:, :3] = srgb_to_linear(colors.astype(np.float64).clip(0, 1))
    return (linear * 65535).round().astype(np.uint16)


class _Builder:
    """Buffer views and accessors, numbered as they come."""

    def __init__(self) -> None:
        self._binary = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, **properties: Any) -> int:
        self._views.append({"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data), **properties})
        self._binary += data + b"\0" * (-len(data) % 4)
        return len(self._views) - 1

    def vertex_data(self, array: NDArray, *, with_bounds: bool = False) -> int:
        accessor = {
            "bufferView": self.view(array.tobytes(), target=_VERTEX_DATA),
            "componentType": _UINT16 if array.dtype == np.uint16 else _FLOAT,
            "count": len(array),
            "type": f"VEC{array.shape[1]}",
        }
        if array.dtype == np.uint16:
            accessor["normalized"] = True
        if with_bounds:
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def indices(self, faces: NDArray[np.integer], vertex_count: int) -> int:
        short = vertex_count < 65535  # 65535 itself is the primitive-restart value
        data = faces.astype(np.uint16 if short else np.uint32).tobytes()
        self._accessors.append(
            {
                "bufferView": self.view(data, target=_INDICES),
                "componentType": _UINT16 if short else _UINT32,
                "count": faces.size,
                "type": "SCALAR",
            }
        )
        return len(self._accessors) - 1

    def content(self, document: dict[str, Any]) -> bytes:
        binary = bytes(self._binary)
        document |= {
            "buffers": [{"byteLength": len(binary)}],
            "bufferViews": self._views,
            "accessors": self._accessors,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks
