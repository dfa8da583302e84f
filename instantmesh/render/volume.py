"""Images of radiance fields, as the NeRF variants of InstantMesh were trained to be rendered.

Half of a ray's samples are stratified, half follow the weights of the first half (NeRF, Mildenhall et al. 2020, section
5.2, with the blurred weights of mip-NeRF, Barron et al. 2021, eq. 18); densities and colours are averaged between
neighbouring samples before compositing (EG3D, Chan et al. 2022).

Symbols:
    p       rays
    c, m    samples of a ray: the stratified ones; all of them
    near, far, depths       distances along the ray, whose direction has unit length
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d, softplus

from instantmesh.cameras import rays
from instantmesh.errors import InputError
from instantmesh.structures import Cameras

PointField = Callable[[Tensor], tuple[Tensor, Tensor]]
"""points (q, 3) -> colours (q, 3) and raw densities (q, 1)"""

HALF_SIDE = 1.0
_EMPTY_RAW_DENSITY = -torch.finfo(torch.float32).max / 3
_RAYS_PER_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class RayValues:
    """What rays see.

    Attributes:
        color: (..., 3) sRGB on white.
        depth: (..., 1) sum of weights times distances along the ray, not divided by
        the weights' sum. weight: (..., 1) that sum: the ray's opacity, in [0, 1].
    """

    color: Float[Tensor, "*p 3"]
    depth: Float[Tensor, "*p 1"]
    weight: Float[Tensor, "*p 1"]


@dataclass(frozen=True, eq=False)
class FieldRenderings:
    """Images of a field.

    Attributes:
        color: (n, 3, h, w) sRGB on white.
        depth: (n, 1, h, w) and weight: (n, 1, h, w) as in `RayValues`.
    """

    color: Float[Tensor, "n 3 h w"]
    depth: Float[Tensor, "n 1 h w"]
    weight: Float[Tensor, "n 1 h w"]


def box_limits(
    origins: Float[Tensor, "p 3"], directions: Float[Tensor, "p 3"], half_side: float = HALF_SIDE
) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
    """Where rays enter and leave the cube [-half_side, half_side]^3; near >= far for rays that miss it.

    A ray that starts inside enters at 0.
    """
    inverse = 1 / torch.where(directions == 0, torch.finfo(directions.dtype).tiny, directions)
    first, second = (-half_side - origins) * inverse, (half_side - origins) * inverse
    near = torch.minimum(first, second).amax(-1).clamp(min=0)
    return near, torch.maximum(first, second).amin(-1)


def stratified(
    near: Float[Tensor, " p"], far: Float[Tensor, " p"], noise: Float[Tensor, "p c"]
) -> Float[Tensor, "p c"]:
    """Depths evenly from near to far, each moved on by its draw in [0, 1) times their spacing."""
    count = noise.shape[-1]
    share = torch.linspace(0, 1, count, device=near.device, dtype=near.dtype)
    return near[:, None] + (share + noise / (count - 1)) * (far - near)[:, None]


def importance(
    depths: Float[Tensor, "p c"], weights: Float[Tensor, "p intervals"], noise: Float[Tensor, "p fine"]
) -> Float[Tensor, "p fine"]:
    """Depths where weights are: the inverse of their cumulative distribution at uniform noise, not differentiable.

    Args:
        depths: ascending.
        weights: of the c - 1 intervals between them.
        noise: uniform in [0, 1].
    """
    with torch.no_grad():
        blurred = avg_pool1d(max_pool1d(weights[:, None], 2, stride=1, padding=1), 2, stride=1)[:, 0] + 0.01
        # One share fewer than there are bins between mid-points: the last bin is never drawn from, as in training.
        middle = (depths[:, 1:] + depths[:, :-1]) / 2
        share = blurred[:, 1:-1] + 1e-5
        share = share / share.sum(-1, keepdim=True)
        cumulative = torch.cat([torch.zeros_like(share[:, :1]), share.cumsum(-1)], dim=-1)
        upper = torch.searchsorted(cumulative, noise.contiguous(), right=True)
        below, above = (upper - 1).clamp(min=0), upper.clamp(max=share.shape[-1])
        start, end = cumulative.gather(1, below), cumulative.gather(1, above)
        width = torch.where(end - start < 1e-5, 1.0, end - start)
        left, right = middle.gather(1, below), middle.gather(1, above)
        return left + (noise - start) / width * (right - left)


def transmitted_weights(alpha: Float[Tensor, "p intervals"]) -> Float[Tensor, "p intervals"]:
    """Share of the light that comes from each interval: its opacity times what those before it let through."""
    clear = torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1] + 1e-10], dim=-1)
    return alpha * clear.cumprod(-1)


def interval_weights(depths: Float[Tensor, "p m"], raw_density: Float[Tensor, "p m"]) -> Float[Tensor, "p intervals"]:
    """Weights of the intervals between samples, whose density is softplus(mean of the raw densities - 1)."""
    density = softplus((raw_density[:, 1:] + raw_density[:, :-1]) / 2 - 1)
    return transmitted_weights(1 - torch.exp(-density * (depths[:, 1:] - depths[:, :-1])))


def composite(
    depths: Float[Tensor, "p m"], colors: Float[Tensor, "p m 3"], raw_density: Float[Tensor, "p m"]
) -> RayValues:
    """Sum up what lies along each ray, on white; samples in ascending order."""
    weights = interval_weights(depths, raw_density)[..., None]
    total = weights.sum(1)
    color = (weights * (colors[:, 1:] + colors[:, :-1]) / 2).sum(1)
    depth = (weights[..., 0] * (depths[:, 1:] + depths[:, :-1]) / 2).sum(1, keepdim=True)
    return RayValues(color + 1 - total, depth, total)


def render_rays(
    field: PointField,
    origins: Float[Tensor, "p 3"],
    directions: Float[Tensor, "p 3"],
    samples: int,
    generator: torch.Generator | None = None,
) -> RayValues:
    """What rays see of a field inside the cube [-1, 1]^3; outside it there is nothing.

    Rays that miss the cube see white and don't reach the field. (The released code sends them past the cube between
    the limits of other rays, which comes to the same.)

    Args:
        field: colours and raw densities at points; asked inside the cube only.
        origins: of the rays.
        directions: of the rays, unit length.
        samples: of each ray, an even number of at least 8, half of them stratified.
        generator: of the random draws, on the rays' device. Without one the draws are fixed, as for the golden
            numbers: 1/2 in the stratified half, evenly from 0 to 1 in the other.

    Raises:
        InputError: `samples` is odd or too small.
    """
    if samples < 8 or samples % 2:
        raise InputError(f"a ray needs an even number of at least 8 samples, got {samples}")
    near, far = box_limits(origins, directions)
    hit = (near < far).nonzero().squeeze(1)
    missed = RayValues(torch.ones_like(origins), torch.zeros_like(origins[:, :1]), torch.zeros_like(origins[:, :1]))
    if not len(hit):
        return missed
    chunks = [
        _render_hits(field, origins[rows], directions[rows], near[rows], far[rows], samples // 2, generator)
        for rows in hit.split(_RAYS_PER_CHUNK)
    ]
    return RayValues(
        missed.color.index_copy(0, hit, torch.cat([chunk.color for chunk in chunks])),
        missed.depth.index_copy(0, hit, torch.cat([chunk.depth for chunk in chunks])),
        missed.weight.index_copy(0, hit, torch.cat([chunk.weight for chunk in chunks])),
    )


def render_field(
    field: PointField,
    cameras: Cameras,
    height: int,
    width: int,
    samples: int,
    *,
    crop: tuple[int, int, int, int] | None = None,
    generator: torch.Generator | None = None,
) -> FieldRenderings:
    """Images of a field from every camera, on the cameras' device.

    Args:
        field: see `render_rays`.
        cameras: from where.
        height: of the whole image in pixels.
        width: of the whole image in pixels.
        samples: see `render_rays`.
        crop: (top, left, height, width) of the part to render; with fixed draws it equals that part of the whole.
        generator: see `render_rays`.

    Raises:
        InputError: the crop doesn't lie in the image, or `samples` is odd or too small.
    """
    top, left, h, w = crop or (0, 0, height, width)
    if min(top, left) < 0 or min(h, w) < 1 or top + h > height or left + w > width:
        raise InputError(f"crop (top, left, height, width) = {crop} doesn't lie in a {height} x {width} image")
    origins, directions = (
        ray.unflatten(1, (height, width))[:, top : top + h, left : left + w].reshape(-1, 3)
        for ray in rays(cameras, height, width)
    )
    seen = render_rays(field, origins, directions, samples, generator)
    color, depth, weight = (
        values.reshape(len(cameras), h, w, -1).permute(0, 3, 1, 2) for values in (seen.color, seen.depth, seen.weight)
    )
    return FieldRenderings(color, depth, weight)


def _render_hits(
    field: PointField,
    origins: Float[Tensor, "p 3"],
    directions: Float[Tensor, "p 3"],
    near: Float[Tensor, " p"],
    far: Float[Tensor, " p"],
    half: int,
    generator: torch.Generator | None,
) -> RayValues:
    coarse = stratified(near, far, _uniform_noise(origins, half, generator, fixed=torch.full((half,), 0.5)))
    coarse_color, coarse_density = _ask(field, origins, directions, coarse)
    weights = interval_weights(coarse, coarse_density)
    fine = importance(coarse, weights, _uniform_noise(origins, half, generator, fixed=torch.linspace(0, 1, half)))
    fine_color, fine_density = _ask(field, origins, directions, fine)
    depths, order = torch.cat([coarse, fine], dim=1).sort(dim=1, stable=True)
    color = torch.cat([coarse_color, fine_color], dim=1).take_along_dim(order[..., None], 1)
    return composite(depths, color, torch.cat([coarse_density, fine_density], dim=1).gather(1, order))


def _uniform_noise(
    like: Tensor, count: int, generator: torch.Generator | None, fixed: Tensor
) -> Float[Tensor, "p count"]:
    if generator is None:
        return fixed.to(like).expand(len(like), count)
    return torch.rand(len(like), count, generator=generator, device=like.device, dtype=like.dtype)


def _ask(
    field: PointField, origins: Float[Tensor, "p 3"], directions: Float[Tensor, "p 3"], depths: Float[Tensor, "p m"]
) -> tuple[Float[Tensor, "p m 3"], Float[Tensor, "p m"]]:
    """Colours and raw densities at samples; black and empty outside the cube."""
    points = (origins[:, None] + depths[..., None] * directions[:, None]).flatten(0, 1)
    inside: Bool[Tensor, " q"] = (points.abs() <= HALF_SIDE).all(-1)
    color, raw_density = field(points[inside])
    colors = points.new_zeros(len(points), 3).masked_scatter(inside[:, None], color.to(points))
    densities = points.new_full((len(points),), _EMPTY_RAW_DENSITY).masked_scatter(inside, raw_density[:, 0].to(points))
    return colors.reshape(*depths.shape, 3), densities.reshape(depths.shape)
