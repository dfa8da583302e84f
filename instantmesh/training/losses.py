"""Losses as pure functions of predictions and truths."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize


def sdf_loss(
    predicted: Float[Tensor, "*p"], true: Float[Tensor, "*p"], near: float = 0.1, far_weight: float = 0.3
) -> Float[Tensor, ""]:
    """L1 of signed distances: within `near` of the surface in full, farther off what is predicted nearer than it.

    To that comes plain L1 times `far_weight`. Near goes by the true distance, so that a thin part that is missed pulls
    with full weight however large the distance is that is predicted there.
    """
    error = (predicted - true).abs()
    too_near = (predicted.clamp(-near, near) - true.clamp(-near, near)).abs()
    return torch.where(true.abs() < near, error, too_near).mean() + far_weight * error.mean()


def slope_loss(predicted: Float[Tensor, "*p 3"], normals: Float[Tensor, "*p 3"]) -> Float[Tensor, ""]:
    """Squared difference between a predicted signed distance's gradient on the surface and the true unit normal."""
    return (predicted - normals).square().sum(-1).mean()


def color_loss(predicted: Float[Tensor, "*n 3 h w"], true: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, ""]:
    """Mean squared error of images in [0, 1], taken as the papers do between colours in [-1, 1]."""
    return 4 * (predicted - true).square().mean()


def mask_loss(predicted: Float[Tensor, "*n 1 h w"], true: Float[Tensor, "*n 1 h w"]) -> Float[Tensor, ""]:
    """Mean squared error of masks in [0, 1]."""
    return (predicted - true).square().mean()


def normal_loss(
    predicted: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"], mask: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean of 1 - n . n_true inside the mask, signed as in the paper (InstantMesh, eq. 2).

    Both normals are taken at unit length; pixels weigh as much as the mask covers them. Where nothing is predicted the
    loss is 1, without a gradient.
    """
    # No smaller eps: the gradient with respect to a normal that is nearly zero grows as one over it.
    cosine = (normalize(predicted, dim=1, eps=1e-4) * normalize(true, dim=1, eps=1e-4)).sum(1, keepdim=True)
    return _mean_inside(1 - cosine, mask)


def depth_loss(
    predicted: Float[Tensor, "n 1 h w"], true: Float[Tensor, "n 1 h w"], mask: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of depths inside the mask; pixels weigh as much as the mask covers them."""
    return _mean_inside((predicted - true).abs(), mask)


def sign_change_entropy(sdf: Float[Tensor, "n n n"]) -> Float[Tensor, ""]:
    """Cross-entropy of signs over grid edges whose ends differ in sign (FlexiCubes' regulariser against floaters).

    For an edge (a, b) it is BCEWithLogits(s_a, [s_b > 0]) + BCEWithLogits(s_b, [s_a > 0]); the mean is over edges.
    """
    total, count = sdf.new_zeros(()), 0
    for axis in range(3):
        low, high = sdf.narrow(axis, 0, sdf.shape[axis] - 1), sdf.narrow(axis, 1, sdf.shape[axis] - 1)
        crossing: Bool[Tensor, "n n n"] = low.sign() != high.sign()
        a, b = low[crossing], high[crossing]
        total = total + binary_cross_entropy_with_logits(a, (b > 0).to(a), reduction="sum")
        total = total + binary_cross_entropy_with_logits(b, (a > 0).to(b), reduction="sum")
        count += a.numel()
    return total / max(count, 1)


def sides_loss(sdf_before: Float[Tensor, " p"], sdf_behind: Float[Tensor, " p"]) -> Float[Tensor, ""]:
    """Cross-entropy of the signs of distances at points before (outside) and behind (inside) a surface; p > 0."""
    outside = binary_cross_entropy_with_logits(sdf_before, sdf_before.new_ones(sdf_before.shape))
    inside = binary_cross_entropy_with_logits(sdf_behind, sdf_behind.new_zeros(sdf_behind.shape))
    return outside + inside


def image_gradient_loss(predicted: Float[Tensor, "n c h w"], true: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference of horizontal and vertical image gradients: a small stand-in for perceptual losses."""
    dx = (predicted.diff(dim=-1) - true.diff(dim=-1)).abs().mean()
    dy = (predicted.diff(dim=-2) - true.diff(dim=-2)).abs().mean()
    return dx + dy


def _mean_inside(values: Float[Tensor, "n 1 h w"], mask: Float[Tensor, "n 1 h w"]) -> Float[Tensor, ""]:
    """Mean weighted by the mask; 0 where the mask is empty."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
