"""Planes: from tokens to feature maps, and reading them at points and on regular grids.

Symbols: planes (3, c, h, w) of one object, p points in [-1, 1]^3, n grid points an axis, k outputs of a linear layer.
`PlaneAxes` says which coordinates each plane is read at, as (x, y) of `grid_sample`; the family's systems differ there.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, silu

PlaneAxes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

LRM_PLANE_AXES: PlaneAxes = ((0, 1), (0, 2), (2, 1))


class DeconvUpsampler(nn.Module):
    """Plane tokens to planes of twice the resolution by one transposed convolution, as the released models do."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(dim, channels, kernel_size=2, stride=2)

    def forward(self, tokens: Float[Tensor, "b 3 low low dim"]) -> Float[Tensor, "b 3 c high high"]:
        return self.deconv(tokens.flatten(0, 1).permute(0, 3, 1, 2)).unflatten(0, (-1, 3))


class SmoothUpsampler(nn.Module):
    """Plane tokens to planes of four times the resolution in two steps of overlapping kernels.

    Kernels that don't overlap let blocks of texels disagree at their borders, which shows as steps in surfaces.
    """

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        half = dim // 2
        self.up1 = nn.ConvTranspose2d(dim, half, kernel_size=4, stride=2, padding=1)
        self.mix1 = nn.Conv2d(half, half, kernel_size=3, padding=1)
        self.up2 = nn.ConvTranspose2d(half, half, kernel_size=4, stride=2, padding=1)
        self.mix2 = nn.Conv2d(half, channels, kernel_size=3, padding=1)

    def forward(self, tokens: Float[Tensor, "b 3 low low dim"]) -> Float[Tensor, "b 3 c high high"]:
        x = silu(self.up1(tokens.flatten(0, 1).permute(0, 3, 1, 2)))
        x = x + silu(self.mix1(x))
        return self.mix2(silu(self.up2(x))).unflatten(0, (-1, 3))


def sample_planes(
    planes: Float[Tensor, "*b 3 c h w"], points: Float[Tensor, "*b p 3"], axes: PlaneAxes
) -> Float[Tensor, "*b p c3"]:
    """Features (c3 = 3 c, plane after plane) at points: bilinear, zeros outside, `align_corners=False`."""
    batch = planes.shape[:-4]
    flat = planes.reshape(-1, *planes.shape[-4:])
    flat_points = points.reshape(len(flat), *points.shape[-2:])  # not -1, which no points at all leave open
    xyz = flat_points.unbind(-1)  # not lists as indices: those are copied to a GPU, which waits
    where = torch.stack([torch.stack([xyz[i] for i in pair], dim=-1) for pair in axes], dim=1)
    sampled = grid_sample(
        flat.flatten(0, 1), where.flatten(0, 1)[:, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )  # (b * 3, c, 1, p)
    features = sampled[:, :, 0].unflatten(0, (-1, 3)).flatten(1, 2).transpose(1, 2)
    return features.reshape(*batch, *features.shape[1:])


def project_planes(planes: Float[Tensor, "3 c h w"], weight: Float[Tensor, "k c3"]) -> Float[Tensor, "3 k h w"]:
    """Planes of what a linear layer without bias makes of the features.

    Sampling and the layer are both linear, so the layer can go first: the sum over planes of samples of the result is
    the layer's output (exact shortcut 2).
    """
    per_plane = weight.unflatten(1, (3, -1))  # (k, 3, c)
    return torch.einsum("kpc,pchw->pkhw", per_plane, planes)


def linear_on_grid(
    planes: Float[Tensor, "3 c h w"],
    layer: nn.Linear,
    x: Float[Tensor, " nx"],
    y: Float[Tensor, " ny"],
    z: Float[Tensor, " nz"],
    axes: PlaneAxes,
    slab: int,
) -> Iterator[Float[Tensor, "s ny nz k"]]:
    """Outputs of a linear layer of the features on the grid x x y x z, in slabs of `slab` layers along x.

    Each plane depends on two of the three coordinates, so the grid's three faces are sampled once each, and its values
    are broadcast sums (exact shortcut 3).
    """
    maps = []
    for (first, second), plane in zip(axes, project_planes(planes, layer.weight), strict=True):
        grid = torch.stack(torch.meshgrid((x, y, z)[first], (x, y, z)[second], indexing="ij"), dim=-1)
        sampled = grid_sample(plane[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]
        values = sampled.permute(1, 2, 0) if first < second else sampled.permute(2, 1, 0)
        maps.append(values.unsqueeze(3 - first - second))  # size 1 along the axis this plane doesn't see
    if layer.bias is not None:
        maps[0] = maps[0] + layer.bias
    for start in range(0, len(x), slab):
        part = [m if m.shape[0] == 1 else m[start : start + slab] for m in maps]
        yield (part[0] + part[1]).add_(part[2])  # any two planes see all three axes
