"""The photo on the surface: where it sees the surface well, its pixels take the place of the field's colours.

A photo's weight at a point of the surface is the product of three numbers in [0, 1]:
    facing      how squarely its camera looks at the surface; 0 where it only grazes it
    room        how far away, in the photo, the nearest place is where one part of the mesh hides another: what lies
                beside it there may belong to either
    seen        nothing of the mesh lies between
The photo is the truth where it sees the object, so unlike generated views (`view_colors`) it isn't asked whether it
agrees with the field, and it is taken up to its outline, in which the mesh has to fit (`fitting`).

Two bands (after Burt and Adelson, 1983) hide the seam: single pixels end where the photo's weight ends, while the mean
difference of photo and field around a place reaches on over the surface beyond it, and fades there.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from instantmesh.cameras import project
from instantmesh.errors import InputError
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.rays import RayScene
from instantmesh.geometry.triangles import Triangles, unit
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh, Texture
from instantmesh.texture.padding import padded
from instantmesh.texture.texels import locate_texels
from instantmesh.texture.view_colors import depth_jumps, jump_of_depth, ramp, read_bilinear, room_to, unhidden

_LEAST_FACING, _FULL_FACING = -0.02, 0.06  # cosines between the normal and the direction to the camera
_OUTLINES_PX = 768  # side of the image that the mesh's own outlines are looked for in
_MARGIN, _RAMP = 0.0, 0.001  # room without any weight, and from there to full weight, in shares of the photo's side
_OBJECT = 0.95  # alpha from which on a pixel's colour is the object's own
_CELLS = 48  # a side of the mesh's box, in which mean differences are counted
_AROUND = 0.1  # standard deviation of "around a place", in terms of the box's longest side
_FADING = 0.2  # weight of the photo around a place, in terms of that inside it, at which its mean has half its say


@dataclass(frozen=True, eq=False)
class PosedPhoto:
    """A prepared photo with the camera that took it.

    Attributes:
        image: (3, s, s) RGB in [0, 1].
        mask: (1, s, s) of the object, in [0, 1].
        camera: the one camera.

    Raises:
        InputError: wrong shapes, or not one camera.
    """

    image: Float[Tensor, "3 s s"]
    mask: Float[Tensor, "1 s s"]
    camera: Cameras

    def __post_init__(self) -> None:
        if len(self.camera) != 1:
            raise InputError(f"a photo has one camera, got {len(self.camera)}")
        if self.image.ndim != 3 or len(self.image) != 3 or self.mask.shape != (1, *self.image.shape[1:]):
            raise InputError(
                f"a photo needs an image (3, s, s) and a mask (1, s, s), got {tuple(self.image.shape)} and"
                f" {tuple(self.mask.shape)}"
            )


@dataclass(frozen=True)
class PhotoReport:
    """What a photo gave to a mesh.

    Attributes:
        share: of the surface's points (texels or vertices) whose colour is mostly the photo's.
    """

    share: float

    def __str__(self) -> str:
        return f"coloured by the photo: {self.share:.0%} of the surface"


def project_photo(mesh: Mesh, photo: PosedPhoto) -> tuple[Mesh, PhotoReport]:
    """The mesh with the photo's pixels where the photo sees it well.

    They go into the texture, whose layout stays, or, without one, to the vertices.

    Args:
        mesh: textured (square), or with vertex colours.
        photo: of the object, with its camera.

    Raises:
        InputError: the mesh has no colours, or a texture that isn't square.

    Example:
        >>> photo = pipe.prepare_photo("photo.png")
        >>> found = instantmesh.find_camera(mesh, photo.image, photo.mask)
        >>> mesh, report = instantmesh.project_photo(mesh, PosedPhoto(photo.image, photo.mask, found.camera))
    """
    if mesh.texture is not None:
        return _on_texture(mesh, mesh.texture, photo)
    if mesh.vertex_colors is None:
        raise InputError("the mesh has no colours beside which a photo could be laid: give it vertex colours")
    colors, share = photo_colors(mesh.vertices, mesh.vertex_normals(), mesh.vertex_colors, mesh, photo)
    return replace(mesh, vertex_colors=colors.clamp(0, 1)), PhotoReport(share)


def _on_texture(mesh: Mesh, texture: Texture, photo: PosedPhoto) -> tuple[Mesh, PhotoReport]:
    size_px = texture.image.shape[-1]
    if texture.image.shape[-2] != size_px:
        raise InputError(f"the texture must be square, got {size_px} x {texture.image.shape[-2]}")
    triangles = Triangles.of(mesh)
    texels = locate_texels(texture.uv.detach().double().cpu().numpy(), size_px)
    corners = triangles.faces[texels.face]
    smooth = mesh.vertex_normals().detach().double().cpu().numpy()
    points = interpolate(triangles.vertices, corners, texels.weights)
    normals = unit(interpolate(smooth, corners, texels.weights))
    before = texture.image.detach().flatten(1).T.cpu()[torch.from_numpy(texels.texel)]
    at, along, read = (
        torch.as_tensor(x, dtype=mesh.vertices.dtype, device=mesh.vertices.device) for x in (points, normals, before)
    )
    colors, share = photo_colors(at, along, read, mesh, photo)
    image = torch.from_numpy(padded(colors.clamp(0, 1).cpu().numpy(), texels.texel, size_px)).permute(2, 0, 1)
    return replace(mesh, texture=replace(texture, image=image.contiguous().to(texture.image))), PhotoReport(share)


@torch.no_grad()
def photo_colors(
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    colors: Float[Tensor, "p 3"],
    mesh: Mesh,
    photo: PosedPhoto,
) -> tuple[Float[Tensor, "p 3"], float]:
    """The colours of points of a surface with the photo's where it sees them well, and the share of those points.

    Args:
        points: on the mesh's surface, on its device.
        normals: the surface's there, unit length, best the smooth ones.
        colors: sRGB, without the photo.
        mesh: what hides points from the camera.
        photo: of the object.
    """
    points, normals, before = (tensor.detach().float() for tensor in (points, normals, colors))
    camera = photo.camera.to(points.device)
    weight, uv = _weights(points, normals, mesh, camera)
    image = torch.from_numpy(_beyond_outline(photo)).to(points)
    difference = read_bilinear(image, uv) - before
    mean, says = _around(points, difference, weight)
    far = (says / (says + _FADING)) * (1 - weight)
    after = before + weight[:, None] * difference + far[:, None] * mean
    return after.to(colors), float((weight > 0.5).float().mean())


def _weights(
    points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], mesh: Mesh, camera: Cameras
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 2"]]:
    """The photo's weight at points, and where in it they are."""
    uv, depth = (tensor[0] for tensor in project(points, camera))
    in_frame = (depth > 0) & ((uv > 0) & (uv < 1)).all(1)
    uv = uv.where(in_frame[:, None], 0.5)
    seen = render_mesh(mesh, camera, _OUTLINES_PX, antialias=False).depth[0, 0]
    jump = jump_of_depth(camera, _OUTLINES_PX)
    inner = depth_jumps(seen.cpu().numpy(), jump)
    room = read_bilinear(torch.from_numpy(room_to(inner))[None].to(points), uv)[:, 0]
    towards = normalize(camera.camera_to_world[:, :3, 3] - points, dim=1)
    cosine = (towards * normals).sum(1)
    weight = ramp((cosine - _LEAST_FACING) / (_FULL_FACING - _LEAST_FACING)) * ramp((room - _MARGIN) / _RAMP)
    near = torch.where(in_frame & (weight > 0))[0]
    scene = RayScene(mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy())
    free = unhidden(points[near] + towards[near] * (jump * depth[near])[:, None], camera, scene)
    return torch.zeros_like(weight).index_copy(0, near, weight[near] * free), uv


