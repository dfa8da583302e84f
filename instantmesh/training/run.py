"""A training run: a configuration in, a trained model in a folder out."""

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import yaml

from instantmesh.config import read_mapping
from instantmesh.files.atomic import write_bytes
from instantmesh.training.loop import train
from instantmesh.training.stages import read_config, stage_kind

logger = logging.getLogger("instantmesh.training")

CONFIG_NAME = "config.yaml"


def run(
    config_name: str | PathLike[str],
    out: str | PathLike[str],
    overrides: Sequence[str] = (),
    minutes: float | None = None,
) -> Path:
    """Train the stage of a YAML file, or go on training it, and export it into `out`.

    Every process of a run started by `accelerate launch` or `torchrun` calls this.

    Args:
        config_name: of a YAML file, or of one that comes with the package.
        overrides: `key=value`s that change it.
        out: folder of checkpoint, log, TensorBoard files, `config.yaml` as it was used, and the trained model.
        minutes: stop early after about this much time; the same call goes on later.

    Raises:
        ConfigError: the configuration is wrong.
        TrainingError: a loss isn't finite.
        InputError, MissingFileError: data
        or weights are missing, or `out` holds a run of another model.
    """
    config = read_config(config_name, overrides)
    kind = stage_kind(config.stage)
    torch.manual_seed(config.loop.seed)  # the first weights, the same on every process
    stage, source = kind.build(config)
    out = Path(out)
    logger.setLevel(logging.INFO)
    settings = config.model_dump(mode="json")
    for change in _changes(out / CONFIG_NAME, settings):
        logger.warning("changed since the run began: %s", change)
    state = train(stage, source, config.optimiser, config.loop, out, minutes=minutes)
    if state is not None:
        if config.loop.sharded:  # this process has a part of the weights only
            stage, _ = kind.build(config)
        stage.cpu().load_state_dict(state)
        stage.export(out)
        write_bytes(out / CONFIG_NAME, yaml.safe_dump(settings, sort_keys=False).encode())
        logger.info("the trained model is in %s", out)
    return out


def _changes(path: Path, settings: dict[str, Any]) -> list[str]:
    """What differs from the settings of the run that was begun, as `part.key: old -> new`."""
    if not path.is_file():
        return []
    old, new = _flat(read_mapping(path)), _flat(settings)
    keys = dict.fromkeys([*old, *new])
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
