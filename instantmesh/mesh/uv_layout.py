"""How well a texture is used."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.geometry.rays import covering_faces

_SAMPLES = 1024  # along each side of the texture


@dataclass(frozen=True)
class UvLayout:
    """How faces lie in a texture, in shares of it.

    Attributes:
        coverage: what faces lie on, in [0, 1].
        area: the sum of the faces' areas, larger where they overlap.
    """

    coverage: float
    area: float

    @property
    def overlap(self) -> float:
        """Share of the faces' area that is surplus: 0 where no two faces share a place, 1/2 where all is used twice."""
        return max(0.0, 1 - self.coverage / self.area) if self.area else 0.0


def uv_layout(uv: NDArray[np.floating]) -> UvLayout:
    """Measure where faces lie in their texture.

    Coverage is sampled at 1024 x 1024 places.

    Args:
        uv: (f, 3, 2) in [0, 1].
    """
    edges = uv[:, 1:] - uv[:, :1]
    area = float(np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum()) / 2
    covered = covering_faces(uv * _SAMPLES, _SAMPLES, _SAMPLES) >= 0
    return UvLayout(float(covered.mean()), area)
