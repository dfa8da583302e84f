"""One training loop for every stage: steps, moving average, log, checkpoints that a killed run goes on from."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from instantmesh.errors import InstantMeshError
from instantmesh.files.atomic import replacing
from instantmesh.training.schedule import OptimiserConfig, learning_rate, optimisers

logger = logging.getLogger("instantmesh.training")

EMA_DECAY = 0.998


class TrainingError(InstantMeshError):
    """Training can't go on (a loss that isn't finite)."""


def train(
    module: nn.Module,
    losses: Callable[[np.random.Generator], dict[str, Tensor]],
    config: OptimiserConfig,
    out: str | Path,
    *,
    seed: int = 0,
    minutes: float | None = None,
    log_every: int = 25,
    checkpoint_minutes: float = 3.0,
) -> nn.Module:
    """Minimise the sum of `losses(rng)` over `module`'s parameters and leave their moving average in it.

    Args:
        module: everything that is trained, modified in place.
        losses: draws a batch from the generator and returns named, weighted losses. All of its randomness must
            come from this generator and torch's global one, whose states are kept with the checkpoints.
        config: schedule; the run ends after `config.steps`.
        out: folder of `checkpoint.pt` (atomic, resumed from where it exists) and `log.jsonl`.
        minutes: stop early, with a checkpoint, after this much time.

    Raises:
        TrainingError: a loss isn't finite; the last checkpoint is kept.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    steppers = optimisers(config, module)
    average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    step = _resume(out, module, steppers, average, rng)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    saved, window, window_start = time.monotonic(), [], time.monotonic()
    while step < config.steps and time.monotonic() < deadline:
        for group in (group for stepper in steppers for group in stepper.param_groups):
            group["lr"] = learning_rate(config, step)
        parts = losses(rng)
        total = torch.stack(list(parts.values())).sum()
        if not bool(torch.isfinite(total)):
            raise TrainingError(
                f"step {step}: a loss isn't finite: { {k: float(v.detach()) for k, v in parts.items()} }"
            )
        module.zero_grad(set_to_none=True)
        total.backward()
        clip_grad_norm_(module.parameters(), config.gradient_norm)
        for stepper in steppers:
            stepper.step()
        step += 1
        _update_average(average, module, min(EMA_DECAY, step / (step + 10)))
        window.append({name: float(loss.detach()) for name, loss in parts.items()})
        if step % log_every == 0:
            seconds = (time.monotonic() - window_start) / len(window)
            _log(out, step, learning_rate(config, step - 1), window, seconds)
            window, window_start = [], time.monotonic()
        if time.monotonic() - saved > 60 * checkpoint_minutes:
            _save(out, step, module, steppers, average, rng)
            saved = time.monotonic()
    _save(out, step, module, steppers, average, rng)
    module.load_state_dict(average)
    return module


def _update_average(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor.detach(), 1 - decay)
        else:
            average[name].copy_(tensor)


def _log(out: Path, step: int, rate: float, window: list[dict[str, float]], seconds: float) -> None:
    names = dict.fromkeys(name for entry in window for name in entry)
    means = {name: round(float(np.mean([entry[name] for entry in window if name in entry])), 5) for name in names}
    record = {"step": step, "lr": round(rate, 7), "seconds_per_step": round(seconds, 3), **means}
    with open(out / "log.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    logger.info("%s", record)


def _save(
    out: Path,
    step: int,
    module: nn.Module,
    steppers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    rng: np.random.Generator,
) -> None:
    state = {
        "step": step,
        "module": module.state_dict(),
        "optimisers": [stepper.state_dict() for stepper in steppers],
        "average": average,
        "numpy_rng": json.dumps(rng.bit_generator.state),
        "torch_rng": torch.get_rng_state(),
    }
    with replacing(out / "checkpoint.pt") as temporary:
        torch.save(state, temporary)


def _resume(
    out: Path,
    module: nn.Module,
    steppers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    rng: np.random.Generator,
) -> int:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    module.load_state_dict(state["module"])
    for stepper, saved in zip(steppers, state["optimisers"], strict=True):
        stepper.load_state_dict(saved)
    for name, tensor in state["average"].items():
        average[name].copy_(tensor)
    rng.bit_generator.state = json.loads(state["numpy_rng"])
    torch.set_rng_state(state["torch_rng"])
    return state["step"]
