"""Between images in [0, 1] and the latents that the UNet denoises (Zero123++, arXiv 2310.15110, section 2.4).

The VAE sees images as (x - 0.5) / 0.8. The latents of the six views are moved and shrunk, because white
backgrounds push them off zero; the condition's latents are taken as they leave the VAE.

Symbols: b images of height x width; c latent channels of h x w, an eighth of that in the real model.
"""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

IMAGE_MEAN = 0.5
IMAGE_STD = 0.8
LATENT_SHIFT = 0.22
LATENT_SCALE = 0.75


def normalise_images(images: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b 3 height width"]:
    """Images in [0, 1] as the VAE takes them, in [-0.625, 0.625]."""
    return (images - IMAGE_MEAN) / IMAGE_STD


def scaled_latents(vae: "AutoencoderKL", raw: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """What the UNet denoises, of the VAE's raw latents."""
    return (raw * vae.config["scaling_factor"] - LATENT_SHIFT) * LATENT_SCALE


def raw_latents(vae: "AutoencoderKL", scaled: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The VAE's raw latents of what the UNet denoised: the inverse of `scaled_latents`."""
    return (scaled / LATENT_SCALE + LATENT_SHIFT) / vae.config["scaling_factor"]


def posterior(vae: "AutoencoderKL", images: Float[Tensor, "b 3 height width"]) -> "DiagonalGaussianDistribution":
    """The VAE's distribution of raw latents for images in [0, 1]."""
    return vae.encode(normalise_images(images), return_dict=False)[0]


def encode_views(vae: "AutoencoderKL", images: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
    """Training targets: latents of 3 x 2 images in [0, 1], the mode of the VAE's posterior."""
    return scaled_latents(vae, posterior(vae, images).mode())


def decode_raw(vae: "AutoencoderKL", raw: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 height width"]:
    """Images of raw latents, in [0, 1] but for the VAE's overshoot."""
    return vae.decode(raw, return_dict=False)[0] * IMAGE_STD + IMAGE_MEAN  # pyright: ignore[reportArgumentType]


def decode_views(vae: "AutoencoderKL", scaled: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 height width"]:
    """Images in [0, 1], clamped, of scaled latents."""
    return decode_raw(vae, raw_latents(vae, scaled).to(vae.dtype)).float().clamp(0, 1)
