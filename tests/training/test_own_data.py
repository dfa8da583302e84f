"""docs/training.md's four commands, from one's own models to a fine-tuned one, in miniature."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

from instantmesh import Pipeline, cli
from instantmesh.hub import asset_folder
from instantmesh.training.stages import read_config, stage_kind


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five coloured meshes as a user might have them."""
    folder = tmp_path_factory.mktemp("models")
    shapes = {
        "box.glb": trimesh.creation.box((1, 0.6, 0.8)),
        "ball.ply": trimesh.creation.icosphere(3),
        "ring.glb": trimesh.creation.torus(1, 0.3),
        "can.obj": trimesh.creation.cylinder(0.5, 1.2),
        "cone.stl": trimesh.creation.cone(0.6, 1.2),
    }
    rng = np.random.default_rng(0)
    for name, mesh in shapes.items():
        color = [*rng.integers(30, 230, 3).tolist(), 255]
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=np.tile(np.uint8(color), (len(mesh.vertices), 1)))
        mesh.export(folder / name)
    return folder


def command(*arguments: object) -> None:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)


@torch.no_grad()
def loss_of(start: str, config: Path, overrides: list[str]) -> float:
    """What a model makes of the five objects, from views drawn by chance."""
    read = read_config(config, [*overrides, f"start={start}"])
    stage, source = stage_kind(read.stage).build(read)
    return float(sum(stage(source.batch(np.arange(5), np.random.default_rng(7))).values()))


def test_from_models_to_a_fine_tuned_model(models: Path, tmp_path: Path):
    command("data", "render", models, tmp_path / "views", "--size-px", 48, "--views", 12, "--workers", 1)
    command("data", "check", tmp_path / "views", "--sheet", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    config = asset_folder("configs") / "train" / "fine-tune-tiny.yaml"
    settings = ["optimiser.steps=6", "optimiser.warmup_steps=1", "loop.log_steps=1", "loop.batch_size=2"]
    small = ["model.grid_resolution=32", "views.targets=2", f"data.folder={tmp_path / 'views'}"]
    command("train", config, *settings, *small, "-o", tmp_path / "mine")
    assert (tmp_path / "mine" / "log.jsonl").read_text().count("\n") == 6
    assert loss_of("tiny", config, small) > 1.05 * loss_of(str(tmp_path / "mine"), config, small)

    command("reconstruct", tmp_path / "views" / "box", "-o", tmp_path / "out", "--model", tmp_path / "mine")
    mesh = trimesh.load_mesh(tmp_path / "out" / "box.glb")
    assert len(mesh.faces) > 100
    assert Pipeline.from_pretrained(str(tmp_path / "mine"), device="cpu").multiview is None  # a photo is enough for it
    before = Pipeline.from_pretrained("tiny", device="cpu", multiview=False)
    after = Pipeline.from_pretrained(str(tmp_path / "mine"), device="cpu", multiview=False)
    state = before.reconstructor.model.state_dict()
    changed = [not torch.equal(x, state[name]) for name, x in after.reconstructor.model.state_dict().items()]
    assert sum(changed) > 0.5 * len(changed)
