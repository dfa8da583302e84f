"""Options for meshes as they are extracted: tests that ask something else needn't wait for textures."""

from typing import Any

PLAIN_MESH: dict[str, Any] = {"target_faces": None, "watertight": False, "texture_size": None}
PLAIN: dict[str, Any] = {**PLAIN_MESH, "fit_photo": False}
