"""How an exported mesh stands: which way is up, where its front looks, how long it is, where the origin lies."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError

Origin = Literal["center", "bottom"]
Unit = Literal["m", "mm"]

_PER_METRE: dict[Unit, float] = {"m": 1.0, "mm": 1000.0}

_AXES = {
    sign + name: (-1.0 if sign else 1.0) * np.eye(3)[index] for index, name in enumerate("xyz") for sign in ("", "-")
}
_NEXT = {"x": "y", "y": "z", "z": "x"}


def world_to_gltf(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(x, y, z), +z up, front +x -> (y, z, x), +y up, front +z: a proper rotation."""
    return points[..., [1, 2, 0]]


def gltf_to_world(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse of `world_to_gltf`."""
    return points[..., [2, 0, 1]]


@dataclass(frozen=True)
class Frame:
    """The frame that a mesh is written in. Always a rotation of the world's: nothing is mirrored.

    Attributes:
        up: the axis that points up: "x", "y", "z", "-x", "-y" or "-z". "y" is glTF's.
        front: the axis that the front looks along, perpendicular to `up`. None takes the axis after `up` in x, y, z, x:
            with "y" up that is "z", as in glTF, with "z" up it is "x", the world's own frame.
        size_m: how long the longest side of the bounding box is, in metres; None keeps the world's units.
        origin: the bounding box's "center" or the centre of its "bottom", as `up` has it; None keeps the world's.
        unit: what 1 stands for in the file, "m" or "mm"; the world's units are taken for metres.

    Raises:
        InputError: no such axis, origin or unit, axes that aren't perpendicular, or a size that isn't positive.
    """

    up: str = "y"
    front: str | None = None
    size_m: float | None = 1.0
    origin: Origin | None = "center"
    unit: Unit = "m"

    def __post_init__(self) -> None:
        if self.front is None and self.up in _AXES:
            object.__setattr__(self, "front", _NEXT[self.up[-1]])
        for name, axis in (("up", self.up), ("front", self.front)):
            if axis not in _AXES:
                raise InputError(f"{name}={axis!r} is no axis; use one of {', '.join(_AXES)}")
        if self.up[-1] == str(self.front)[-1]:
            raise InputError(f"up={self.up!r} and front={self.front!r} aren't perpendicular")
        if self.size_m is not None and not (math.isfinite(self.size_m) and self.size_m > 0):
            raise InputError(f"size_m={self.size_m} isn't possible: the longest side in metres, or None")
        if self.origin not in ("center", "bottom", None):
            raise InputError(f"origin={self.origin!r} isn't possible: use 'center', 'bottom' or None")
        if self.unit not in _PER_METRE:
            raise InputError(f"unit={self.unit!r} isn't possible: use 'm' or 'mm'")

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3): rotation @ (a point of the world) is that point along this frame's axes."""
        up, front = _AXES[self.up], _AXES[str(self.front)]
        return np.stack([front, np.cross(up, front), up], axis=1)  # where the world's x (front), y and z (up) go

    def place(self, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
        """World vertices (v, 3) in this frame; those that no face uses don't count for the bounding box.

        Raises:
            InputError: a size is wanted, and all vertices lie in one point.
        """
        placed = vertices.astype(np.float64) @ self.rotation().T
        used = placed[np.unique(faces)]
        low, high = used.min(0), used.max(0)
        if self.origin is not None:
            placed = placed - (low + high) / 2
        if self.origin == "bottom":
            placed = placed + _AXES[self.up] * (np.abs(_AXES[self.up]) @ (high - low)) / 2
        placed = placed * _PER_METRE[self.unit]
        if self.size_m is None:
            return placed
        side = float((high - low).max())
        if side == 0:
            raise InputError("all vertices lie in one point: there is nothing to scale; pass size_m=None")
        return placed * (self.size_m / side)
