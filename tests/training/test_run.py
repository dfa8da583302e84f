"""Configurations of runs, and the command that trains one."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from instantmesh import cli
from instantmesh.config import read_config as read_config_file
from instantmesh.errors import ConfigError, InputError, MissingFileError, UnknownModelError
from instantmesh.hub import asset_folder
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.training.data import DataConfig, open_data
from instantmesh.training.embedded.dataset import write_dataset
from instantmesh.training.run import run
from instantmesh.training.schedule import OptimiserConfig, learning_rate
from instantmesh.training.stages import STAGE_MODULES, read_config, stage_kind

SHIPPED = sorted((asset_folder("configs") / "train").glob("*.yaml"))


def optimiser(**values: object) -> OptimiserConfig:
    return OptimiserConfig(**{"learning_rate": 1.0, "steps": 100, "warmup_steps": 10, **values})


def test_linear_rate_warms_up_holds_and_decays():
    rates = [learning_rate(optimiser(decay_steps=20), step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert rates[90] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.1


def test_cosine_rate_falls_to_its_end_and_starts_again():
    once = optimiser(schedule="cosine", final_learning_rate=0.1, warmup_steps=0)
    assert learning_rate(once, 0) == 1.0
    assert learning_rate(once, 50) == pytest.approx(0.55)
    assert learning_rate(once, 99) == pytest.approx(0.55 + 0.45 * math.cos(math.pi * 0.99))
    again = optimiser(schedule="cosine", final_learning_rate=0.25, warmup_steps=0, restart_steps=40)
    assert learning_rate(again, 39) == pytest.approx(0.25, abs=2e-3)
    assert learning_rate(again, 40) == 1.0
    assert learning_rate(again, 60) == pytest.approx(0.625)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read(path: Path):
    assert read_config(path).stage in STAGE_MODULES


def test_every_stage_has_a_kind():
    for name in STAGE_MODULES:
        assert stage_kind(name).config.model_fields["optimiser"]


def test_overrides_go_into_the_configuration():
    path = asset_folder("configs") / "train" / "tiny-geometry.yaml"
    config = read_config(
        path, ["optimiser.steps=7", "loop.batch_size=2", "data.folder=elsewhere", "model.encoder.layers=1"]
    )
    assert (config.optimiser.steps, config.loop.batch_size, config.data.folder) == (7, 2, "elsewhere")
    assert config.model.encoder.layers == 1
    assert config.model.encoder.hidden_size == 128


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.step=7", "unknown key 'optimiser.step'; did you mean 'steps'"),
        ("steps", "isn't of the form key=value"),
        ("optimiser.steps.few=1", "steps isn't a mapping"),
        ("optimiser.steps=[", "isn't YAML"),
        ("optimiser.steps=-1", "greater than 0"),
        ("stage=geometri", "unknown stage 'geometri'; there are diffusion"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(override: str, message: str):
    with pytest.raises(ConfigError, match=message.replace("(", r"\\(")):
        read_config(asset_folder("configs") / "train" / "tiny-geometry.yaml", [override])


def test_models_are_named_or_described():
    named = read_config("fine-tune-tiny").model
    assert named == read_config_file(asset_folder("weights") / "tiny" / "reconstruction" / "config.yaml", type(named))
    assert read_config("instant-mesh-large").model.triplane.channels == 80
    assert read_config("instant-nerf-base").model.representation == "nerf"
    changed = read_config("fine-tune-tiny", ["model=instant-mesh-base", "model.grid_resolution=64"]).model
    assert (changed.grid_resolution, changed.triplane.channels) == (64, 40)
    with pytest.raises(UnknownModelError, match="did you mean tiny"):
        read_config("fine-tune-tiny", ["model=tinny"])


def test_data_is_a_folder_or_procedural():
    with pytest.raises(ConfigError, match="data needs a folder, or procedural"):
        open_data(DataConfig(), "random")
    with pytest.raises(ConfigError, match=r"set data\.folder=null"):
        open_data(DataConfig(folder="x", procedural="zero"), "random")


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory, small_model) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_dataset(folder / "data", 4, size_px=32, workers=1)
    values = {
        "stage": "geometry",
        "model": small_model.model_dump(),
        "data": {"folder": str(folder / "data")},
        "optimiser": {"learning_rate": 1e-3, "steps": 3, "algorithm": "muon"},
        "loop": {"batch_size": 2, "log_steps": 1, "image_steps": 2},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(values))
    return folder


def test_the_command_trains_goes_on_and_leaves_a_model(
    small_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    command = ["train", str(small_run / "small.yaml"), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    caplog.clear()
    result = CliRunner().invoke(cli.app, [*command, "optimiser.steps=5"])
    assert result.exit_code == 0, result.output
    assert "changed since the run began: optimiser.steps: 3 -> 5" in caplog.text
    assert "step 3 of 5" in caplog.text
    assert (tmp_path / "run" / "log.jsonl").read_text().count("\n") == 5
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["optimiser"]["steps"] == 5
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert Pipeline.from_pretrained(str(tmp_path / "run"), device="cpu", multiview=False) is not None


def test_ctrl_c_saves_a_checkpoint_and_the_command_goes_on(small_run: Path, tmp_path: Path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "instantmesh", "train", str(small_run / "small.yaml"), "-o", str(out)]
    endless = [*command, "optimiser.steps=100000", "loop.workers=1", "loop.checkpoint_minutes=1000"]
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while process.poll() is None and not (out / "log.jsonl").is_file():
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: loader processes get it, too
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    last = errors.strip().splitlines()[-1]
    assert re.fullmatch(rf"interrupted after step \d+; the same command goes on from {out}", last)
    assert "Traceback" not in errors
    step = int(re.findall(r"\d+", last)[0])
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == step > 0
    run(small_run / "small.yaml", out, [f"optimiser.steps={step + 1}"])
    assert (out / "reconstruction" / "model.safetensors").is_file()


def test_missing_things_are_named(small_run: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no data set"):
        run(small_run / "small.yaml", tmp_path / "run", ["data.folder=nowhere"])
    with pytest.raises(MissingFileError, match="no checkpoint to start from: nowhere"):
        run(small_run / "small.yaml", tmp_path / "run", ["start=nowhere"])
    with pytest.raises(ConfigError, match=r"no configuration .*none.yaml.*, or one of fine-tune-tiny, instant-mesh"):
        run(tmp_path / "none.yaml", tmp_path / "run")
