"""Which objects a stage is trained on: a data set on disk, or procedural shapes made as they are needed."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from instantmesh.config import StrictModel
from instantmesh.data.source import ObjectSource
from instantmesh.errors import ConfigError


class DataConfig(StrictModel):
    """One of `folder` and `procedural`.

    Attributes:
        folder: what `instantmesh data render` or `instantmesh data pack` wrote, or data in the same layout.
        procedural: unions of primitives, or shapes after LRM-Zero, rendered on the fly.
        objects, first_seed, size_px: how many procedural ones, from which seed on, and the side of their images.
    """

    folder: str | None = None
    procedural: Literal["unions", "zero"] | None = None
    objects: PositiveInt = 1_000_000
    first_seed: NonNegativeInt = 0
    size_px: PositiveInt = 512


def open_data(config: DataConfig, layout: Literal["random", "diffusion"]) -> ObjectSource:
    """The objects that the configuration names.

    Args:
        config: a folder, or kinds and sizes of procedural objects.
        layout: what procedural objects are seen from: random cameras, or a query and the six fixed views.

    Raises:
        ConfigError: the configuration names none, or two kinds.
        InputError: there is no data set in the folder.
    """
    if config.folder is not None and config.procedural is not None:
        raise ConfigError("data has a folder and procedural shapes: set data.folder=null or data.procedural=null")
    if config.folder is None and config.procedural is None:
        raise ConfigError("data needs a folder, or procedural: unions or zero")
    if config.procedural is None:
        from instantmesh.data.stored_objects import open_source

        assert config.folder is not None
        return open_source(config.folder)
    from instantmesh.data.procedural.source import ProceduralSource

    return ProceduralSource(config.first_seed, config.objects, config.size_px, layout, config.procedural)
