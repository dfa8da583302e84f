"""What a glTF file needs that can't be read here: refused by name, instead of read as something else.

Source: the glTF 2.0 specification, section 3.12 ("Specifying Extensions"), and the registry of ratified extensions.
"""

import json
import logging
import struct
from pathlib import Path
from typing import Any

from instantmesh.errors import InputError

_log = logging.getLogger(__name__)

_LARGEST_JSON = 1 << 28
_HARMLESS = ("KHR_materials_", "KHR_lights_punctual", "KHR_xmp", "KHR_animation_pointer", "EXT_texture_webp")
"""Starts of names of extensions whose absence leaves shape and base colour as they are."""
_CHANGING = {
    "KHR_draco_mesh_compression": "Draco compression",
    "EXT_meshopt_compression": "meshopt compression",
    "KHR_mesh_quantization": "quantised vertices",
    "EXT_mesh_gpu_instancing": "instances",
    "KHR_texture_transform": "transformed textures",
    "KHR_texture_basisu": "Basis Universal textures",
}


def check_gltf(path: Path) -> None:
    """Refuse a .glb or .gltf file that would be read as something else than it is.

    What it can do without, but changes shapes or colours, is told as a warning.

    Raises:
        InputError: it requires an extension that isn't known here, or can't be read as glTF.
    """
    document = _document(path)
    if not isinstance(document, dict):
        raise InputError(f"{path} is no glTF: its JSON isn't an object")
    unknown = [name for name in _names(document, "extensionsRequired") if not name.startswith(_HARMLESS)]
    if unknown:
        raise InputError(
            f"{path} needs glTF extensions that can't be read here: {_told(unknown)}; write the file without them (in"
            " Blender: import it, and export it without compression)"
        )
    ignored = [name for name in _names(document, "extensionsUsed") if name in _CHANGING]
    if ignored:
        _log.warning("%s uses glTF extensions that are ignored here: %s", path, _told(ignored))


def _told(names: list[str]) -> str:
    return ", ".join(f"{name} ({_CHANGING[name]})" if name in _CHANGING else name for name in names)


def _names(document: dict[str, Any], key: str) -> list[str]:
    names = document.get(key, [])
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _document(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(20)
            if start[:4] != b"glTF":
                file.seek(0)
                return json.loads(file.read(_LARGEST_JSON))
            length, kind = struct.unpack_from("<I4s", start, 12)
            if kind != b"JSON" or length > _LARGEST_JSON:
                raise InputError(f"{path} is no GLB: its first part isn't JSON")
            return json.loads(file.read(length))
    except (OSError, ValueError, struct.error, RecursionError) as error:
        raise InputError(f"{path} can't be read as glTF ({error})") from error
