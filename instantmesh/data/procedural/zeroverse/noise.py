"""Smooth seeded noise: a sum of plane waves with random directions, lengths and phases.

Vectorised sines are several times faster in numpy than interpolating hashed lattices, and have no preferred axes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.zeroverse.solids import Array
from instantmesh.geometry.triangles import unit

_HASH_PRIMES = np.array([73856093, 19349663, 83492791], np.int64)


@dataclass(frozen=True)
class Noise:
    """k waves; values have mean 0 and, over all space, standard deviation 0.5.

    Attributes: waves: (3, k) wave vectors, radians per length. phases: (k,). heights: (k,).
    """

    waves: Array
    phases: Array
    heights: Array

    def __call__(self, points: Array) -> Array:
        """Values (p,) float32 at points (p, 3)."""
        return np.sin(points @ self.waves + self.phases) @ self.heights


def random_noise(rng: np.random.Generator, frequency: float, octaves: int = 1, waves_per_octave: int = 5) -> Noise:
    """Noise whose waves have about `frequency` radians per length; each octave doubles it and halves the height."""
    octave = np.repeat(np.arange(octaves), waves_per_octave)
    length = frequency * 2.0**octave * rng.uniform(0.7, 1.3, len(octave))
    heights = 0.5**octave
    heights *= 0.5 / np.sqrt((heights**2).sum() / 2)
    waves = unit(rng.normal(size=(len(octave), 3))) * length[:, None]
    phases = rng.uniform(0, 2 * np.pi, len(octave))
    return Noise(waves.T.astype(np.float32), phases.astype(np.float32), heights.astype(np.float32))


def cell_hash(cells: NDArray[np.int64], salt: int) -> NDArray[np.int64]:
    """A pseudo-random number in [0, 2^31) for every integer cell (p, 3)."""
    mixed = (cells * _HASH_PRIMES).sum(1) ^ salt
    mixed = (mixed ^ (mixed >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 0x7FFFFFFF
