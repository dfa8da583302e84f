"""Images of radiance fields as TripoSR renders them (arXiv 2403.02151).

Samples lie at the middles of even parts of the ray's way through the cube.

Symbols as in `render.volume`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.render.volume import RayValues, box_limits, transmitted_weights

RadianceFunction = Callable[[Tensor], tuple[Tensor, Tensor]]
"""points (q, 3) -> colours (q, 3) and densities (q, 1)"""

TIGHTENING = 0.999
"""Of the cube that rays are cut to, against samples on the planes' border."""
_RAYS_PER_CHUNK = 4096


def render_rays_evenly(
    field: RadianceFunction,
    origins: Float[Tensor, "p 3"],
    directions: Float[Tensor, "p 3"],
    samples: int,
    half_side: float,
) -> RayValues:
    """What rays see of a field inside the cube [-half_side, half_side]^3; rays that miss it see white.

    A sample's opacity is 1 - exp(-density / samples): the length of the ray's way through the cube doesn't count.

    Raises:
        InputError: `samples` isn't positive.
    """
    if samples < 1:
        raise InputError(f"a ray needs samples, got {samples}")
    near, far = box_limits(origins, directions, half_side * TIGHTENING)
    color, depth, weight = torch.ones_like(origins), torch.zeros_like(near)[:, None], torch.zeros_like(near)[:, None]
    middles = (torch.arange(samples, device=origins.device) + 0.5) / samples
    for rows in (near < far).nonzero().squeeze(1).split(_RAYS_PER_CHUNK):
        depths = near[rows, None] + middles * (far - near)[rows, None]
        points = origins[rows, None] + depths[..., None] * directions[rows, None]
        colors, density = field(points.flatten(0, 1))
        weights = transmitted_weights(1 - torch.exp(-density.reshape(depths.shape) / samples))
        total = weights.sum(1, keepdim=True)
        seen = (weights[..., None] * colors.reshape(points.shape)).sum(1)
        color = color.index_copy(0, rows, seen + 1 - total)
        depth = depth.index_copy(0, rows, (weights * depths).sum(1, keepdim=True))
        weight = weight.index_copy(0, rows, total)
    return RayValues(color, depth, weight)
