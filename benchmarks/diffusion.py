"""The multiview stage with random weights: seconds for a photo in every mode, and the memory it takes.

    python benchmarks/diffusion.py --device cuda
    python benchmarks/diffusion.py --small --steps 3 --fast-steps 2

At official sizes unless --small is given, which shows on any machine that it runs. Exact and fast mode, one photo and
--batch of them, as they are and compiled; medians of --repeats after one call that isn't counted, whose seconds stand
beside. On a GPU the peak of allocated memory stands there too.

    python benchmarks/diffusion.py --peaks

counts instead what is alive at once beside the weights, at official sizes, with tensors that have shapes and no values:
a lower bound, without what libraries and the allocator take.
"""

import argparse
import json
import statistics
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from roofline import UNET_SIZES, config_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from instantmesh.evaluation.report import machine
from instantmesh.loading import build
from instantmesh.multiview.generator import EXACT_STEPS, FAST_STEPS, Zero123PlusGenerator
from instantmesh.multiview.pretrained import picture_processor
from instantmesh.multiview.reference_attention import install_reference_attention, predict_with_reference
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.painting_networks import (
    CLIP_MEAN,
    CLIP_STD,
    SCHEDULE,
    SmallModelConfig,
    empty_prompt_tokenizer,
    small_networks,
    small_pipeline,
)

PROMPT_TOKENS = 77
SMALL = SmallModelConfig(tile_size_px=32, block_out_channels=(16, 32), head_channels=16, embedding_channels=32)


def vae_of(channels: tuple[int, ...], **sizes: Any) -> AutoencoderKL:
    """A VAE with a level for each number of channels."""
    kinds: Any = {
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "block_out_channels": channels,
    }
    return AutoencoderKL(**kinds, **sizes)


def official_vae() -> AutoencoderKL:
    return vae_of((128, 256, 512, 512), layers_per_block=2, sample_size=768)


def official_encoders() -> tuple[CLIPVisionModelWithProjection, CLIPTextModel]:
    vision = CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14,
        projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip
    text = CLIPTextConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(vision), CLIPTextModel(text)


