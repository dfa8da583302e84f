"""Fewer faces: quadric error simplification with its error measured, and a floor under what is lost.

Source: Garland and Heckbert (1997), as the package fast-simplification has it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.geometry.distances import f_score, nearest_distances
from instantmesh.geometry.nearest import NearestSurface
from instantmesh.geometry.sampling import sample_surface
from instantmesh.geometry.triangles import Array, Triangles
from instantmesh.mesh.degenerate import remove_degenerate, remove_folded
from instantmesh.structures import ColorField, Mesh

F_SCORE_FLOOR = 0.99
_MARGIN = 0.002  # other points of the same two surfaces give an F-score that differs by about this
_F_SCORE_DISTANCE = 0.1
_SAMPLES = 16_000
_TRIALS = 6
_POINTS_PER_CHUNK = 32_768
_STUCK = 1.5
_TOLERANCES = np.geomspace(1e-5, 1e-2, 7)  # of the mesh's extent


@dataclass(frozen=True)
class SimplifyReport:
    """What simplification did.

    Attributes:
        faces_before, faces_after: how many there were and are.
        target_faces: how many were asked for.
        max_error, mean_error: distances from 16,000 points of the simplified surface to the original one, world units.
        f_score_01: F-score at distance 0.1 between the two, each filling [-1, 1]^3; in [0, 1].
        floor_reached: whether fewer faces were possible but would have taken the F-score below 0.99.
    """

    faces_before: int
    faces_after: int
    target_faces: int
    max_error: float
    mean_error: float
    f_score_01: float
    floor_reached: bool

    @property
    def stuck(self) -> bool:
        """Whether the mesh kept far more faces than were asked for, though they aren't needed for its shape."""
        return not self.floor_reached and self.faces_after > max(_STUCK * self.target_faces, 16)

    def __str__(self) -> str:
        if self.faces_before <= self.target_faces:
            return f"simplified: nothing to do, {self.faces_after:,} faces"
        if self.stuck:
            return (
                f"simplified: {self.faces_before:,} faces to {self.faces_after:,}, and not to {self.target_faces:,}:"
                " nearly all of its edges are borders, or its faces are slivers"
            )
        floor = f"; {self.target_faces:,} would fall below F-score {F_SCORE_FLOOR}" if self.floor_reached else ""
        return (
            f"simplified: {self.faces_before:,} faces to {self.faces_after:,}, off by {self.mean_error:.2g} on average"
            f" and {self.max_error:.2g} at most, F-score {self.f_score_01:.3f}{floor}"
        )


def simplify(
    mesh: Mesh, target_faces: int, *, color_field: ColorField | None = None, allow_quality_loss: bool = False
) -> tuple[Mesh, SimplifyReport]:
    """The mesh with about `target_faces` faces, the shape kept as well as that many can.

    Args:
        mesh: any mesh; clean it first.
        target_faces: how many faces are wanted, 4 or more. A mesh that has no more stays as it is.
        color_field: gives the new vertices' colours, at the original surface's nearest points; without one they are the
            original mesh's there.
        allow_quality_loss: go to `target_faces` even if the F-score at 0.1 against the original mesh falls below 0.99.
            By default simplification stops there.

    Raises:
        InputError: fewer than 4 faces are wanted, or the mesh has no face with an area.

    Example:
        >>> small, report = instantmesh.simplify(mesh, 4000)
    """
    check_target(target_faces)
    full = Triangles.of(mesh)
    if not full.areas().sum() > 0:
        raise InputError("the mesh has no face with an area")
    if len(full.faces) <= target_faces:
        return mesh, SimplifyReport(len(full.faces), len(full.faces), target_faces, 0.0, 0.0, 1.0, False)
    comparison = _Comparison(full)
    small, floor_reached = _decimated(full, target_faces), False
    if not allow_quality_loss and comparison.f_score(small) < F_SCORE_FLOOR + _MARGIN:
        small, floor_reached = _fewest_above_floor(full, target_faces, comparison), True
    distances = comparison.distances(small)
    report = SimplifyReport(
        faces_before=len(full.faces),
        faces_after=len(small.faces),
        target_faces=target_faces,
        max_error=float(distances.max()),
        mean_error=float(distances.mean()),
        f_score_01=comparison.f_score(small),
        floor_reached=floor_reached,
    )
    return comparison.colored(small, mesh, color_field), report


