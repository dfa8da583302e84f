"""Do the images of an object, their depth, normals and cameras fit together? Each question as a pure function.

Depth has 8 bits, so neighbouring pixels may differ by a step of 0.024 for nothing; everything here bears that.

Symbols: n views of s x s pixels. A pixel is solid where the object covers it wholly and its depth is known.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, cosine_similarity, max_pool2d, normalize

from instantmesh.cameras import pixel_centres, project
from instantmesh.data.layout import DEPTH_RANGE
from instantmesh.data.views import ObjectViews
from instantmesh.structures import Cameras
from instantmesh.views.checks import see_origin

CUBE_SIDE = 2.1  # the extraction grid spans [-1.05, 1.05]
DEPTH_STEP = DEPTH_RANGE / 255
_COARSE_PX = 64  # slopes of depth are taken between pixels of an image no finer than this: steps of 8 bits vanish
_JUMP = 0.15  # between such pixels: another part of the object begins
_EVEN = 0.95  # length of the mean of 3 x 3 normals: they lie within about 20 degrees of each other
_ENOUGH = 20
_POINTS = 1000  # of each view are looked for in the others


def unproject(depth: Float[Tensor, "n s s"], cameras: Cameras) -> Float[Tensor, "n s s 3"]:
    """World points of all pixels' centres at their depth."""
    k = cameras.intrinsics[:, None, None]
    uv = pixel_centres(*depth.shape[1:])
    x = (uv[..., 0] - k[..., 0, 2]) / k[..., 0, 0]
    y = -(uv[..., 1] - k[..., 1, 2]) / k[..., 1, 1]
    local = torch.stack([x, y, -torch.ones_like(x)], -1) * depth[..., None]
    pose = cameras.camera_to_world[:, None]
    return local @ pose[..., :3, :3].mT + pose[..., :3, 3][:, :, None]


def share_unknown_depth(views: ObjectViews) -> Float[Tensor, " n"]:
    """Share of the wholly covered pixels of each view whose depth is 0, or at the end of its range."""
    return _share(~_solid(views), views.mask[:, 0] == 1)


def share_outside_cube(views: ObjectViews) -> Float[Tensor, " n"]:
    """Share of the solid pixels of each view whose points lie outside the cube."""
    far = unproject(views.depth[:, 0], views.cameras).abs().amax(-1) > CUBE_SIDE / 2 + DEPTH_STEP
    return _share(far, _solid(views))


def share_facing_away(views: ObjectViews) -> Float[Tensor, " n"]:
    """Share of the solid pixels of each view whose normals point away from the camera, by more than 6 degrees."""
    towards = views.cameras.camera_to_world[:, None, None, :3, 3] - unproject(views.depth[:, 0], views.cameras)
    cosine = (normalize(towards, dim=-1) * views.normal.movedim(1, -1)).sum(-1)
    return _share(cosine < -0.1, _solid(views))


def normal_agreement(views: ObjectViews) -> Float[Tensor, " n"]:
    """Median cosine, in each view, between the normals and those of the depth's slopes.

    Only places count around which the normals hardly vary: slopes of finer relief than the pixels aren't known. A view
    with fewer than 20 of them can't be judged: 1.
    """
    size_px = min(views.depth.shape[-1], _COARSE_PX)
    solid = _solid(views)[:, None].float()
    coverage = adaptive_avg_pool2d(solid, size_px)[:, 0]
    depth = adaptive_avg_pool2d(views.depth * solid, size_px)[:, 0].where(coverage > 0.999, torch.inf)
    points = unproject(depth.nan_to_num(posinf=0), views.cameras)
    right = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    up = points[:, :-2, 1:-1] - points[:, 2:, 1:-1]
    slope = torch.linalg.cross(right, up)  # towards the camera
    beside = torch.stack([depth[:, 1:-1, 2:], depth[:, 1:-1, :-2], depth[:, :-2, 1:-1], depth[:, 2:, 1:-1]])
    near = ((beside - depth[:, 1:-1, 1:-1]).abs() < _JUMP).all(0)  # infinity minus infinity is no number: False
    normal = avg_pool2d(adaptive_avg_pool2d(views.normal * solid, size_px), 3, 1).movedim(1, -1)
    cosine = cosine_similarity(slope, normal, dim=-1)
    known = near & (normal.norm(dim=-1) > _EVEN)
    median = cosine.where(known, torch.nan).flatten(1).nanmedian(1).values
    return median.where(known.flatten(1).sum(1) >= _ENOUGH, 1)


def share_contradicted(views: ObjectViews) -> Float[Tensor, " n"]:
    """Share of the places of each view's points in the other views where those say that no such point can be.

    The point of a solid pixel lies on the surface. So another view that has it in its frame must show the object there,
    as near as the point or nearer. The most favourable of the 3 x 3 pixels around the place counts, and two steps of
    depth are nothing.
    """
    size_px = views.depth.shape[-1]
    generator = torch.Generator().manual_seed(0)
    points, solid = unproject(views.depth[:, 0], views.cameras), _solid(views)
    nearest = -max_pool2d(-views.depth.where(views.mask > 0, torch.inf), 3, 1, 1)[:, 0]  # infinite: only background
    shares = []
    for view in range(len(views)):
        own = points[view][solid[view]]
        own = own[torch.randperm(len(own), generator=generator)[:_POINTS]]
        uv, depth = project(own, views.cameras)
        pixel = (uv.nan_to_num(-1).clamp(-1, 2) * size_px).floor().long()
        in_frame = ((pixel >= 0) & (pixel < size_px)).all(-1) & (depth > 0)
        in_frame[view] = False
        column, row = pixel.clamp(0, size_px - 1).unbind(-1)
        other = torch.arange(len(views))[:, None].expand_as(row)
        contradicted = nearest[other, row, column] > depth + 2 * DEPTH_STEP
        shares.append(_share(contradicted.flatten()[None], in_frame.flatten()[None]))
    return torch.cat(shares)


def likely_mistake(cameras: Cameras) -> str | None:
    """What `cam_poses` probably hold, when their cameras don't see the object's centre; None where nothing fits."""
    pose = cameras.camera_to_world
    if see_origin(Cameras(torch.linalg.inv(pose), cameras.intrinsics)).all():
        return "camera-to-world poses; they must be world-to-camera"
    opencv = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    if see_origin(Cameras(pose @ opencv, cameras.intrinsics)).all():
        return "poses with y down and z forward; y must be up and z backward"
    return None


def _solid(views: ObjectViews) -> Bool[Tensor, "n s s"]:
    depth = views.depth[:, 0]
    return (views.mask[:, 0] == 1) & (depth > 0) & (depth < DEPTH_RANGE - DEPTH_STEP / 2)


def _share(what: Bool[Tensor, " n *p"], among: Bool[Tensor, " n *p"]) -> Float[Tensor, " n"]:
    """How much of `among` is also `what`, in each row; 0 where there is nothing."""
    return (what & among).flatten(1).sum(1) / among.flatten(1).sum(1).clamp(min=1)
