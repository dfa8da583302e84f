"""What a system is given of a true object: one photo, six views, or the views of any rig.

True objects lie in the unit sphere, and cameras look at its centre. The photo is 512 pixels wide, views are 320.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from pydantic import Field, PositiveFloat, ValidationError, model_validator
from torch import Tensor

from instantmesh.cameras import six_view_cameras, spherical_cameras
from instantmesh.config import StrictModel, explained
from instantmesh.errors import InputError
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.view_sets import cameras_at
from instantmesh.files.image_files import to_pil
from instantmesh.structures import Cameras, Mesh, Views

PHOTO_SIZE_PX = 512
VIEW_SIZE_PX = 320

IMAGE, SIX_VIEWS = "image", "six-views"


@dataclass(frozen=True)
class PhotoPose:
    """Where a photo is taken from.

    Attributes:
        azimuth_deg: from the object's front, counter-clockwise seen from above.
        elevation_deg: above the horizon.
    """

    azimuth_deg: float = 0.0
    elevation_deg: float = 10.0

    def camera(self) -> Cameras:
        """The one camera."""
        return cameras_at([self.azimuth_deg], [self.elevation_deg])


@dataclass(frozen=True, eq=False)
class Inputs:
    """Views of a true object.

    Attributes:
        views: images on white, with their cameras in the true object's frame.
        masks: (n, 1, h, w) in [0, 1].
        pose: of the photo, where there is only that.
    """

    views: Views
    masks: Float[Tensor, "n 1 h w"]
    pose: PhotoPose | None = None

    def photo(self) -> Image.Image:
        """The first view as a photo whose background has been removed: RGBA, straight alpha."""
        image, mask = self.views.images[0], self.masks[0]
        color = torch.where(mask > 0, (image - (1 - mask)) / mask.clamp(min=1e-3), image)
        return to_pil(torch.cat([color.clamp(0, 1), mask]))


class ViewRig(StrictModel):
    """Cameras that look at the origin, from a JSON file.

    Attributes:
        azimuths_deg: from the object's front.
        elevations_deg: as many.
        radius: distance from the origin; the object's radius is 1.
        fov_deg: field of view of the square images.
    """

    azimuths_deg: tuple[float, ...] = Field(min_length=1)
    elevations_deg: tuple[float, ...]
    radius: PositiveFloat = 4.0
    fov_deg: PositiveFloat = 30.0

    @model_validator(mode="after")
    def _as_many(self) -> "ViewRig":
        if len(self.azimuths_deg) != len(self.elevations_deg):
            raise ValueError(f"{len(self.azimuths_deg)} azimuths but {len(self.elevations_deg)} elevations")
        return self

    def cameras(self) -> Cameras:
        """The cameras, in the rig's order."""
        return spherical_cameras(self.azimuths_deg, self.elevations_deg, self.radius, self.fov_deg)


def given_cameras(given: str) -> Cameras | None:
    """The cameras of "six-views" or of a rig's JSON file; None for "image", whose camera is a pose.

    Raises:
        InputError: neither of these, or the file can't be read.
    """
    if given == IMAGE:
        return None
    return six_view_cameras() if given == SIX_VIEWS else read_rig(Path(given)).cameras()


def read_rig(path: Path) -> ViewRig:
    """A rig's JSON file: azimuths_deg, elevations_deg, radius, fov_deg.

    Raises:
        InputError: no such file, or it isn't a rig.
    """
    if not path.is_file():
        raise InputError(f"given {str(path)!r}: use {IMAGE!r}, {SIX_VIEWS!r}, or a rig's JSON file")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return ViewRig.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error, ViewRig)}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as JSON ({error})") from error


def photo_inputs(true: Mesh, pose: PhotoPose) -> Inputs:
    """One photo of a true object."""
    return Inputs(*true_views(true, pose.camera(), PHOTO_SIZE_PX), pose)


def view_inputs(true: Mesh, cameras: Cameras) -> Inputs:
    """Views of a true object."""
    return Inputs(*true_views(true, cameras, VIEW_SIZE_PX))
