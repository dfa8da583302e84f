"""Colours of the images that an object was made from, in place of its field's where the images see it well.

An image's weight at a point of the surface is the product of four numbers in [0, 1], and everything that comes in is
continuous over the surface, so that no seam shows where an image's part ends:
    facing      how squarely its camera looks at the surface; 0 well before it only grazes it
    room        how far away, in the image, the nearest outline is: of the mesh, of one part of the mesh in front of
                another, of the foreground. Shape and image never fit exactly, and what lies beyond an outline (the
                white background, another part) must not be taken for the surface
    seen        nothing of the mesh lies between. Where that changes there is an outline, and no room
    credible    around the place the image is, on average, as the field is. Detail may differ, and is what is wanted

Symbols: n views of h x w pixels, p points.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from instantmesh.cameras import project
from instantmesh.geometry.rays import RayScene
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh, Views

_LEAST_FACING, _FULL_FACING = 0.3, 0.8  # cosines between the normal and the direction to the camera
_MARGIN_PX = 1.5  # along outlines pixels are mixtures
_RAMP = 0.0125  # from there to full weight, in terms of the image's height
_WHITE = 0.97  # a pixel with all channels above this may be background
_STEEPEST = 4.0  # depth per distance across, from which on depth jumps; a slope of cosine 0.24, beyond least facing
_OUTLINE_PX = 256  # the mesh's outlines are looked for in images no coarser than this
_AROUND = 0.07  # standard deviation of what "around the place" is, in terms of the image's sides
_TOLERANCE = 0.15  # distance in RGB of the averages at which an image's weight has fallen to 1/e
_CELLS = 64  # a side, in which the averages are counted
_COUNTED = 65_536  # points, at most, are taken for them
_POINTS_PER_CHUNK = 262_144


def blend(
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    colors: Float[Tensor, "p 3"],
    mesh: Mesh,
    views: Views,
) -> Float[Tensor, "p 3"]:
    """The colours of points, the views' blended in where they see the surface well; elsewhere `colors`, unchanged.

    Args:
        points: on the mesh's surface, on its device.
        normals: the surface's there, unit length, best the smooth ones.
        colors: sRGB from the field.
        mesh: what hides points from cameras.
        views: images on white, with their cameras. What is white in them may be background, so it is never taken.

    Raises:
        CameraError: the views have no cameras.
    """
    views = Views(views.images.float(), views.known_cameras).to(points.device)
    cameras, (height, width) = views.known_cameras, views.images.shape[-2:]
    finer = max(1, -(-_OUTLINE_PX // height))
    depth = render_mesh(mesh, cameras, finer * height, finer * width, antialias=False).depth[:, 0]
    of_views = [
        _view_maps(image, depth[i], cameras[i : i + 1], finer) for i, image in enumerate(views.images.detach().cpu())
    ]
    scene = RayScene(mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy())
    few = slice(None, None, max(1, -(-len(points) // _COUNTED)))
    where, along, before = (tensor.detach().float() for tensor in (points, normals, colors))
    shifts = [_shift(_look(where[few], along[few], maps, scene), before[few]) for maps in of_views]
    blended = []
    for start in range(0, len(points), _POINTS_PER_CHUNK):
        part = slice(start, start + _POINTS_PER_CHUNK)
        looks = [_look(where[part], along[part], maps, scene) for maps in of_views]
        blended.append(_blended(before[part], looks, shifts))
    return torch.cat([colors[:0], *blended]).to(colors)


@dataclass(frozen=True, eq=False)
class _ViewMaps:
    """One view, ready for lookups.

    Attributes:
        camera: the one that took it.
        colors_and_room: (4, h, w) the view's colours; room to what isn't foreground.
        outline_room: (1, finer h, finer w) room to the mesh's outlines.
        jump: steps of depth at distance 1 from which on something lies in front of something else.
        margin: from outlines, where the weight is 0. Like all room in terms of the image's height.
    """

    camera: Cameras
    colors_and_room: Float[Tensor, "4 h w"]
    outline_room: Float[Tensor, "1 h2 w2"]
    jump: float
    margin: float


def _view_maps(image: Float[Tensor, "3 h w"], depth: Float[Tensor, "h2 w2"], camera: Cameras, finer: int) -> _ViewMaps:
    height, device = image.shape[-2], depth.device
    foreground = (image.amin(0) <= _WHITE).numpy()
    jump = jump_of_depth(camera, height * finer)
    colors_and_room = np.concatenate([image.numpy(), _room(foreground)[None]])
    seen = depth.detach().cpu().numpy()
    outline_room = _room((seen > 0) & ~depth_jumps(seen, jump))[None]
    return _ViewMaps(
        camera,
        torch.from_numpy(colors_and_room).float().to(device),
        torch.from_numpy(outline_room).float().to(device),
        jump,
        _MARGIN_PX / height,
    )


def jump_of_depth(camera: Cameras, height_px: int) -> float:
    """Between neighbouring pixels, in terms of their depth: from here on something lies in front of something else."""
    return _STEEPEST / (float(camera.intrinsics[0, 1, 1]) * height_px)


def depth_jumps(depth: NDArray[np.floating], jump: float) -> NDArray[np.bool_]:
    """(h, w) pixels to either side of a jump between two depths (h, w; 0 where nothing is seen)."""
    found = np.zeros(depth.shape, bool)
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        nearer = np.minimum(depth[before], depth[after])
        jumps = (np.abs(depth[after] - depth[before]) > jump * nearer) & (nearer > 0)
        found[before] |= jumps
        found[after] |= jumps
    return found


def room_to(places: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w) how far the nearest of these places is, in terms of the height; 1 where there is none."""
    from scipy.ndimage import distance_transform_edt

    if not places.any():
        return np.ones(places.shape, np.float32)
    return (np.asarray(distance_transform_edt(~places)) / len(places)).astype(np.float32)


