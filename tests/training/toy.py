"""A stage small enough to be trained, killed and trained on in a test; run as a script, one process of such a run."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from instantmesh.training.config import LoopConfig
from instantmesh.training.loop import train
from instantmesh.training.schedule import OptimiserConfig
from instantmesh.training.stage import Batch, Stage, object_numbers

OBJECTS = 20


@dataclass(frozen=True, eq=False)
class ToyBatch(Batch):
    x: Float[Tensor, "b 20"]
    y: Float[Tensor, "b 3"]


class ToySource:
    """Noisy samples of a linear map, of 20 objects; slow if asked, so that a run can be killed inside a step."""

    def __init__(self, seconds: float = 0.0, bad_sample: int = -1) -> None:
        self.seconds, self.bad_sample, self.seen = seconds, bad_sample, []
        self._map = np.random.default_rng(0).standard_normal((OBJECTS, 3)).astype(np.float32)

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> ToyBatch:
        time.sleep(self.seconds)
        self.seen.append(samples)
        x = np.eye(OBJECTS, dtype=np.float32)[object_numbers(samples, OBJECTS, seed=0)]
        y = x @ self._map + 0.1 * rng.standard_normal((len(samples), 3), np.float32)
        y[samples == self.bad_sample] = np.nan
        return ToyBatch(torch.from_numpy(x), torch.from_numpy(y))


class ToyStage(Stage[ToyBatch]):
    """Two layers with dropout, which draws from torch's generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        blocks = [nn.Sequential(nn.Linear(OBJECTS, 32), nn.ReLU(), nn.Dropout(0.2)), nn.Linear(32, 3)]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
        error = self.blocks[1](self.blocks[0](batch.x)) - batch.y
        return {"square": error.square().mean(), "absolute": 0.1 * error.abs().mean()}

    def preview(self, batch: ToyBatch) -> dict[str, Tensor]:
        return {"weights": self.blocks[1].weight[None].expand(3, -1, -1)}

    def export(self, folder: Path) -> None:
        torch.save(self.state_dict(), folder / "toy.pt")


def optimiser(steps: int, algorithm: str = "adamw") -> OptimiserConfig:
    return OptimiserConfig(learning_rate=0.02, steps=steps, warmup_steps=3, algorithm=algorithm)


def loop(**changes: object) -> LoopConfig:
    return LoopConfig(**{"batch_size": 4, "log_steps": 1, "image_steps": 10, "checkpoint_minutes": 1e-6, **changes})


if __name__ == "__main__":
    out, steps, algorithm, sharded = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "sharded"
    train(ToyStage(), ToySource(seconds=0.02), optimiser(steps, algorithm), loop(sharded=sharded), out)