def check_target(target_faces: int) -> None:
    """Raises InputError where `target_faces` is less than 4."""
    if target_faces < 4:
        raise InputError(f"the smallest closed mesh has 4 faces, got target_faces={target_faces}")


class _Comparison:
    """Of simplified meshes with the full one."""

    def __init__(self, full: Triangles) -> None:
        self._full, self._surface = full, NearestSurface(full)
        self._points = _spread(full, seed=0)

    def distances(self, small: Triangles) -> Array:
        """(16,000,) from points of the small mesh to the full one, world units."""
        return self._surface(_sample(small, seed=2).numpy()).distances

    def f_score(self, small: Triangles) -> float:
        """At distance 0.1, each mesh filling [-1, 1]^3, 16,000 points on each."""
        return f_score(*nearest_distances(_spread(small, seed=1), self._points), _F_SCORE_DISTANCE)

    def colored(self, small: Triangles, like: Mesh, field: ColorField | None) -> Mesh:
        """The small mesh with colours from the field, or from the full mesh where it has any."""
        colors = None
        if field is not None or self._full.colors is not None:
            nearest = self._surface(small.vertices)
            colors = self._surface.colors(nearest) if field is None else _read(field, nearest.points, like)
        return Triangles(small.vertices, small.faces, colors).to_mesh(like)


def _sample(mesh: Triangles, seed: int) -> Tensor:
    """(16,000, 3) points of the surface, uniform by area."""
    generator = torch.Generator().manual_seed(seed)
    return sample_surface(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), _SAMPLES, generator)


def _spread(mesh: Triangles, seed: int) -> Tensor:
    """`_sample`, with the surface's bounding box moved and scaled into [-1, 1]^3."""
    bounds = mesh.bounds()
    return (_sample(mesh, seed) - torch.from_numpy(bounds.center)) / (bounds.longest_side / 2)


def _read(field: ColorField, points: Array, like: Mesh) -> Array:
    places = torch.from_numpy(points).to(like.vertices.device, like.vertices.dtype)
    with torch.no_grad():
        return torch.cat([field(chunk) for chunk in places.split(_POINTS_PER_CHUNK)]).double().cpu().numpy().clip(0, 1)


def _decimated(full: Triangles, target: int) -> Triangles:
    """Simplified to about `target` faces, without colours."""
    import fast_simplification

    # its thresholds are absolute numbers, made for objects of about this size
    centre, size = full.vertices[full.faces.ravel()].mean(0), full.extent()
    points, faces = fast_simplification.simplify(
        (full.vertices - centre) / size, full.faces.astype(np.int32), target_count=target
    )[:2]
    if len(faces) > _STUCK * target and (solid := _merged_slivers(full, target)) is not None:
        return solid
    small = Triangles(points.astype(np.float64) * size + centre, faces.astype(np.int64))
    small = remove_degenerate(remove_folded(small)).compact()
    if not len(small.faces):  # folded up altogether
        return _decimated(full, 2 * target) if 2 * target < len(full.faces) else full
    return small


def _merged_slivers(full: Triangles, target: int) -> Triangles | None:
    """Simplified by manifold3d, which merges slivers too; None if it isn't a solid or remains too fine.

    Quadric simplification never collapses an edge of a face with an angle of less than some 2 degrees.
    """
    import manifold3d

    mesh = manifold3d.Mesh(np.ascontiguousarray(full.vertices, np.float32), full.faces.astype(np.uint32))
    solid = manifold3d.Manifold(mesh)
    if solid.status() != manifold3d.Error.NoError:
        return None
    for tolerance in _TOLERANCES:
        small = solid.simplify(float(tolerance * full.extent()))
        if 0 < small.num_tri() <= target:
            found = small.to_mesh()
            vertices = np.asarray(found.vert_properties)[:, :3].astype(np.float64)
            return Triangles(vertices, np.asarray(found.tri_verts).astype(np.int64)).compact()
    return None


def _fewest_above_floor(full: Triangles, target: int, comparison: _Comparison) -> Triangles:
    """The smallest mesh between `target` and all faces that keeps the F-score; found by halving on a log scale."""
    low, high, best = float(target), float(len(full.faces)), full
    for _ in range(_TRIALS):
        middle = (low * high) ** 0.5
        trial = _decimated(full, int(middle))
        if comparison.f_score(trial) < F_SCORE_FLOOR + _MARGIN:
            low = middle
        else:
            high, best = middle, trial
    return best
