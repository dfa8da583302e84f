"""Configuration: pydantic models of every YAML file. An unknown key is an error that names the nearest key."""

import difflib
import reprlib
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from instantmesh.errors import ConfigError


class StrictModel(BaseModel):
    """A frozen configuration that refuses keys it doesn't know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class ViTConfig(StrictModel):
    """A vision transformer; the defaults are DINO ViT-B/16, modulated by a camera."""

    hidden_size: PositiveInt = 768
    layers: PositiveInt = 12
    heads: PositiveInt = 12
    mlp_size: PositiveInt = 3072
    patch_size: PositiveInt = 16
    trained_grid: PositiveInt = 14
    norm_eps: PositiveFloat = 1e-12
    imagenet_normalised: bool = True  # images less ImageNet's mean, divided by its standard deviation
    position_resizing: Literal["dino", "dinov2"] = "dino"
    register_tokens: NonNegativeInt = 0
    layer_scale: bool = False
    camera_modulation: bool = True
    ray_octaves: NonNegativeInt = 0  # Fourier features of each patch's central ray; the official models have none


class TriplaneConfig(StrictModel):
    """The triplane transformer and the planes that leave it."""

    dim: PositiveInt = 1024
    layers: PositiveInt = 12
    heads: PositiveInt = 16
    low_res: PositiveInt = 32
    channels: PositiveInt = 40
    upsampler: Literal["deconv", "smooth"] = "deconv"


class ReconstructionConfig(StrictModel):
    """What every reconstruction model has.

    Attributes:
        grid_scale: side of the cube that the extraction grid spans.
        density_threshold: density at the surface.
        depth_per_width: for a model that makes slabs of what one photo shows: the bound on depth that the photo's
            outline then sets, see `fitting.outline`. None: the model knows depths better.
    """

    image_size_px: PositiveInt
    encoder: ViTConfig
    triplane: TriplaneConfig
    samples_per_ray: PositiveInt
    grid_resolution: PositiveInt
    grid_scale: PositiveFloat
    density_threshold: PositiveFloat
    depth_per_width: PositiveFloat | None = None


Config = TypeVar("Config", bound=BaseModel)


def read_config(path: str | PathLike[str], kind: type[Config]) -> Config:
    """Read a YAML file as `kind`.

    Raises:
        ConfigError: unreadable, an unknown key (the nearest known one is named), or a value out of range.
    """
    return parse_config(read_mapping(path), kind, source=str(path))


def read_mapping(path: str | PathLike[str]) -> dict[str, Any]:
    """Keys and values of a YAML or JSON file.

    Raises:
        ConfigError: unreadable, or something else than keys and values.
    """
    try:
        values = yaml_value(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} must hold keys and values")
    return values


def yaml_value(text: str) -> Any:
    """A YAML or JSON text's value, of plain types. Aliases are refused: nested ones make 300 bytes 3 GB.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    import yaml  # which reads JSON, too

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ValueError("aliases (*name) aren't read; write the values out")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from error


def parse_config(values: dict, kind: type[Config], source: str = "configuration") -> Config:
    """Check a mapping as `kind`; errors as in `read_config`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explained(error, kind)}") from error


def explained(error: ValidationError, kind: type[BaseModel]) -> str:
    """What is wrong, in words."""
    return "; ".join(dict.fromkeys(_explain(problem, kind) for problem in error.errors()))


def _explain(problem, kind: type[BaseModel]) -> str:
    is_unknown = problem["type"] == "extra_forbidden"
    *parents, last = (str(part) for part in problem["loc"] or ("",))
    place = [part for part in parents if _is_name(part)] + [last] * (is_unknown or _is_name(last))
    if not is_unknown:
        return f"{'.'.join(place)}: {problem['msg']}, got {reprlib.repr(problem['input'])}"
    owner = kind
    for part in place[:-1]:
        annotation = owner.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        owner = annotation
    nearest = difflib.get_close_matches(place[-1], owner.model_fields, n=1)
    return f"unknown key {'.'.join(place)!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else "")


def _is_name(part: str) -> bool:
    """Whether a part of an error's place is a key or an index, and no tag of a union's member."""
    return part.isdecimal() or part.isidentifier()
