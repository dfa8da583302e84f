"""The networks around the VAE of a multiview stage, as they are trained: of a released model, or small new ones."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from transformers import (
    CLIPTextModel,
    CLIPVisionModelWithProjection,
)

from instantmesh.multiview.reference_attention import install_reference_attention, predict_with_reference
from instantmesh.multiview.zero123plus import Zero123PlusPipeline

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "steps_offset": 1,
    "timestep_spacing": "trailing",
}


class MultiviewNetworks(nn.Module):
    """UNet, vision encoder and text encoder.

    Args:
        prompt_ids: (1, t) the empty prompt's tokens.
        ramping: (t,) how much of the image's embedding each gets.
    """

    ramping: Tensor
    prompt_ids: Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vision_encoder: CLIPVisionModelWithProjection,
        text_encoder: CLIPTextModel,
        prompt_ids: Int[Tensor, "1 t"],
        ramping: Float[Tensor, " t"],
    ) -> None:
        super().__init__()
        self.unet, self.vision_encoder, self.text_encoder = unet, vision_encoder, text_encoder
        install_reference_attention(unet)
        self.register_buffer("prompt_ids", prompt_ids, persistent=False)
        self.register_buffer("ramping", ramping, persistent=False)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, " b"],
        clip_pixels: Float[Tensor, "b 3 s s"],
        noised_condition: Float[Tensor, "b c k l"],
        conditioned: Bool[Tensor, " b"],
    ) -> Float[Tensor, "b c h w"]:
        """The v-prediction for noised latents.

        Args:
            sample: noised latents.
            timestep: of their noise.
            clip_pixels: query views in [0, 1], at the vision encoder's size.
            noised_condition: their latents, or those of a dropped condition, with noise of the same timestep.
            conditioned: False where the prompt is the empty one alone.
        """
        mean, std = (clip_pixels.new_tensor(x)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
        embedding = self.vision_encoder((clip_pixels - mean) / std).image_embeds * conditioned[:, None]
        text = self.text_encoder(self.prompt_ids).last_hidden_state
        prompt = text + embedding[:, None] * self.ramping[:, None]
        return predict_with_reference(self.unet, sample, timestep, prompt, noised_condition)


def networks_of(pipeline: Zero123PlusPipeline) -> MultiviewNetworks:
    """The networks of a loaded pipeline (shared, not copied)."""
    tokens = pipeline.tokenizer(
        "", padding="max_length", max_length=pipeline.tokenizer.model_max_length, return_tensors="pt"
    )
    return MultiviewNetworks(
        pipeline.unet,
        pipeline.vision_encoder,
        pipeline.text_encoder,
        tokens.input_ids,
        torch.tensor(pipeline.config["ramping_coefficients"]),
    )
