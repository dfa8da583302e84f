"""The loop: what it learns doesn't depend on interruptions, processes or parts; it stops where numbers do."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from instantmesh.errors import ConfigError, InputError
from instantmesh.training.loop import TrainingError, train
from instantmesh.training.stage import object_numbers
from tests.training.toy import OBJECTS, ToySource, ToyStage, loop, optimiser

TOY = Path(__file__).with_name("toy.py")


def losses(folder: Path) -> list[tuple[int, float, float]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(entry["step"], entry["square"], entry["absolute"]) for entry in entries]


def test_losses_fall_and_the_average_comes_back(tmp_path):
    stage = ToyStage()
    before = {name: x.clone() for name, x in stage.state_dict().items()}
    average = train(stage, ToySource(), optimiser(60), loop(), tmp_path)
    entries = losses(tmp_path)
    assert [step for step, _, _ in entries] == list(range(1, 61))
    assert np.mean([s for _, s, _ in entries[-10:]]) < 0.3 * np.mean([s for _, s, _ in entries[:10]])
    assert average is not None
    for name, tensor in average.items():
        assert not torch.equal(tensor, stage.state_dict()[name])  # the average lags behind
        assert not torch.equal(tensor, before[name])


@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
def test_a_run_in_pieces_equals_an_unbroken_one(tmp_path, algorithm):
    whole = train(ToyStage(), ToySource(), optimiser(12, algorithm), loop(), tmp_path / "whole")
    for steps in (5, 9, 12):  # constant learning rate: a run that stops here and is prolonged
        pieces = train(ToyStage(), ToySource(), optimiser(steps, algorithm), loop(), tmp_path / "pieces")
    assert losses(tmp_path / "pieces") == losses(tmp_path / "whole")
    assert all(torch.equal(pieces[name], whole[name]) for name in whole)


def test_loader_processes_change_nothing(tmp_path):
    train(ToyStage(), ToySource(), optimiser(6), loop(), tmp_path / "none")
    train(ToyStage(), ToySource(), optimiser(6), loop(workers=1), tmp_path / "one")
    assert losses(tmp_path / "none") == losses(tmp_path / "one")


def test_parts_of_a_step_use_the_same_samples(tmp_path):
    once, parts = ToySource(), ToySource()
    train(ToyStage(), once, optimiser(10), loop(), tmp_path / "once")
    train(ToyStage(), parts, optimiser(10), loop(accumulation=2), tmp_path / "parts")
    assert np.array_equal(np.concatenate(once.seen), np.concatenate(parts.seen))
    assert np.array_equal(np.concatenate(once.seen), np.arange(40))


def test_every_epoch_shows_every_object_once():
    numbers = object_numbers(np.arange(3 * OBJECTS), OBJECTS, seed=5).reshape(3, OBJECTS)
    assert all(sorted(epoch) == list(range(OBJECTS)) for epoch in numbers)
    assert not np.array_equal(numbers[0], numbers[1])


def test_a_number_that_is_none_stops_the_run_and_keeps_the_batch(tmp_path):
    stage = ToyStage()
    with pytest.raises(TrainingError, match=r"step 3: a gradient isn't finite .*bad-batch-0.pt"):
        train(stage, ToySource(bad_sample=14), optimiser(10), loop(), tmp_path)
    saved = torch.load(tmp_path / "bad-batch-0.pt", weights_only=True)
    assert saved["step"] == 3
    assert bool(saved["batches"][0][1]["y"][2].isnan().all())
    assert all(bool(x.isfinite().all()) for x in stage.state_dict().values())
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3


def test_a_run_stops_in_time_and_goes_on(tmp_path):
    train(ToyStage(), ToySource(seconds=0.05), optimiser(1000), loop(), tmp_path, minutes=0.005)
    stopped = losses(tmp_path)[-1][0]
    assert 1 <= stopped < 20
    train(ToyStage(), ToySource(), optimiser(stopped + 3), loop(), tmp_path)
    assert losses(tmp_path)[-1][0] == stopped + 3


def test_settings_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="batch_size 4 doesn't divide into 1 processes times 3 parts"):
        train(ToyStage(), ToySource(), optimiser(1), loop(accumulation=3), tmp_path)
    with pytest.raises(ConfigError, match="several processes"):
        train(ToyStage(), ToySource(), optimiser(1), loop(sharded=True), tmp_path)
    with pytest.raises(ConfigError, match="adamw"):
        train(ToyStage(), ToySource(), optimiser(1, "muon"), loop(sharded=True), tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    train(ToyStage(), ToySource(), optimiser(2), loop(), tmp_path)
    with pytest.raises(InputError, match="with seed 0, not 1"):
        train(ToyStage(), ToySource(), optimiser(3), loop(seed=1), tmp_path)
    other = ToyStage()
    other.blocks[1] = torch.nn.Linear(32, 4)
    with pytest.raises(InputError, match="of another model or other optimisers"):
        train(other, ToySource(), optimiser(3), loop(), tmp_path)


def test_half_a_line_of_a_killed_run_is_taken_back(tmp_path):
    train(ToyStage(), ToySource(), optimiser(3), loop(), tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "square": 1.0, "absolute": 1.0}\n{"step": 5, "squ')
    train(ToyStage(), ToySource(), optimiser(5), loop(), tmp_path)
    assert [step for step, _, _ in losses(tmp_path)] == [1, 2, 3, 4, 5]


def launch(out: Path, steps: int, algorithm: str, sharding: str) -> subprocess.Popen:
    """Two processes that talk over gloo, in a process group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    command += [
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
        str(TOY),
        str(out),
        str(steps),
        algorithm,
        sharding,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_processes_killed_at_random_end_with_the_same_losses_bit_for_bit(tmp_path):
    steps = 60
    unbroken = launch(tmp_path / "unbroken", steps, "muon", "whole")
    rng = random.Random()
    killed_at = []
    log = tmp_path / "broken" / "log.jsonl"
    for target in (rng.randrange(2, 25), rng.randrange(25, 50)):
        process = launch(tmp_path / "broken", steps, "muon", "whole")
        deadline = time.monotonic() + 150
        while not (log.exists() and log.read_text().count("\n") >= target):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))  # anywhere in a step, or in writing a checkpoint
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed_at.append(log.read_text().count("\n"))
    finish(launch(tmp_path / "broken", steps, "muon", "whole"))
    finish(unbroken)
    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken"), f"killed at {killed_at}"
    ends = [torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("broken", "unbroken")]
    assert all(torch.equal(ends[0]["average"][name], tensor) for name, tensor in ends[1]["average"].items())
    assert not list((tmp_path / "broken").glob("bad-batch*"))


@pytest.mark.slow
def test_sharded_weights_learn_the_same(tmp_path):
    runs = [launch(tmp_path / sharding, 12, "adamw", sharding) for sharding in ("whole", "sharded")]
    for run in runs:
        finish(run)
    np.testing.assert_allclose(losses(tmp_path / "sharded"), losses(tmp_path / "whole"), rtol=1e-4)
    whole, sharded = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["average"] for name in ("whole", "sharded")
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(sharded[name], tensor, rtol=1e-3, atol=1e-5)
