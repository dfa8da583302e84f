"""How alike two images look: LPIPS, or image gradients as a replacement that a configuration asks for by name."""

from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from instantmesh import backends
from instantmesh.errors import MissingFileError
from instantmesh.training.losses import image_gradient_loss

PerceptualName = Literal["lpips-vgg", "image-gradients"]

PerceptualLoss = Callable[[Tensor, Tensor], Tensor]
"""predicted and true images (n, 3, h, w) in [0, 1] -> their mean distance, a scalar"""


def perceptual_loss(name: PerceptualName) -> PerceptualLoss:
    """The loss of this name. Both compare colours in [-1, 1], as the papers weigh them.

    Raises:
        MissingBackendError: `lpips-vgg` without torchmetrics and torchvision.
        MissingFileError: VGG's weights, which torchvision downloads once, can't be had.
    """
    return Lpips() if name == "lpips-vgg" else _image_gradients


class Lpips:
    """LPIPS with VGG (Zhang et al. 2018), by torchmetrics.

    No `nn.Module`, so that a stage which holds one neither trains, nor averages, nor saves its weights.
    """

    def __init__(self) -> None:
        backends.load("torchvision")
        metrics = backends.load("torchmetrics.image.lpip")
        try:
            metric = metrics.LearnedPerceptualImagePatchSimilarity(net_type="vgg")
        except OSError as error:  # no network, a full disk
            raise MissingFileError(
                f"LPIPS needs VGG's weights ({error}): fetch them once, or set perceptual: image-gradients"
            ) from error
        # The metric itself would keep every score of the run, and its graph.
        self._net: Any = metric.net.requires_grad_(False).eval()

    def __call__(self, predicted: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
        net = self._net.to(predicted.device)
        return net(2 * predicted - 1, 2 * true - 1).mean()


def _image_gradients(predicted: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
    return 2 * image_gradient_loss(predicted, true)
