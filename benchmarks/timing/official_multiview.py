"""The multiview stage at Zero123++'s sizes with random weights, for measuring where no weights are."""

from typing import Any

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.timing.roofline import UNET_SIZES
from instantmesh.multiview.latent_space import IMAGE_MEAN, IMAGE_STD
from instantmesh.multiview.pretrained import image_processor
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.embedded.small_networks import empty_prompt_tokenizer
from instantmesh.training.multiview_networks import CLIP_MEAN, CLIP_STD, SCHEDULE

_PROMPT_TOKENS = 77
_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_TEXT: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
_VISION: dict[str, Any] = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}


def official_networks() -> dict[str, nn.Module]:
    """The four networks by their names in the pipeline."""
    vision = CLIPVisionConfig(num_attention_heads=16, patch_size=14, projection_dim=1024, **_VISION)
    networks = {
        "text_encoder": CLIPTextModel(CLIPTextConfig(num_attention_heads=16, projection_dim=1024, **_TEXT)),
        "vision_encoder": CLIPVisionModelWithProjection(vision),
        "unet": UNet2DConditionModel(**UNET_SIZES),
        "vae": AutoencoderKL(**_VAE),
    }
    return {name: network.requires_grad_(False).eval() for name, network in networks.items()}


def official_multiview(device: torch.device, dtype: torch.dtype) -> Zero123PlusPipeline:
    """A pipeline of official sizes with random weights on `device`."""
    torch.manual_seed(0)
    with device:
        networks: Any = official_networks()
    pipeline = Zero123PlusPipeline(
        **networks,
        tokenizer=empty_prompt_tokenizer(_PROMPT_TOKENS),
        scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE),
        feature_extractor_clip=image_processor(224, "bicubic", CLIP_MEAN, CLIP_STD),
        feature_extractor_vae=image_processor(512, "bilinear", (IMAGE_MEAN,) * 3, (IMAGE_STD,) * 3),
        ramping_coefficients=torch.linspace(0, 1, _PROMPT_TOKENS).tolist(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype)
