"""Procedural textures: a pattern gives every point of space a level, and the level a colour on a ramp."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.zeroverse.noise import Noise, cell_hash, random_noise
from instantmesh.data.procedural.zeroverse.solids import Array

PATTERNS = ("solid", "gradient", "stripes", "checker", "dots", "cells", "noise", "marble", "rings")
_PATTERN_WEIGHTS = (0.12, 0.1, 0.1, 0.1, 0.1, 0.1, 0.16, 0.12, 0.1)
_RAMP_STEPS = 256


@dataclass(frozen=True)
class SolidTexture:
    """Colours of points in space, so that every surface through them, also a cut, has its own.

    Attributes:
        pattern: one of `PATTERNS`.
        ramp: (256, 3) sRGB in [0, 1], colours of the levels 0 to 1.
        frame: (3, 3) rotation of the pattern.
        frequency: radians per length.
        noise: disturbs marble and rings.
    """

    pattern: str
    ramp: Array
    frame: Array
    frequency: float
    noise: Noise

    def __call__(self, local: Array) -> Array:
        """Colours (p, 3) at texture coordinates (p, 3)."""
        if self.pattern == "solid":
            return np.broadcast_to(self.ramp[0], local.shape)
        step = self._level(local @ self.frame) * np.float32(_RAMP_STEPS)
        return self.ramp[np.clip(step.astype(np.int32), 0, _RAMP_STEPS - 1)]

    def _level(self, points: Array) -> Array:
        """Levels (p,), mostly in [0, 1]."""
        scaled = points * np.float32(self.frequency)
        if self.pattern == "gradient":
            return 0.5 + 0.8 * points[:, 0]
        if self.pattern == "stripes":
            return 0.5 + 0.5 * np.sin(scaled[:, 0])
        if self.pattern == "noise":
            return 0.5 + self.noise(points)
        if self.pattern == "marble":
            return 0.5 + 0.5 * np.sin(scaled[:, 0] + 4 * self.noise(points))
        if self.pattern == "rings":
            return 0.5 + 0.5 * np.sin(np.hypot(scaled[:, 0], scaled[:, 1]) + 1.5 * self.noise(points))
        cells = scaled / np.float32(np.pi)
        corner = np.floor(cells)
        if self.pattern == "checker":
            return (corner[:, 0] + corner[:, 1] + corner[:, 2]) % 2
        if self.pattern == "cells":
            return cell_hash(corner.astype(np.int64), salt=0).astype(np.float32) / 2**31
        x, y, z = (cells - corner - 0.5).T
        return np.sqrt(x * x + y * y + z * z) / 0.87  # dots: 0.87 is a cell's half diagonal


def random_texture(rng: np.random.Generator) -> SolidTexture:
    """A random pattern of two to five random colours that fade into each other or meet at edges."""
    pattern = str(rng.choice(PATTERNS, p=_PATTERN_WEIGHTS))
    colors = rng.beta(0.7, 0.7, (int(rng.integers(2, 6)), 3))  # more at the ends than uniform: less grey
    if rng.random() < 0.12:
        colors[:] = colors[:, :1]
    frequency = float(np.exp(rng.uniform(np.log(4), np.log(25))))  # wave lengths from 1.6 to 0.25
    frame, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return SolidTexture(
        pattern,
        _ramp(colors, fades=rng.random() < 0.5).astype(np.float32),
        frame.astype(np.float32),
        frequency,
        random_noise(rng, frequency / 2, octaves=2),
    )


def _ramp(colors: NDArray[np.float64], fades: bool) -> NDArray[np.float64]:
    level = np.linspace(0, 1, _RAMP_STEPS)
    if fades:
        stops = np.linspace(0, 1, len(colors))
        return np.stack([np.interp(level, stops, channel) for channel in colors.T], 1)
    return colors[np.minimum((level * len(colors)).astype(int), len(colors) - 1)]
