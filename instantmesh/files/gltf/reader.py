"""The parts of a glTF file: the way from its bytes, through `document`, `primitives`, `scene` and `materials`."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.asset_part import AssetPart, unit_normals
from instantmesh.files.colors import linear_to_srgb
from instantmesh.files.frame import gltf_to_world
from instantmesh.files.gltf.document import Document
from instantmesh.files.gltf.extensions import check_extensions
from instantmesh.files.gltf.materials import BaseColor, Materials
from instantmesh.files.gltf.primitives import Primitive, read_primitive
from instantmesh.files.gltf.scene import PlacedMesh, placed_meshes

_log = logging.getLogger(__name__)

Array = NDArray[np.floating]

_MOST_VERTICES = 1 << 26


def read_gltf(path: Path) -> list[AssetPart]:
    """The triangles of a .glb or .gltf file's scene, in the world frame.

    What is lost (transparency, normal maps, ...) is told as a warning.

    Raises:
        InputError: it isn't glTF 2.0, damaged, or requires an extension that isn't known here.
        MissingBackendError: it is compressed with Draco, and DracoPy isn't installed.
    """
    document = Document(path)
    check_extensions(document)
    materials, lost, parts, count = Materials(document), set[str](), [], 0
    for placed in placed_meshes(document):
        for primitive in _primitives(document, placed):
            if primitive is None:
                lost.add("points and lines")
                continue
            count += len(primitive.vertices) * len(placed.places)
            if count > _MOST_VERTICES:
                raise document.fault(f"it has more than {_MOST_VERTICES:,} vertices")
            base = materials.base_color(primitive.material)
            lost |= base.lost
            parts += _parts(document, primitive, placed, base)
    if document.get("animations"):
        lost.add("animation")
    if lost:
        _log.warning("%s: read without its %s", path, ", ".join(sorted(lost)))
    return parts


def _primitives(document: Document, placed: PlacedMesh) -> Iterator[Primitive | None]:
    mesh = document.item("meshes", placed.mesh)
    for primitive in document.list_of(mesh.get("primitives")):
        yield read_primitive(document, document.mapping(primitive), placed.weights)


def _parts(document: Document, primitive: Primitive, placed: PlacedMesh, base: BaseColor) -> Iterator[AssetPart]:
    """The primitive at each of its places."""
    if not len(primitive.faces):
        return
    uv = primitive.uv.get(base.uv_set)
    texture = base.texture if uv is not None else None
    colors = _colors(primitive, base.factor)
    part = AssetPart(
        primitive.vertices,
        primitive.faces,
        None if uv is None or texture is None else base.place(np.nan_to_num(uv)),
        texture,
        colors,
        primitive.normals,
        base.texture_format,
    )
    if placed.joints is not None and primitive.joints is not None and primitive.weights is not None:
        yield _posed(part, _blended(document, primitive.joints, primitive.weights, placed.joints))
        return
    for place in placed.places:
        moved = _posed(part, place[None])
        yield replace(moved, faces=part.faces[:, ::-1]) if np.linalg.det(place[:3, :3]) < 0 else moved


def _colors(primitive: Primitive, factor: Array | None) -> Array | None:
    """(v, 3) sRGB: the material's colour times that of the vertices; None where nothing is said."""
    if factor is None and primitive.colors is None:
        return None
    linear = np.ones_like(primitive.vertices)
    for one in (factor, primitive.colors):
        linear = linear if one is None else linear * one
    return linear_to_srgb(linear.clip(0, 1))


def _blended(document: Document, joints: NDArray[np.int64], weights: Array, matrices: Array) -> Array:
    """(v, 4, 4): how its joints move each vertex."""
    if len(joints) and int(joints.max()) >= len(matrices):
        raise document.fault(f"a vertex hangs on joint {int(joints.max())} of {len(matrices)}")
    total = weights.sum(1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    shares[total[:, 0] <= 0, 0] = 1.0  # vertices that nothing moves follow their first joint
    blended = np.zeros((len(joints), 4, 4))
    for joint, share in zip(joints.T, shares.T, strict=True):
        blended += share[:, None, None] * matrices[joint]
    return blended


def _posed(part: AssetPart, matrices: Array) -> AssetPart:
    """A part moved by one matrix, or by one for each vertex, into the world frame."""
    linear = matrices[:, :3, :3]
    vertices = (linear @ part.vertices[..., None])[..., 0] + matrices[:, :3, 3]
    normals = part.normals
    if normals is not None:
        turned = (np.linalg.pinv(linear).transpose(0, 2, 1) @ np.nan_to_num(normals)[..., None])[..., 0]
        normals = gltf_to_world(unit_normals(turned))
    return replace(part, vertices=gltf_to_world(vertices), normals=normals)
