"""What every stage's configuration has, and how a training run's YAML file is read."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, TypeVar

import yaml
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from instantmesh.config import StrictModel, parse_config, read_mapping
from instantmesh.errors import ConfigError
from instantmesh.training.schedule import OptimiserConfig


class LoopConfig(StrictModel):
    """How a stage is trained, whatever it is.

    Attributes:
        batch_size: objects of one optimiser step, over all processes.
        accumulation: parts in which each process computes its share of them, one after another.
        seed: of all that is random.
        precision: of matrix products; weights, their optimiser and sensitive losses stay float32.
        sharded: spread weights, gradients and optimiser over the processes (FSDP) instead of copying them.
        average_decay: of the weights' moving average, which is what is exported.
        workers: loader processes beside each training process; 0 loads in the process itself.
        log_steps: between entries in the log.
        picture_steps: between pictures in the log.
        checkpoint_minutes: between checkpoints.
    """

    batch_size: PositiveInt
    accumulation: PositiveInt = 1
    seed: NonNegativeInt = 0
    precision: Literal["float32", "bf16"] = "float32"
    sharded: bool = False
    average_decay: PositiveFloat = 0.998
    workers: NonNegativeInt = 0
    log_steps: PositiveInt = 25
    picture_steps: PositiveInt = 500
    checkpoint_minutes: PositiveFloat = 3.0


class StageConfig(StrictModel):
    """Base of every stage's configuration; `stage` says which one (`training.stages`)."""

    stage: str
    optimiser: OptimiserConfig
    loop: LoopConfig


Config = TypeVar("Config", bound=StageConfig)


def read_stage_mapping(path: str | PathLike[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Keys and values of a run's YAML file, changed by `key=value`s; dots in keys go into the mappings.

    Raises:
        ConfigError: the file can't be read, has no `stage`, or an override isn't `key=value`.
    """
    values = read_mapping(path)
    for override in overrides:
        _override(values, override)
    if not isinstance(values.get("stage"), str):
        raise ConfigError(f"{path} must name its stage")
    return values


def read_stage_config(path: str | PathLike[str], kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a run's YAML file as `kind`; errors as in `read_stage_mapping` and `parse_config`."""
    return parse_config(read_stage_mapping(path, overrides), kind, source=str(path))


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"{override!r} isn't of the form key=value or part.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value isn't YAML ({error})") from error
    *parents, key = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{override!r}: {parent} isn't a mapping")
    values[key] = value
