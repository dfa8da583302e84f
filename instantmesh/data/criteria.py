"""The criteria by which InstantMesh's authors dropped four fifths of Objaverse, each as a pure function.

A criterion answers with the reason for which an object is dropped, or with None.

"Several separate objects" is meant here as an image would show it. Assets are made of many pieces that share no
vertices (a chair's seat and legs, a cup and its handle), so connectedness alone says nothing. Pieces whose bounding
boxes are less than 2 % of the asset's longest side apart belong together: boxes never lie farther apart than what is
in them, so pieces that touch, pierce or enclose each other are never parted. Groups of pieces that are shorter than a
tenth of the asset's longest side are crumbs, not objects. An asset with two or more groups left has several objects. In
doubt (things in each other's boxes, or on a common floor) an asset stays.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from instantmesh.files.asset_files import AssetPart
from instantmesh.structures import Cameras

Array = NDArray[np.floating]

MIN_COVERAGE = 0.1
GAP = 0.02  # of the asset's longest side
CRUMB = 0.1
_LOW_POLY = re.compile(r"lowpoly|(?<![a-z])low[^a-z0-9]+poly")


def without_texture(parts: Sequence[AssetPart]) -> str | None:
    """An asset none of whose parts has a base colour texture and coordinates for it. Vertex colours are no texture."""
    return None if any(part.texture is not None for part in parts) else "no texture map"


def too_small(masks: Float[Tensor, "n 1 s s"], cameras: Cameras) -> str | None:
    """An object that covers less than a tenth of the image in any of its views.

    The image is one that a ball of radius 1 just fills, so that the verdict doesn't depend on how far away the
    cameras stood: from 3.0 to 4.2, with a field of view of 50 degrees, even that ball covers only 20 to 40 %.
    """
    distance = cameras.camera_to_world[:, :3, 3].norm(dim=1)
    focal = cameras.intrinsics[:, 0, 0] * cameras.intrinsics[:, 1, 1]
    coverage = masks.mean(dim=(1, 2, 3)) * distance**2 / (4 * focal)  # the whole image's area at that distance, by 4
    view = int(coverage.argmin())
    return f"covers {float(coverage[view]):.1%} in view {view}" if float(coverage[view]) < MIN_COVERAGE else None


def several_objects(parts: Sequence[AssetPart]) -> str | None:
    """An asset of several separate objects; see the top of the module for what that means."""
    low, high = _piece_boxes(parts)
    side = float((high.max(0) - low.min(0)).max())
    groups = _groups(low - GAP * side / 2, high + GAP * side / 2)
    sides = [(high[group].max(0) - low[group].min(0)).max() for group in groups]
    count = sum(float(length) >= CRUMB * side for length in sides)
    return f"{count} separate objects" if count > 1 else None


def without_caption(name: str, captions: Mapping[str, str]) -> str | None:
    """An object that Cap3D doesn't describe."""
    return None if captions.get(name, "").strip() else "no caption"


def low_quality(name: str, metadata: Mapping[str, Mapping[str, Any]]) -> str | None:
    """An object whose tags, name or description say "lowpoly", in any spelling: low-poly, Low Poly, low_poly.

    Args:
        name: of the object.
        metadata: Objaverse's annotations; an object that isn't in them passes.
    """
    about = metadata.get(name, {})
    texts = [("tag", tag if isinstance(tag, str) else tag.get("name")) for tag in about.get("tags") or []]
    texts += [(key, about.get(key)) for key in ("name", "description")]
    for kind, text in texts:
        if text and (found := _LOW_POLY.search(text.lower())):
            return f'low quality: its {kind} says "{found.group()}"'
    return None


def _piece_boxes(parts: Sequence[AssetPart]) -> tuple[Array, Array]:
    """Lower and upper corners (p, 3) of the bounding boxes of the pieces: triangles that share a corner's position."""
    corners = np.concatenate([part.vertices[part.faces] for part in parts]).reshape(-1, 3)
    _, place = np.unique(corners.astype(np.float32), axis=0, return_inverse=True)
    faces = place.reshape(-1, 3)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]]).T
    graph = coo_matrix((np.ones(edges.shape[1], bool), tuple(edges)), shape=(place.max() + 1,) * 2)
    count, piece_of_place = connected_components(graph, directed=False)
    piece = piece_of_place[faces].ravel()
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, piece, corners)
    np.maximum.at(high, piece, corners)
    return low, high


def _groups(low: Array, high: Array) -> list[NDArray[np.int64]]:
    """Indices of boxes that overlap, directly or through others."""
    rest = np.argsort(-(high - low).max(1), kind="stable")  # large boxes first: they gather the most
    lows, highs = low[rest].T.copy(), high[rest].T.copy()  # (3, r): of those that are in no group yet
    groups = []
    while len(rest):
        group, todo = [int(rest[0])], [int(rest[0])]
        rest, lows, highs = rest[1:], lows[:, 1:], highs[:, 1:]
        while todo and len(rest):
            box = todo.pop()
            apart = (lows > high[box, :, None]) | (highs < low[box, :, None])
            far = apart[0] | apart[1] | apart[2]
            if not far.all():
                found = rest[~far].tolist()
                rest, lows, highs = rest[far], lows[:, far], highs[:, far]
                group += found
                todo += found
        groups.append(np.array(group))
    return groups
