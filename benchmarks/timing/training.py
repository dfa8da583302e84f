"""Memory and time of a training step of stages 1 and 2, base and large, on 1, 2 and 8 GPUs, as JSON and a table.

    python -m benchmarks.timing.training

Nothing here needs a GPU. Of an object's activations, the transformers' and VGG's are computed, those of rays and
surfaces measured on a CPU (`step_costs`); weights, gradients, AdamW's moments and the moving average are 4 bytes a
number each. Seconds are computed: operations at a stated share of the GPUs' peaks. Left out are loading, which runs
beside, the rasteriser's visibility, and what the allocator wastes.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results_file import write_results
from benchmarks.timing.step_costs import IMAGE_PX, Cost, mesh_cost, nerf_cost, transformer_cost, vgg_cost
from instantmesh.training.stages import read_config
from instantmesh.training.stages.nerf import NerfConfig

OUT = Path(__file__).parents[1] / "results" / "training-cost.json"
CONFIGS = Path(__file__).parents[2] / "configs" / "train"
STAGES = ("instant-nerf-base", "instant-mesh-base", "instant-nerf-large", "instant-mesh-large")
STEP_OBJECTS = 64

PEAKS = {
    "H200": {"bf16": 989e12, "tf32": 494e12, "float32": 67e12},
    "A100": {"bf16": 312e12, "tf32": 156e12, "float32": 19.5e12},
}
"""Dense operations a second by the data sheets."""
SHARES = {"bf16": 0.4, "tf32": 0.3, "float32": 0.3}
"""Of the peaks, assumed: 0.4 is usual for transformers of this width; small layers wait for memory."""
LINK_BYTES = 200e9
"""A second, assumed, when GPUs of one machine add up their gradients."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    report = {
        "assumed": {"peaks": PEAKS, "shares": SHARES, "link_bytes_per_second": LINK_BYTES, "objects": STEP_OBJECTS},
        "stages": {name: stage_costs(name) for name in STAGES},
    }
    write_results(arguments.out, **report)
    print(table(report["stages"]))


def stage_costs(name: str) -> dict[str, Any]:
    """An object's costs, with all activations kept and with checkpointing, and what follows for 1, 2 and 8 GPUs."""
    config = _config(name)
    parameters, kept = transformer_cost(config.model, config.views.inputs, gradient_checkpointing=False)
    _, checkpointed = transformer_cost(config.model, config.views.inputs, gradient_checkpointing=True)
    if isinstance(config, NerfConfig):
        images, size_px = nerf_cost(config), config.patch_px
        checkpointed_images = _checkpointed_rays(images, config)
    else:
        images, size_px = mesh_cost(config), IMAGE_PX
        checkpointed_images = images
    perceptual = vgg_cost(config.views.targets, size_px)
    ways = {"kept": (kept, images, perceptual), "checkpointed": (checkpointed, checkpointed_images, perceptual)}
    return {
        "parameters": parameters,
        "object": {way: _object(*parts) for way, parts in ways.items()},
        "gpus": {
            str(gpus): {
                "state_gb_computed": round(_state_bytes(parameters, gpus) / 1e9, 2),
                "step_seconds_computed": {
                    way: {gpu: round(_step_seconds(sum(parts, Cost()), parameters, gpus, gpu), 2) for gpu in PEAKS}
                    for way, parts in ways.items()
                },
            }
            for gpus in (1, 2, 8)
        },
    }


def _object(transformers: Cost, images: Cost, perceptual: Cost) -> dict[str, Any]:
    return {
        "transformers_gb_computed": round(transformers.saved / 1e9, 2),
        "images_gb_measured": round(images.saved / 1e9, 2),
        "perceptual_gb_computed": round(perceptual.saved / 1e9, 2),
        "gb": round((transformers + images + perceptual).saved / 1e9, 2),
        "teraflops": {
            kind: round(flops / 1e12, 2) for kind, flops in (transformers + images + perceptual).flops.items()
        },
    }


def _checkpointed_rays(images: Cost, config: NerfConfig) -> Cost:
    """One chunk of rays at a time, of as many as the object has; the forward pass, a third of all, runs twice."""
    rays = config.views.targets * config.patch_px**2
    return replace(images, saved=images.saved * 4096 / rays, flops={k: 4 / 3 * v for k, v in images.flops.items()})


def _state_bytes(parameters: int, gpus: int) -> float:
    """On every GPU: weights, gradients, two moments, average; with several, buckets to exchange gradients in."""
    return 4 * parameters * (5 if gpus == 1 else 6)


def _step_seconds(cost: Cost, parameters: int, gpus: int, gpu: str) -> float:
    """Of `STEP_OBJECTS` objects in all, and adding up the gradients."""
    compute = sum(flops / (SHARES[kind] * PEAKS[gpu][kind]) for kind, flops in cost.flops.items())
    exchange = 2 * (gpus - 1) / gpus * 4 * parameters / LINK_BYTES
    return STEP_OBJECTS / gpus * compute + exchange


def table(stages: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| stage | GPUs | state, GB a GPU | + each object, GB: kept / checkpointed | seconds a step of 64 objects,"
        " checkpointed: H200 / A100 |",
        "|---|---|---|---|---|",
    ]
    for name, costs in stages.items():
        objects = " / ".join(f"{costs['object'][way]['gb']:.1f}" for way in ("kept", "checkpointed"))
        for gpus, row in costs["gpus"].items():
            seconds = row["step_seconds_computed"]["checkpointed"]
            lines.append(
                f"| {name} | {gpus} | {row['state_gb_computed']:.1f} | {objects} |"
                f" {' / '.join(f'{seconds[gpu]:.1f}' for gpu in PEAKS)} |"
            )
    return "\n".join(lines)


def _config(name: str) -> Any:
    """The shipped one, from random weights, with the perceptual loss that needs no packages."""
    values = {"start": None, "perceptual": "image-gradients"}
    config = read_config(CONFIGS / f"{name}.yaml")
    return config.model_copy(update=values | ({"encoder_start": None} if isinstance(config, NerfConfig) else {}))


if __name__ == "__main__":
    main()
