"""The multiview stage's part of parity.py: `zero123plus_tiny.*`."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import torch
from diffusers import AutoencoderKL, DDPMScheduler, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from instantmesh.multiview import zero123plus
from instantmesh.multiview.latent_space import encode_views
from instantmesh.multiview.noise import NoiseSource
from instantmesh.multiview.pretrained import processor_class
from instantmesh.multiview.reference_attention import predict_with_reference
from instantmesh.multiview.zero123plus import Zero123PlusPipeline, on_white
from instantmesh.training.embedded.small_networks import SmallModelConfig, empty_prompt_tokenizer, small_networks

PIXEL_TOLERANCE = 1e-5
PREFIX = "zero123plus_tiny"
STEPS = 4


def reference_pipeline(folder: Path, expected: dict[str, Tensor]) -> Zero123PlusPipeline:
    """The references' networks. Their text embeddings are given numbers, so the text encoder is any."""
    config = json.loads((folder / f"{PREFIX}.config.json").read_text())
    networks = {
        "unet": UNet2DConditionModel(**config["unet"]),
        "vae": AutoencoderKL(**config["vae"]),
        "vision_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**config["vision_encoder"])),
    }
    for name, network in networks.items():
        network.load_state_dict(load_file(folder / f"{PREFIX}.{name}.safetensors"))
        network.eval()
    processors = {
        name: processor_class()(**{k: v for k, v in config[name].items() if k[0] != "_" and not k.endswith("_type")})
        for name in ("feature_extractor_clip", "feature_extractor_vae")
    }
    channels, prompt_tokens = config["unet"]["cross_attention_dim"], len(expected["pipe.ramping_coefficients"])
    text = small_networks(
        SmallModelConfig(
            block_out_channels=(8, 16), head_channels=8, embedding_channels=channels, prompt_tokens=prompt_tokens
        )
    ).text_encoder.eval()
    pipeline = Zero123PlusPipeline(
        text_encoder=text,
        tokenizer=empty_prompt_tokenizer(prompt_tokens),
        scheduler=EulerAncestralDiscreteScheduler(**config["scheduler"]),
        ramping_coefficients=expected["pipe.ramping_coefficients"].tolist(),
        tile_size_px=expected["pipe.images"].shape[-1] // 2,
        **networks,
        **processors,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class FixedNoise(NoiseSource):
    """The references' draws: the VAE's modes, given latents, one reference noise, no ancestral noise."""

    def __init__(self, expected: dict[str, Tensor]) -> None:
        super().__init__([None])
        self.expected = expected

    def from_posterior(self, posterior) -> Tensor:
        return posterior.mode()

    def initial(self, shape, device) -> Tensor:
        return self.expected["pipe.latents"]

    def reference(self, condition: Tensor) -> Tensor:
        return self.expected["step.cond_noise"]


@torch.no_grad()
def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor, float | None]]:
    """(quantity, ours, expected, tolerance or None for the usual one)."""
    expected = load_file(folder / f"{PREFIX}.expected.safetensors")
    pipeline = reference_pipeline(folder, expected)
    yield from _predictions(pipeline, expected, folder)
    image = on_white(Image.fromarray(expected["pipe.image_rgba"].numpy()))
    for name in ("clip", "vae"):
        processor = getattr(pipeline, f"feature_extractor_{name}")
        pixels = processor(image, return_tensors="pt").pixel_values
        yield f"pipe.pixel_values_{name}", pixels, expected[f"pipe.pixel_values_{name}"], PIXEL_TOLERANCE
    ramping = expected["pipe.ramping_coefficients"][:, None]
    prompt = pipeline.encode_prompt([image])
    yield "pipe.image_embeds", prompt[1] - prompt[0], expected["pipe.image_embeds"] * ramping, None
    conditions = torch.cat([expected["pipe.negative_cond_lat"], expected["pipe.cond_lat"]])
    yield "pipe.condition", pipeline.encode_condition([image], FixedNoise(expected)), conditions, None
    yield "pipe.images", _sample(pipeline, image, expected), expected["pipe.images"], None


def _predictions(
    pipeline: Zero123PlusPipeline, expected: dict[str, Tensor], folder: Path
) -> Iterator[tuple[str, Tensor, Tensor, float | None]]:
    scheduler, timestep = pipeline.scheduler, expected["step.timestep"]
    scheduler.set_timesteps(len(expected["step.timesteps"]))
    yield "step.timesteps", scheduler.timesteps, expected["step.timesteps"], 0.0
    yield "step.sigmas", scheduler.sigmas, expected["step.sigmas"], None
    condition, noise = expected["step.cond_lat"], expected["step.cond_noise"]
    sample, text = expected["step.sample"], expected["step.encoder_hidden_states"]
    noised = scheduler.scale_model_input(scheduler.add_noise(condition, noise, timestep), timestep[0])
    predicted = predict_with_reference(pipeline.unet, sample, timestep[0], text, noised)
    yield "step.v_pred", predicted, expected["step.v_pred"], None
    timestep = expected["train.timestep"]
    config = json.loads((folder / f"{PREFIX}.config.json").read_text())
    noised = DDPMScheduler(**config["scheduler"]).add_noise(condition, noise, timestep)  # pyright: ignore[reportArgumentType]
    predicted = predict_with_reference(pipeline.unet, sample, timestep, text, noised)
    yield "train.v_pred", predicted, expected["train.v_pred"], None
    yield "target.latents", encode_views(pipeline.vae, expected["target.grid"]), expected["target.latents"], None


def _sample(pipeline: Zero123PlusPipeline, image: Image.Image, expected: dict[str, Tensor]) -> Tensor:
    """A whole sample with the references' draws. Their text embeddings are random, before the image's is added."""
    imaged = expected["pipe.image_embeds"] * expected["pipe.ramping_coefficients"][:, None]
    prompt = torch.cat([expected["pipe.negative_prompt_embeds"], expected["pipe.prompt_embeds"] + imaged])
    with (
        patch.object(zero123plus, "NoiseSource", lambda generators: FixedNoise(expected)),
        patch.object(pipeline, "encode_prompt", lambda images: prompt),
        patch.object(scheduling_euler_ancestral_discrete, "randn_tensor", lambda shape, **_: torch.zeros(shape)),
    ):
        return pipeline(image, num_inference_steps=STEPS, output_type="pt").images  # pyright: ignore[reportReturnType]
