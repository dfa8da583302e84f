"""What a mesh is, in numbers and words."""

import json
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.asset_files import AssetPart, joined_triangles, read_asset
from instantmesh.geometry.bounds import Bounds
from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Indices, Triangles, components
from instantmesh.mesh.degenerate import degenerate, remove_duplicates, weld
from instantmesh.mesh.holes import rim_loops
from instantmesh.mesh.reading import face_uv, has_vertex_colors
from instantmesh.mesh.report_text import number
from instantmesh.mesh.uv_layout import UvLayout, uv_layout
from instantmesh.structures import Mesh

_SIDES = ("-x", "+x", "-y", "+y", "-z", "+z")
_CUT = 0.02  # a rim this near to a side of the bounding box, in terms of its longest side, is a cut
_MANY_FACES = 100_000
_OVERLAP = 0.01  # less is what sampling can't tell from none


@dataclass(frozen=True)
class MeshReport:
    """What a mesh is. Vertices at exactly the same place count as one wherever edges and components are concerned.

    Attributes:
        faces, vertices: how many the mesh has.
        components: of faces that hang together by vertices.
        watertight: every edge lies between two faces that agree about outside.
        euler_number: vertices - edges + faces; 2 for a sphere, 0 for a torus, summed over components.
        degenerate_faces: without area.
        duplicate_faces: with the same vertices as another one.
        boundary_edges: of one face only.
        non_manifold_edges: of more than two faces.
        inconsistent_edges: whose two faces disagree about outside.
        bounding_box: lowest and highest corner, world units.
        area: world units squared.
        volume: cubed, negative if faces face inward; None unless watertight.
        colors: "vertex colours", "texture 1024 x 1024" or "none".
        texture_coverage: share of the texture's texels that faces lie on; of several textures, of all their texels.
            None without.
        texture_overlap: share of the faces' area in it that is surplus: 0 where no two faces share a place, 0.5 where
            all of it is used twice.
        warnings: what a user should know, in words.
    """

    faces: int
    vertices: int
    components: int
    watertight: bool
    euler_number: int
    degenerate_faces: int
    duplicate_faces: int
    boundary_edges: int
    non_manifold_edges: int
    inconsistent_edges: int
    bounding_box: tuple[tuple[float, float, float], tuple[float, float, float]]
    area: float
    volume: float | None
    colors: str
    texture_coverage: float | None
    texture_overlap: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """All attributes as a JSON object."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        low, high = self.bounding_box
        size = " x ".join(f"{b - a:.4g}" for a, b in zip(low, high, strict=True))
        rows = {
            "faces": f"{self.faces:,}",
            "vertices": f"{self.vertices:,}",
            "components": f"{self.components:,}",
            "watertight": "yes" if self.watertight else "no",
            "euler number": str(self.euler_number),
            "degenerate faces": f"{self.degenerate_faces:,}",
            "duplicate faces": f"{self.duplicate_faces:,}",
            "boundary edges": f"{self.boundary_edges:,}",
            "non-manifold edges": f"{self.non_manifold_edges:,}",
            "inconsistent edges": f"{self.inconsistent_edges:,}",
            "bounding box": f"{size} (front x, left y, up z), from {_point(low)} to {_point(high)}",
            "area": f"{self.area:.4g}",
            "volume": "-" if self.volume is None else f"{self.volume:.4g}",
            "colours": self.colors,
        }
        if self.texture_coverage is not None and self.texture_overlap is not None:
            rows["texture used"] = f"{self.texture_coverage:.1%}, overlapping by {self.texture_overlap:.1%}"
        width = max(len(name) for name in rows) + 2
        lines = [f"{name:<{width}}{value}" for name, value in rows.items()]
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


def mesh_report(mesh: Mesh) -> MeshReport:
    """What this mesh is; `instantmesh.report` also looks at the views that it was made of.

    Raises:
        InputError: it has no faces.
    """
    if mesh.texture is None:
        return _report(Triangles.of(mesh), "none" if mesh.vertex_colors is None else "vertex colours", None)
    height, width = mesh.texture.image.shape[1:]
    layout = uv_layout(mesh.texture.uv.detach().cpu().numpy())
    return _report(Triangles.of(mesh), f"texture {width} x {height}", layout)


def report_file(path: str | PathLike[str]) -> MeshReport:
    """What the mesh in a file is (.glb, .gltf, .obj, .ply, .stl, .off, .usdz).

    All its parts together, in the world frame.

    Raises:
        MissingFileError: no such file.
        InputError: it can't be read or holds no triangles.
        MissingBackendError: USDZ without usd-core.
    """
    parts = read_asset(path)
    vertices, faces = joined_triangles(parts)
    return _report(Triangles(vertices.astype(np.float64), faces), _colors(parts), _layout(parts))


def _report(mesh: Triangles, colors: str, layout: UvLayout | None) -> MeshReport:
    joined = _joined(mesh)
    edges = Edges.of(joined.faces)
    bounds = mesh.bounds()
    numbers: dict[str, Any] = {
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "components": int(components(joined.faces, len(joined.vertices)).max()) + 1,
        "watertight": bool((edges.uses == 2).all() and (edges.surplus == 0).all()),
        "euler_number": len(np.unique(joined.faces)) - len(edges.uses) + len(joined.faces),
        "degenerate_faces": int(degenerate(mesh).sum()),
        "duplicate_faces": len(joined.faces) - len(remove_duplicates(joined).faces),
        "boundary_edges": int(edges.is_boundary.sum()),
        "non_manifold_edges": int(edges.is_non_manifold.sum()),
        "inconsistent_edges": int(edges.is_inconsistent.sum()),
        "texture_coverage": None if layout is None else layout.coverage,
        "texture_overlap": None if layout is None else layout.overlap,
    }
    volume = float(joined.volumes().sum()) if numbers["watertight"] else None
    return MeshReport(
        **numbers,
        bounding_box=(tuple(bounds.low.tolist()), tuple(bounds.high.tolist())),
        area=float(mesh.areas().sum()),
        volume=volume,
        colors=colors,
        warnings=tuple(_warnings(numbers, volume, colors) + _cuts(joined, edges.boundary())),
    )


def _joined(mesh: Triangles) -> Triangles:
    """With one vertex for each place, and all faces that still have three; the whole mesh if none has."""
    joined = weld(mesh)
    return joined if len(joined.faces) else mesh


def _warnings(numbers: dict[str, Any], volume: float | None, colors: str) -> list[str]:
    found = []
    if numbers["components"] > 1:
        found.append(f"{number(numbers['components'], 'component')}: loose parts can be debris; finishing drops them")
    if numbers["boundary_edges"]:
        found.append(f"the surface is open ({number(numbers['boundary_edges'], 'edge')}): it can't be printed as it is")
    if numbers["non_manifold_edges"]:
        found.append(
            f"{number(numbers['non_manifold_edges'], 'edge')} of more than two faces (non-manifold): slicers may fail"
        )
    if numbers["inconsistent_edges"]:
        found.append("neighbouring faces disagree about outside: parts will look black or see-through; finishing helps")
    if volume is not None and volume < 0:
        found.append("the faces face inward: the mesh is inside out; finishing turns them")
    if numbers["degenerate_faces"] or numbers["duplicate_faces"]:
        found.append("faces without area, or twice there: finishing removes them")
    if numbers["faces"] > _MANY_FACES:
        found.append(f"{numbers['faces']:,} faces are many for viewers and games: target_faces makes them fewer")
    if (numbers["texture_overlap"] or 0) > _OVERLAP:
        found.append("places in the texture belong to several faces: what is drawn there shows on all of them")
    if colors == "none":
        found.append("no colours: viewers will show it grey (STL files can't carry any)")
    return found


def _cuts(mesh: Triangles, boundary_edges: Indices) -> list[str]:
    """Where a rim lies flat in a side of the bounding box: there the grid ended, or the box that it was cut with."""
    bounds = mesh.bounds()
    near = _CUT * bounds.longest_side
    cut = set()
    for rim in rim_loops(boundary_edges):
        of_rim = Bounds.of(mesh.vertices[rim])
        for axis in range(3):
            if of_rim.high[axis] - bounds.low[axis] < near:
                cut.add(_SIDES[2 * axis])
            if bounds.high[axis] - of_rim.low[axis] < near:
                cut.add(_SIDES[2 * axis + 1])
    if not cut or len(cut) == len(_SIDES):
        return []
    sides = ", ".join(side for side in _SIDES if side in cut)
    return [
        f"the surface is cut off flat at {sides}; if by the edge of the reconstruction's grid, pass"
        " camera_distance_scale=0.8"
    ]


def _colors(parts: list[AssetPart]) -> str:
    """What the file's colours are."""
    sizes = sorted({part.texture.shape[:2] for part in parts if part.texture is not None}, reverse=True)
    if sizes:
        return "texture " + ", ".join(f"{width} x {height}" for height, width in sizes)
    return "vertex colours" if has_vertex_colors(parts) else "none"


def _layout(parts: list[AssetPart]) -> UvLayout | None:
    """Of all textures together, each counted by its texels."""
    uv: dict[int, list[NDArray[np.floating]]] = {}
    texels: dict[int, int] = {}
    for part in parts:
        if part.texture is not None:
            uv.setdefault(id(part.texture), []).append(face_uv(part))
            texels[id(part.texture)] = part.texture.shape[0] * part.texture.shape[1]
    if not uv:
        return None
    share = {key: count / sum(texels.values()) for key, count in texels.items()}
    layouts = {key: uv_layout(np.concatenate(places)) for key, places in uv.items()}
    return UvLayout(
        sum(share[key] * layout.coverage for key, layout in layouts.items()),
        sum(share[key] * layout.area for key, layout in layouts.items()),
    )


def _point(place: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{x:.3g}" for x in place) + ")"
