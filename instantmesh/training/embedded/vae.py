"""A small VAE for the multiview model, on images of procedural objects.

Afterwards its latents are standardised by rewriting two 1 x 1 convolutions, so that what the UNet denoises has zero
mean and unit variance on the objects with the same constants as the real model (`multiview.latent_space`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from instantmesh.multiview.latent_space import (
    IMAGE_MEAN,
    IMAGE_STD,
    LATENT_SCALE,
    LATENT_SHIFT,
    decode_raw,
    posterior,
)
from instantmesh.training.config import StageConfig
from instantmesh.training.embedded.dataset import DatasetConfig, GeometryDataset
from instantmesh.training.multiview_batches import FACTOR, SevenImages, foreground_latents, on_white, tile_six
from instantmesh.training.stage import Batch, BatchSource, Stage, StageKind, object_numbers

ANCHOR_SCALE = 4.0
HUE_GAIN = 3.0
"""Of the first layer's initial weights: a tenth of the images' variance is hue, too little to be found early."""
_MOMENT_OBJECTS = 512


class VaeConfig(StageConfig):
    """`configs/train/tiny-vae.yaml`."""

    data: DatasetConfig
    block_out_channels: tuple[int, int, int, int] = (16, 32, 64, 128)
    latent_channels: int = 4
    colored_background_probability: float = 0.5
    anchor_weight: float = 1.0  # of the first three channels' distance to the mean colour under each latent
    gradient_weight: float = 0.5
    hue_weight: float = 10.0
    kl_weight: float = 1e-4
    background_weight: float = 0.2  # of pixels far from the object: white tiles would dominate


@dataclass(frozen=True, eq=False)
class VaeBatch(Batch):
    """Images of b objects, on white or on a colour, and of 3 b query views: about as many pixels of each."""

    tiled_views: Float[Tensor, "b 3 height width"]
    tiled_mask: Float[Tensor, "b 1 height width"]
    query: Float[Tensor, "q 3 s s"]
    query_mask: Float[Tensor, "q 1 s s"]


class VaeSource:
    """Draws batches out of images."""

    def __init__(self, images: SevenImages, config: VaeConfig) -> None:
        self._images, self._config = images, config

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> VaeBatch:
        """3 x 2 images of the samples' objects, and query views of three times as many objects."""
        b = len(samples)
        others = (3 * samples[:, None] + np.arange(3)).ravel()
        rows = object_numbers(others, len(self._images), self._config.loop.seed)
        images, mask = on_white(torch.from_numpy(self._images[rows]))
        images = images - (1 - mask) * _colored_backgrounds(len(rows), self._config, rng)
        return VaeBatch(tile_six(images[:b, 1:]), tile_six(mask[:b, 1:]), images[:, 0], mask[:, 0])


class VaeStage(Stage[VaeBatch]):
    """A small VAE and its losses.

    Args:
        moment_images: by which its latents are standardised in the end.
    """

    def __init__(self, config: VaeConfig, moment_images: SevenImages) -> None:
        super().__init__()
        self.config, self._moment_images = config, moment_images
        self.vae = small_vae(config.block_out_channels, config.latent_channels)

    def forward(self, batch: VaeBatch) -> dict[str, Tensor]:
        tiled = vae_losses(self.vae, batch.tiled_views, batch.tiled_mask, self.config)
        query = vae_losses(self.vae, batch.query, batch.query_mask, self.config)
        return {name: (tiled[name] + query[name]) / 2 for name in tiled}

    def preview(self, batch: VaeBatch) -> dict[str, Tensor]:
        """A 3 x 2 image and what is left of it."""
        coded = decode_raw(self.vae, posterior(self.vae, batch.tiled_views[:1]).mode())
        return {"target": batch.tiled_views[0], "decoded": coded[0]}

    def export(self, folder: Path) -> None:
        """A diffusers folder, `vae/` (float32), its latents standardised."""
        self.vae.eval()
        standardise_latents(self.vae, self._moment_images)
        self.vae.save_pretrained(folder / "vae")


