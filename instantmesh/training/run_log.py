"""The run's log: `log.jsonl`, TensorBoard files beside it, and a line on the screen."""

import json
import logging
from pathlib import Path

from torch import Tensor

from instantmesh import backends
from instantmesh.files.atomic import write_bytes

logger = logging.getLogger("instantmesh.training")


class RunLog:
    """Writes what happened. A run that goes on from step k takes back entries of later steps, which it repeats.

    Raises:
        MissingBackendError: TensorBoard isn't installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / "log.jsonl"
        if self._path.exists():
            lines = self._path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if _is_entry(line) and json.loads(line)["step"] <= step]
            write_bytes(self._path, "".join(kept).encode())
        tensorboard = backends.load("torch.utils.tensorboard")
        self._board = tensorboard.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def beginning(self, step: int, steps: int, log_steps: int) -> None:
        """Say where the run starts; nothing is written."""
        if step >= steps:
            logger.info("the run has its %d steps already", step)
        else:
            logger.info("step %d of %d; losses every %d steps", step, steps, log_steps)

    def numbers(self, step: int, rate: float, seconds_per_step: float, losses: dict[str, float]) -> None:
        """Mean losses since the last entry. The file has all digits, so that runs can be compared."""
        record = {"step": step, "learning_rate": rate, "seconds_per_step": round(seconds_per_step, 4), **losses}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in losses.items():
            self._board.add_scalar(f"loss/{name}", value, step)
        self._board.add_scalar("learning_rate", rate, step)
        self._board.add_scalar("seconds_per_step", seconds_per_step, step)
        logger.info(
            "step %d, %.2f s a step: %s",
            step,
            seconds_per_step,
            ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
        )

    def images(self, step: int, images: dict[str, Tensor]) -> None:
        """Images (3, h, w) in [0, 1]."""
        for name, image in images.items():
            self._board.add_image(name, image.detach().float().cpu().clamp(0, 1), step)

    def close(self) -> None:
        """Write out what is buffered."""
        self._board.close()


def _is_entry(line: str) -> bool:
    """Whether the line is whole: a killed run may have left half of one."""
    try:
        return "step" in json.loads(line)
    except json.JSONDecodeError:
        return False
