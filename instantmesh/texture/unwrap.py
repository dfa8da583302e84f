"""A surface unwrapped: every face gets a place of its own in a square image."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from instantmesh.geometry.triangles import Triangles
from instantmesh.texture.charts import flattened
from instantmesh.texture.packing import packed
from instantmesh.texture.parameterization import Array

_log = logging.getLogger(__name__)

TIME_LIMIT_S = 60.0


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """Where the faces lie in the image.

    Attributes:
        uv: (f, 3, 2) of the faces' corners, as in `structures.Texture`.
        charts: how many connected pieces there are.
        projected_faces: how many faces were laid flat by plain projection, because xatlas's time was up.
    """

    uv: Array
    charts: int
    projected_faces: int


def unwrap(
    mesh: Triangles,
    size_px: int,
    time_limit_s: float = TIME_LIMIT_S,
    callback: Callable[[int, int], None] | None = None,
) -> Unwrapped:
    """Cut the surface into charts, lay them flat and pack them, without overlap and `packing.GUTTER_PX` apart.

    Args:
        mesh: faces with areas.
        size_px: side of the image.
        time_limit_s: how long xatlas may go on cutting. What is left then is cut by plain projection, whose charts are
            more and smaller. Packing comes on top.
        callback: called with (faces laid flat, faces in all).
    """
    flat, projected_faces = flattened(mesh, time_limit_s, callback)
    if projected_faces:
        _log.warning(
            "unwrapping took more than %.0f s: %d of %d faces are projected plainly, with more seams; fewer faces"
            " (target_faces) unwrap faster",
            time_limit_s,
            projected_faces,
            len(mesh.faces),
        )
    uv, charts = packed(flat, size_px)
    return Unwrapped(np.clip(uv, 0, 1), charts, projected_faces)
