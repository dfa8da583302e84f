"""Shells that can be printed: closed, every edge between two faces, overlapping parts united."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from instantmesh.errors import InputError
from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Triangles, components, unit
from instantmesh.mesh.degenerate import remove_degenerate, remove_duplicates, weld
from instantmesh.mesh.holes import close_loops, rim_loops
from instantmesh.mesh.report_text import joined, number
from instantmesh.mesh.winding import orient, turn_outward
from instantmesh.structures import Mesh

_GAP = 1e-5  # between sheets that touch, in terms of the mesh's longest side: a hundred times float32's rounding


@dataclass(frozen=True)
class WatertightReport:
    """What making a mesh watertight did.

    Attributes:
        closed_holes: how many holes, of any size, were closed.
        solid_parts: how many there were before overlapping ones were united.
        filled_cavities: how many closed spaces inside were filled.
        volume: of the solid, world units cubed.
    """

    closed_holes: int
    solid_parts: int
    filled_cavities: int
    volume: float

    def __str__(self) -> str:
        done = [
            (self.closed_holes, f"{number(self.closed_holes, 'hole')} closed"),
            (self.solid_parts > 1, f"{self.solid_parts} parts, united where they overlap"),
            (self.filled_cavities, f"{number(self.filled_cavities, 'cavity', 'cavities')} filled"),
            (True, f"volume {self.volume:.4g}"),
        ]
        return "watertight: " + joined([text for told, text in done if told])


def make_watertight(mesh: Mesh) -> tuple[Mesh, WatertightReport]:
    """The solid that the mesh encloses, for printing: each edge lies between exactly two faces, and it has a volume.

    All holes are closed, whatever their size, by fans; parts that overlap become one, cavities are filled, colours go
    along. Where sheets touch in a line or a point they are drawn apart by 1e-5 of the mesh's longest side. Parts of a
    single component that cut through each other stay so.

    Raises:
        InputError: the mesh encloses nothing, as a sheet does; or its faces hang together in a way that manifold3d
            refuses (of soups of random triangles 4 % are like that).

    Example:
        >>> solid, report = instantmesh.make_watertight(mesh)
    """
    triangles = remove_degenerate(remove_duplicates(weld(Triangles.of(mesh)).compact()))
    if not len(triangles.faces):
        raise InputError("the mesh has no face with an area")
    triangles = orient(triangles)
    loops = rim_loops(Edges.of(triangles.faces).unbalanced())
    closed = close_loops(triangles, loops)
    component = components(closed.faces, len(closed.vertices))
    closed = turn_outward(closed, component)
    parts = [closed.keep(component == label).compact() for label in range(component.max() + 1)]
    volumes = [float(part.volumes().sum()) for part in parts]
    solids = [_solid(part) for part, volume in zip(parts, volumes, strict=True) if volume > 0]
    solid = _united([each for each in solids if not each.is_empty()])
    if solid is None or not solid.volume() > 0:
        raise InputError("the mesh encloses no volume, so it can't be made a solid")
    report = WatertightReport(len(loops), len(solids), sum(volume < 0 for volume in volumes), solid.volume())
    return _drawn_apart(_triangles(solid, mesh)).to_mesh(mesh), report


def _solid(part: Triangles) -> Any:
    """A closed component as manifold3d has it; its vertices carry their colours."""
    import manifold3d

    properties = part.vertices if part.colors is None else np.concatenate([part.vertices, part.colors], 1)
    solid = manifold3d.Manifold(
        manifold3d.Mesh(np.ascontiguousarray(properties, np.float32), part.faces.astype(np.uint32))
    )
    if solid.status() != manifold3d.Error.NoError:
        raise InputError(f"the mesh can't be made a solid: manifold3d says {solid.status().name}")
    return solid


def _drawn_apart(mesh: Triangles) -> Triangles:
    """Vertices that share a place with another one move inward; else programs that read the file would join them."""
    _, group, count = np.unique(mesh.vertices, axis=0, return_inverse=True, return_counts=True)
    touching = count[group.ravel()] > 1
    if not touching.any():
        return mesh
    normals = np.zeros_like(mesh.vertices)
    for corner in mesh.faces.T:
        np.add.at(normals, corner, mesh.area_vectors())
    inward = -_GAP * mesh.extent() * unit(normals)
    return replace(mesh, vertices=mesh.vertices + np.where(touching[:, None], inward, 0))


def _united(solids: Sequence[Any]) -> Any:
    import manifold3d

    if len(solids) < 2:
        return solids[0] if solids else None
    return manifold3d.Manifold.batch_boolean(list(solids), manifold3d.OpType.Add)


def _triangles(solid: Any, like: Mesh) -> Triangles:
    """The solid's surface. Vertices that manifold3d has several times, for the sake of their colours, are one again."""
    mesh = solid.to_mesh()
    properties = np.asarray(mesh.vert_properties, np.float64)
    target = np.arange(len(properties))
    target[mesh.merge_from_vert] = mesh.merge_to_vert
    colors = None if like.vertex_colors is None else properties[:, 3:6]
    return Triangles(properties[:, :3], mesh.tri_verts.astype(np.int64), colors).merge(target).compact()
