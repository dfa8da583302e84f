"""How images for people are taken: the object in the middle, a soft lamp beside the photographer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from instantmesh.cameras import project, spherical_cameras, zoom_cameras
from instantmesh.render.raster import MeshRenderings, render_mesh
from instantmesh.structures import Cameras, Mesh

SUPERSAMPLING = 2
_ELEVATION_DEG = 15.0
_RADIUS = 4.5  # of the cameras' orbit, in units of the mesh's radius
_FILLED = 0.92  # share of an image's side that the mesh takes up at most
_GREY = 0.85
_COLOR_SHADE, _GREY_SHADE = 0.35, 0.75  # how much darker than in full light surfaces are that the light grazes
_WRAP = 0.3  # how far light reaches round to what faces away from it
_LIGHT = (-0.35, 0.45, 0.82)  # towards the light in camera axes: beside the photographer, above left


@dataclass(frozen=True, eq=False)
class ShadedRenderings:
    """Images of a mesh on white.

    Attributes:
        seen: what `SUPERSAMPLING` squared samples a pixel see.
        light: (n, 1, h, w) from 0 to 1 that falls there.
    """

    seen: MeshRenderings
    light: Float[Tensor, "n 1 h w"]

    def color(self) -> Float[Tensor, "n 3 h w"]:
        """In its own colours, softly lit."""
        premultiplied = self.seen.color - (1 - self.seen.mask)  # the background is white
        return self._on_white(premultiplied * (1 - _COLOR_SHADE * (1 - self.light)))

    def grey(self) -> Float[Tensor, "n 3 h w"]:
        """As if of plaster, lit harder."""
        shade = _GREY * (1 - _GREY_SHADE * (1 - self.light)) * self.seen.mask
        return self._on_white(shade).expand(-1, 3, -1, -1)

    def normals(self) -> Float[Tensor, "n 3 h w"]:
        """World-space normals as colours, (n + 1) / 2."""
        return self._on_white((normalize(self.seen.normal, dim=1) + 1) / 2 * self.seen.mask)

    def _on_white(self, premultiplied: Tensor) -> Tensor:
        return avg_pool2d(premultiplied + (1 - self.seen.mask), SUPERSAMPLING).clamp(0, 1)


def filling_cameras(mesh: Mesh, azimuths_deg: Sequence[float]) -> Cameras:
    """Cameras around a mesh in the unit sphere, whose common focal length lets it fill the images."""
    n = len(azimuths_deg)
    cameras = spherical_cameras(azimuths_deg, [_ELEVATION_DEG] * n, _RADIUS, fov_deg=30.0).to(mesh.vertices.device)
    uv, _ = project(mesh.vertices[mesh.faces.flatten().unique()], cameras)
    zoom = _FILLED / 2 / (uv - 0.5).abs().amax().clamp(min=1e-6)
    return zoom_cameras(cameras, float(zoom))


def render_shaded(mesh: Mesh, cameras: Cameras, height: int, width: int) -> ShadedRenderings:
    """Images from every camera."""
    with torch.no_grad():
        cameras = cameras.to(mesh.vertices.device)
        seen = render_mesh(mesh, cameras, SUPERSAMPLING * height, SUPERSAMPLING * width)
        return ShadedRenderings(seen, _light(seen.normal, cameras))


def _light(normal: Float[Tensor, "n 3 h w"], cameras: Cameras) -> Float[Tensor, "n 1 h w"]:
    """Light from 0 to 1 that surfaces catch from a lamp carried along; faces turned inside out are lit all the same."""
    rotation = cameras.camera_to_world[:, :3, :3]
    lamp, backward = rotation @ normalize(normal.new_tensor(_LIGHT), dim=0), rotation[:, :, 2]
    normal = normalize(normal, dim=1)
    towards_lamp, towards_camera = (torch.einsum("nchw,nc->nhw", normal, axis)[:, None] for axis in (lamp, backward))
    # Near an outline, perspective and smooth normals may point a little away from the camera.
    towards_lamp = torch.where(towards_camera < -0.3, -towards_lamp, towards_lamp)
    return ((towards_lamp + _WRAP) / (1 + _WRAP)).clamp(min=0)
