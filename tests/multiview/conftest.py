"""The reference networks of the multiview stage, and a whole small pipeline."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from instantmesh.multiview.pretrained import processor_class
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.embedded.small_networks import SmallModelConfig, empty_prompt_tokenizer, small_networks


@pytest.fixture(scope="session")
def golden(golden_folder: Path) -> dict[str, Tensor]:
    return load_file(golden_folder / "zero123plus_tiny.expected.safetensors")


@pytest.fixture(scope="session")
def golden_config(golden_folder: Path) -> dict:
    return json.loads((golden_folder / "zero123plus_tiny.config.json").read_text())


@pytest.fixture
def pipeline(golden_folder: Path, golden_config: dict, golden: dict[str, Tensor]) -> Zero123PlusPipeline:
    """The reference networks, with a text encoder of random weights (the reference has none)."""

    def weights(part: str) -> dict[str, Tensor]:
        return load_file(golden_folder / f"zero123plus_tiny.{part}.safetensors")

    torch.manual_seed(0)
    unet, vae = UNet2DConditionModel(**golden_config["unet"]), AutoencoderKL(**golden_config["vae"])
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(**golden_config["vision_encoder"]))
    unet.load_state_dict(weights("unet"))
    vae.load_state_dict(weights("vae"))
    vision.load_state_dict(weights("vision_encoder"))
    sizes = SmallModelConfig(block_out_channels=(16, 32), head_channels=16, embedding_channels=32, prompt_tokens=77)
    processors = {
        name: processor_class()(**{k: v for k, v in golden_config[name].items() if k[0] != "_" and k[-5:] != "_type"})
        for name in ("feature_extractor_clip", "feature_extractor_vae")
    }
    pipeline = Zero123PlusPipeline(
        vae=vae.eval(),
        text_encoder=small_networks(sizes).text_encoder.eval(),
        tokenizer=empty_prompt_tokenizer(77),
        unet=unet.eval(),
        scheduler=EulerAncestralDiscreteScheduler(**golden_config["scheduler"]),
        vision_encoder=vision.eval(),
        ramping_coefficients=golden["pipe.ramping_coefficients"].tolist(),
        tile_size_px=16,
        **processors,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
