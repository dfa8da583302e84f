"""What is wrong with a mesh, in the vocabulary of the census "3dqa-benchmark" (2026), by definitions of our own.

Vertices at the same place count as one, so seams of textures are no defects.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Triangles, components
from instantmesh.mesh.degenerate import weld
from instantmesh.structures import Mesh

DEFECTS = {
    "not_watertight": "edges of one face only",
    "non_manifold": "edges of more than two faces",
    "inconsistent_normals": "neighbouring faces that disagree about which side is outside",
    "inverted_normals": "the signed volume is negative",
    "floating_debris": "separate pieces of less than 2 % of the faces, or 1 % of the diagonal",
    "uv_missing": "no texture",
    "vertex_color_only": "colours at vertices, but no texture",
    "over_budget": "more than 50,000 faces",
    "unity_mobile": "more than 30,000 faces",
}
CLEANLINESS = tuple(name for name in DEFECTS if name not in ("over_budget", "unity_mobile"))
"""The classes that no number of faces excuses."""

FACE_BUDGET = 50_000
UNITY_MOBILE_FACES = 30_000
_DEBRIS_FACES, _DEBRIS_DIAGONAL = 0.02, 0.01


@dataclass(frozen=True)
class MeshDefects:
    """What the classes are judged by.

    Attributes:
        faces: how many.
        components: how many, of faces that hang together by vertices.
        boundary_edges: of one face only.
        non_manifold_edges: of more than two faces.
        inconsistent_edges: whose two faces disagree about outside.
        signed_volume: world units cubed.
        debris: components that are too small to be meant.
        has_texture: whether the mesh has one.
        has_vertex_colors: whether the mesh has them.
    """

    faces: int
    components: int
    boundary_edges: int
    non_manifold_edges: int
    inconsistent_edges: int
    signed_volume: float
    debris: int
    has_texture: bool
    has_vertex_colors: bool

    def classes(self) -> tuple[str, ...]:
        """The classes of defects that the mesh has, in the order of `DEFECTS`."""
        found = {
            "not_watertight": self.boundary_edges > 0,
            "non_manifold": self.non_manifold_edges > 0,
            "inconsistent_normals": self.inconsistent_edges > 0,
            "inverted_normals": self.signed_volume < 0,
            "floating_debris": self.debris > 0,
            "uv_missing": not self.has_texture,
            "vertex_color_only": self.has_vertex_colors and not self.has_texture,
            "over_budget": self.faces > FACE_BUDGET,
            "unity_mobile": self.faces > UNITY_MOBILE_FACES,
        }
        return tuple(name for name in DEFECTS if found[name])


def mesh_defects(mesh: Mesh) -> MeshDefects:
    """Look for defects.

    Raises:
        InputError: the mesh has no faces.
    """
    triangles = Triangles.of(mesh)
    joined = weld(triangles)
    joined = joined if len(joined.faces) else triangles
    edges = Edges.of(joined.faces)
    component = components(joined.faces, len(joined.vertices))
    return MeshDefects(
        faces=len(triangles.faces),
        components=int(component.max()) + 1,
        boundary_edges=int(edges.is_boundary.sum()),
        non_manifold_edges=int(edges.is_non_manifold.sum()),
        inconsistent_edges=int(edges.is_inconsistent.sum()),
        signed_volume=float(joined.volumes().sum()),
        debris=_debris(joined, component),
        has_texture=mesh.texture is not None,
        has_vertex_colors=mesh.vertex_colors is not None,
    )


def _debris(mesh: Triangles, component: np.ndarray) -> int:
    """How many components have less than 2 % of the faces, or 1 % of the diagonal of the bounding box."""
    count = np.bincount(component)
    low, high = np.full((len(count), 3), np.inf), np.full((len(count), 3), -np.inf)
    corners, owner = mesh.vertices[mesh.faces].reshape(-1, 3), np.repeat(component, 3)
    np.minimum.at(low, owner, corners)
    np.maximum.at(high, owner, corners)
    diagonal = np.linalg.norm(high - low, axis=1)
    whole = np.linalg.norm(high.max(0) - low.min(0))
    return int(((count < _DEBRIS_FACES * count.sum()) | (diagonal < _DEBRIS_DIAGONAL * whole)).sum())
