"""Meshes on disk: GLB, OBJ, PLY, STL from arrays, in the export frame of docs/conventions.md."""

import json
import struct
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError, OutputError
from instantmesh.files.atomic import write_bytes

MESH_ENDINGS = (".glb", ".obj", ".ply", ".stl")


def world_to_gltf(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(x, y, z), +z up, front +x -> (y, z, x), +y up, front +z: a proper rotation."""
    return points[..., [1, 2, 0]]


def gltf_to_world(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse of `world_to_gltf`."""
    return points[..., [2, 0, 1]]


def srgb_to_linear(colors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sRGB transfer function's inverse (IEC 61966-2-1), values in [0, 1]."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(colors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sRGB transfer function (IEC 61966-2-1), values in [0, 1]: the inverse of `srgb_to_linear`."""
    return np.where(colors <= 0.0031308, colors * 12.92, 1.055 * np.maximum(colors, 0.0031308) ** (1 / 2.4) - 0.055)


def write_mesh(
    path: str | PathLike[str],
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    colors: NDArray[np.floating] | None,
    *,
    up: str = "y",
    overwrite: bool = True,
) -> Path:
    """Write a mesh given in the world frame; `colors` are (v, 3) sRGB in [0, 1]. See `Mesh.save`.

    Raises:
        InputError: the mesh has no triangles (glTF forbids empty arrays).
        OutputError: unknown ending, no such `up` for the format, folder not writable, or the file exists.
    """
    path = Path(path)
    if len(faces) == 0:
        raise InputError("the mesh has no triangles: there is nothing to write")
    ending = path.suffix.lower()
    if ending not in MESH_ENDINGS:
        raise OutputError(f"{path.name}: unknown mesh ending; use one of {', '.join(MESH_ENDINGS)}")
    if up not in ("y", "z") or (ending == ".glb" and up != "y"):
        raise OutputError(f"up={up!r} isn't possible for {ending}: use 'y'" + ("" if ending == ".glb" else " or 'z'"))
    vertices = np.asarray(world_to_gltf(vertices) if up == "y" else vertices, dtype=np.float32)
    data = _glb(vertices, faces, colors) if ending == ".glb" else _with_trimesh(ending[1:], vertices, faces, colors)
    return write_bytes(path, data, overwrite=overwrite)


def _with_trimesh(
    kind: str, vertices: NDArray[np.floating], faces: NDArray[np.integer], colors: NDArray[np.floating] | None
) -> bytes:
    import trimesh  # here, so that importing the package stays fast

    rgb = None if colors is None else (colors * 255).round().astype(np.uint8)
    mesh = trimesh.Trimesh(vertices, faces, vertex_colors=rgb, process=False)
    data = mesh.export(file_type=kind)
    return data if isinstance(data, bytes) else str(data).encode()


def _glb(vertices: NDArray[np.floating], faces: NDArray[np.integer], colors: NDArray[np.floating] | None) -> bytes:
    """Binary glTF 2.0 with one mesh.

    Written here because trimesh stores vertex colours as 8-bit numbers without converting them: glTF's COLOR_0 is
    linear, and 8 linear bits lose dark tones. 16 normalised bits keep every sRGB step.
    """
    used = np.uint16 if len(vertices) < 65535 else np.uint32  # 65535 itself is the primitive-restart value
    blobs: list[tuple[NDArray, dict[str, object], int]] = [
        (faces.astype(used).ravel(), {"componentType": 5123 if used is np.uint16 else 5125, "type": "SCALAR"}, 34963),
        (
            vertices,
            {
                "componentType": 5126,
                "type": "VEC3",
                "min": vertices.min(0).tolist() if len(vertices) else [0.0] * 3,
                "max": vertices.max(0).tolist() if len(vertices) else [0.0] * 3,
            },
            34962,
        ),
    ]
    attributes = {"POSITION": 1}
    if colors is not None:
        linear = np.ones((len(colors), 4), dtype=np.float64)  # VEC4: three 16-bit numbers would break 4-byte alignment
        linear[:, :3] = srgb_to_linear(colors.astype(np.float64))
        rounded = (linear * 65535).round().astype(np.uint16)
        blobs.append((rounded, {"componentType": 5123, "normalized": True, "type": "VEC4"}, 34962))
        attributes["COLOR_0"] = 2

    binary, views, accessors = b"", [], []
    for index, (array, accessor, target) in enumerate(blobs):
        raw = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(raw), "target": target})
        accessors.append({"bufferView": index, "count": len(array), **accessor})
        binary += raw + b"\0" * (-len(raw) % 4)
    document = {
        "asset": {"version": "2.0", "generator": "instantmesh"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 0, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks
