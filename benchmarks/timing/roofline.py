"""What a model has to compute and to move, and how fast this machine does it: the floor under each stage's time.

    python -m benchmarks.timing.roofline --model instant-mesh-base
    python -m benchmarks.timing.roofline --model multiview --dtype float16

Operations are those of the matrix products, convolutions and attention that our own code makes, counted at official
sizes with tensors that have shapes and no values. Bytes are those that a stage can't do without: its weights, its
inputs and its outputs, once each; what is moved inside a stage isn't counted. No stage is faster than the larger of
operations / matrix rate and bytes / copy bandwidth, which are measured here. Of extraction the regular grid is counted
alone, since what happens at the surface depends on values (`speed.py` counts that in its run).
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.results_file import document
from instantmesh.config import ReconstructionConfig, read_config
from instantmesh.hub import asset_folder
from instantmesh.lrm.heads import SurfaceField
from instantmesh.pipeline.loading import build, named_config
from instantmesh.surface.extraction import grid_axis
from instantmesh.systems.instantmesh import InstantMeshConfig

MULTIVIEW = "multiview"
UNET_SIZES: dict[str, Any] = {
    "sample_size": 96,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
"""Zero123++'s; 865,910,724 parameters."""
LATENTS, CONDITION, PROMPT = (2, 4, 120, 80), (2, 4, 64, 64), (2, 77, 1024)
"""Of a tiled image of 640 x 960 pixels, of its condition, and of prompts; all without and with the photo."""
SIX_VIEWS = 6
_REPEATS = 5

Clock = Callable[[], float]


@dataclass(frozen=True)
class Work:
    """Floating-point operations of matrix products, and how many numbers weights, inputs and outputs are."""

    flops: float
    numbers: float


@dataclass(frozen=True)
class Rates:
    """What a machine reaches with a type of numbers: operations, and bytes read or written, a second."""

    dtype: torch.dtype
    flops: float
    bytes: float

    def floor(self, work: Work) -> float:
        """Seconds that this work takes at least."""
        return max(work.flops / self.flops, work.numbers * self.dtype.itemsize / self.bytes)


def flop_counter() -> FlopCounterMode:
    """torch's counter, which also knows fused attention on CPUs."""
    cpu = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            cpu._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
            cpu._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
        },
    )


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Of two matrix products, from shapes (batch, heads, tokens, channels)."""
    batch, heads, n, channels = query
    return 2 * batch * heads * n * key[2] * (channels + value[3])


def _attention_backward_flops(_gradient: torch.Size, query: torch.Size, key: torch.Size, *_: Any, **__: Any) -> int:
    """Of five matrix products: fused attention computes its weights again."""
    return 5 * _attention_flops(query, key, query) // 2


def count(stage: Callable[[], Tensor | None], weights: Iterable[nn.Module], inputs: Iterable[Tensor]) -> Work:
    """The work of a stage, which is run once: with what weights, from what inputs, to what it returns."""
    with flop_counter() as counter:
        output = stage()
    tensors = [*inputs, *(x for module in weights for x in module.parameters())]
    if output is not None:
        tensors.append(output)
    return Work(float(counter.get_total_flops()), float(sum(x.numel() for x in tensors)))


def config_of(name: str) -> ReconstructionConfig:
    """The sizes of a reconstruction model, embedded or not; nothing is downloaded."""
    embedded = asset_folder("weights") / name / "reconstruction" / "config.yaml"
    return read_config(embedded, InstantMeshConfig) if embedded.is_file() else named_config(name)


@torch.no_grad()
def reconstruction_work(config: ReconstructionConfig, views: int = SIX_VIEWS) -> dict[str, Work]:
    """Encoder, transformer and grid of one object. Single-view systems get one view."""
    with FakeTensorMode():
        model = build(config).requires_grad_(False).eval()
        views = 1 if model.single_view else views
        images, cameras = torch.rand(1, views, 3, config.image_size_px, config.image_size_px), torch.rand(1, views, 16)
        tokens = model.tokens(images, cameras)
        planes = model.planes(tokens, cameras)
        field = model.field(planes[0])

        def grid() -> Tensor:
            axis = grid_axis(config.grid_resolution, config.grid_scale)
            if isinstance(field, SurfaceField):
                return field.sdf_on_grid(axis)
            return field.density_on_grid(axis, axis, axis)

        after = [module for name, module in model.named_children() if name not in ("encoder", "head")]
        return {
            "encoder": count(lambda: model.tokens(images, cameras), [model.encoder], [images]),
            "transformer": count(lambda: model.planes(tokens, cameras), after, [tokens]),
            "grid": count(grid, [], [planes]),
        }


@torch.no_grad()
def denoising_work() -> dict[str, Work]:
    """The UNet's part in one step with guidance, as our code takes it: both passes, each with both of the pair."""
    from diffusers import UNet2DConditionModel

    from instantmesh.multiview.reference_attention import install_reference_attention, predict_with_reference

    with FakeTensorMode():
        unet = UNet2DConditionModel(**UNET_SIZES).requires_grad_(False).eval()
        install_reference_attention(unet)
        sample, condition, prompt = (torch.rand(shape) for shape in (LATENTS, CONDITION, PROMPT))
        timestep, inputs = torch.tensor(1), [sample, prompt, condition]
        passes = [unet, unet]  # each reads the weights
        step = count(lambda: predict_with_reference(unet, sample, timestep, prompt, condition), passes, inputs)
        return {"denoising step": step}


def measured_rates(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    side: int | None = None,
    clock: Clock = time.perf_counter,
) -> Rates:
    """Of one large matrix product, and of copying (bytes read and written); the best of several.

    Args:
        side: of the square matrices; by default 3,072 on a CPU and 8,192 on a GPU.
    """
    device = torch.device(device)
    side = side or (3072 if device.type == "cpu" else 8192)
    a = torch.randn(side, side, device=device, dtype=dtype)
    source = torch.zeros(side, side, 4, device=device)
    target = torch.ones_like(source)
    product = min(seconds(lambda: torch.mm(a, a), device, _REPEATS, clock))
    copying = min(seconds(lambda: target.copy_(source), device, _REPEATS, clock))
    return Rates(dtype, 2 * side**3 / product, 2 * source.numel() * source.element_size() / copying)


def seconds(
    stage: Callable[[], Any], device: torch.device, repeats: int, clock: Clock = time.perf_counter
) -> list[float]:
    """Of each of `repeats` runs, after one that doesn't count; a GPU's work is waited for."""
    times = []
    for _ in range(repeats + 1):
        start = clock()
        stage()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="instant-mesh-base", help=f"a reconstruction model, or {MULTIVIEW}")
    parser.add_argument("--views", type=int, default=SIX_VIEWS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    multiview = arguments.model == MULTIVIEW
    work = denoising_work() if multiview else reconstruction_work(config_of(arguments.model), arguments.views)
    rates = measured_rates(arguments.device, dtype)
    stages = {
        name: {
            "gflop": round(part.flops / 1e9, 1),
            "megabytes": round(part.numbers * dtype.itemsize / 1e6, 1),
            "floor_seconds": float(f"{rates.floor(part):.3g}"),
        }
        for name, part in work.items()
    }
    report = {
        "model": arguments.model,
        "dtype": arguments.dtype,
        "gflops": round(rates.flops / 1e9, 1),
        "gigabytes_per_second": round(rates.bytes / 1e9, 1),
        "stages": stages,
    }
    print(document(**report))


if __name__ == "__main__":
    main()
