"""Colours of a texture at places in it."""

import torch
from jaxtyping import Float
from torch import Tensor


def sample_texture(image: Float[Tensor, "3 h w"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p 3"]:
    """Bilinear lookup; beyond the centres of the outermost texels their colours go on. Differentiable in both.

    Args:
        image: the texture.
        uv: places in [0, 1], v down, as in `Texture`.
    """
    grid = (2 * uv - 1)[None, None]
    sampled = torch.nn.functional.grid_sample(
        image[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T