def random_generator(device: torch.device, dtype: torch.dtype, small: bool = False) -> Zero123PlusGenerator:
    """The multiview stage at its official sizes, or small, with random weights that were made on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        if small:
            model = small_networks(SMALL)
            pipeline = small_pipeline(model, vae_of((16, 16, 32, 32), norm_num_groups=8), SMALL)
        else:
            vision, text = official_encoders()
            pipeline = Zero123PlusPipeline(
                vae=official_vae(),
                text_encoder=text,
                tokenizer=empty_prompt_tokenizer(PROMPT_TOKENS),
                unet=UNet2DConditionModel(**UNET_SIZES),
                scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE),
                vision_encoder=vision,
                feature_extractor_clip=picture_processor(224, "bicubic", CLIP_MEAN, CLIP_STD),
                feature_extractor_vae=picture_processor(512, "bilinear", (0.5,) * 3, (0.8,) * 3),
                ramping_coefficients=torch.linspace(0, 1, PROMPT_TOKENS).tolist(),
            )
    generator = Zero123PlusGenerator(pipeline)
    for network in generator.networks:
        torch.nn.Module.to(network, device, dtype).requires_grad_(False).eval()
    pipeline.set_progress_bar_config(disable=True)
    return generator


def measured(
    generator: Zero123PlusGenerator, device: torch.device, batch: int, repeats: int, **settings: Any
) -> dict[str, float]:
    """Seconds of the first call and the median of those after it, for `batch` photos; on a GPU the peak in GB."""
    photos = [torch.rand(3, 320, 320, generator=torch.Generator().manual_seed(k)) for k in range(batch)]

    def run() -> float:
        generators = [torch.Generator(device).manual_seed(k) for k in range(batch)]
        start = time.perf_counter()
        views = generator.generate_batch(photos, generators=generators, **settings)
        float(views[-1].images.sum())  # waits for the device
        return time.perf_counter() - start

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first, seconds = run(), statistics.median(run() for _ in range(repeats))
    row = {"batch": batch, "first_seconds": round(first, 3), "seconds": round(seconds, 3)}
    if device.type == "cuda":
        row["peak_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return row


def all_modes(
    generator: Zero123PlusGenerator, device: torch.device, batch: int, repeats: int, steps: int, fast_steps: int
) -> list[dict[str, Any]]:
    """Exact and fast mode, one photo and `batch`, as they are and then compiled."""
    rows = []
    for compiled in (False, True):
        if compiled:
            generator.compile()
        for mode in ({"steps": steps}, {"steps": fast_steps, "fast": True}):
            for photos in sorted({1, batch}):
                rows.append({**mode, "compiled": compiled, **measured(generator, device, photos, repeats, **mode)})
                print(json.dumps(rows[-1]), flush=True)
    return rows


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is on: how many are alive at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak_bytes = 0
        self._tensors: Counter[int] = Counter()  # by their storage, which several may share
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        older = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            storage = x.untyped_storage()._cdata if isinstance(x, Tensor) else None
            if storage is None or (storage not in self._sizes and storage in older):
                continue
            if storage not in self._sizes:
                self._sizes[storage] = x.untyped_storage().nbytes()
                self.bytes += self._sizes[storage]
                self.peak_bytes = max(self.peak_bytes, self.bytes)
            self._tensors[storage] += 1
            weakref.finalize(x, self._gone, storage)
        return made

    def _gone(self, storage: int) -> None:
        self._tensors[storage] -= 1
        if self._tensors[storage] == 0:
            self.bytes -= self._sizes.pop(storage)


def peak_gb(stage: Callable[[], Any]) -> float:
    """What a stage has alive at once, at most, of what it makes itself."""
    with Alive() as alive:
        stage()
    return round(alive.peak_bytes / 1e9, 2)


@torch.no_grad()
def peaks(model: str = "instant-mesh-large") -> dict[str, dict[str, float]]:
    """For each network in its precision on a GPU: GB of weights, and of what is alive beside them."""
    half = torch.float16
    with FakeTensorMode():
        unet, vae = UNet2DConditionModel(**UNET_SIZES), official_vae()
        latents: Any = torch.rand(1, 4, 120, 80)
        vision, text = official_encoders()
        network = build(config_of(model))
        size_px = network.config.image_size_px
        images, cameras = torch.rand(1, 6, 3, size_px, size_px), torch.rand(1, 6, 16)

        def weights(module: torch.nn.Module, bytes_each: int) -> float:
            return round(sum(x.numel() for x in module.parameters()) * bytes_each / 1e9, 2)

        found = {
            "text encoder, float16": {"weights": weights(text, 2)},
            "vision encoder, float16": {"weights": weights(vision, 2)},
            "UNet, float16": {"weights": weights(unet, 2)},
            "VAE, float32": {
                "weights": weights(vae, 4),
                "work": peak_gb(lambda: vae.decode(latents)),
            },
            f"{model}, float32": {"weights": weights(network, 4), "work": peak_gb(lambda: network(images, cameras))},
        }
        torch.set_default_dtype(half)
        unet = UNet2DConditionModel(**UNET_SIZES).requires_grad_(False)
        torch.set_default_dtype(torch.float32)
        install_reference_attention(unet)
        sample, condition, prompt = (
            torch.rand(shape, dtype=half) for shape in ((2, 4, 120, 80), (2, 4, 64, 64), (2, 77, 1024))
        )
        step = peak_gb(lambda: predict_with_reference(unet, sample, torch.tensor(1.0), prompt, condition))
        found["UNet, float16"]["work"] = step
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], help="default: float16, float32 on CPUs")
    parser.add_argument("--small", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=EXACT_STEPS)
    parser.add_argument("--fast-steps", type=int, default=FAST_STEPS)
    parser.add_argument("--peaks", action="store_true", help="count memory only")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    if arguments.peaks:
        result: dict[str, Any] = {"peaks_gb": peaks()}
    else:
        device = torch.device(arguments.device)
        dtype = getattr(torch, arguments.dtype or ("float32" if device.type == "cpu" else "float16"))
        generator = random_generator(device, dtype, arguments.small)
        steps = (arguments.steps, arguments.fast_steps)
        rows = all_modes(generator, device, arguments.batch, arguments.repeats, *steps)
        result = {"sizes": "small" if arguments.small else "official", "dtype": str(dtype), "rows": rows}
    text = json.dumps({"machine": machine(), **result}, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
