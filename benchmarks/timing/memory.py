"""GPU memory that every memory mode needs, counted: weights, and what is alive beside them at once.

    python -m benchmarks.timing.memory

Counted at official sizes with tensors that have shapes and no values, in the precisions that a GPU gets. What is alive
is a lower bound: the allocator's gaps and the libraries' own memory (0.5 to 1 GB) come on top. Extraction, which works
in chunks of about 1 GB beside the reconstruction's weights, isn't counted. Peaks measured on a GPU stand in the results
of benchmarks/timing/gpu.py. On a CPU there are no modes: weights are mapped from their files.
"""

import argparse
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.results_file import document, write_results
from benchmarks.timing.official_multiview import official_networks
from benchmarks.timing.roofline import CONDITION, LATENTS, PROMPT, SIX_VIEWS, config_of
from instantmesh.multiview.reference_attention import install_reference_attention, predict_with_reference
from instantmesh.pipeline.loading import build

OUT = Path(__file__).parents[1] / "results" / "memory.json"
MODELS = ("instant-mesh-large", "instant-mesh-base", "instant-nerf-large", "triposr", "openlrm-mix-large-1.1")


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


def alive_bytes(stage: Callable[[], Any]) -> int:
    """What a stage has alive at once, at most, of what it makes itself."""
    with Alive() as alive:
        stage()
    return alive.peak_bytes


def weight_bytes(network: nn.Module) -> int:
    return sum(x.nbytes for x in network.parameters())


def cast(network: nn.Module, dtype: torch.dtype, kind: Any = nn.Module) -> None:
    """Change the parameters of a kind of layers; `nn.Module.to` can't with tensors that have no values."""
    for layer in network.modules():
        if isinstance(layer, kind):
            for name, x in layer.named_parameters(recurse=False):
                setattr(layer, name, nn.Parameter(x.to(dtype), requires_grad=False))


Parts = dict[str, tuple[int, int]]
"""By network: bytes of weights, and of what is alive beside them."""


@torch.no_grad()
def multiview_parts() -> Parts:
    """One photo, in float16; the VAE, whose activations overflow that, in float32."""
    with FakeTensorMode():
        networks: Any = official_networks()
        for name in ("text_encoder", "vision_encoder", "unet"):
            cast(networks[name], torch.float16)
        latents, condition, prompt = (torch.rand(shape).half() for shape in (LATENTS, CONDITION, PROMPT))
        unet, vae = networks["unet"], networks["vae"]
        install_reference_attention(unet)
        work = {
            "text_encoder": lambda: networks["text_encoder"](torch.zeros(1, 77, dtype=torch.int64)),
            "vision_encoder": lambda: networks["vision_encoder"](torch.rand(1, 3, 224, 224).half()),
            "unet": lambda: predict_with_reference(unet, latents, torch.tensor(1.0), prompt, condition),
            "vae": lambda: vae.decode(latents[:1].float()),
        }
        return {name: (weight_bytes(networks[name]), alive_bytes(stage)) for name, stage in work.items()}


@torch.no_grad()
def reconstruction_parts(name: str) -> Parts:
    """With bfloat16 products, one object. Attention is counted as the fused kernel that GPUs have."""
    with FakeTensorMode():
        model = build(config_of(name)).requires_grad_(False).eval()
        for part in (model.encoder, model.transformer):  # as `lrm.precision.lower_products` does it
            cast(part, torch.bfloat16, nn.Linear | nn.Conv2d)
        size_px, views = model.config.image_size_px, 1 if model.single_view else SIX_VIEWS
        images, cameras = torch.rand(1, views, 3, size_px, size_px), torch.rand(1, views, 16)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = model.tokens(images, cameras)
            encoding = alive_bytes(lambda: model.tokens(images, cameras))
            planes = alive_bytes(lambda: model.planes(tokens, cameras))
        rest = weight_bytes(model) - weight_bytes(model.encoder) - weight_bytes(model.transformer)
        return {
            "encoder": (weight_bytes(model.encoder), encoding),
            "transformer": (weight_bytes(model.transformer) + rest, planes),
        }


def modes(stages: list[Parts]) -> dict[str, float]:
    """GB by mode: of the networks that are there together their weights, and the most that one of them needs."""
    groups = {
        "high": [[part for stage in stages for part in stage.values()]],
        "low": [list(stage.values()) for stage in stages],
        "minimal": [[part] for stage in stages for part in stage.values()],
    }
    return {
        mode: round(max(sum(w for w, _ in group) + max(a for _, a in group) for group in together) / 1e9, 1)
        for mode, together in groups.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    generating = multiview_parts()
    rebuilding = {name: reconstruction_parts(name) for name in MODELS}

    def gigabytes(parts: Parts) -> dict[str, dict[str, float]]:
        return {
            name: {"weights_gb": round(weights / 1e9, 2), "alive_gb": round(alive / 1e9, 2)}
            for name, (weights, alive) in parts.items()
        }

    report = {
        "networks": {"multiview": gigabytes(generating)} | {name: gigabytes(x) for name, x in rebuilding.items()},
        "modes_gb": {
            name: modes([generating, parts] if name.startswith("instant") else [parts])
            for name, parts in rebuilding.items()
        },
    }
    print(document(**report))
    write_results(arguments.out, **report)


if __name__ == "__main__":
    main()