def _room(inside: NDArray[np.bool_]) -> NDArray[np.floating]:
    """(h, w) how far the nearest pixel is that isn't inside, or beyond the image; in terms of its height."""
    from scipy.ndimage import distance_transform_edt

    distance: NDArray[np.floating] = np.asarray(distance_transform_edt(np.pad(inside, 1)))
    return distance[1:-1, 1:-1] / len(inside)


@dataclass(frozen=True, eq=False)
class _Look:
    """What one view says of p points.

    Attributes:
        uv: (p, 2) where they are in the image; (0, 0) outside.
        color: (p, 3) of the image there.
        weight: (p,) as far as facing, room and visibility go.
    """

    uv: Float[Tensor, "p 2"]
    color: Float[Tensor, "p 3"]
    weight: Float[Tensor, " p"]


def _look(points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], maps: _ViewMaps, scene: RayScene) -> _Look:
    uv, depth = (tensor[0] for tensor in project(points, maps.camera))
    in_frame = (depth > 0) & ((uv > 0) & (uv < 1)).all(1)
    uv = uv.where(in_frame[:, None], 0)
    color, image_room = read_bilinear(maps.colors_and_room, uv).split([3, 1], dim=1)
    room = torch.minimum(image_room, read_bilinear(maps.outline_room, uv))[:, 0]
    towards = normalize(maps.camera.camera_to_world[:, :3, 3] - points, dim=1)
    cosine = (towards * normals).sum(1)
    weight = ramp((cosine - _LEAST_FACING) / (_FULL_FACING - _LEAST_FACING)) * ramp((room - maps.margin) / _RAMP)
    near = torch.where(in_frame & (weight > 0))[0]
    # What lies less than a jump in front has no outline, so it hides nothing.
    seen = unhidden(points[near] + towards[near] * (maps.jump * depth[near])[:, None], maps.camera, scene)
    return _Look(uv, color, torch.zeros_like(weight).index_copy(0, near, weight[near] * seen))


def unhidden(starts: Float[Tensor, "q 3"], camera: Cameras, scene: RayScene) -> Float[Tensor, " q"]:
    """1 where the way from `starts` to the camera is free, else 0."""
    way = camera.camera_to_world[:, :3, 3] - starts
    distance = scene.first_hits(starts.cpu().numpy(), way.cpu().numpy()).distance
    return torch.from_numpy(distance >= 1).to(starts)


def _shift(look: _Look, colors: Float[Tensor, "p 3"]) -> Float[Tensor, "4 cells cells"]:
    """Sums around every place of an image: how far its colours are from the field's, times weight; and the weight."""
    from scipy.ndimage import gaussian_filter

    column, row = (look.uv * _CELLS).long().clamp(max=_CELLS - 1).unbind(1)
    sums = torch.zeros(_CELLS**2, 4, device=colors.device)
    terms = torch.cat([look.color - colors, torch.ones_like(colors[:, :1])], dim=1) * look.weight[:, None]
    sums = sums.index_add(0, row * _CELLS + column, terms).T.reshape(4, _CELLS, _CELLS).cpu().numpy()
    around = np.stack([gaussian_filter(each, _AROUND * _CELLS) for each in sums])
    return torch.from_numpy(around).to(colors)


def _blended(
    colors: Float[Tensor, "p 3"], looks: list[_Look], shifts: list[Float[Tensor, "4 cells cells"]]
) -> Float[Tensor, "p 3"]:
    weight = torch.stack([look.weight * _credible(shift, look.uv) for look, shift in zip(looks, shifts, strict=True)])
    share = 1 - (1 - weight).prod(0)
    better = weight.square()  # sharper than the plain mean where views disagree
    total = better.sum(0).clamp(min=1e-20)
    from_views = sum(each[:, None] * look.color for each, look in zip(better, looks, strict=True)) / total[:, None]
    return colors + share[:, None] * (from_views - colors)


def _credible(shift: Float[Tensor, "4 cells cells"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, " p"]:
    difference, weight = read_bilinear(shift, uv).split([3, 1], dim=1)
    average = difference / weight.clamp(min=1e-6)
    return torch.exp(-(average / _TOLERANCE).square().sum(1))


def read_bilinear(maps: Float[Tensor, "c h w"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Bilinear values at normalised pixel coordinates."""
    return grid_sample(maps[None], (2 * uv - 1)[None, None], padding_mode="border", align_corners=False)[0, :, 0].T


def ramp(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
