"""Losses as pure functions of predictions and truths."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize


def sdf_loss(
    predicted: Float[Tensor, "*p"], true: Float[Tensor, "*p"], near: float = 0.1, far_weight: float = 0.3
) -> Float[Tensor, ""]:
    """L1 between signed distances clamped to +-`near`, which draws the surface, plus `far_weight` times plain L1."""
    clamped = (predicted.clamp(-near, near) - true.clamp(-near, near)).abs().mean()
    return clamped + far_weight * (predicted - true).abs().mean()


def slope_loss(predicted: Float[Tensor, "*p 3"], normals: Float[Tensor, "*p 3"]) -> Float[Tensor, ""]:
    """Squared difference between a predicted signed distance's gradient on the surface and the true unit normal."""
    return (predicted - normals).square().sum(-1).mean()


def normal_loss(
    predicted: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"], mask: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean of 1 - n . n_true inside the mask, signed as in the paper (InstantMesh, eq. 2)."""
    cosine = (normalize(predicted, dim=1) * true).sum(1, keepdim=True)
    return ((1 - cosine) * mask).sum() / mask.sum().clamp(min=1)


def depth_loss(
    predicted: Float[Tensor, "n 1 h w"], true: Float[Tensor, "n 1 h w"], mask: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of depths inside the mask."""
    return ((predicted - true).abs() * mask).sum() / mask.sum().clamp(min=1)


def sign_change_entropy(sdf: Float[Tensor, "n n n"]) -> Float[Tensor, ""]:
    """Cross-entropy of signs over grid edges whose ends differ in sign (FlexiCubes' regulariser against floaters)."""
    total, count = sdf.new_zeros(()), 0
    for axis in range(3):
        low, high = sdf.narrow(axis, 0, sdf.shape[axis] - 1), sdf.narrow(axis, 1, sdf.shape[axis] - 1)
        crossing: Bool[Tensor, "n n n"] = low.sign() != high.sign()
        a, b = low[crossing], high[crossing]
        total = total + binary_cross_entropy_with_logits(a, (b > 0).to(a), reduction="sum")
        total = total + binary_cross_entropy_with_logits(b, (a > 0).to(b), reduction="sum")
        count += a.numel()
    return total / max(count, 1)


def picture_gradient_loss(predicted: Float[Tensor, "n c h w"], true: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference of horizontal and vertical picture gradients: a small stand-in for perceptual losses."""
    dx = (predicted.diff(dim=-1) - true.diff(dim=-1)).abs().mean()
    dy = (predicted.diff(dim=-2) - true.diff(dim=-2)).abs().mean()
    return dx + dy
