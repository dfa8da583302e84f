"""Where the views of a multiview generator are taken from, stated once."""

from dataclasses import dataclass

from instantmesh.cameras import (
    SIX_VIEW_AZIMUTHS_DEG,
    SIX_VIEW_ELEVATIONS_DEG,
    SIX_VIEW_FOV_DEG,
    SIX_VIEW_RADIUS,
    spherical_cameras,
)
from instantmesh.structures import Cameras


@dataclass(frozen=True)
class Rig:
    """The cameras of a generator's views, in the order of the views.

    Attributes:
        azimuths_deg: relative to the photo's camera, which stands at 0.
        elevations_deg: above the object's horizon.
        radius: distance from the object's centre, world units.
        fov_deg: field of view of the square images.
        background: grey level behind the object, in [0, 1].

    Example:
        >>> len(SIX_VIEW_RIG.cameras())
        6
    """

    azimuths_deg: tuple[float, ...]
    elevations_deg: tuple[float, ...]
    radius: float
    fov_deg: float
    background: float = 1.0

    def cameras(self) -> Cameras:
        """The cameras; errors as in `spherical_cameras`."""
        return spherical_cameras(self.azimuths_deg, self.elevations_deg, self.radius, self.fov_deg)


SIX_VIEW_RIG = Rig(SIX_VIEW_AZIMUTHS_DEG, SIX_VIEW_ELEVATIONS_DEG, SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)
"""The six fixed views of Zero123++ v1.2, as InstantMesh uses them."""
