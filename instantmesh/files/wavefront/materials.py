"""The materials of MTL files: their colours and textures.

Source: Wavefront, "Material Template Library (.mtl)"; the options of `map_Kd` are those of its section "Options for
texture map statements".
"""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.files.wavefront.geometry import statements

_log = logging.getLogger(__name__)

Array = NDArray[np.floating]

# How many values follow an option; those of `_PLACES` have one to three numbers, 0 or 1 where they are left out.
_OPTIONS = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-mm": 2, "-texres": 1, "-clamp": 1, "-bm": 1, "-imfchan": 1, "-cc": 1,
    "-type": 1, "-colorspace": 1,
}  # fmt: skip
_PLACES = {"-s": 1.0, "-o": 0.0, "-t": 0.0}
_OPAQUE = (("d", 1.0), ("tr", 0.0))
_LOST = {
    "map_bump": "normal maps", "bump": "normal maps", "norm": "normal maps", "map_norm": "normal maps",
    "disp": "displacement maps", "map_d": "transparency maps", "map_ke": "emission maps",
    "map_pr": "metalness and roughness", "map_pm": "metalness and roughness",
}  # fmt: skip


@dataclass(frozen=True)
class ObjMaterial:
    """A material of an MTL file.

    Attributes:
        library: the file that it is from.
        color: (3,) sRGB in [0, 1]; None where the file says nothing.
        texture: its name in the file, or None.
        scale, offset: from texture coordinates (v up) to places in the texture.
        clamped: whether the texture ends at its border.
        lost: what else it has, in words.
    """

    library: Path
    color: Array | None = None
    texture: str | None = None
    scale: Array = field(default_factory=lambda: np.ones(2))
    offset: Array = field(default_factory=lambda: np.zeros(2))
    clamped: bool = False
    lost: frozenset[str] = frozenset()


def read_materials(path: Path, libraries: list[str]) -> dict[str, ObjMaterial]:
    """The materials of all `mtllib` lines of the OBJ file at `path`, by name; missing files are told as a warning."""
    materials: dict[str, ObjMaterial] = {}
    for line in libraries:
        whole = find_beside(path, line)
        found = [(line, whole)] if whole is not None else [(name, find_beside(path, name)) for name in line.split()]
        for name, file in found:
            if file is None:
                _log.warning("%s: its materials %s aren't there, so that their colours are missing", path, name)
            else:
                materials |= _read_library(file)
    return materials


def find_beside(path: Path, name: str) -> Path | None:
    """The file that an OBJ or MTL file at `path` means by a name; None if there is none.

    Names come from other computers: backslashes separate folders, and of a place outside the file's folder only the
    last part counts. Looked at are the folder and `../materials/textures`, where Gazebo's models keep theirs.
    """
    parts = [part for part in PurePosixPath(name.strip().strip('"').replace("\\", "/")).parts if part not in ("/", ".")]
    if not parts:
        return None
    places = [] if ".." in parts or ":" in parts[0] else [path.parent.joinpath(*parts)]
    places += [path.parent / parts[-1], path.parent.parent / "materials" / "textures" / parts[-1]]
    return next((place for place in places if place.is_file()), None)


def _read_library(path: Path) -> dict[str, ObjMaterial]:
    materials: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for key, value in statements(path):
        if key.lower() == "newmtl":
            current = materials.setdefault(value, [])
        elif value:
            current.append((key.lower(), value))
    return {name: _material(path, lines) for name, lines in materials.items()}


def _material(path: Path, lines: list[tuple[str, str]]) -> ObjMaterial:
    values = dict(lines)
    lost = {_LOST[key] for key in values if key in _LOST}
    if any(
        _is_number(word) and float(word) != opaque for key, opaque in _OPAQUE for word in values.get(key, "").split()
    ):
        lost.add("transparency")
    color = _color(path, values["kd"]) if "kd" in values else None
    material = ObjMaterial(path, color, lost=frozenset(lost))
    if "map_kd" in values:
        return _with_texture(material, values["map_kd"])
    if "ke" in values and (color is None or not color.any()):  # a lamp: what shines is what is seen
        return replace(material, color=_color(path, values["ke"]))
    return material


def _color(path: Path, text: str) -> Array | None:
    """Three numbers, or one for all; None for spectral curves and CIE values, which hardly anybody writes."""
    words = text.split()
    if words[0] in ("spectral", "xyz"):
        return None
    try:
        values = [float(word) for word in words[:3]]
    except ValueError as error:
        raise InputError(f"{path}: a colour is {text!r}; three numbers are needed") from error
    return np.nan_to_num(np.array(values * 3 if len(values) == 1 else (values + [0.0] * 3)[:3])).clip(0, 1)


def _with_texture(material: ObjMaterial, text: str) -> ObjMaterial:
    """The material with the texture and the options of a `map_Kd` line."""
    words = text.split()
    places: dict[str, list[float]] = {}
    clamped = False
    while len(words) > 1 and (words[0] in _OPTIONS or words[0] in _PLACES):
        option = words.pop(0)
        if option in _PLACES:
            values = []
            while len(words) > 1 and len(values) < 3 and _is_number(words[0]):
                values.append(float(words.pop(0)))
            places[option] = (values + [_PLACES[option]] * 2)[:2]
        else:
            values = [words.pop(0) for _ in range(min(_OPTIONS[option], len(words) - 1))]
            clamped |= option == "-clamp" and values == ["on"]
    name = text[text.index(words[0]) :] if len(words) > 1 else words[0]  # file names may have spaces
    scale, offset = np.array(places.get("-s", [1.0, 1.0])), np.array(places.get("-o", [0.0, 0.0]))
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
        raise InputError(f"{material.library}: the texture {name} is placed by numbers that aren't finite")
    return replace(material, texture=name, scale=scale, offset=offset, clamped=clamped)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
