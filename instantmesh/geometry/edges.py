"""Edges of triangles: boundary, non-manifold and inconsistent ones.

Shapes: f faces, e edges. Edge 3 i + k is the directed edge of face i from its corner k to the next one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.geometry.triangles import Indices


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of faces.

    Attributes:
        directed: (3f, 2) first and second vertex.
        undirected: (3f,) number of the edge irrespective of its direction, 0..e-1.
        uses: (e,) by how many faces each is used.
        surplus: (e,) how much more often it is used from the lower vertex to the higher than the other way; 0 in a
            closed mesh whose faces agree about outside.
    """

    directed: Indices
    undirected: Indices
    uses: Indices
    surplus: Indices

    @classmethod
    def of(cls, faces: Indices) -> "Edges":
        """The edges of these faces."""
        directed = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        key = directed.min(1) * (int(faces.max(initial=0)) + 1) + directed.max(1)
        _, undirected, uses = np.unique(key, return_inverse=True, return_counts=True)
        sign = np.where(directed[:, 0] < directed[:, 1], 1, -1)
        surplus = np.bincount(undirected, weights=sign, minlength=len(uses)).astype(np.int64)
        return cls(directed, undirected, uses, surplus)

    @property
    def is_boundary(self) -> NDArray[np.bool_]:
        """(e,) which edges one face alone uses."""
        return self.uses == 1

    @property
    def is_non_manifold(self) -> NDArray[np.bool_]:
        """(e,) which edges more than two faces use."""
        return self.uses > 2

    @property
    def is_inconsistent(self) -> NDArray[np.bool_]:
        """(e,) which edges have two faces that disagree about outside."""
        return (self.uses == 2) & (self.surplus != 0)

    def boundary(self) -> Indices:
        """(k, 2) the directed edges that one face alone uses."""
        return self.directed[self.is_boundary[self.undirected]]

    def unbalanced(self) -> Indices:
        """Directed edges (k, 2) that more faces use in this direction than in the other.

        Each once for every such face. They always form closed loops.
        """
        lower_first = self.directed[:, 0] < self.directed[:, 1]
        here = np.where(lower_first, 1, -1) * self.surplus[self.undirected] > 0
        order = np.flatnonzero(here)
        edge = self.undirected[order]
        return self.directed[order[_rank_in_group(edge) < np.abs(self.surplus[edge])]]


def _rank_in_group(group: Indices) -> Indices:
    """(n,) how many earlier elements belong to the same group."""
    order = np.argsort(group, kind="stable")
    start = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1] if len(group) else np.zeros(0, np.int64)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(start, np.diff(np.r_[start, len(group)]))
    return rank
