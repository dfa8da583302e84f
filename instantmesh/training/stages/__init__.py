"""The stages by name: which configuration each has, and how a stage and its batches are built from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from typing import Any

from instantmesh.config import parse_config
from instantmesh.errors import ConfigError
from instantmesh.training.config import StageConfig, read_stage_mapping
from instantmesh.training.stage import BatchSource, Stage


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    Attributes:
        config: class of its configuration.
        build: makes the stage and the source of its batches.
    """

    config: type[StageConfig]
    build: Callable[[Any], tuple[Stage, BatchSource]]


STAGE_NAMES = ("diffusion", "vae", "multiview", "geometry", "rendering", "nerf", "mesh")


def stage_kind(name: str) -> StageKind:
    """The stage of this name; its module is imported only now.

    Raises:
        ConfigError: there is none.
    """
    if name not in STAGE_NAMES:
        raise ConfigError(f"unknown stage {name!r}; there are {', '.join(STAGE_NAMES)}")
    return import_module(f"instantmesh.training.stages.{name}").KIND


def read_config(path: str | PathLike[str], overrides: Sequence[str] = ()) -> StageConfig:
    """Read a run's YAML file, with `key=value` overrides, as its stage's configuration.

    Raises:
        ConfigError: unreadable, an unknown stage or key, or a value out of range.
    """
    values = read_stage_mapping(path, overrides)
    source = " with ".join([str(path), *([", ".join(overrides)] if overrides else [])])
    return parse_config(values, stage_kind(values["stage"]).config, source=source)
