"""Training of the reconstruction model: losses, their gradients, resuming, and that a small run learns."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from instantmesh.cameras import camera_vector, six_view_cameras
from instantmesh.config import InstantMeshConfig, read_config
from instantmesh.errors import ConfigError
from instantmesh.hub import asset_folder, read_checkpoint
from instantmesh.lrm.instantmesh import InstantMesh
from instantmesh.training import losses
from instantmesh.training.export import export_reconstruction
from instantmesh.training.geometry import (
    GeometryTrainingConfig,
    draw_batch,
    geometry_losses,
    rotated_camera_vectors,
    train_geometry,
)
from instantmesh.training.loop import TrainingError, train
from instantmesh.training.rendering import RenderingTrainingConfig, rendering_losses
from instantmesh.training.schedule import OptimiserConfig, learning_rate


def optimiser(steps: int, **values: float) -> OptimiserConfig:
    return OptimiserConfig(**{"learning_rate": 3e-3, "steps": steps, "warmup_steps": 2, **values})


def history(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_batches_turn_pictures_cameras_and_geometry_together(small_data, small_model):
    config = GeometryTrainingConfig(
        model=small_model, optimiser=optimiser(1), batch_size=3, camera_noise=0.0, subset_probability=0.0,
        free_rotation_probability=1.0,
    )  # fmt: skip
    batch = draw_batch(small_data, config, np.random.default_rng(0))
    still = camera_vector(six_view_cameras())
    for index in range(3):
        cos, sin = batch.angle[index].cos(), batch.angle[index].sin()
        turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        row = int((small_data.seeds == int(batch.seeds[index])).nonzero()[0][0])
        points = torch.from_numpy(small_data.points[row].astype(np.float32))
        torch.testing.assert_close(batch.points[index], points @ turn.T, atol=1e-5, rtol=0)
        position = still[:, [3, 7, 11]] @ turn.T
        torch.testing.assert_close(batch.cameras[index][:, [3, 7, 11]], position, atol=1e-5, rtol=0)


def test_thirds_of_a_turn_carry_the_rig_into_itself():
    still = camera_vector(six_view_cameras())
    turned = rotated_camera_vectors(six_view_cameras(), torch.tensor([2 * torch.pi / 3]))[0]
    torch.testing.assert_close(turned, still.roll(-2, dims=0), atol=1e-5, rtol=0)


def test_sdf_loss_is_what_it_says():
    predicted, true = torch.tensor([0.05, 0.5, -0.3]), torch.tensor([0.0, 0.2, -0.05])
    expected = (0.05 + 0.0 + 0.05) / 3 + 0.3 * (0.05 + 0.3 + 0.25) / 3
    assert float(losses.sdf_loss(predicted, true)) == pytest.approx(expected, abs=1e-6)


def test_normal_loss_is_signed():
    true = torch.zeros(1, 3, 2, 2)
    true[:, 2] = 1
    mask = torch.ones(1, 1, 2, 2)
    assert float(losses.normal_loss(true, true, mask)) == pytest.approx(0)
    assert float(losses.normal_loss(-true, true, mask)) == pytest.approx(2)


def test_sign_change_entropy_counts_crossing_edges_only():
    sdf = torch.full((3, 3, 3), 2.0)
    assert float(losses.sign_change_entropy(sdf)) == 0
    sdf[1, 1, 1] = -1.0
    bce = nn.functional.binary_cross_entropy_with_logits
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    expected = float(bce(-one, one) + bce(2 * one, zero))  # six equal edges
    assert float(losses.sign_change_entropy(sdf)) == pytest.approx(expected, rel=1e-5)


def test_learning_rate_warms_up_holds_and_decays():
    config = optimiser(100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert rates[90] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.1


def test_resuming_gives_identical_losses(small_data, small_model, tmp_path):
    def run(steps: int, out) -> None:
        config = GeometryTrainingConfig(model=small_model, optimiser=optimiser(steps), batch_size=2)
        torch.manual_seed(0)
        model = InstantMesh(config.model)
        train(
            model,
            lambda rng: geometry_losses(model, draw_batch(small_data, config, rng), config),
            config.optimiser,
            out,
            log_every=1,
        )

    run(2, tmp_path / "broken")
    run(4, tmp_path / "broken")
    run(4, tmp_path / "whole")
    broken, whole = history(tmp_path / "broken"), history(tmp_path / "whole")
    for entry in (*broken, *whole):
        entry.pop("seconds_per_step")
    assert broken == whole


def test_a_small_run_learns_and_its_export_loads_back(small_data, small_model, tmp_path):
    config = GeometryTrainingConfig(model=small_model, optimiser=optimiser(50, decay_steps=10), batch_size=4)
    model = train_geometry(config, small_data, tmp_path / "run")
    first, *_, last = history(tmp_path / "run")
    assert last["sdf"] < 0.8 * first["sdf"]
    folder = export_reconstruction(model, tmp_path / "model")
    read = read_config(folder / "config.yaml", InstantMeshConfig)
    assert read == small_model
    other = InstantMesh(read)
    other.load_official({name: x.float() for name, x in read_checkpoint(folder / "model.safetensors").items()})
    batch = draw_batch(small_data, config, np.random.default_rng(1))
    torch.testing.assert_close(
        other(batch.images, batch.cameras), model(batch.images, batch.cameras), atol=2e-2, rtol=2e-2
    )


def test_rendering_losses_reach_every_part_of_the_model(small_data, small_model):
    config = RenderingTrainingConfig(
        model=small_model, optimiser=optimiser(1), batch_size=2, picture_size_px=32, resolution=16
    )
    torch.manual_seed(0)
    model = InstantMesh(small_model)
    points = draw_batch(small_data, config, np.random.default_rng(0))
    for _ in range(25):  # until there is a surface to render
        model.zero_grad()
        torch.stack(list(geometry_losses(model, points, config).values())).sum().backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.0 if p.grad is None else 3e-3 * p.grad.sign()
    model.zero_grad()
    parts = rendering_losses(model, points, config, np.random.default_rng(0))
    assert {"picture", "mask", "depth", "normal", "entropy", "deviation", "cube_weights"} <= parts.keys()
    without_points = [loss for name, loss in parts.items() if name not in ("sdf", "color", "slope")]
    torch.stack(without_points).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    for head in (model.head.net_sdf, model.head.net_rgb, model.head.net_deformation, model.head.net_weight):
        assert float(head[-1].weight.grad.abs().max()) > 0
    assert float(model.encoder.patch_embedding.weight.grad.abs().max()) > 0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    module = nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="isn't finite"):
        train(module, lambda rng: {"bad": module.weight.sum() * float("nan")}, optimiser(3), tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-geometry", GeometryTrainingConfig), ("tiny-rendering", RenderingTrainingConfig)]
)
def test_shipped_configurations_load(name, kind):
    read_config(asset_folder("configs") / "train" / f"{name}.yaml", kind)


def test_an_unknown_key_names_the_nearest(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("model: {representation: mesh, grid_resolutoin: 3}\noptimiser: {learning_rate: 1, steps: 1}\n")
    with pytest.raises(ConfigError, match=r"grid_resolutoin.*did you mean 'grid_resolution'"):
        read_config(path, GeometryTrainingConfig)
