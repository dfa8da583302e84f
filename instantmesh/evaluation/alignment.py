"""How a reconstruction is brought to its true mesh before distances are taken. Every choice is part of the protocol.

Symbols:
    box frame   where the true mesh fills [-1, 1]^3 by its bounding box; all distances are taken there
    turn        rotation about the up axis z
    tilt        rotation about y, the front camera's right axis, before the turn

Transforms are (4, 4), float64, and map column vectors.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.evaluation.metrics.surface_points import SurfacePoints
from instantmesh.geometry.nearest_points import FollowedNearest, NearestPoints
from instantmesh.structures import Mesh

Array = NDArray[np.floating]

TURN_STEP_DEG = 5
TILTS_DEG = (0.0, -20.0, 20.0)
_SEARCH_POINTS = 2_000
_ICP_ROUNDS = 50
_ICP_TOLERANCE = 1e-6
_AMBIGUOUS_SCORE = 1.02  # of the best
_AMBIGUOUS_TURN_DEG = 30
_SCALE_RANGE = (0.5, 2.0)


class AlignmentMethod(str, Enum):
    """What is done to a reconstruction before it is compared."""

    none = "none"  # it stands in the true mesh's frame
    box = "box"  # each mesh by its own bounding box into [-1, 1]^3 (InstantMesh's protocol)
    turn = "turn"  # box, search over turns, rigid ICP (after TripoSR)
    similarity = "similarity"  # turn, then ICP with scale (after SF3D)
    tilt = "tilt"  # box, search over tilts and turns, rigid ICP: for photos of unknown elevation

    @property
    def sample_count(self) -> int:
        """Points on each surface, as the papers have them."""
        return 16_000 if self in (AlignmentMethod.none, AlignmentMethod.box) else 10_000

    @property
    def description(self) -> str:
        """The method in words, for reports."""
        return _DESCRIPTIONS[self]


_SEARCH = f"every {TURN_STEP_DEG} degrees about the up axis, the box refitted at each, lowest CD of 2,000 points"
_DESCRIPTIONS = {
    AlignmentMethod.none: "none: results stand in the true meshes' frame",
    AlignmentMethod.box: "each mesh by its own bounding box into [-1, 1]^3; nothing is rotated",
    AlignmentMethod.turn: f"box; {_SEARCH}; rigid ICP",
    AlignmentMethod.similarity: f"box; {_SEARCH}; rigid ICP; ICP with scale",
    AlignmentMethod.tilt: f"box; tilts of 0, -20, 20 degrees, and {_SEARCH}; rigid ICP",
}


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where a reconstruction has been brought.

    Attributes:
        to_box_frame: (4, 4) from the reconstruction's frame to the box frame.
        true_to_box_frame: (4, 4) from the true mesh's frame to the box frame.
        turn_deg, tilt_deg: found by the search; 0 without one.
        icp_rounds: of both ICPs together.
        icp_scale: that ICP with scale has found; 1 without.
        ambiguous: another turn, 30 degrees or more away, is within 2 % as good: symmetric objects.
    """

    to_box_frame: Array
    true_to_box_frame: Array
    turn_deg: float = 0.0
    tilt_deg: float = 0.0
    icp_rounds: int = 0
    icp_scale: float = 1.0
    ambiguous: bool = False

    @property
    def failed(self) -> bool:
        """Whether the scale is so far off that the two are hardly the same object."""
        return not _SCALE_RANGE[0] <= self.icp_scale <= _SCALE_RANGE[1]

    @property
    def to_true_frame(self) -> Array:
        """(4, 4) from the reconstruction's frame to the true mesh's."""
        return np.linalg.inv(self.true_to_box_frame) @ self.to_box_frame


def align(
    predicted: Mesh, true: Mesh, points: SurfacePoints, true_points: SurfacePoints, method: AlignmentMethod
) -> Alignment:
    """Bring a reconstruction to its true mesh.

    Args:
        predicted: the reconstruction.
        true: the true mesh.
        points: on `predicted`, in its own frame.
        true_points: on `true`, in its own frame.
        method: how.

    Raises:
        InputError: one of the meshes has no surface.
    """
    true_to_box = box_transform(surface_vertices(true))
    if method is AlignmentMethod.none:
        return Alignment(true_to_box, true_to_box)
    vertices = surface_vertices(predicted)
    if method is AlignmentMethod.box:
        return Alignment(box_transform(vertices), true_to_box)
    target = true_points.moved(true_to_box).points
    tilts = TILTS_DEG if method is AlignmentMethod.tilt else TILTS_DEG[:1]
    found = _search(vertices, points.points[:_SEARCH_POINTS], target[:_SEARCH_POINTS], tilts)
    refined, rounds = icp(apply(found.transform, points.points), target)
    transform = refined @ found.transform
    scale = 1.0
    if method is AlignmentMethod.similarity:
        refined, more = icp(apply(transform, points.points), target, with_scale=True)
        transform, rounds = refined @ transform, rounds + more
        scale = float(np.cbrt(np.linalg.det(refined[:3, :3])))
    return Alignment(transform, true_to_box, found.turn_deg, found.tilt_deg, rounds, scale, found.ambiguous)


