"""Which assets there are, and the names that their objects get."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from instantmesh.errors import InputError, MissingFileError
from instantmesh.files.asset_files import ASSET_ENDINGS


@dataclass(frozen=True)
class NamedAsset:
    """An asset's file, and the name of the object in the data set: letters, digits, "_" and "-"."""

    name: str
    path: Path


def find_assets(sources: Sequence[Path]) -> list[NamedAsset]:
    """The named files, and every asset inside the named folders at any depth, by name.

    An asset is named after its file; where several files share a name, after its place below the named folder. The
    names depend on nothing but these places, so the same folders give the same names on every machine.

    Raises:
        MissingFileError: a source doesn't exist.
        InputError: a folder holds no assets.
    """
    places: dict[Path, Path] = {}  # file -> its place below its source
    for source in sources:
        if not source.exists():
            raise MissingFileError(f"no file or folder {source}")
        inside = sorted(p for p in source.rglob("*") if _is_asset(p)) if source.is_dir() else [source]
        if not inside:
            raise InputError(f"{source} holds no assets ({', '.join(ASSET_ENDINGS)})")
        root = source if source.is_dir() else source.parent
        for path in inside:
            places.setdefault(path.resolve(), path.relative_to(root))
    names = _unique_names(list(places.values()))
    return sorted((NamedAsset(*pair) for pair in zip(names, places, strict=True)), key=lambda asset: asset.name)


def _is_asset(path: Path) -> bool:
    return path.suffix.lower() in ASSET_ENDINGS and not path.name.startswith(".") and path.is_file()


def _unique_names(places: list[Path]) -> list[str]:
    """Of each the shortest of stem, place and place with ending that no other has; where none is, it is numbered."""
    forms: list[Callable[[Path], str]] = [
        lambda place: place.stem,
        lambda place: "_".join(place.with_suffix("").parts),
        lambda place: "_".join(place.parts),
    ]
    names = [""] * len(places)
    for form in forms:
        taken = Counter(name.lower() for name in names)  # some file systems take no notice of case
        names = [
            name if name and taken[name.lower()] == 1 else re.sub(r"[^\w-]", "_", form(place))
            for name, place in zip(names, places, strict=True)
        ]
    unique: dict[str, str] = {}
    for name in names:
        numbered, number = name, 2
        while numbered.lower() in unique:
            numbered, number = f"{name}_{number}", number + 1
        unique[numbered.lower()] = numbered
    return list(unique.values())
