"""The stages by name."""

from collections.abc import Sequence
from importlib import import_module
from os import PathLike

from instantmesh.config import parse_config
from instantmesh.errors import ConfigError
from instantmesh.training.config import StageConfig, read_stage_mapping
from instantmesh.training.stage import StageKind

STAGE_MODULES = {
    "diffusion": "instantmesh.training.stages.diffusion",
    "nerf": "instantmesh.training.stages.nerf",
    "mesh": "instantmesh.training.stages.mesh",
    "geometry": "instantmesh.training.embedded.geometry",
    "rendering": "instantmesh.training.embedded.rendering",
    "vae": "instantmesh.training.embedded.vae",
    "multiview": "instantmesh.training.embedded.multiview",
}


def stage_kind(name: str) -> StageKind:
    """The stage of this name; its module is imported only now.

    Raises:
        ConfigError: there is none.
    """
    if name not in STAGE_MODULES:
        raise ConfigError(f"unknown stage {name!r}; there are {', '.join(STAGE_MODULES)}")
    return import_module(STAGE_MODULES[name]).KIND


def read_config(path: str | PathLike[str], overrides: Sequence[str] = ()) -> StageConfig:
    """Read a run's YAML file, with `key=value` overrides, as its stage's configuration.

    Raises:
        ConfigError: unreadable, an unknown stage or key, or a value out of range.
    """
    values = read_stage_mapping(path, overrides)
    source = " with ".join([str(path), *([", ".join(overrides)] if overrides else [])])
    return parse_config(values, stage_kind(values["stage"]).config, source=source)
