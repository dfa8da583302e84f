"""Colours of the pictures that an object was made from, in place of its field's where the pictures see it well.

A picture's weight at a point of the surface is the product of four numbers in [0, 1], and everything that comes in is
continuous over the surface, so that no seam shows where a picture's part ends:
    facing      how squarely its camera looks at the surface; 0 well before it only grazes it
    room        how far away, in the picture, the nearest outline is: of the mesh, of one part of the mesh in front of
                another, of what is painted. Shape and picture never fit exactly, and what lies beyond an outline (the
                white background, another part) must not be taken for the surface
    seen        nothing of the mesh lies between. Where that changes there is an outline, and no room
    credible    the smoothed picture has the field's colour there, or that of another picture that sees the place

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
from instantmesh.render.embree import RayScene
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh, Views

_LEAST_FACING, _FULL_FACING = 0.3, 0.8  # cosines between the normal and the direction to the camera
_MARGIN_PX = 1.5  # along outlines pixels are mixtures
_RAMP = 0.0125  # from there to full weight, in terms of the picture's height
_WHITE = 0.97  # a pixel with all channels above this may be background
_STEEPEST = 4.0  # depth per distance across, from which on depth jumps; a slope of cosine 0.24, beyond least facing
_OUTLINE_PX = 256  # the mesh's outlines are looked for in pictures no coarser than this
_BLUR = 0.02  # standard deviation, in terms of the picture's height; about as fine as fields are
_FIELD_TOLERANCE, _OTHERS_TOLERANCE = 0.2, 0.1  # distances in RGB at which credibility has fallen to 1/e
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
        views: pictures on white, with their cameras. What is white in them may be background, so it is never taken.

    Raises:
        CameraError: the views have no cameras.
    """
    views = Views(views.images.float(), views.known_cameras).to(points.device)
    cameras, (height, width) = views.known_cameras, views.images.shape[-2:]
    finer = max(1, -(-_OUTLINE_PX // height))
    depth = render_mesh(mesh, cameras, finer * height, finer * width, antialias=False).depth[:, 0]
    sights = [_sight(image, depth[i], cameras[i : i + 1], finer) for i, image in enumerate(views.images.detach().cpu())]
    scene = RayScene(mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy())
    parts = zip(
        *(tensor.detach().float().split(_POINTS_PER_CHUNK) for tensor in (points, normals, colors)), strict=True
    )
    blended = [_blend_chunk(where, normal, color, sights, scene) for where, normal, color in parts]
    return torch.cat(blended).to(colors)


@dataclass(frozen=True, eq=False)
class _Sight:
    """One view, ready for lookups.

    Attributes:
        camera: the one that took it.
        pictures: (7, h, w) the view's colours; the same smoothed; room to what isn't painted.
        outline_room: (1, finer h, finer w) room to the mesh's outlines.
        jump: steps of depth at distance 1 from which on something lies in front of something else.
        margin: from outlines, where the weight is 0. Like all room in terms of the picture's height.
    """

    camera: Cameras
    pictures: Float[Tensor, "7 h w"]
    outline_room: Float[Tensor, "1 h2 w2"]
    jump: float
    margin: float


def _sight(image: Float[Tensor, "3 h w"], depth: Float[Tensor, "h2 w2"], camera: Cameras, finer: int) -> _Sight:
    height, device = image.shape[-2], depth.device
    painted = (image.amin(0) <= _WHITE).numpy()
    jump = _STEEPEST / (float(camera.intrinsics[0, 1, 1]) * height * finer)
    pictures = np.concatenate([image.numpy(), _smoothed(image.numpy(), painted), _room(painted)[None]])
    outline_room = _room(~_outlines(depth.detach().cpu().numpy(), jump))[None]
    return _Sight(
        camera,
        torch.from_numpy(pictures).float().to(device),
        torch.from_numpy(outline_room).float().to(device),
        jump,
        _MARGIN_PX / height,
    )


def _smoothed(image: NDArray[np.floating], painted: NDArray[np.bool_]) -> NDArray[np.floating]:
    """(3, h, w) the picture (3, h, w) smoothed, without what isn't painted."""
    from scipy.ndimage import gaussian_filter

    sigma_px = _BLUR * image.shape[1]
    share = gaussian_filter(painted.astype(np.float32), sigma_px)
    return np.stack([gaussian_filter(channel * painted, sigma_px) / np.maximum(share, 1e-6) for channel in image])


def _outlines(depth: NDArray[np.floating], jump: float) -> NDArray[np.bool_]:
    """(h, w) where nothing is seen, and pixels to either side of a jump in depth (h, w; 0 where nothing is seen)."""
    found = depth <= 0
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        jumps = np.abs(depth[after] - depth[before]) > jump * np.minimum(depth[before], depth[after])
        found[before] |= jumps
        found[after] |= jumps
    return found


def _room(inside: NDArray[np.bool_]) -> NDArray[np.floating]:
    """(h, w) how far the nearest pixel is that isn't inside, or beyond the picture; in terms of its height."""
    from scipy.ndimage import distance_transform_edt

    distance: NDArray[np.floating] = np.asarray(distance_transform_edt(np.pad(inside, 1)))
    return distance[1:-1, 1:-1] / len(inside)


def _blend_chunk(
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    colors: Float[Tensor, "p 3"],
    sights: list[_Sight],
    scene: RayScene,
) -> Float[Tensor, "p 3"]:
    looked = [_look(points, normals, sight, scene) for sight in sights]
    sharp, smooth, weight = (torch.stack(tensors) for tensors in zip(*looked, strict=True))
    weight = weight * _credible(colors, smooth, weight)
    share = 1 - (1 - weight).prod(0)
    better = weight.square()  # sharper than the plain mean where views disagree
    painted = (better[..., None] * sharp).sum(0) / better.sum(0).clamp(min=1e-20)[:, None]
    return (colors + share[:, None] * (painted - colors)).where(share[:, None] > 0, colors)


def _look(
    points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], sight: _Sight, scene: RayScene
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"], Float[Tensor, " p"]]:
    """A view's colours at points, the same smoothed, and its weight as far as facing, room and sight go."""
    uv, depth = (tensor[0] for tensor in project(points, sight.camera))
    in_frame = (depth > 0) & ((uv > 0) & (uv < 1)).all(1)
    uv = uv.where(in_frame[:, None], 0)
    sharp, smooth, picture_room = _read(sight.pictures, uv).split([3, 3, 1], dim=1)
    room = torch.minimum(picture_room, _read(sight.outline_room, uv))[:, 0]
    towards = normalize(sight.camera.camera_to_world[:, :3, 3] - points, dim=1)
    cosine = (towards * normals).sum(1)
    weight = _ramp((cosine - _LEAST_FACING) / (_FULL_FACING - _LEAST_FACING)) * _ramp((room - sight.margin) / _RAMP)
    near = torch.where(in_frame & (weight > 0))[0]
    # What lies less than a jump in front has no outline, so it hides nothing.
    seen = _unhidden(points[near] + towards[near] * (sight.jump * depth[near])[:, None], sight.camera, scene)
    return sharp, smooth, torch.zeros_like(weight).index_copy(0, near, weight[near] * seen)


def _unhidden(starts: Float[Tensor, "q 3"], camera: Cameras, scene: RayScene) -> Float[Tensor, " q"]:
    """1 where the way from `starts` to the camera is free, else 0."""
    way = camera.camera_to_world[:, :3, 3] - starts
    _, distance = scene.first_hits(starts.cpu().numpy(), way.cpu().numpy())
    return torch.from_numpy(distance >= 1).to(starts)


def _credible(
    colors: Float[Tensor, "p 3"], smooth: Float[Tensor, "n p 3"], weight: Float[Tensor, "n p"]
) -> Float[Tensor, "n p"]:
    """How far each view's smoothed colours are to be believed, given the field's and the other views'."""
    by_field = torch.exp(-((smooth - colors) / _FIELD_TOLERANCE).square().sum(-1))
    by_others = torch.zeros_like(weight)
    for i in range(len(smooth)):
        for j in range(i):
            agreement = torch.exp(-((smooth[i] - smooth[j]) / _OTHERS_TOLERANCE).square().sum(-1))
            by_others[i] = torch.maximum(by_others[i], weight[j] * agreement)
            by_others[j] = torch.maximum(by_others[j], weight[i] * agreement)
    return by_field + (1 - by_field) * by_others


def _read(maps: Float[Tensor, "c h w"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Bilinear values at normalised pixel coordinates."""
    return grid_sample(maps[None], (2 * uv - 1)[None, None], padding_mode="border", align_corners=False)[0, :, 0].T


def _ramp(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
