"""Reading the systems' own configuration files."""

from os import PathLike
from typing import Any

from instantmesh.errors import ConfigError


def entry(values: dict[str, Any], key: str, path: str | PathLike[str], kind: type = int) -> Any:
    """A setting of this kind."""
    value = values.get(key)
    if not isinstance(value, (int, float) if kind is float else kind):
        raise ConfigError(f"{path}: {key} must be of type {kind.__name__}, found {value!r}")
    return value


def known(table: dict[Any, Any], values: dict[str, Any], key: str, path: str | PathLike[str]) -> Any:
    """What a setting's value stands for."""
    if values.get(key) not in table:
        raise ConfigError(f"{path}: {key} is {values.get(key)!r}; known are {', '.join(map(str, table))}")
    return table[values[key]]
