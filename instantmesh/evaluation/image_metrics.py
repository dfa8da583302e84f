"""Likeness of images: PSNR and SSIM on whole RGB images in [0, 1] with a white background."""

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import InputError

PSNR_CEILING_DB = 100.0  # equal images: a finite number keeps means and JSON usable


def psnr(images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "_ 3 _ _"]) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio of each image against its `true` one (same shape) in dB, at most `PSNR_CEILING_DB`.

    Raises:
        InputError: the shapes differ.
    """
    _require_same_shape(images, true)
    mean_square = (images - true).square().flatten(1).mean(1)
    return -10 * mean_square.clamp(min=10 ** (-PSNR_CEILING_DB / 10)).log10()


def ssim(images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "_ 3 _ _"]) -> Float[Tensor, " n"]:
    """Structural similarity of each image, at most 1: mean over channels and over windows inside the image.

    Gaussian windows of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03 (Wang et al., 2004).

    Raises:
        InputError: the shapes differ, or the images are smaller than a window.
    """
    _require_same_shape(images, true)
    if min(images.shape[-2:]) < _WINDOW_PX:
        raise InputError(f"SSIM needs images of at least {_WINDOW_PX} pixels, got {tuple(images.shape[-2:])}")
    x, y = images.double(), true.double()
    mean_x, mean_y = _windowed_mean(x), _windowed_mean(y)
    variance_x = _windowed_mean(x * x) - mean_x**2
    variance_y = _windowed_mean(y * y) - mean_y**2
    covariance = _windowed_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).flatten(1).mean(1).to(images)


_WINDOW_PX = 11
_SIGMA_PX = 1.5


def _windowed_mean(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Gaussian mean of every window that lies wholly inside the image (separable)."""
    offset = torch.arange(_WINDOW_PX, dtype=images.dtype, device=images.device) - _WINDOW_PX // 2
    weight = torch.exp(-(offset**2) / (2 * _SIGMA_PX**2))
    weight = (weight / weight.sum()).tolist()
    for axis in (2, 3):  # sums of shifted images: on CPUs several times faster than a convolution in float64
        length = images.shape[axis] - _WINDOW_PX + 1
        total = weight[0] * images.narrow(axis, 0, length)
        for shift in range(1, _WINDOW_PX):
            total.add_(images.narrow(axis, shift, length), alpha=weight[shift])
        images = total
    return images


def _require_same_shape(images: Tensor, true: Tensor) -> None:
    if images.shape != true.shape:
        raise InputError(f"images to compare differ in shape: {tuple(images.shape)} and {tuple(true.shape)}")
