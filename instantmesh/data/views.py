"""What data sets hold of an object, renderers make and rendering losses compare with: images from known cameras."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.structures import Cameras


@dataclass(frozen=True, eq=False)
class ObjectViews:
    """n images of an object, s x s pixels.

    Attributes:
        images: (n, 3, s, s) sRGB in [0, 1] on white.
        mask: (n, 1, s, s) coverage in [0, 1].
        depth: (n, 1, s, s) along the camera's forward axis, world units, 0 outside.
        normal: (n, 3, s, s) world space, on black; unit length inside, shorter on silhouettes.
        cameras: n.
    """

    images: Float[Tensor, "n 3 s s"]
    mask: Float[Tensor, "n 1 s s"]
    depth: Float[Tensor, "n 1 s s"]
    normal: Float[Tensor, "n 3 s s"]
    cameras: Cameras

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "ObjectViews":
        return ObjectViews(
            self.images[index], self.mask[index], self.depth[index], self.normal[index], self.cameras[index]
        )

    @property
    def straight_colors(self) -> Float[Tensor, "n 3 s s"]:
        """The object's own colours, without the white behind it; white where nothing is seen."""
        mask = self.mask
        inside = mask > 0
        return torch.where(inside, (self.images - (1 - mask)) / mask.where(inside, 1), 1.0).clamp(0, 1)