def surface_vertices(mesh: Mesh) -> Array:
    """(n, 3) the vertices that faces use.

    Raises:
        InputError: there are none, or they aren't finite.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no faces, so it has no surface to measure")
    return mesh.vertices.detach().cpu().double().numpy()[np.unique(mesh.faces.cpu().numpy())]


def box_transform(vertices: Array) -> Array:
    """(4, 4) that moves the bounding box's centre to the origin and scales its longest side to 2.

    Raises:
        InputError: all vertices lie in one point.
    """
    return _from_box(vertices.min(0), vertices.max(0))


def apply(transform: Array, points: Array) -> Array:
    """Points (n, 3) moved by a transform."""
    return points @ transform[:3, :3].T + transform[:3, 3]


def icp(points: Array, target: Array, *, with_scale: bool = False) -> tuple[Array, int]:
    """Iterative closest points with pairs of both directions (Besl and McKay, 1992).

    A round pairs each point with the nearest of the target and each of the target with the nearest point; both kinds
    have half of the weight. It stops after 50 rounds, or when the mean squared distance falls by less than a millionth;
    then the pose before that round is kept.

    Args:
        points: (n, 3) to be moved.
        target: (m, 3) where to.
        with_scale: find a similarity rather than a rigid motion.

    Returns:
        (4, 4) the transform, and the rounds taken.
    """
    to_points, to_target = FollowedNearest(points), FollowedNearest(target)
    weights = np.concatenate([np.full(len(points), 0.5 / len(points)), np.full(len(target), 0.5 / len(target))])
    pose, former, error_before = np.eye(4), np.eye(4), np.inf
    for rounds in range(_ICP_ROUNDS):
        moved = apply(pose, points)
        start = np.concatenate([moved, moved[to_points(apply(np.linalg.inv(pose), target))]])
        end = np.concatenate([target[to_target(moved)], target])
        error = float(weights @ np.square(start - end).sum(1))
        if rounds and error_before - error <= _ICP_TOLERANCE * error_before:
            return former, rounds
        former, error_before = pose, error
        pose = best_transform(start, end, weights, with_scale=with_scale) @ pose
    return pose, _ICP_ROUNDS


def best_transform(start: Array, end: Array, weights: Array, *, with_scale: bool = False) -> Array:
    """(4, 4) rigid motion (Kabsch, 1976), or similarity (Umeyama, 1991), that brings `start` nearest to `end`.

    Args:
        start: (n, 3).
        end: (n, 3).
        weights: (n,) of the squared distances, sum 1.
        with_scale: whether a scale is looked for.
    """
    centre, end_centre = weights @ start, weights @ end
    centred = start - centre
    u, singular, vt = np.linalg.svd((end - end_centre).T @ (centred * weights[:, None]))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    linear = (u * signs) @ vt
    if with_scale:
        linear = linear * float(singular @ signs / (weights @ np.square(centred).sum(1)))
    return _transform(linear, end_centre - linear @ centre)


@dataclass(frozen=True, eq=False)
class _Found:
    transform: Array
    turn_deg: float
    tilt_deg: float
    ambiguous: bool


def _search(vertices: Array, points: Array, target: Array, tilts_deg: tuple[float, ...]) -> _Found:
    """The tilt and turn with the lowest Chamfer distance; the box is fitted to the rotated mesh each time."""
    to_target, to_points = NearestPoints(target), NearestPoints(points)
    hull = _extreme_vertices(vertices)
    turns = np.arange(0, 360, TURN_STEP_DEG)
    transforms, scores = [], []
    for tilt in tilts_deg:
        for turn in turns:
            rotation = _rotation(float(turn), tilt)
            rotated = hull @ rotation.T
            transform = _from_box(rotated.min(0), rotated.max(0)) @ _transform(rotation, np.zeros(3))
            inverse = np.linalg.inv(transform)
            scale = np.cbrt(np.linalg.det(transform[:3, :3]))
            there, _ = to_target(apply(transform, points))
            back, _ = to_points(apply(inverse, target))  # the same distances, shrunk: one tree serves all turns
            transforms.append(transform)
            scores.append((there.mean() + scale * back.mean()) / 2)
    best = int(np.argmin(scores))  # the first of equals
    turn_deg = float(turns[best % len(turns)])
    of_tilt = np.array(scores).reshape(len(tilts_deg), len(turns))[best // len(turns)]
    away = np.abs((turns - turn_deg + 180) % 360 - 180) >= _AMBIGUOUS_TURN_DEG
    ambiguous = bool((of_tilt[away] <= _AMBIGUOUS_SCORE * scores[best]).any())
    return _Found(transforms[best], turn_deg, tilts_deg[best // len(turns)], ambiguous)


def _extreme_vertices(vertices: Array) -> Array:
    """The corners of the convex hull, which alone decide bounding boxes; all vertices if they lie in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return vertices[ConvexHull(vertices).vertices]
    except (QhullError, ValueError):
        return vertices


def _rotation(turn_deg: float, tilt_deg: float) -> Array:
    (cos, sin), (cos_t, sin_t) = ((np.cos(a), np.sin(a)) for a in np.deg2rad([turn_deg, tilt_deg]))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    tilt = np.array([[cos_t, 0, sin_t], [0, 1.0, 0], [-sin_t, 0, cos_t]])
    return turn @ tilt


def _from_box(low: Array, high: Array) -> Array:
    half_side = float((high - low).max()) / 2
    if not half_side > 0:
        raise InputError("all vertices of the mesh lie in one point")
    return _transform(np.eye(3) / half_side, -(low + high) / 2 / half_side)


def _transform(linear: Array, shift: Array) -> Array:
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = linear, shift
    return transform
