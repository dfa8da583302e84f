"""From plane features to fields: density and colour, or signed distance, colour, deformation and cube weights."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from instantmesh.lrm.triplane import PlaneAxes, linear_on_grid, sample_planes

_HIDDEN = 64
_CUBE_WEIGHT_SCALE = 0.1
_CPU_POINTS = (65_536, 8_192)
_GPU_POINTS = (4_194_304, 4_194_304)
"""Points of a grid whose first layer, and whose other layers, are computed at once. On a CPU the hidden values of 8,192
points (2 MB) stay in its cache from layer to layer, which is several times as fast as half a million at once."""


def head(
    inputs: int, outputs: int, hidden: int = _HIDDEN, layers: int = 3, activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """`layers` times Linear and an activation, with `hidden` units, then Linear."""
    stack: list[nn.Module] = []
    for width in (inputs, *[hidden] * (layers - 1)):
        stack += [nn.Linear(width, hidden), activation()]
    return nn.Sequential(*stack, nn.Linear(hidden, outputs))


def activate_color(raw: Tensor) -> Tensor:
    """sRGB from the raw output, slightly beyond [0, 1] so that black and white are reached (mip-NeRF)."""
    return torch.sigmoid(raw) * 1.002 - 0.001


def activate_density(raw: Tensor) -> Tensor:
    """Density from the raw output: softplus(raw - 1)."""
    return softplus(raw - 1)


def raw_density(density: float) -> float:
    """The raw output that `activate_density` makes this positive density of."""
    return 1 + density + math.log(-math.expm1(-density))


def exponential_density(raw: Tensor, bias: float) -> Tensor:
    """Density from the raw output: exp(raw + bias)."""
    return torch.exp(raw + bias)


class RadianceHead(nn.Module):
    """One net for density and colour. The defaults are LRM's and InstantMesh's; TripoSR has others.

    Args:
        channels: of a plane.
        hidden, layers, activation: of the net, see `head`.
        density: makes a density of the net's first output.
        color: makes sRGB of the others.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = _HIDDEN,
        layers: int = 3,
        activation: type[nn.Module] = nn.ReLU,
        density: Callable[[Tensor], Tensor] = activate_density,
        color: Callable[[Tensor], Tensor] = activate_color,
    ) -> None:
        super().__init__()
        self.net = head(3 * channels, 4, hidden, layers, activation)
        self.density: Callable[[Tensor], Tensor] = density
        self.color: Callable[[Tensor], Tensor] = color

    def forward(self, features: Float[Tensor, "*p c3"]) -> tuple[Float[Tensor, "*p 3"], Float[Tensor, "*p 1"]]:
        """Colour in sRGB and *raw* density at features."""
        raw = self.net(features)
        return self.color(raw[..., 1:]), raw[..., :1]


class SurfaceHead(nn.Module):
    """Nets for a FlexiCubes surface (mesh variants)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net_sdf = head(3 * channels, 1)
        self.net_rgb = head(3 * channels, 3)
        self.net_deformation = head(3 * channels, 3)
        self.net_weight = head(8 * 3 * channels, 21)
        for net in (self.net_deformation, self.net_weight):  # training starts from the undeformed grid
            last = net[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def sdf(self, features: Float[Tensor, "*p c3"]) -> Float[Tensor, "*p"]:
        """Signed distance (negative inside) at features."""
        return self.net_sdf(features).squeeze(-1)

    def colors(self, features: Float[Tensor, "*p c3"]) -> Float[Tensor, "*p 3"]:
        """sRGB colours at features, within [-0.001, 1.001]."""
        return activate_color(self.net_rgb(features))


class RadianceField:
    """Density and colour of one object, as functions of position."""

    def __init__(
        self, planes: Float[Tensor, "3 c h w"], head: RadianceHead, axes: PlaneAxes, half_side: float = 1.0
    ) -> None:
        self._planes, self._head, self._axes, self._half_side = planes, head, axes, half_side

    def __call__(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 1"]]:
        """Colour in sRGB and raw density at points in the cube that the planes cover, of side 2 `half_side`."""
        return self._head(sample_planes(self._planes, points / self._half_side, self._axes))

    def density_on_grid(
        self, x: Float[Tensor, " nx"], y: Float[Tensor, " ny"], z: Float[Tensor, " nz"]
    ) -> Float[Tensor, "nx ny nz"]:
        """Density on the grid x x y x z, indexed [x, y, z]."""
        scaled = (x / self._half_side, y / self._half_side, z / self._half_side)
        return self._head.density(_net_on_grid(self._planes, self._head.net, *scaled, self._axes))

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """sRGB colours at points."""
        return self(points)[0]

    def radiance(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 1"]]:
        """Colour in sRGB and density at points."""
        color, raw = self(points)
        return color, self._head.density(raw)


class SurfaceField:
    """Signed distance, colour, deformation and cube weights of one object, as functions of position."""

    def __init__(self, planes: Float[Tensor, "3 c h w"], head: SurfaceHead, axes: PlaneAxes) -> None:
        self._planes, self._head, self._axes = planes, head, axes

    def features(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p c3"]:
        """Plane features at points."""
        return sample_planes(self._planes, points, self._axes)

    def sdf(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
        """Signed distance (negative inside) at points."""
        return self._head.sdf(self.features(points))

    def sdf_on_grid(self, axis: Float[Tensor, " n"]) -> Float[Tensor, "n n n"]:
        """Signed distance on the regular grid axis x axis x axis, indexed [x, y, z]."""
        return _net_on_grid(self._planes, self._head.net_sdf, axis, axis, axis, self._axes)

    def deformation(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Raw deformation (before tanh) at points."""
        return self._head.net_deformation(self.features(points))

    def cube_weights(self, points: Float[Tensor, "p 3"], corners: Int[Tensor, "c 8"]) -> Float[Tensor, "c 21"]:
        """Raw FlexiCubes weights (times 0.1) of cubes given by the indices of their corners in `points`."""
        return _CUBE_WEIGHT_SCALE * self._head.net_weight(self.features(points)[corners].flatten(1))

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """sRGB colours at points, within [-0.001, 1.001]."""
        return self._head.colors(self.features(points))


def _net_on_grid(
    planes: Tensor,
    net: nn.Sequential,
    x: Float[Tensor, " nx"],
    y: Float[Tensor, " ny"],
    z: Float[Tensor, " nz"],
    axes: PlaneAxes,
) -> Float[Tensor, "nx ny nz"]:
    """The first output of a head on the grid x x y x z: its first layer separably, the rest chunk by chunk."""
    first, rest, last = net[0], net[1:-1], net[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    slab_points, chunk_points = _CPU_POINTS if planes.device.type == "cpu" else _GPU_POINTS
    values = planes.new_empty(len(x), len(y), len(z))  # small results between large ones split memory
    start = 0
    for hidden in linear_on_grid(planes, first, x, y, z, axes, slab=max(1, slab_points // (len(y) * len(z)))):
        chunks = [rest(chunk) @ last.weight[0] + last.bias[0] for chunk in hidden.flatten(0, 2).split(chunk_points)]
        values[start : start + len(hidden)] = torch.cat(chunks).view(hidden.shape[:3])
        start += len(hidden)
    return values
