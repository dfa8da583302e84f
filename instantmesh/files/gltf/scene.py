"""Where the meshes of a glTF scene stand: nodes, instances and skins, in the pose that viewers show at first.

Source: the glTF 2.0 specification, sections 3.5 ("Scenes") and 3.7.3 ("Skins"); EXT_mesh_gpu_instancing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.gltf.accessors import normalised, read_accessor
from instantmesh.files.gltf.document import Document
from instantmesh.files.gltf.extensions import INSTANCES

Array = NDArray[np.floating]

_MOST_INSTANCES = 100_000


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh in the scene.

    Attributes:
        mesh: its index.
        places: (i, 4, 4), one for each instance.
        joints: (j, 4, 4) from the mesh's frame to the scene's, as each joint of its skin moves it; None without.
        weights: of its morph targets.
    """

    mesh: int
    places: Array
    joints: Array | None
    weights: list[float]


def placed_meshes(document: Document) -> Iterator[PlacedMesh]:
    """The meshes of the default scene, or of all root nodes where there is none.

    Raises:
        InputError: a node that there isn't, or that is its own ancestor.
    """
    places = _places(document)
    for index, place in places.items():
        node = document.item("nodes", index)
        if node.get("mesh") is None:
            continue
        mesh = document.whole(node["mesh"])
        weights = node.get("weights", document.item("meshes", mesh).get("weights"))
        joints = None
        if node.get("skin") is not None:
            joints = _joints(document, node["skin"], places)
        yield PlacedMesh(
            mesh,
            _instances(document, node, place),
            joints,
            document.numbers(weights, len(document.list_of(weights)), []),
        )


def _places(document: Document) -> dict[int, Array]:
    """(4, 4) from each node of the scene to the scene."""
    nodes = document.list_of(document.get("nodes"))
    if document.list_of(document.get("scenes")):
        scene = document.item("scenes", document.whole(document.get("scene"), 0))
        roots = document.list_of(scene.get("nodes"))
    else:
        children = {c for i in range(len(nodes)) for c in document.list_of(document.item("nodes", i).get("children"))}
        roots = [index for index in range(len(nodes)) if index not in children]
    places: dict[int, Array] = {}
    todo = [(index, np.eye(4)) for index in roots]
    while todo:
        index, parent = todo.pop()
        node = document.item("nodes", index)
        if index in places:
            raise document.fault(f"nodes[{index}] has two parents, or is its own ancestor")
        places[index] = parent @ _matrix(document, node)
        todo += [(child, places[index]) for child in document.list_of(node.get("children"))]
    return dict(sorted(places.items()))


def _matrix(document: Document, node: dict[str, Any]) -> Array:
    if node.get("matrix") is not None:
        return np.array(document.numbers(node["matrix"], 16, [])).reshape(4, 4).T
    translation = document.numbers(node.get("translation"), 3, [0.0] * 3)
    rotation = document.numbers(node.get("rotation"), 4, [0.0, 0.0, 0.0, 1.0])
    scale = document.numbers(node.get("scale"), 3, [1.0] * 3)
    return _composed(np.array([translation]), np.array([rotation]), np.array([scale]))[0]


def _composed(translation: Array, rotation: Array, scale: Array) -> Array:
    """(i, 4, 4) of translations (i, 3), quaternions (i, 4) as x, y, z, w, and scales (i, 3)."""
    x, y, z, w = (rotation / np.maximum(np.linalg.norm(rotation, axis=1, keepdims=True), 1e-30)).T
    matrices = np.tile(np.eye(4), (len(translation), 1, 1))
    matrices[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1)
    matrices[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1)
    matrices[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1)
    matrices[:, :3, :3] *= scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def _instances(document: Document, node: dict[str, Any], place: Array) -> Array:
    extension = document.mapping(node.get("extensions")).get(INSTANCES)
    if extension is None:
        return place[None]
    given = document.mapping(document.mapping(extension).get("attributes"))
    found = {name: normalised(read_accessor(document, index)) for name, index in given.items()}
    counts = {len(values) for values in found.values()}
    if len(counts) != 1 or max(counts) > _MOST_INSTANCES:
        raise document.fault(f"a node has {sorted(counts)} instances")
    count = counts.pop()
    translation = found.get("TRANSLATION", np.zeros((count, 3)))
    rotation = found.get("ROTATION", np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)))
    scale = found.get("SCALE", np.ones((count, 3)))
    return place @ _composed(*(x.astype(np.float64) for x in (translation, rotation, scale)))


def _joints(document: Document, index: Any, places: dict[int, Array]) -> Array:
    """The matrices of a skin's joints. The skinned node's own place has no part in them."""
    skin = document.item("skins", index)
    joints = document.list_of(skin.get("joints"))
    if skin.get("inverseBindMatrices") is None:
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
    else:
        found = read_accessor(document, skin["inverseBindMatrices"]).astype(np.float64)
        if found.shape[1] != 16 or len(found) < len(joints):
            raise document.fault(f"skins[{index}] has matrices of {len(found)} of its {len(joints)} joints")
        inverse = found[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
    missing = [joint for joint in joints if joint not in places]
    if missing or not joints:
        raise document.fault(f"skins[{index}] has joints that aren't in the scene: {missing[:3]}")
    return np.stack([places[joint] for joint in joints]) @ inverse
