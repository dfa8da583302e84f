"""The views that images are compared from.

True objects lie in the unit sphere; cameras have a radius of 4 and a field of view of 30 degrees.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from instantmesh.cameras import SIX_VIEW_FOV_DEG, SIX_VIEW_RADIUS, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.evaluation.protocol import held_out_cameras
from instantmesh.structures import Cameras

OMNI_16 = "omni16"
_OMNI_VIEWS = 16


def orbit_21() -> Cameras:
    """InstantMesh's orbit: 21 even azimuths; elevations 30, 0, -30 in turn (how the paper pairs them isn't known)."""
    return cameras_at([360 * k / 21 for k in range(21)], [(30.0, 0.0, -30.0)[k % 3] for k in range(21)])


def crm_24() -> Cameras:
    """CRM's: eight even azimuths at each of the elevations 0, 15, 30."""
    pairs = [(45.0 * azimuth, elevation) for elevation in (0.0, 15.0, 30.0) for azimuth in range(8)]
    return cameras_at([azimuth for azimuth, _ in pairs], [elevation for _, elevation in pairs])


def cameras_at(azimuths_deg: list[float], elevations_deg: list[float]) -> Cameras:
    """Cameras at the radius and with the field of view of all view sets."""
    return spherical_cameras(azimuths_deg, elevations_deg, SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)


VIEW_SETS: dict[str, tuple[str, Callable[[], Cameras]]] = {
    "orbit21": ("21 even azimuths, elevations 30, 0, -30 in turn", orbit_21),
    "crm24": ("8 azimuths at each of elevations 0, 15, 30", crm_24),
    "held-out4": ("azimuths 0, 120, 180, 300; elevations 30, 0, -30, 30", held_out_cameras),
}
VIEW_SET_NAMES = (*VIEW_SETS, OMNI_16)


def check_view_set(name: str) -> None:
    """Know a view set's name.

    Raises:
        InputError: no such set.
    """
    if name not in VIEW_SET_NAMES:
        raise InputError(f"unknown view set {name!r}; use one of {', '.join(VIEW_SET_NAMES)}")


def view_set(name: str) -> Cameras:
    """The cameras of a view set that is the same for all objects.

    Raises:
        InputError: no such set.
    """
    check_view_set(name)
    if name == OMNI_16:
        raise InputError(f"the views of {OMNI_16} are each object's own")
    return VIEW_SETS[name][1]()


def omni_views(renderings: Path | None, name: str, seed: int) -> Cameras:
    """16 of the directions from which OmniObject3D has rendered an object, on its upper half, drawn by name and seed.

    The directions alone are taken from `transforms.json`: true object and result are rendered alike, from the distance
    of all view sets.

    Args:
        renderings: the folder with `transforms.json`; None where the data set has none.
        name: of the object.
        seed: of the draw.

    Raises:
        InputError: there are no renderings, or fewer than 16 from above.
    """
    if renderings is None:
        raise InputError(f"{name} has no renderings: {OMNI_16} needs OmniObject3D's blender_renders beside the scans")
    path = renderings / "transforms.json"
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        positions = np.array([np.array(frame["transform_matrix"], np.float64)[:3, 3] for frame in frames])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} can't be read as cameras ({type(error).__name__}: {error})") from error
    above = positions[positions[:, 2] > 0] if len(positions) else positions
    if len(above) < _OMNI_VIEWS:
        raise InputError(f"{path} has {len(above)} cameras above the object, {_OMNI_VIEWS} are needed")
    rng = np.random.default_rng([seed, *name.encode()])
    chosen = above[np.sort(rng.choice(len(above), _OMNI_VIEWS, replace=False))]
    azimuths = [math.degrees(math.atan2(y, x)) for x, y, _ in chosen]
    elevations = [math.degrees(math.asin(z / math.hypot(x, y, z))) for x, y, z in chosen]
    return cameras_at(azimuths, elevations)
