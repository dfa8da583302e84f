"""A training run: a configuration in, a trained model in a folder out."""

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch
import yaml

from instantmesh.files.atomic import write_bytes
from instantmesh.training.loop import train
from instantmesh.training.stages import read_config, stage_kind

logger = logging.getLogger("instantmesh.training")


def run(
    config_path: str | PathLike[str],
    out: str | PathLike[str],
    overrides: Sequence[str] = (),
    minutes: float | None = None,
) -> Path:
    """Train the stage of a YAML file, or go on training it, and export it into `out`.

    Every process of a run started by `accelerate launch` or `torchrun` calls this.

    Args:
        config_path: of the YAML file. overrides: `key=value`s that change it.
        out: folder of checkpoint, log, TensorBoard files, `config.yaml` as it was used, and the trained model.
        minutes: stop early after about this much time; the same call goes on later.

    Raises:
        ConfigError: the configuration is wrong. TrainingError: a loss isn't finite. InputError, MissingFileError: data
        or weights are missing, or `out` holds a run of another model.
    """
    config = read_config(config_path, overrides)
    kind = stage_kind(config.stage)
    torch.manual_seed(config.loop.seed)  # the first weights, the same on every process
    stage, source = kind.build(config)
    out = Path(out)
    logger.setLevel(logging.INFO)
    state = train(stage, source, config.optimiser, config.loop, out, minutes=minutes)
    if state is not None:
        if config.loop.sharded:  # this process has a part of the weights only
            stage, _ = kind.build(config)
        stage.cpu().load_state_dict(state)
        stage.export(out)
        write_bytes(out / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())
        logger.info("the trained model is in %s", out)
    return out
