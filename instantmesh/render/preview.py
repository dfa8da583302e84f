"""An image of a mesh from four sides: what it looks like, and what shape it is."""

from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.files.image_files import tile, write_image
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.shading import filling_cameras, render_shaded
from instantmesh.structures import Mesh

AZIMUTHS_DEG = (0.0, 90.0, 180.0, 270.0)


def preview_sheet(mesh: Mesh, size_px: int = 256) -> Float[Tensor, "3 h w"]:
    """Front, left, back and right of a mesh, side by side: above in its own colours, below in grey.

    The mesh fills the tiles whatever its size and place; all four are to the same scale. Without faces the sheet is
    white.

    Args:
        mesh: in the world frame, any size.
        size_px: side of one tile; the sheet is 4 tiles wide and 2 high.

    Raises:
        InputError: `size_px` isn't positive.
    """
    if size_px < 1:
        raise InputError(f"size_px must be positive, got {size_px}")
    if len(mesh.faces) == 0:
        return torch.ones(3, 2 * size_px, len(AZIMUTHS_DEG) * size_px)
    with torch.no_grad():
        mesh = to_unit_sphere(mesh)
        renderings = render_shaded(mesh, filling_cameras(mesh, AZIMUTHS_DEG), size_px, size_px)
        return tile(torch.cat([renderings.color(), renderings.grey()]), columns=len(AZIMUTHS_DEG)).cpu()


def save_preview(mesh: Mesh, path: str | PathLike[str], size_px: int = 256, *, overwrite: bool = True) -> Path:
    """Write `preview_sheet` as an image; the ending chooses the format.

    Raises:
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        InputError: `size_px` isn't positive.

    Example:
        >>> instantmesh.save_preview(result.mesh, "preview.png")
    """
    return write_image(path, preview_sheet(mesh, size_px), overwrite=overwrite)
