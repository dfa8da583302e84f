"""From how high a photo was taken, estimated from the photo alone.

A reconstruction from one photo that isn't told leans its object back by as much as it is wrong: what a camera above the
object sees is then put in front of it. So the elevation is estimated first, as One-2-3-45 does (arXiv 2306.16928, there
by matching generated views), here by a small convolutional network that is trained with the reconstruction.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 4  # each halves the image's side
_SIDE = 4  # of the last map: where something is seen says as much as what
_MEAN_DEG, _SPREAD_DEG = 15.0, 15.0  # of the photos in training, so that the network's output is about normal


class ElevationEstimator(nn.Module):
    """Images of objects, centred on white, to elevations.

    Args:
        channels: of the first level; each level has twice as many as the one before.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [3, *(channels * 2**level for level in range(_LEVELS))]
        self.levels = nn.Sequential(*(_Level(a, b) for a, b in pairwise(widths)))
        self.pool = nn.AdaptiveAvgPool2d(_SIDE)
        self.head = nn.Sequential(nn.Linear(widths[-1] * _SIDE**2, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> Float[Tensor, " n"]:
        """Degrees above the horizon. Images in [0, 1]."""
        return _MEAN_DEG + _SPREAD_DEG * self.head(self.pool(self.levels(1 - images)).flatten(1)).squeeze(-1)


class _Level(nn.Module):
    """Half the side, then a residual convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(1, channels)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b h2 w2"]:
        x = nn.functional.silu(self.down(x))
        return x + nn.functional.silu(self.convolution(self.norm(x)))
