"""How photographs become meshes: everything a call of the pipeline can be asked for, checked before any work."""

import operator
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from instantmesh.config import explained
from instantmesh.errors import InputError
from instantmesh.finishing import Finishing
from instantmesh.images.cutout import Background


def _plain(number: Any) -> Any:
    """numpy's whole numbers as Python's."""
    return operator.index(number) if hasattr(number, "__index__") and not isinstance(number, bool) else number


Whole = Annotated[int, BeforeValidator(_plain)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Real = Annotated[float, Field(allow_inf_nan=False)]


class Settings(BaseModel):
    """Arguments of `Pipeline.__call__`, which explains them, with the same names and defaults. Make it with `of`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True)

    seed: Seed | list[Seed] | None = None
    generator: torch.Generator | None = None
    batch_size: Annotated[Whole, Field(ge=1)] = 1
    steps: Annotated[Whole, Field(ge=1)] | None = None
    fast: bool = False
    guidance_scale: Real = 4.0
    background: Background = "auto"
    scale: Annotated[Real, Field(gt=0)] = 1.0
    resolution: Annotated[Whole, Field(ge=2, le=2048)] | None = None
    min_component_area: Real = 1.0
    target_faces: Whole | None = None
    watertight: bool = False
    texture_size: Whole | None = None
    blend_views: bool = False
    callback: Callable[[int, int], None] | None = None

    @classmethod
    def of(cls, **given: Any) -> "Settings":
        """Raises:
        InputError: what no model can do, or an argument that there isn't.
        """
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise InputError(explained(error, cls)) from None
        _ = settings.finishing  # which has checks of its own
        return settings

    @property
    def finishing(self) -> Finishing:
        """How the mesh is to be finished."""
        return Finishing(
            self.min_component_area,
            target_faces=self.target_faces,
            watertight=self.watertight,
            texture_size=self.texture_size,
            blend_views=self.blend_views,
        )
