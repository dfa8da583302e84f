"""One training loop for every stage, on `accelerate`: one process, many GPUs, many machines.

Everything that is random follows from the run's seed and the number of the sample: which object it shows, its
augmentation, the noise in the losses. So a checkpoint needs no random states beyond that number, loader processes
may read ahead as they like, and a run killed at any moment goes on to the same losses, bit for bit.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from instantmesh.errors import ConfigError, InstantMeshError
from instantmesh.training.checkpoint import Progress, load_checkpoint, save_checkpoint, whole
from instantmesh.training.config import LoopConfig
from instantmesh.training.interruption import TrainingInterrupted, catching_interruption, ignore_interruption
from instantmesh.training.run_log import RunLog
from instantmesh.training.schedule import OptimiserConfig, learning_rate, optimisers
from instantmesh.training.stage import Batch, BatchSource, Stage


class TrainingError(InstantMeshError):
    """Training can't go on (a loss or a gradient isn't finite)."""


def train(
    stage: Stage,
    source: BatchSource,
    optimiser: OptimiserConfig,
    loop: LoopConfig,
    out: Path,
    *,
    minutes: float | None = None,
) -> dict[str, Tensor] | None:
    """Train `stage` in place, resuming from `out` where a run was begun.

    Args:
        stage: networks and losses.
        source: makes its batches.
        optimiser: its settings.
        loop: its settings. With another number of processes or another accumulation a run goes on with the same
            samples.
        out: folder of `checkpoint.pt`, `log.jsonl`, `tensorboard/`.
        minutes: stop early, with a checkpoint, after about this much time.

    Returns:
        The moving average of the stage's state, whole and on the CPU; None on processes other than the main one.

    Raises:
        ConfigError: the batch can't be shared out evenly, or a sharded run asks for Muon or has one process.
        TrainingInterrupted: Ctrl-C was pressed; a checkpoint of the last step is written.
        TrainingError: a loss or gradient isn't finite. The last checkpoint is kept, the batch is saved beside it.
        InputError: the checkpoint in `out` is of another model.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(stage, optimiser, loop, out)
    start = time.monotonic()
    deadline = start + 60 * minutes if minutes is not None else float("inf")
    saved, logged, window, interrupted = start, start, _Window(), False
    with catching_interruption() as interruption:
        for batches in _steps(source, optimiser, loop, run.progress, run.accelerator):
            window.add(run.step(batches))
            step, now = run.progress.step, time.monotonic()
            if step % loop.image_steps == 0:
                run.preview(batches[0])
            if step % loop.log_steps == 0 or step == optimiser.steps:
                run.log_numbers(window.mean(run.accelerator), (now - logged) / window.steps)
                logged, window = now, _Window()
            # The main process's clock and keyboard decide for all: they save and stop at the same step.
            interrupted, out_of_time, save_now = run.agreed(
                interruption.requested, now > deadline, now - saved > 60 * loop.checkpoint_minutes
            )
            if interrupted or out_of_time:
                break
            if save_now:
                run.save()
                saved = now
        run.save()
    average = run.finish()
    if interrupted:
        raise TrainingInterrupted(f"interrupted after step {run.progress.step}; the same command goes on from {out}")
    return average


