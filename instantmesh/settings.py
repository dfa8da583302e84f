"""How photographs become meshes: everything a call of the pipeline can be asked for, checked before any work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from instantmesh.errors import InputError
from instantmesh.finishing import Finishing

if TYPE_CHECKING:
    from instantmesh.images.cutout import Background


@dataclass(frozen=True)
class Settings:
    """Arguments of `Pipeline.__call__`, which explains them, with the same names and defaults.

    Raises:
        InputError: what can't be done with any model.
    """

    seed: int | list[int] | None = None
    generator: torch.Generator | None = None
    batch_size: int = 1
    steps: int | None = None
    fast: bool = False
    guidance_scale: float = 4.0
    background: "Background" = "auto"
    scale: float = 1.0
    resolution: int | None = None
    keep_components: float = 1.0
    target_faces: int | None = None
    watertight: bool = False
    texture_size: int | None = None
    blend_views: bool = False
    callback: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {self.batch_size}")
        if not self.scale > 0:
            raise InputError(f"scale must be positive, got {self.scale}")
        _ = self.finishing  # raises what is wrong with it

    @property
    def finishing(self) -> Finishing:
        """How the mesh is to be finished."""
        return Finishing(
            self.keep_components,
            target_faces=self.target_faces,
            watertight=self.watertight,
            texture_size=self.texture_size,
            blend_views=self.blend_views,
        )
