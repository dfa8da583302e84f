"""What a glTF file needs that can't be read here: refused by name, instead of read as something else.

Source: the glTF 2.0 specification, section 3.12 ("Specifying Extensions"), and the registry of ratified extensions.
"""

import logging

from instantmesh.errors import InputError
from instantmesh.files.gltf.document import Document

_log = logging.getLogger(__name__)

DRACO = "KHR_draco_mesh_compression"
INSTANCES = "EXT_mesh_gpu_instancing"
TEXTURE_TRANSFORM = "KHR_texture_transform"
WEBP = "EXT_texture_webp"
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"

_READ = (DRACO, INSTANCES, TEXTURE_TRANSFORM, WEBP, "KHR_mesh_quantization")
_HARMLESS = ("KHR_materials_", "KHR_lights_punctual", "KHR_xmp", "KHR_animation_pointer")
"""Starts of names of extensions whose absence leaves shape and base colour as they are."""
_CHANGING = {
    "EXT_meshopt_compression": "meshopt compression",
    "KHR_texture_basisu": "Basis Universal textures",
    "MSFT_texture_dds": "DDS textures",
}


def check_extensions(document: Document) -> None:
    """Refuse a file that would be read as something else than it is.

    What it can do without, but changes shapes or colours, is told as a warning.

    Raises:
        InputError: it requires an extension that isn't known here.
    """
    unknown = [name for name in document.names("extensionsRequired") if not name.startswith((*_READ, *_HARMLESS))]
    if unknown:
        raise InputError(
            f"{document.path} needs glTF extensions that can't be read here: {_told(unknown)}; write the file without"
            " them (in Blender: import it, and export it without compression)"
        )
    ignored = [name for name in document.names("extensionsUsed") if name in _CHANGING]
    if ignored:
        _log.warning("%s uses glTF extensions that are ignored here: %s", document.path, _told(ignored))


def _told(names: list[str]) -> str:
    return ", ".join(f"{name} ({_CHANGING[name]})" if name in _CHANGING else name for name in names)
