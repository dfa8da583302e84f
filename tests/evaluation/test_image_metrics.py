import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from instantmesh.errors import InputError
from instantmesh.evaluation.image_metrics import PSNR_CEILING_DB, psnr, ssim


def noise_image(seed: int, h: int = 40, w: int = 56) -> torch.Tensor:
    coarse = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic").clamp(0, 1)


def test_psnr_of_a_known_error():
    true = torch.full((2, 3, 8, 8), 0.5)
    error = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert psnr(true + error, true).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_psnr_counts_every_pixel_of_an_image_alone():
    true = torch.zeros(2, 3, 4, 4)
    images = true.clone()
    images[1, 0, 0, 0] = 1  # one of 48 numbers
    assert psnr(images, true).tolist() == pytest.approx([PSNR_CEILING_DB, 10 * np.log10(48)], abs=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_ssim_is_that_of_scikit_image(noise: float):
    true = noise_image(0)
    images = (noise_image(0) + noise * torch.randn(true.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    expected = [
        structural_similarity(
            x.numpy().astype(float),
            y.numpy().astype(float),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(images, true, strict=True)
    ]
    assert ssim(images, true).tolist() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_flat_images_is_the_luminance_term():
    x, y = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    assert float(ssim(x, y)) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-5)


def test_images_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="differ in shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(InputError, match="differ in shape"):
        ssim(torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16))
    with pytest.raises(InputError, match="11"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