def _beyond_outline(photo: PosedPhoto) -> NDArray[np.float32]:
    """(3, s, s) the photo, whose colours along the outline, mixed with the background, give way to those inside."""
    from scipy.ndimage import distance_transform_edt

    mask = photo.mask[0].detach().cpu().numpy()
    outside = mask < min(_OBJECT, float(mask.max()))
    row, column = distance_transform_edt(outside, return_distances=False, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    return photo.image.detach().float().cpu().numpy()[:, row, column]


def _around(
    points: Float[Tensor, "p 3"], difference: Float[Tensor, "p 3"], weight: Float[Tensor, " p"]
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, " p"]]:
    """(p, 3) the mean difference around each point, and (p,) how much of the photo there is, about 1 inside it."""
    from scipy.ndimage import gaussian_filter

    low, high = points.amin(0), points.amax(0)
    place = (points - (low + high) / 2) / (high - low).amax().clamp(min=1e-6)  # in [-1/2, 1/2]
    cell = ((place + 0.5) * _CELLS).long().clamp(0, _CELLS - 1)
    flat = (cell[:, 0] * _CELLS + cell[:, 1]) * _CELLS + cell[:, 2]
    terms = torch.cat([difference * weight[:, None], weight[:, None], torch.ones_like(weight)[:, None]], dim=1)
    sums = terms.new_zeros(_CELLS**3, 5).index_add(0, flat, terms).T.reshape(5, *[_CELLS] * 3).double().cpu().numpy()
    blurred = gaussian_filter(sums, (0, *[_AROUND * _CELLS] * 3))
    grid = torch.from_numpy(blurred).to(points)[None]
    read = grid_sample(grid, 2 * place.flip(1)[None, None, None], padding_mode="border", align_corners=False)
    *mean, photo_here, all_here = read[0, :, 0, 0]
    return torch.stack(mean, 1) / photo_here.clamp(min=1e-6)[:, None], photo_here / all_here.clamp(min=1e-6)
