"""What a training step of one object costs: bytes that its graph saves for the backward pass, and operations.

`transformer_cost` and `vgg_cost` are computed: real sizes, but tensors that have shapes and no values. `nerf_cost` and
`mesh_cost` are measured, since what rays and surfaces save depends on values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.timing.roofline import flop_counter
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.lrm.heads import SurfaceField, SurfaceHead
from instantmesh.surface.extraction import grid_axis
from instantmesh.surface.grid import surface_cubes
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.training.stages.mesh import MeshConfig, MeshStage
from instantmesh.training.stages.nerf import NerfConfig, NerfStage

IMAGE_PX = 512
SURFACE_CUBES = 25_000
_SAMPLED_PATCH_PX = 24
_VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True)
class Cost:
    """Of one object's forward and backward pass: bytes that the graph saves, and operations by their precision."""

    saved: float = 0.0
    flops: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: "Cost") -> "Cost":
        names = self.flops.keys() | other.flops.keys()
        return Cost(
            self.saved + other.saved, {name: self.flops.get(name, 0) + other.flops.get(name, 0) for name in names}
        )


def transformer_cost(config: InstantMeshConfig, views: int, *, gradient_checkpointing: bool) -> tuple[int, Cost]:
    """Computed: the model's parameters, and what an object's planes cost in bf16.

    Blocks that are checkpointed save their inputs alone, and in the backward pass one block at a time all it has.
    """
    size = config.image_size_px
    with FakeTensorMode():
        model = InstantMesh(config)
        model.set_gradient_checkpointing(gradient_checkpointing)
        images, cameras = torch.rand(1, views, 3, size, size), torch.rand(1, views, 16)
        with flop_counter() as counter, torch.autocast("cpu", torch.bfloat16):
            with _saving(model) as saved:
                planes = model(images, cameras)
            planes.float().sum().backward()
        tokens = torch.rand(1, 401 * views, config.encoder.hidden_size).bfloat16()
        x = torch.rand(1, 3 * config.triplane.low_res**2, config.triplane.dim, requires_grad=True)
        block = model.transformer.blocks[0]
        with torch.autocast("cpu", torch.bfloat16), _saving(block) as in_block:
            block(x, tokens, None)
        parameters = sum(parameter.numel() for parameter in model.parameters())
    total = sum(saved.values()) + (sum(in_block.values()) if gradient_checkpointing else 0)
    return parameters, Cost(total, {"bf16": float(counter.get_total_flops())})


def nerf_cost(config: NerfConfig) -> Cost:
    """Measured in float32: patches of an object's target views, with fewer pixels than they have, times their share."""
    torch.manual_seed(0)
    scale = config.patch_px / _SAMPLED_PATCH_PX
    sizes = tuple(round(size / scale) for size in config.size_px)
    small = {"model": _without_transformers(config.model), "patch_px": _SAMPLED_PATCH_PX, "size_px": sizes}
    stage = NerfStage(config.model_copy(update={**small, "gradient_checkpointing": False}))
    planes = torch.randn(3, config.model.triplane.channels, 64, 64, requires_grad=True)
    truth = ObjectRenderer(ProceduralSurface(random_object(0))).views(
        random_cameras(config.views.targets, np.random.default_rng(0)), sizes[1]
    )
    with flop_counter() as counter:
        with _saving(stage, planes) as saved:
            color, weight, _, _ = stage._patches(planes, truth)
        (color.sum() + weight.sum()).backward()
    return Cost(sum(saved.values()) * scale**2, {"float32": counter.get_total_flops() * scale**2})


def mesh_cost(config: MeshConfig) -> Cost:
    """Measured in float32: the surface, images and losses of an object that a random field makes up."""
    torch.manual_seed(0)
    stage = MeshStage(config.model_copy(update={"model": _without_transformers(config.model)}))
    coarse = torch.randn(3, config.model.triplane.channels, 8, 8)
    planes = nn.functional.interpolate(coarse, (64, 64), mode="bicubic").requires_grad_()
    _cut_surface(stage, planes)
    truth = ObjectRenderer(ProceduralSurface(random_object(0))).views(
        random_cameras(config.views.targets, np.random.default_rng(0)), IMAGE_PX
    )
    with flop_counter() as counter:
        with _saving(stage, planes) as saved:
            losses = stage._object_losses(planes, truth)
        torch.stack(list(losses.values())).sum().backward()
    return Cost(sum(saved.values()), {"float32": float(counter.get_total_flops())})


def vgg_cost(images: int, size_px: int) -> Cost:
    """Computed: LPIPS's network, with a graph for predicted images and without one for the true ones."""
    with FakeTensorMode():
        layers: list[nn.Module] = []
        channels = 3
        for index, widths in enumerate(_VGG_STAGES):
            layers += [nn.MaxPool2d(2)] if index else []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        net = nn.Sequential(*layers).requires_grad_(False)
        predicted = torch.rand(images, 3, size_px, size_px, requires_grad=True)
        with flop_counter() as counter:
            with _saving(net) as saved:
                features = net(predicted)
            net(predicted.detach())
            features.sum().backward()
    return Cost(sum(saved.values()), {"tf32": float(counter.get_total_flops())})


@torch.no_grad()
def _cut_surface(stage: MeshStage, planes: Tensor) -> None:
    """Move a random field's distances so that about `SURFACE_CUBES` cubes of the grid are crossed."""
    head, config = stage.model.head, stage.config.model
    assert isinstance(head, SurfaceHead)
    surface, last = stage.model.field(planes), head.net_sdf[-1]
    assert isinstance(surface, SurfaceField)
    assert isinstance(last, nn.Linear)
    sdf = surface.sdf_on_grid(grid_axis(config.grid_resolution, config.grid_scale))
    levels = sdf.flatten()[::997].quantile(torch.linspace(0.005, 0.5, 34))
    crossed = torch.tensor([len(surface_cubes(sdf < level)) for level in levels])
    last.bias.sub_(levels[(crossed - SURFACE_CUBES).abs().argmin()])


def _without_transformers(config: InstantMeshConfig) -> InstantMeshConfig:
    """As good for all that follows the planes."""
    thin = {"layers": 1, "dim": 16, "heads": 1}
    encoder = config.encoder.model_copy(update={"layers": 1, "hidden_size": 12, "heads": 1, "mlp_size": 12})
    return config.model_copy(update={"encoder": encoder, "triplane": config.triplane.model_copy(update=thin)})


@contextmanager
def _saving(module: nn.Module, *leaves: Tensor) -> Iterator[dict[int, int]]:
    """Bytes that graphs made in this block save, by storage, without the module's own weights and these leaves."""
    own = {x.untyped_storage()._cdata for x in (*module.parameters(), *leaves)}
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # as long as they live no two of them have the same storage

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in own:
            sizes[storage._cdata] = storage.nbytes()
            kept.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        yield sizes
