"""A picture of a mesh from four sides: what it looks like, and what shape it is."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from instantmesh.cameras import project, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.files.pictures import tile, write_picture
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh

AZIMUTHS_DEG = (0.0, 90.0, 180.0, 270.0)
_ELEVATION_DEG = 15.0
_RADIUS = 4.5  # of the cameras' orbit, in units of the mesh's radius
_FILLED = 0.92  # share of a tile's side that the mesh takes up at most
_SUPERSAMPLING = 2
_GREY = 0.85
_COLOR_SHADE, _GREY_SHADE = 0.35, 0.75  # how much darker than in full light surfaces are that the light grazes
_WRAP = 0.3  # how far light reaches round to what faces away from it
_LIGHT = (-0.35, 0.45, 0.82)  # towards the light in camera axes: beside the photographer, above left


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
        mesh = _normalised(mesh)
        cameras = _framing(mesh)
        seen = render_mesh(mesh, cameras, _SUPERSAMPLING * size_px)
        color = seen.color - (1 - seen.mask)  # times the mask, like the normals
        grey = (_GREY * seen.mask).expand_as(color)
        light = _light(seen.normal, cameras)
        shaded = torch.cat([color * (1 - _COLOR_SHADE * (1 - light)), grey * (1 - _GREY_SHADE * (1 - light))])
        sheet = tile(shaded + (1 - seen.mask).repeat(2, 1, 1, 1), columns=len(AZIMUTHS_DEG))
        return avg_pool2d(sheet, _SUPERSAMPLING).clamp(0, 1).cpu()


def save_preview(mesh: Mesh, path: str | PathLike[str], size_px: int = 256, *, overwrite: bool = True) -> Path:
    """Write `preview_sheet` as a picture; the ending chooses the format.

    Raises:
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        InputError: `size_px` isn't positive.
    """
    return write_picture(path, preview_sheet(mesh, size_px), overwrite=overwrite)


def _normalised(mesh: Mesh) -> Mesh:
    """The mesh around the origin, inside the unit sphere. Vertices that no face uses don't count."""
    used = mesh.vertices[mesh.faces.flatten()]
    centre = (used.amin(0) + used.amax(0)) / 2
    radius = (used - centre).norm(dim=1).amax().clamp(min=1e-12)
    return replace(mesh, vertices=(mesh.vertices - centre) / radius)


def _framing(mesh: Mesh) -> Cameras:
    """Cameras around a normalised mesh whose common focal length lets it fill the tiles."""
    n = len(AZIMUTHS_DEG)
    cameras = spherical_cameras(AZIMUTHS_DEG, [_ELEVATION_DEG] * n, _RADIUS, fov_deg=30.0).to(mesh.vertices.device)
    uv, _ = project(mesh.vertices[mesh.faces.flatten().unique()], cameras)
    zoom = _FILLED / 2 / (uv - 0.5).abs().amax().clamp(min=1e-6)
    scale = torch.ones(3, 3, device=zoom.device)
    scale[0, 0] = scale[1, 1] = zoom
    return Cameras(cameras.camera_to_world, cameras.intrinsics * scale)


def _light(normal: Float[Tensor, "n 3 h w"], cameras: Cameras) -> Float[Tensor, "n 1 h w"]:
    """Light from 0 to 1 that surfaces catch from a lamp carried along; faces turned inside out are lit all the same."""
    rotation = cameras.camera_to_world[:, :3, :3]
    lamp, backward = rotation @ normalize(normal.new_tensor(_LIGHT), dim=0), rotation[:, :, 2]
    normal = normalize(normal, dim=1)
    towards_lamp, towards_camera = (torch.einsum("nchw,nc->nhw", normal, axis)[:, None] for axis in (lamp, backward))
    # Near an outline, perspective and smooth normals may point a little away from the camera.
    towards_lamp = torch.where(towards_camera < -0.3, -towards_lamp, towards_lamp)
    return ((towards_lamp + _WRAP) / (1 + _WRAP)).clamp(min=0)
