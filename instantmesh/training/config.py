"""What every stage's configuration has, and how a training run's YAML file is read."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from instantmesh import hub
from instantmesh.config import StrictModel, read_config, read_mapping, yaml_value
from instantmesh.errors import ConfigError
from instantmesh.systems.instantmesh import InstantMeshConfig
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
        image_steps: between images in the log.
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
    image_steps: PositiveInt = 500
    checkpoint_minutes: PositiveFloat = 3.0


class StageConfig(StrictModel):
    """Base of every stage's configuration; `stage` says which one (`training.stages`)."""

    stage: str
    optimiser: OptimiserConfig
    loop: LoopConfig


def read_stage_mapping(path: str | PathLike[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Keys and values of a run's YAML file, or of a shipped one by its name, changed by `key=value`s.

    Dots in keys go into the mappings.

    A `model` that is a name or a model folder becomes that model's configuration, so that overrides can change it.

    Raises:
        ConfigError: the file can't be read, has no `stage`, or an override isn't `key=value`.
        UnknownModelError: no model goes by the name.
    """
    values = read_mapping(find_config(path))
    _resolve_model(values)
    for override in overrides:
        _override(values, override)
        _resolve_model(values)
    if not isinstance(values.get("stage"), str):
        raise ConfigError(f"{path} must name its stage")
    return values


def find_config(name: str | PathLike[str]) -> Path:
    """The YAML file of a path, or of the name of a configuration that comes with the package.

    Raises:
        ConfigError: there is neither; the message lists the names.
    """
    shipped = {path.stem: path for path in sorted((hub.asset_folder("configs") / "train").glob("*.yaml"))}
    if Path(name).is_file():
        return Path(name)
    if str(name) not in shipped:
        raise ConfigError(f"there is no configuration {str(name)!r}: give a YAML file, or one of {', '.join(shipped)}")
    return shipped[str(name)]


def model_config(name: str) -> InstantMeshConfig:
    """The architecture of a model by its name, or of a model folder or finished run. Nothing is downloaded.

    Raises:
        UnknownModelError: there is none.
    """
    folders = (Path(name).expanduser(), hub.asset_folder("weights") / name)
    paths = [folder / "reconstruction" / "config.yaml" for folder in folders]
    found = next((path for path in paths if path.is_file()), None)
    return read_config(
        found or hub.asset_folder("configs") / "model" / f"{hub.resolve(name).name}.yaml", InstantMeshConfig
    )


def _resolve_model(values: dict[str, Any]) -> None:
    if isinstance(values.get("model"), str):
        values["model"] = model_config(values["model"]).model_dump()


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"{override!r} isn't of the form key=value or part.key=value")
    try:
        value = yaml_value(text)
    except ValueError as error:
        raise ConfigError(f"{override!r}: the value isn't YAML ({error})") from error
    *parents, key = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{override!r}: {parent} isn't a mapping")
    values[key] = value
