"""Views of two spheres, without a mesh: pixels whose rays hit one are dark."""

import torch
from torch import Tensor

from instantmesh.cameras import rays
from instantmesh.structures import Cameras, Views

SPHERES = ((0.0, 0.0, 0.0, 0.6), (0.4, 0.2, 0.55, 0.35))  # centre, radius


def photographed(cameras: Cameras, size_px: int = 64, scale: float = 1.0, offset: Tensor | None = None) -> Views:
    """Views of the spheres, scaled and then moved."""
    origins, directions = (x.double() for x in rays(cameras, size_px, size_px))
    image = torch.ones(len(cameras), 3, size_px, size_px)
    for *center, radius in SPHERES:
        place = torch.tensor(center, dtype=torch.float64) * scale + (0 if offset is None else offset.double())
        along = ((place - origins) * directions).sum(-1)
        apart = ((place - origins) ** 2).sum(-1) - along**2
        hit = (apart < (radius * scale) ** 2) & (along > 0)
        image[hit.reshape(len(cameras), 1, size_px, size_px).expand_as(image)] = 0.3
    return Views(image, cameras)
