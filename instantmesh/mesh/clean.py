"""Cleaning: debris, faces without area, doubled faces, faces turned over, small holes.

A good mesh comes back as it was, bit for bit.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.errors import InputError
from instantmesh.geometry.triangles import Triangles, components
from instantmesh.mesh.degenerate import degenerate, remove_degenerate, remove_duplicates, weld
from instantmesh.mesh.holes import close_small_holes
from instantmesh.mesh.report_text import joined, number
from instantmesh.mesh.winding import orient
from instantmesh.structures import Mesh


@dataclass(frozen=True)
class CleanReport:
    """What cleaning did.

    Attributes:
        merged_vertices: how many were at the place of another one, or on no face.
        degenerate_faces: faces without area that were removed or turned into faces with area.
        duplicate_faces: faces removed because another one had the same vertices.
        dropped_components: how many, and dropped_faces: their faces.
        dropped_share: the largest dropped component's area in terms of the largest one's, in [0, 1].
        turned_faces: how many faced the wrong way.
        closed_holes: how many small holes were closed.
    """

    merged_vertices: int
    degenerate_faces: int
    duplicate_faces: int
    dropped_components: int
    dropped_faces: int
    dropped_share: float
    turned_faces: int
    closed_holes: int

    def __str__(self) -> str:
        dropped = f"{number(self.dropped_components, 'loose part')} dropped ({number(self.dropped_faces, 'face')}"
        done = [
            (self.merged_vertices, f"{number(self.merged_vertices, 'vertex', 'vertices')} merged or unused"),
            (self.degenerate_faces, f"{number(self.degenerate_faces, 'degenerate face')} removed"),
            (self.duplicate_faces, f"{number(self.duplicate_faces, 'duplicate face')} removed"),
            (self.dropped_components, f"{dropped}, the largest {self.dropped_share:.1%} of the main part's area)"),
            (self.turned_faces, f"{number(self.turned_faces, 'face')} turned over"),
            (self.closed_holes, f"{number(self.closed_holes, 'hole')} closed"),
        ]
        return "cleaned: " + (joined([text for count, text in done if count]) or "nothing to do")


def clean(mesh: Mesh, *, min_component_area: float = 0.0, largest_hole: float = 0.1) -> tuple[Mesh, CleanReport]:
    """A mesh of the same shape without the usual defects; vertex colours go along.

    In order: vertices at the same place become one; faces without area and doubled faces are removed; small components
    are dropped; faces are turned so that they agree and face outward (cavities inward); small holes are closed, and
    coloured like their rims.

    Args:
        mesh: any triangle mesh.
        min_component_area: a component stays if it has at least this share of the largest one's area. 0 keeps all: what
            somebody modelled is meant to be there; 1 keeps the largest alone, 0.1 the fruit in a bowl but not the
            crumbs. Faces that share a vertex are of one component.
        largest_hole: holes are closed up to this width, in terms of their component's longest side; 0 leaves all open.

    Raises:
        InputError: a share outside [0, 1], or nothing is left: the mesh has no face with an area.

    Example:
        >>> cleaned, report = instantmesh.clean(instantmesh.read_mesh("scan.ply"))
    """
    check_share("min_component_area", min_component_area)
    check_share("largest_hole", largest_hole)
    welded = _with_area(weld(Triangles.of(mesh)).compact())
    unique = remove_duplicates(welded)
    sound = _with_area(remove_duplicates(remove_degenerate(unique)))
    main, (components_dropped, faces_dropped, largest_dropped) = _largest(sound, min_component_area)
    turned = orient(main)
    closed, hole_count = close_small_holes(turned, largest_hole)
    return closed.compact().to_mesh(mesh), CleanReport(
        merged_vertices=len(mesh.vertices) - len(welded.vertices),
        degenerate_faces=len(mesh.faces) - len(welded.faces) + int(degenerate(unique).sum()),
        duplicate_faces=len(welded.faces) - len(unique.faces),
        dropped_components=components_dropped,
        dropped_faces=faces_dropped,
        dropped_share=largest_dropped,
        turned_faces=int((main.faces != turned.faces).any(1).sum()),
        closed_holes=hole_count,
    )


def check_share(name: str, share: float) -> None:
    """Raises InputError where `share` isn't in [0, 1]."""
    if not 0 <= share <= 1:
        raise InputError(f"{name} is a share and must lie in [0, 1], got {share}")


def _with_area(mesh: Triangles) -> Triangles:
    if not mesh.areas().sum() > 0:
        raise InputError("the mesh has no face with an area")
    return mesh


def _largest(mesh: Triangles, share: float) -> tuple[Triangles, tuple[int, int, float]]:
    """The components with at least `share` of the largest one's area.

    How many were dropped, their faces, the largest dropped one's share.
    """
    component = components(mesh.faces, len(mesh.vertices))
    area = np.bincount(component, weights=mesh.areas())
    shares = area / area.max()
    stays = shares >= share
    if stays.all():
        return mesh, (0, 0, 0.0)
    faces = stays[component]
    return mesh.keep(faces), (int((~stays).sum()), int((~faces).sum()), float(shares[~stays].max()))
