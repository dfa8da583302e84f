"""What a mesh is, in numbers and words, and whether the views that it was made of agree with it."""

from dataclasses import replace

from instantmesh.mesh.report import MeshReport, mesh_report
from instantmesh.render.agreement import view_agreement
from instantmesh.structures import Mesh, Views


def report(mesh: Mesh, views: Views | None = None) -> MeshReport:
    """What a mesh is: its faces, components, holes, defects, size and colours, with warnings of what may cause trouble.

    Args:
        mesh: in the world frame.
        views: what it was reconstructed from, square and on white; those that disagree with it are warned of. Views
            without cameras can't be compared, and add nothing.

    Raises:
        InputError: the mesh has no faces, or the views aren't square.

    Example:
        >>> result = pipe("photo.png")
        >>> print(instantmesh.report(result.mesh, result.posed))
    """
    found = mesh_report(mesh)
    if views is None or views.cameras is None:
        return found
    return replace(found, warnings=found.warnings + view_agreement(mesh, views).warnings)
