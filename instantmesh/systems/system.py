"""What a reconstruction system is to the rest of the package, and the table of those that are known.

A system is one file: a configuration, a model, how its checkpoints are found, and an entry here. Other packages add
theirs with `register_system`, or with an entry point of the group `instantmesh.systems` that names a `System`:

    [project.entry-points."instantmesh.systems"]
    mine = "my_package.system:SYSTEM"
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from instantmesh.config import ReconstructionConfig
from instantmesh.errors import ConfigError
from instantmesh.lrm.heads import RadianceField, SurfaceField
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.render.turntable import RayRenderer
from instantmesh.render.volume import render_rays
from instantmesh.structures import Mesh
from instantmesh.surface.extraction import SignedDistanceField, extract_flexicubes
from instantmesh.surface.marching_cubes import DensityField, extract_isosurface

ENTRY_POINTS = "instantmesh.systems"

Field = SurfaceField | RadianceField
Shape = SignedDistanceField | DensityField
"""What a surface is extracted from: a field, or one whose shape was changed since."""


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint in a folder.

    Attributes:
        path: the file.
        config: of its model; None where the tensors themselves tell the variant (`hub.identify`).
    """

    path: Path
    config: ReconstructionConfig | None


def extract_mesh(field: Shape, config: ReconstructionConfig, resolution: int, device: torch.device) -> Mesh:
    """The mesh of a field: FlexiCubes for signed distances, marching cubes for densities.

    Raises:
        EmptySurfaceError: the field has no surface inside the grid.
    """
    if isinstance(field, SignedDistanceField):
        surface = extract_flexicubes(field, resolution, config.grid_scale, device=device)
        return Mesh(surface.vertices, surface.faces, surface.colors)
    half_side, threshold = config.grid_scale / 2, config.density_threshold
    return extract_isosurface(field.density_on_grid, field.colors, resolution, half_side, threshold, device=device)


def lrm_ray_renderer(field: Field, _config: ReconstructionConfig, samples: int) -> RayRenderer | None:
    """Volume rendering as LRM does it; None for signed distances, which have no density."""
    return None if isinstance(field, SurfaceField) else partial(render_rays, field, samples=samples)


@dataclass(frozen=True)
class System:
    """A reconstruction system.

    Attributes:
        name: as configurations and `hub.MODELS` call it.
        config: class of its configurations.
        model: class of its networks, built from a configuration.
        find_checkpoint: looks for its official files in a folder.
        folder_layout: what `find_checkpoint` looks for, in words.
        extract: field, configuration, grid resolution, device -> mesh.
        ray_renderer: field, configuration, samples a ray -> what renders rays, or None.
    """

    name: str
    config: type[ReconstructionConfig]
    model: Callable[[Any], ReconstructionModel]
    find_checkpoint: Callable[[Path], FoundCheckpoint | None]
    folder_layout: str
    extract: Callable[[Any, ReconstructionConfig, int, torch.device], Mesh] = extract_mesh
    ray_renderer: Callable[[Any, ReconstructionConfig, int], RayRenderer | None] = lrm_ray_renderer


_registered: dict[str, System] = {}


def register_system(system: System) -> None:
    """Make a system known by its name, in place of another one of that name.

    Example:
        >>> register_system(System("mine", MyConfig, MyModel, find_my_checkpoint, "my_model.safetensors"))
    """
    _registered[system.name] = system


def known_systems() -> Mapping[str, System]:
    """All systems by name: those of this package, of entry points, and registered ones."""
    return {**_from_entry_points(), **_registered}


def system_named(name: str) -> System:
    """The system of this name.

    Raises:
        ConfigError: there is none.
    """
    systems = known_systems()
    if name not in systems:
        raise ConfigError(f"there is no reconstruction system {name!r}; known are {', '.join(systems)}")
    return systems[name]


def system_of(config: ReconstructionConfig) -> System:
    """The system whose configuration this is.

    Raises:
        ConfigError: no known system has such configurations.
    """
    for system in known_systems().values():
        if type(config) is system.config:
            return system
    raise ConfigError(f"no known reconstruction system has a {type(config).__name__}")


@cache
def _from_entry_points() -> Mapping[str, System]:
    found = (point.load() for point in entry_points(group=ENTRY_POINTS))
    return {system.name: system for system in found}
