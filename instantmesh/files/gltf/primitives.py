"""Triangles of a glTF primitive with what their vertices carry, in the mesh's own frame.

Source: the glTF 2.0 specification, section 3.7.2 ("Meshes"); KHR_draco_mesh_compression.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh import backends
from instantmesh.files.gltf.accessors import normalised, read_accessor
from instantmesh.files.gltf.document import Document
from instantmesh.files.gltf.extensions import DRACO

Array = NDArray[np.floating]

_TRIANGLES, _STRIP, _FAN = 4, 5, 6


@dataclass(frozen=True)
class Primitive:
    """Triangles of one material.

    Attributes:
        vertices: (v, 3).
        faces: (f, 3).
        normals: (v, 3), or None.
        uv: sets of texture coordinates (v, 2), by number.
        colors: (v, 3) linear, in [0, 1], or None.
        joints: (v, k), which joints of a skin move a vertex; None without a skin.
        weights: (v, k) of those joints.
        material: index, or None.
    """

    vertices: Array
    faces: NDArray[np.int64]
    normals: Array | None
    uv: dict[int, Array]
    colors: Array | None
    joints: NDArray[np.int64] | None
    weights: Array | None
    material: int | None


def read_primitive(document: Document, primitive: dict[str, Any], morph_weights: list[float]) -> Primitive | None:
    """A primitive with its morph targets applied; None if it isn't made of triangles.

    Raises:
        InputError: its data is damaged.
        MissingBackendError: it is compressed with Draco, and DracoPy isn't installed.
    """
    mode = document.whole(primitive.get("mode"), _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return None
    draco = document.mapping(primitive.get("extensions")).get(DRACO)
    attributes, indices = _plain(document, primitive) if draco is None else _draco(document, primitive, draco)
    if "POSITION" not in attributes:
        return None
    vertices = attributes["POSITION"].astype(np.float64)
    normals = attributes["NORMAL"].astype(np.float64) if "NORMAL" in attributes else None
    for weight, target in zip(morph_weights, document.list_of(primitive.get("targets")), strict=False):
        if weight:
            moved = document.mapping(target)
            vertices = vertices + weight * _offsets(document, moved.get("POSITION"), vertices)
            if normals is not None:
                normals = normals + weight * _offsets(document, moved.get("NORMAL"), normals)
    faces = _faces(mode, np.arange(len(vertices)) if indices is None else indices)
    if len(faces) and int(faces.max()) >= len(vertices):
        raise document.fault(f"a face has the vertex {int(faces.max())}, and there are {len(vertices):,}")
    for name, values in attributes.items():
        if len(values) != len(vertices):
            raise document.fault(f"{name} has {len(values):,} elements for {len(vertices):,} vertices")
    joints, weights = _skinning(attributes)
    colors = attributes.get("COLOR_0")
    return Primitive(
        vertices,
        faces,
        normals,
        {int(name[9:]): x.astype(np.float64) for name, x in attributes.items() if name.startswith("TEXCOORD_")},
        None if colors is None else normalised(colors)[:, :3].astype(np.float64),
        joints,
        weights,
        primitive.get("material"),
    )


def _plain(document: Document, primitive: dict[str, Any]) -> tuple[dict[str, NDArray], NDArray[np.int64] | None]:
    names = document.mapping(primitive.get("attributes"))
    attributes = {name: read_accessor(document, index) for name, index in names.items() if _known(name)}
    if primitive.get("indices") is None:
        return attributes, None
    return attributes, read_accessor(document, primitive["indices"])[:, 0].astype(np.int64)


def _draco(
    document: Document, primitive: dict[str, Any], draco: Any
) -> tuple[dict[str, NDArray], NDArray[np.int64] | None]:
    """Attributes and indices of a primitive whose data is compressed; others of it may stand beside."""
    decoder = backends.load("DracoPy")
    compressed = document.mapping(draco)
    data, _ = document.view(compressed.get("bufferView"))
    try:
        mesh = decoder.decode(data)
    except Exception as error:
        raise document.fault(f"its Draco data is damaged ({error})") from error
    ids = document.mapping(compressed.get("attributes"))
    attributes: dict[str, NDArray] = {}
    for name, index in document.mapping(primitive.get("attributes")).items():
        if not _known(name):
            continue
        if name not in ids:
            attributes[name] = read_accessor(document, index)
            continue
        found = mesh.get_attribute_by_unique_id(ids[name])
        if found is None:
            raise document.fault(f"its Draco data has no {name}")
        values = np.asarray(found["data"])
        values = values.reshape(len(values), -1)
        is_normalised = document.item("accessors", index).get("normalized") is True
        attributes[name] = normalised(values) if is_normalised else values
    faces = np.asarray(getattr(mesh, "faces", np.zeros((0, 3))), dtype=np.int64)
    return attributes, faces.reshape(-1)


def _known(name: str) -> bool:
    kind, _, number = name.partition("_")
    sets = kind in ("TEXCOORD", "JOINTS", "WEIGHTS") and number.isdecimal() and int(number) < 16
    return name in ("POSITION", "NORMAL", "COLOR_0") or sets


def _offsets(document: Document, accessor: Any, values: Array) -> Array:
    if accessor is None:
        return np.zeros_like(values)
    offsets = read_accessor(document, accessor)
    if offsets.shape != values.shape:
        raise document.fault(f"a morph target moves {len(offsets):,} of {len(values):,} vertices")
    return offsets.astype(np.float64)


def _faces(mode: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """(f, 3), all turning the same way."""
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == _FAN:
        return np.stack([indices[1:-1], indices[2:], np.broadcast_to(indices[0], len(indices) - 2)], axis=1)
    faces = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
    faces[1::2] = faces[1::2][:, [0, 2, 1]]
    return faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]


def _skinning(attributes: dict[str, NDArray]) -> tuple[NDArray[np.int64] | None, Array | None]:
    sets = sorted(name.partition("_")[2] for name in attributes if name.startswith("JOINTS_"))
    sets = [number for number in sets if f"WEIGHTS_{number}" in attributes]
    if not sets:
        return None, None
    joints = np.concatenate([attributes[f"JOINTS_{number}"] for number in sets], axis=1).astype(np.int64)
    weights = np.concatenate([normalised(attributes[f"WEIGHTS_{number}"]) for number in sets], axis=1)
    return joints, weights.astype(np.float64)
