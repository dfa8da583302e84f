"""Small multiview networks of Zero123++'s kinds, with new weights."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from instantmesh.config import StrictModel
from instantmesh.multiview.latent_space import IMAGE_MEAN, IMAGE_STD
from instantmesh.multiview.pretrained import image_processor
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.multiview_networks import CLIP_MEAN, CLIP_STD, SCHEDULE, MultiviewNetworks

EMPTY_PROMPT_START = (1, 2)  # start and end of text; the rest is padding, 0


class SmallModelConfig(StrictModel):
    """Sizes of the networks around the VAE."""

    tile_size_px: int = 64
    latent_channels: int = 4  # of the VAE
    block_out_channels: tuple[int, ...] = (64, 128)
    head_channels: int = 32
    embedding_channels: int = 96  # of prompt embeddings, and of the text and vision encoders
    vision_layers: int = 2
    vision_patch_px: int = 8
    prompt_tokens: int = 16


def small_networks(config: SmallModelConfig) -> MultiviewNetworks:
    """New networks of the kinds of Zero123++, with few parameters."""
    levels, channels = len(config.block_out_channels), config.embedding_channels
    heads = tuple(c // config.head_channels for c in config.block_out_channels)
    unet = UNet2DConditionModel(
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        sample_size=3 * config.tile_size_px // 8,
        block_out_channels=config.block_out_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        layers_per_block=1,
        cross_attention_dim=channels,
        attention_head_dim=heads,  # pyright: ignore[reportArgumentType]
        use_linear_projection=True,
        norm_num_groups=8,
    )
    sizes: dict[str, Any] = {
        "hidden_size": channels,
        "intermediate_size": 4 * channels,
        "num_attention_heads": channels // config.head_channels,
        "projection_dim": channels,
        "hidden_act": "gelu",
    }
    vision_encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            image_size=config.tile_size_px,
            patch_size=config.vision_patch_px,
            num_hidden_layers=config.vision_layers,
            **sizes,
        )
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=3,
            max_position_embeddings=config.prompt_tokens,
            num_hidden_layers=1,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            **sizes,
        )
    )
    prompt = [*EMPTY_PROMPT_START] + [0] * (config.prompt_tokens - 2)
    return MultiviewNetworks(
        unet, vision_encoder, text_encoder, torch.tensor([prompt]), torch.linspace(0, 1, config.prompt_tokens)
    )


def small_pipeline(model: MultiviewNetworks, vae: AutoencoderKL, config: SmallModelConfig) -> Zero123PlusPipeline:
    """The trained networks as a pipeline that samples and saves itself."""
    return Zero123PlusPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=empty_prompt_tokenizer(config.prompt_tokens),
        unet=model.unet,
        scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE),
        vision_encoder=model.vision_encoder,
        feature_extractor_clip=image_processor(config.tile_size_px, "bicubic", CLIP_MEAN, CLIP_STD),
        feature_extractor_vae=image_processor(config.tile_size_px, "bilinear", (IMAGE_MEAN,) * 3, (IMAGE_STD,) * 3),
        ramping_coefficients=model.ramping.tolist(),
        tile_size_px=config.tile_size_px,
    )


def empty_prompt_tokenizer(prompt_tokens: int) -> CLIPTokenizer:
    """A tokenizer that knows the empty prompt: start, end, and padding with "!", as the real one pads."""
    vocabulary = {"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    with tempfile.TemporaryDirectory() as folder:  # the one way that every version of transformers has
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary))
        Path(folder, "merges.txt").write_text("#version: 0.2\n")
        Path(folder, "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "!", "model_max_length": prompt_tokens})
        )
        return CLIPTokenizer.from_pretrained(folder)