def small_vae(block_out_channels: tuple[int, ...], latent_channels: int = 4) -> AutoencoderKL:
    """A VAE of the real model's kind (factor 8), without its attention over whole images."""
    levels = len(block_out_channels)
    vae = AutoencoderKL(
        block_out_channels=block_out_channels,  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=1,  # groups of two channels normalise an image's hue away
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        weight = vae.encoder.conv_in.weight
        grey = weight.mean(1, keepdim=True)
        weight.copy_(grey + HUE_GAIN * (weight - grey))
    return vae


def vae_losses(
    vae: AutoencoderKL,
    images: Float[Tensor, "b 3 h w"],
    mask: Float[Tensor, "b 1 h w"],
    config: VaeConfig,
) -> dict[str, Tensor]:
    """Weighted losses of an image and its reconstruction.

    L1 and L1 of image gradients, the background counting less, squared error of hues (what is left of a colour without
    its grey, as 4 x 4 means), an anchor of three latent channels at mean colours, and KL to the unit normal.

    Without the third and the fourth the VAE spends a thousand steps and more on brightness alone, and all is grey.
    """
    near = max_pool2d(mask, 9, stride=1, padding=4)
    weight = config.background_weight + (1 - config.background_weight) * (near > 0).float()
    weight = weight / weight.mean()
    code = posterior(vae, images)
    latents = code.mean + code.std * torch.randn_like(code.mean)
    error = (decode_raw(vae, latents) - images) / IMAGE_STD
    slope = (error.diff(dim=-1).abs() * weight[..., 1:]).mean() + (error.diff(dim=-2).abs() * weight[..., 1:, :]).mean()
    hue = error - error.mean(1, keepdim=True)
    mean_color = ANCHOR_SCALE * (avg_pool2d(images, FACTOR) - IMAGE_MEAN) / IMAGE_STD
    kl = 0.5 * (code.mean.square() + code.var - 1 - code.logvar).mean()
    return {
        "l1": (error.abs() * weight).mean(),
        "gradient": config.gradient_weight * slope,
        "hue": config.hue_weight * (avg_pool2d(hue, 4).square() * avg_pool2d(weight, 4)).mean(),
        "anchor": config.anchor_weight * (code.mean[:, :3] - mean_color).square().mean(),
        "kl": config.kl_weight * kl,
    }


def _colored_backgrounds(n: int, config: VaeConfig, rng: np.random.Generator) -> Float[Tensor, "n 1 3 1 1"]:
    """What to take from white backgrounds: for some objects a random colour.

    On white alone hue is a tenth of the images' variance, and is found long after everything else.
    """
    colored = rng.random((n, 1)) < config.colored_background_probability
    return torch.from_numpy(colored * rng.random((n, 3))).float()[:, None, :, None, None]


@torch.no_grad()
def standardise_latents(vae: AutoencoderKL, data: SevenImages) -> None:
    """Rewrite the 1 x 1 convolutions around the latents so that multiview latents on objects have mean 0, variance 1.

    Images decode to what they did before; `scaling_factor` keeps the real model's value.
    """
    latents, weights = [], []
    for start in range(0, min(len(data), _MOMENT_OBJECTS), 8):
        images, mask = on_white(torch.from_numpy(np.array(data[start : start + 8, 1:])))
        latents.append(posterior(vae, tile_six(images).to(vae.device)).mode().cpu())
        weights.append(foreground_latents(tile_six(mask)))
    z, weight = torch.cat(latents), torch.cat(weights)
    mean = (z * weight).sum((0, 2, 3)) / weight.sum()
    std = ((z - mean[:, None, None]).square() * weight).sum((0, 2, 3)).div(weight.sum()).sqrt()
    factor = vae.config["scaling_factor"]
    scale = 1 / (LATENT_SCALE * factor * std)
    _rescale_latents(vae, scale, LATENT_SHIFT / factor - scale * mean)


def _rescale_latents(vae: AutoencoderKL, scale: Float[Tensor, " c"], shift: Float[Tensor, " c"]) -> None:
    """New latents are scale * old + shift; the decoder undoes it."""
    encode, decode = vae.quant_conv, vae.post_quant_conv
    assert encode is not None
    assert decode is not None
    assert encode.bias is not None
    assert decode.bias is not None
    scale, shift = scale.to(encode.weight), shift.to(encode.weight)
    c = len(scale)
    encode.weight[:c] *= scale[:, None, None, None]
    encode.bias[:c] = encode.bias[:c] * scale + shift
    encode.bias[c:] += 2 * scale.log()
    decode.weight /= scale[:, None, None]
    decode.bias -= decode.weight[:, :, 0, 0] @ shift


def _build(config: VaeConfig) -> tuple[Stage, BatchSource]:
    images = GeometryDataset.open(config.data.folder).images[:, :7]
    return VaeStage(config, images[:_MOMENT_OBJECTS]), VaeSource(images, config)


KIND = StageKind(VaeConfig, _build)