class _Run:
    """A stage with all that moves while it is trained."""

    def __init__(self, stage: Stage, optimiser: OptimiserConfig, loop: LoopConfig, out: Path) -> None:
        self.stage, self.optimiser, self.loop, self.out = stage, optimiser, loop, out
        self.accelerator = _accelerator(loop)
        share = loop.batch_size / (self.accelerator.num_processes * loop.accumulation)
        if share != int(share):
            raise ConfigError(
                f"batch_size {loop.batch_size} doesn't divide into {self.accelerator.num_processes} processes times "
                f"{loop.accumulation} parts"
            )
        if loop.sharded:
            self.model: nn.Module = _sharded(stage.train(), optimiser, self.accelerator)
        else:
            self.model = self.accelerator.prepare(stage.train())
        self.steppers = optimisers(optimiser, self._inner)
        self.average = {name: x.detach().clone() for name, x in self._inner.state_dict().items()}
        self.progress = load_checkpoint(out, loop.seed, self.model, self.steppers, self.average)
        self._log = RunLog(out, self.progress.step) if self.accelerator.is_main_process else None
        if self._log is not None:
            self._log.beginning(self.progress.step, optimiser.steps, loop.log_steps)
        self._bar = tqdm(
            total=optimiser.steps, initial=self.progress.step, unit="step", disable=None if self._log else True
        )

    @property
    def _inner(self) -> Any:
        return self.accelerator.unwrap_model(self.model)

    def step(self, batches: list[tuple[int, Batch]]) -> dict[str, Tensor]:
        """One optimiser step on the parts of this process's share of a batch. Returns its mean losses."""
        for group in (group for stepper in self.steppers for group in stepper.param_groups):
            group["lr"] = learning_rate(self.optimiser, self.progress.step)
        self.model.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for index, (torch_seed, batch) in enumerate(batches):
            torch.manual_seed(torch_seed)
            with self._shared_at(is_last=index == len(batches) - 1):
                with self.accelerator.autocast():
                    losses = self.model(batch.to(self.accelerator.device))
                self.accelerator.backward(torch.stack(list(losses.values())).sum() / len(batches))
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / len(batches)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.optimiser.gradient_norm)
        assert norm is not None
        self._check(norm, sums, batches)
        for stepper in self.steppers:
            stepper.step()
        self.progress.step += 1
        self._bar.update()
        self.progress.samples += self.loop.batch_size
        self._update_average(min(self.loop.average_decay, self.progress.step / (self.progress.step + 10)))
        return sums

    def _shared_at(self, is_last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients after the last part of a step only."""
        if isinstance(self.model, FSDPModule):
            self.model.set_requires_gradient_sync(is_last)
            return nullcontext()
        return nullcontext() if is_last else self.accelerator.no_sync(self.model)

    def _check(self, norm: Tensor, losses: dict[str, Tensor], batches: list[tuple[int, Batch]]) -> None:
        """Stop where something isn't finite. All processes share the gradient's norm, so all of them stop."""
        if bool(torch.isfinite(whole(norm))):
            return
        path = self.out / f"bad-batch-{self.accelerator.process_index}.pt"
        torch.save({"step": self.progress.step, "batches": [(seed, asdict(batch)) for seed, batch in batches]}, path)
        values = ", ".join(f"{name} {float(loss):.4g}" for name, loss in losses.items())
        raise TrainingError(f"step {self.progress.step}: a gradient isn't finite ({values}); its batch is in {path}")

    def _update_average(self, decay: float) -> None:
        for name, tensor in self._inner.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor.detach().to(self.average[name].dtype), 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @torch.no_grad()
    def preview(self, batch: tuple[int, Batch]) -> None:
        """Show the first objects of a batch. All processes compute, as sharded weights need them; one writes."""
        sharded = [module for module in self.model.modules() if isinstance(module, FSDPModule)]
        for module in sharded:
            module.unshard()
        with self.accelerator.autocast():
            shown = self._inner.preview(batch[1].to(self.accelerator.device))
        images = {name: image.float().clone() for name, image in shown.items()}  # gathered weights are freed now
        for module in sharded:
            module.reshard()
        if self._log is not None:
            self._log.images(self.progress.step, images)

    def log_numbers(self, losses: dict[str, float], seconds_per_step: float) -> None:
        """Write an entry of the log."""
        if self._log is not None:
            step = self.progress.step
            self._log.numbers(step, learning_rate(self.optimiser, step - 1), seconds_per_step, losses)

    def agreed(self, *flags: bool) -> list[bool]:
        """The main process's flags, on all processes."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        mine = torch.tensor(flags, dtype=torch.float32, device=self.accelerator.device)
        share = mine if self.accelerator.is_main_process else torch.zeros_like(mine)
        total = self.accelerator.reduce(share, reduction="sum")
        assert isinstance(total, Tensor)
        return [bool(flag) for flag in total]

    def save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(
            self.out,
            self.progress,
            self.loop.seed,
            self.model,
            self.steppers,
            self.average,
            is_main=self.accelerator.is_main_process,
        )

    def finish(self) -> dict[str, Tensor] | None:
        """The moving average, on the main process."""
        average = {name: whole(tensor) for name, tensor in self.average.items()}
        self._bar.close()
        if self._log is not None:
            self._log.close()
        self.accelerator.wait_for_everyone()
        return average if self.accelerator.is_main_process else None


class _Window:
    """Sums of losses between two entries of the log."""

    def __init__(self) -> None:
        self.steps = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss

    def mean(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over steps and processes."""
        total = accelerator.reduce(torch.stack(list(self._sums.values())).double(), reduction="mean")
        assert isinstance(total, Tensor)
        return dict(zip(self._sums, (total / self.steps).tolist(), strict=True))


class _Parts(Dataset):
    """Part k of this process: the samples of step k // accumulation, and the torch seed that belongs to them."""

    def __init__(self, source: BatchSource, loop: LoopConfig, first_sample: int, processes: int, process: int) -> None:
        self._source, self._loop, self._first = source, loop, first_sample
        self._processes, self._process = processes, process

    def __getitem__(self, k: int) -> tuple[int, Batch]:
        step, part = divmod(k, self._loop.accumulation)
        share = self._loop.batch_size // (self._processes * self._loop.accumulation)
        first = self._first + step * self._loop.batch_size + (part * self._processes + self._process) * share
        seeds = np.random.SeedSequence([self._loop.seed, first])
        batch = self._source.batch(np.arange(first, first + share), np.random.default_rng(seeds))
        return int(seeds.generate_state(1, np.uint64)[0] >> 1), batch


def _steps(
    source: BatchSource, optimiser: OptimiserConfig, loop: LoopConfig, progress: Progress, accelerator: Accelerator
) -> Iterator[list[tuple[int, Batch]]]:
    """This process's parts of every step that is left."""
    parts = _Parts(source, loop, progress.samples, accelerator.num_processes, accelerator.process_index)
    left = max(optimiser.steps - progress.step, 0)
    loader = DataLoader(
        parts,
        batch_size=None,
        sampler=range(left * loop.accumulation),
        num_workers=loop.workers,
        worker_init_fn=ignore_interruption,
        collate_fn=_unchanged,  # pyright: ignore[reportArgumentType]
    )
    entries = iter(loader)
    for _ in range(left):
        yield [next(entries) for _ in range(loop.accumulation)]


def _unchanged(entry: tuple[int, Batch]) -> tuple[int, Batch]:
    return entry


def _sharded(stage: Stage, optimiser: OptimiserConfig, accelerator: Accelerator) -> Stage:
    """The stage with every block's weights spread over the processes, gathered only while the block computes.

    By torch itself: accelerate shards on GPUs only, and what can't be tested on a CPU isn't tested.
    """
    if optimiser.algorithm == "muon":
        raise ConfigError("sharded runs need algorithm: adamw; muon takes whole matrices")
    if accelerator.num_processes < 2:
        raise ConfigError("sharded runs need several processes: start them by accelerate launch or torchrun")
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    stage.to(accelerator.device)
    blocks = [block for blocks in stage.modules() if isinstance(blocks, nn.ModuleList) for block in blocks]
    for block in (block for block in blocks if any(p.requires_grad for p in block.parameters())):
        fully_shard(block, mesh=mesh)
    fully_shard(stage, mesh=mesh)
    return stage


def _accelerator(loop: LoopConfig) -> Accelerator:
    """`accelerate`'s view of the machine: processes, devices, precision."""
    return Accelerator(
        mixed_precision="bf16" if loop.precision == "bf16" else "no",
        # A surface that is still empty leaves some heads without gradients.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
