"""One image that says what is right and wrong with a mesh: colours, shape, normals, triangles, texture."""

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.files.image_files import to_pil, write_image
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.shading import filling_cameras, render_shaded
from instantmesh.render.wireframe import wireframe
from instantmesh.structures import Mesh, Texture

_AZIMUTHS_DEG = (30.0, 210.0)
_SUPERSAMPLING = 2
_INNER, _SEAM = (0, 0, 0, 70), (220, 0, 120, 255)  # RGBA of lines in the texture: between faces, where it is cut open


def inspection_sheet(mesh: Mesh, size_px: int = 384) -> Float[Tensor, "3 h w"]:
    """A mesh from its front and its back: in its colours, in grey, its normals, its triangles; and its texture.

    The normals are coloured (x, y, z) -> (red, green, blue). The texture, where there is one, stands at the right,
    twice as large, with the faces' edges over it, in red where the surface was cut open.

    Args:
        mesh: in the world frame, any size.
        size_px: side of one tile, 64 or more. The sheet is 2 tiles high and 4 wide, with a texture 6.

    Raises:
        InputError: `size_px` is too small, or the mesh has no faces.
    """
    if size_px < 64:
        raise InputError(f"size_px must be 64 or more, got {size_px}")
    if not len(mesh.faces):
        raise InputError("the mesh has no faces: there is nothing to show")
    placed = to_unit_sphere(mesh)
    cameras = filling_cameras(placed, _AZIMUTHS_DEG)
    renderings = render_shaded(placed, cameras, size_px, size_px)
    colors = (
        "texture" if mesh.texture is not None else "vertex colours" if mesh.vertex_colors is not None else "no colours"
    )
    columns = {
        colors: renderings.color(),
        "grey": renderings.grey(),
        "normals": renderings.normals(),
        f"{len(mesh.faces):,} faces": wireframe(placed, cameras, size_px),
    }
    width = len(columns) + (2 if mesh.texture is not None else 0)
    sheet = Image.new("RGB", (width * size_px, len(_AZIMUTHS_DEG) * size_px), "white")
    for column, (label, images) in enumerate(columns.items()):
        for row, image in enumerate(images):
            sheet.paste(to_pil(image), (column * size_px, row * size_px))
        _write(sheet, label, column * size_px, size_px)
    if mesh.texture is not None:
        sheet.paste(uv_image(mesh.texture, 2 * size_px), (len(columns) * size_px, 0))
        height_px, width_px = mesh.texture.image.shape[1:]
        _write(sheet, f"UV layout, {width_px} x {height_px}", len(columns) * size_px, size_px)
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1) / 255


def save_inspection(mesh: Mesh, path: str | PathLike[str], size_px: int = 384, *, overwrite: bool = True) -> Path:
    """Write `inspection_sheet` as an image; the ending chooses the format.

    Raises:
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        InputError: as `inspection_sheet`.
    """
    return write_image(path, inspection_sheet(mesh, size_px), overwrite=overwrite)


def uv_image(texture: Texture, size_px: int) -> Image.Image:
    """A texture, stretched to a square, with the edges of all faces over it; seams stand out."""
    side = _SUPERSAMPLING * size_px
    image = to_pil(texture.image).resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image, "RGBA")
    inner, seams = _uv_edges(texture.uv.detach().cpu().numpy())
    for edges, color, width in ((inner, _INNER, 1), (seams, _SEAM, 2)):
        for edge in (edges * side).tolist():
            draw.line(edge, fill=color, width=width)
    return image.resize((size_px, size_px), Image.Resampling.BOX)


def _uv_edges(uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges in the texture as rows (u, v, u, v): those between two faces, and those of one face only."""
    ends = np.stack([uv, np.roll(uv, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    rounded = (ends * 65536).round().astype(np.int64)
    number = rounded[..., 0] * 65537 + rounded[..., 1]
    keys = np.sort(number, axis=1)
    _, first, count = np.unique(keys, axis=0, return_index=True, return_counts=True)
    rows = ends[first].reshape(-1, 4)
    return rows[count > 1], rows[count == 1]


def _write(sheet: Image.Image, label: str, left: int, size_px: int) -> None:
    margin = size_px // 40
    font = ImageFont.load_default(max(10, size_px // 22))
    ImageDraw.Draw(sheet).text(
        (left + margin, margin), label, fill="black", font=font, stroke_width=2, stroke_fill="white"
    )
