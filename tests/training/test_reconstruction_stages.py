"""Stages 1 and 2: names and gradients of their losses, that they learn, precision, and surfaces that aren't there."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from instantmesh.cameras import project
from instantmesh.config import StrictModel, TriplaneConfig, ViTConfig, parse_config
from instantmesh.errors import ConfigError
from instantmesh.hub import asset_folder
from instantmesh.lrm.heads import SurfaceHead
from instantmesh.training.losses import color_loss, mask_loss
from instantmesh.training.reconstruction_batches import (
    ReconstructionBatch,
    ReconstructionSource,
    TargetViews,
    ViewsConfig,
)
from instantmesh.training.reconstruction_stage import ReconstructionStage
from instantmesh.training.stages import read_config, stage_kind
from instantmesh.training.stages.mesh import SURFACE_LOSSES, MeshConfig, MeshStage, points_beside_surface
from instantmesh.training.stages.nerf import NerfConfig, NerfStage

STILL = ViewsConfig(scale_probability=0.0, camera_noise=0.0, targets=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Threads of networks this small only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(stage: str, representation: str, **values: Any) -> dict[str, Any]:
    model = {
        "representation": representation,
        "image_size_px": 32,
        "encoder": ViTConfig(hidden_size=32, layers=2, heads=2, mlp_size=64, patch_size=8, trained_grid=4),
        "triplane": TriplaneConfig(dim=32, layers=2, heads=2, low_res=8, channels=8),
        "samples_per_ray": 16,
        "grid_resolution": 16,
    }
    run = {"optimiser": {"learning_rate": 1e-3, "steps": 10}, "loop": {"batch_size": 2}, "data": {"folder": "x"}}
    return {"stage": stage, "model": model, **run, "perceptual": "image-gradients", "views": STILL, **values}


def nerf_stage(**values: Any) -> NerfStage:
    torch.manual_seed(0)
    sizes = {"patch_px": 16, "size_px": (16, 32)}
    return NerfStage(parse_config(settings("nerf", "nerf", **sizes, **values), NerfConfig))


def mesh_stage(**values: Any) -> MeshStage:
    torch.manual_seed(0)
    return MeshStage(parse_config(settings("mesh", "mesh", **values), MeshConfig))


@pytest.fixture
def batch(objects_in_memory: Any) -> ReconstructionBatch:
    return ReconstructionSource(objects_in_memory, STILL, 32, seed=0).batch(np.arange(2), np.random.default_rng(0))


def only(batch: ReconstructionBatch, index: int) -> ReconstructionBatch:
    targets = TargetViews.stack([batch.targets[index]])
    return ReconstructionBatch(batch.images[[index]], batch.cameras[[index]], targets)


def make_surface(stage: MeshStage) -> MeshStage:
    """Give a random field a surface: its signed distances are centred and stretched."""
    assert isinstance(stage.model.head, SurfaceHead)
    last = stage.model.head.net_sdf[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        planes = stage.model(torch.rand(1, 2, 3, 32, 32), torch.rand(1, 2, 16))
        field: Any = stage.model.field(planes[0])
        sdf = field.sdf(torch.rand(500, 3) * 2 - 1)
        stretch = 1 / sdf.std()
        last.weight *= stretch
        last.bias.copy_((last.bias - sdf.quantile(0.3)) * stretch)
    return stage


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def gradients(stage: ReconstructionStage, batch: ReconstructionBatch) -> dict[str, Tensor]:
    stage.zero_grad()
    torch.manual_seed(1)
    total(stage(batch)).backward()
    missing = [name for name, x in stage.named_parameters() if x.grad is None]
    assert not missing
    found = {name: x.grad.clone() for name, x in stage.named_parameters() if x.grad is not None}
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found.values())
    return found


def without_effect(found: dict[str, Tensor]) -> set[str]:
    """Modules, three names deep, all of whose gradients are zero."""
    modules = {".".join(name.split(".")[1:4]) for name in found}
    return {
        module
        for module in modules
        if not any(float(x.abs().max()) for name, x in found.items() if name.startswith(f"model.{module}"))
    }


def learn(stage: ReconstructionStage, batch: ReconstructionBatch, steps: int) -> list[dict[str, float]]:
    adam = torch.optim.AdamW(stage.parameters(), 3e-3)
    history = []
    for _ in range(steps):
        torch.manual_seed(0)
        losses = stage(batch)
        adam.zero_grad()
        total(losses).backward()
        nn.utils.clip_grad_norm_(stage.parameters(), 1.0)
        adam.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    return history


def test_stage_one_reaches_every_parameter(batch: ReconstructionBatch):
    stage = nerf_stage()
    assert stage(batch).keys() == {"color", "perceptual", "mask"}
    # The cameras' embedding acts through modulations, which start at zero.
    assert without_effect(gradients(stage, batch)) == {
        "encoder.camera_embedding.0",
        "encoder.camera_embedding.2",
    }


def test_stage_two_reaches_every_parameter(batch: ReconstructionBatch):
    stage = make_surface(mesh_stage())
    losses = stage(batch)
    assert list(losses) == [*SURFACE_LOSSES, "empty"]
    assert float(losses["empty"].detach()) == 0
    assert all(float(losses[name].detach()) > 0 for name in SURFACE_LOSSES if name != "cube_weights")
    # Besides, the last layers of deformation and cube weights start at zero, so nothing before them matters yet.
    still = {f"head.net_{name}.{layer}" for name in ("deformation", "weight") for layer in (0, 2, 4)}
    cameras = {"encoder.camera_embedding.0", "encoder.camera_embedding.2"}
    assert without_effect(gradients(stage, batch)) == still | cameras


def test_stage_one_learns_an_object(batch: ReconstructionBatch):
    history = learn(nerf_stage(), only(batch, 0), 60)
    assert sum(history[-1].values()) < 0.7 * sum(history[0].values())
    assert history[-1]["mask"] < 0.5 * history[0]["mask"]


def test_stage_two_learns_an_object_from_nothing(batch: ReconstructionBatch):
    history = learn(mesh_stage(), only(batch, 0), 70)
    assert history[0]["empty"] > 0  # a random field has no surface
    assert history[0]["color"] == 0
    first = next(losses for losses in history if losses["color"] > 0)
    assert history[-1]["empty"] == 0
    assert sum(history[-1].values()) < 0.7 * sum(first.values())


def test_losses_of_patches_compare_what_they_say(batch: ReconstructionBatch):
    """With whole images as patches: the rendering of the whole view against the truth."""
    torch.manual_seed(0)
    values = settings("nerf", "nerf", patch_px=32, size_px=(32, 32))
    stage = NerfStage(parse_config(values, NerfConfig))
    planes = stage.model(batch.images, batch.cameras)
    torch.manual_seed(3)
    losses = stage.losses(planes, batch)
    torch.manual_seed(3)
    parts = [stage._patches(planes[i], batch.targets[i]) for i in range(2)]
    color, weight = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    torch.testing.assert_close(losses["color"], color_loss(color, batch.targets.images.flatten(0, 1)))
    torch.testing.assert_close(losses["mask"], mask_loss(weight, batch.targets.mask.flatten(0, 1)))
    fixed = stage.rendered(planes[0].detach(), batch)["render"]
    assert float((color[:2] - fixed).detach().abs().mean()) < 0.02  # other draws along the rays, the same image


def test_random_numbers_are_torchs_own(batch: ReconstructionBatch):
    stage = nerf_stage()
    values = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        values.append(float(total(stage(batch)).detach()))
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("make", [nerf_stage, lambda **values: make_surface(mesh_stage(**values))])
def test_checkpointing_activations_changes_no_gradient(make: Any, batch: ReconstructionBatch):
    kept, gradient_checkpointing = make(), make(gradient_checkpointing=True)
    assert kept.model.encoder.gradient_checkpointing is False
    assert gradient_checkpointing.model.encoder.gradient_checkpointing is True
    gradient_checkpointing.load_state_dict(kept.state_dict())
    expected, found = gradients(kept, batch), gradients(gradient_checkpointing, batch)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    if isinstance(kept, NerfStage):
        assert saved_bytes(gradient_checkpointing, batch) < 0.2 * saved_bytes(kept, batch)
    assert saved_bytes(gradient_checkpointing.model, batch) < 0.5 * saved_bytes(kept.model, batch)


def saved_bytes(module: nn.Module, batch: ReconstructionBatch) -> int:
    """What the graph of a stage's losses, or of a model's planes, keeps for the backward pass, each storage once."""
    sizes: dict[int, int] = {}
    kept = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x)  # so that no address is used twice
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        module(batch) if isinstance(module, ReconstructionStage) else module(batch.images, batch.cameras)
    return sum(sizes.values())


@pytest.mark.parametrize("make", [nerf_stage, lambda: make_surface(mesh_stage())])
def test_under_autocast_fields_and_losses_stay_float32(make: Any, batch: ReconstructionBatch):
    stage, dtypes = make(), {}
    last = stage.model.head.net_rgb if isinstance(stage.model.head, SurfaceHead) else stage.model.head.net
    last.register_forward_hook(lambda module, inputs, output: dtypes.update(head=output.dtype))
    stage.model.transformer.blocks[0].mlp.register_forward_hook(
        lambda module, inputs, output: dtypes.update(transformer=output.dtype)
    )
    torch.manual_seed(1)
    expected = stage(batch)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = stage(batch)
    assert dtypes == {"transformer": torch.bfloat16, "head": torch.float32}
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], atol=2e-3, rtol=0.1, msg=name)
    total(found).backward()
    assert all(bool(torch.isfinite(x.grad).all()) for x in stage.parameters())


@pytest.mark.parametrize("bias", [5.0, -5.0])
def test_a_missing_surface_is_drawn_to_where_it_belongs(
    bias: float, batch: ReconstructionBatch, caplog: pytest.LogCaptureFixture
):
    """All outside, or all inside: the same names of losses, every gradient there, and the way back."""
    stage = mesh_stage()
    with torch.no_grad():
        stage.model.head.get_parameter("net_sdf.6.bias").fill_(bias)
    with caplog.at_level(logging.INFO, logger="instantmesh.training"):
        losses = stage(batch)
    assert "2 of 2 objects have no surface" in caplog.text
    assert list(losses) == [*SURFACE_LOSSES, "empty"]
    assert float(losses["empty"].detach()) == pytest.approx(5 + 0.0134, abs=0.1)
    found = gradients(stage, batch)
    assert float(found["model.head.net_sdf.6.bias"]) * bias > 0  # downhill is towards the surface


def test_a_batch_may_have_surfaces_and_none(batch: ReconstructionBatch, monkeypatch: pytest.MonkeyPatch):
    stage = make_surface(mesh_stage())
    whole, calls = stage._surface, []

    def only_the_second(*arguments: Any) -> Any:
        calls.append(arguments)
        return whole(*arguments) if len(calls) % 2 == 0 else None

    alone = stage(only(batch, 1))
    monkeypatch.setattr(stage, "_surface", only_the_second)
    losses = stage(batch)
    for name in SURFACE_LOSSES:
        torch.testing.assert_close(losses[name], alone[name] / 2, atol=1e-5, rtol=1e-4)
    assert float(losses["empty"].detach()) > 0


def test_a_field_that_is_not_finite_gives_a_loss_that_is_not(batch: ReconstructionBatch):
    stage = make_surface(mesh_stage())
    with torch.no_grad():
        stage.model.head.get_parameter("net_sdf.6.bias").fill_(float("nan"))
    assert not bool(torch.isfinite(total(stage(batch))))  # which the loop looks for


def test_points_lie_on_both_sides_of_the_true_surface(batch: ReconstructionBatch):
    truth = batch.targets[0]
    before, behind = points_beside_surface(truth, 0.1)
    torch.testing.assert_close((before - behind).norm(dim=1), torch.full((len(before),), 0.2), atol=1e-4, rtol=0)
    middle = (before + behind) / 2
    uv, depth = project(middle, truth.cameras[[0]])
    pixel = (uv[0] * 32).floor().long()
    seen = truth.depth[0, 0][pixel[:, 1].clamp(0, 31), pixel[:, 0].clamp(0, 31)]
    mine = ((seen - depth[0]).abs() < 1e-3).float().mean()
    assert float(mine) > 0.4  # those of the first of two views
    unseen = dataclasses.replace(truth, mask=torch.zeros_like(truth.mask))
    assert len(points_beside_surface(unseen, 0.1)[0]) == 0


def test_an_object_that_no_target_shows_is_no_error(batch: ReconstructionBatch):
    blank = dataclasses.replace(
        batch, targets=dataclasses.replace(batch.targets, mask=torch.zeros_like(batch.targets.mask))
    )
    assert float(mesh_stage()(blank)["empty"].detach()) == 0


def test_images_for_the_log(batch: ReconstructionBatch):
    with torch.no_grad():
        nerf, mesh = nerf_stage().preview(batch), make_surface(mesh_stage()).preview(batch)
        empty = mesh_stage().preview(batch)
    assert nerf.keys() == {"input", "target", "render", "opacity"}
    assert mesh.keys() == {"input", "target", "target_normal", "render", "normal"}
    assert empty.keys() == {"input", "target", "target_normal"}
    for image in (*nerf.values(), *mesh.values()):
        assert float(image.min()) >= -1e-2
        assert float(image.max()) <= 1 + 1e-2
    assert nerf["input"].shape == (3, 64, 96)
    assert mesh["normal"].shape == (3, 32, 64)


def test_stage_two_goes_on_from_stage_one(batch: ReconstructionBatch, tmp_path: Path):
    first = nerf_stage()
    with torch.no_grad():  # a density that crosses the threshold
        field: Any = first.model.field(first.model(batch.images, batch.cameras)[0])
        last = first.model.head.net[-1]
        last.weight[0] *= 50
        last.bias[0] = 0
        last.bias[0] = 11 - field(torch.rand(500, 3) * 2 - 1)[1].median()
    first.export(tmp_path)
    second = mesh_stage(start=str(tmp_path))
    torch.testing.assert_close(
        second.model(batch.images, batch.cameras), first.model(batch.images, batch.cameras), atol=2e-2, rtol=2e-2
    )
    assert float(second(batch)["color"].detach()) > 0  # there is a surface before the first step


@pytest.mark.parametrize(
    ("stage", "values", "message"),
    [
        ("nerf", {"patch_px": 64, "size_px": (32, 128)}, "size_px must run upwards"),
        ("nerf", {"perceptual": "lpips"}, "image-gradients"),
        ("mesh", {"mask_wieght": 1.0}, "did you mean 'mask_weight'"),
    ],
)
def test_configurations_are_checked(stage: str, values: dict[str, Any], message: str):
    kind = stage_kind(stage).config
    with pytest.raises(ConfigError, match=message):
        parse_config(settings(stage, stage, **values), kind)


def test_a_stage_refuses_the_other_representation():
    with pytest.raises(ConfigError, match="representation: mesh"):
        MeshStage(parse_config(settings("mesh", "nerf"), MeshConfig))


@pytest.mark.parametrize("name", ["instant-nerf-base", "instant-nerf-large", "instant-mesh-base", "instant-mesh-large"])
def test_shipped_configurations_have_the_papers_numbers(name: str):
    configs = asset_folder("configs")
    config: Any = read_config(configs / "train" / f"{name}.yaml")
    model = config.model
    assert model == read_asset(configs / "model" / f"{name}.yaml", type(model))
    assert config.views == ViewsConfig()
    assert (config.perceptual, config.perceptual_weight, config.mask_weight) == ("lpips-vgg", 2.0, 1.0)
    optimiser = config.optimiser
    assert (optimiser.betas, optimiser.weight_decay, optimiser.gradient_norm) == ((0.9, 0.95), 0.01, 1.0)
    assert (optimiser.algorithm, optimiser.schedule) == ("adamw", "cosine")
    rates = (optimiser.learning_rate, optimiser.final_learning_rate)
    assert rates == ((4e-4, 4e-5) if config.stage == "nerf" else (4e-5, 0.0))
    if config.stage == "nerf":
        assert (config.patch_px, config.size_px) == (192, (192, 512))
    else:
        weights = [getattr(config, f"{name}_weight") for name in ("depth", "normal", "entropy", "deviation")]
        assert [*weights, config.cube_weight_weight] == [0.5, 0.2, 0.01, 0.5, 0.1]


def read_asset(path: Path, kind: type[StrictModel]) -> StrictModel:
    from instantmesh.config import read_config as read

    return read(path, kind)
