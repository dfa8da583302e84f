"""How alike renderings of an aligned reconstruction and of its true mesh are, and how true it is to its photo.

Both stand in the true mesh's frame, inside the unit sphere. Everything is on white.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from instantmesh.evaluation.image_metrics import psnr, ssim
from instantmesh.evaluation.metrics.perceptual import perceptual_scores
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh

PHOTO_VIEW_PX = 256


def view_scores(
    images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "_ 3 _ _"], perceptual: Sequence[str] = ()
) -> dict[str, float | None]:
    """Means over the views of `psnr_db`, `ssim` and the perceptual metrics named.

    Raises:
        InputError: the images differ in size.
    """
    return {
        "psnr_db": float(psnr(images, true).mean()),
        "ssim": float(ssim(images, true).mean()),
        **perceptual_scores(images, true, perceptual),
    }


@dataclass(frozen=True, eq=False)
class PhotoView:
    """What a photo's camera sees of a mesh.

    Attributes:
        color: (1, 3, h, w) sRGB on white.
        mask: (1, 1, h, w).
        depth: (1, 1, 2h, 2w) of every ray, 0 for none.
    """

    color: Tensor
    mask: Tensor
    depth: Tensor


def photo_view(mesh: Mesh, camera: Cameras) -> PhotoView:
    """Render a mesh for `photo_view_scores`: 256 pixels, 2 x 2 rays each; the depth of every ray, 0 for none."""
    with torch.no_grad():
        seen = render_mesh(mesh, camera, 2 * PHOTO_VIEW_PX, antialias=False)
    return PhotoView(avg_pool2d(seen.color, 2).clamp(0, 1), avg_pool2d(seen.mask, 2), seen.depth)


def photo_view_scores(predicted: PhotoView, true: PhotoView, perceptual: Sequence[str] = ()) -> dict[str, float | None]:
    """The metrics at the photo's own view, under names that begin with `photo_`.

    Beside those of `view_scores`: `photo_mask_iou`, the silhouettes' intersection over union, and
    `photo_depth_error`, the mean absolute difference of depths where both are seen, in units of the object's radius;
    None where nothing is seen of both.
    """
    scores = view_scores(predicted.color, true.color, perceptual)
    seen, true_seen = predicted.depth > 0, true.depth > 0
    both, either = seen & true_seen, seen | true_seen
    scores["mask_iou"] = float(both.sum() / either.sum()) if bool(either.any()) else 0.0
    scores["depth_error"] = float((predicted.depth - true.depth)[both].abs().mean()) if bool(both.any()) else None
    return {f"photo_{name}": value for name, value in scores.items()}
