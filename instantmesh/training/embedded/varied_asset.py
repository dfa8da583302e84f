"""A 3D asset as training sees it: turned by any angle about z, in varied colours and light, the same for a seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.assets import AssetSurface
from instantmesh.data.procedural.unions import ColorPattern, random_light, random_palette, random_pattern
from instantmesh.geometry.bounds import Bounds

Array = NDArray[np.floating]

_HUE_PROBABILITY = 0.5
_LIGHT_PROBABILITY = 0.75
_PATTERN_PROBABILITY = 0.25
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class VariedAsset:
    """A `rendering.Surface`: an asset inside the unit ball, with an appearance drawn from `seed`.

    - turned about z by any angle, its farthest vertex at a radius in [0.85, 1];
    - in half of the cases hues are turned, saturation and brightness changed;
    - in three of four cases lit from one side, as procedural objects are;
    - flat-coloured assets get a procedural pattern in a quarter of the cases.
    """

    def __init__(self, model: AssetSurface, seed: int) -> None:
        rng = np.random.default_rng([seed, 2])
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.0)
        center = Bounds.of(model.vertices[model.faces.ravel()]).center
        vertices = (model.vertices - center) @ _turn(angle).T
        factor = radius / np.linalg.norm(vertices[model.faces.ravel()], axis=1).max()
        self._model = replace(
            model, vertices=(factor * vertices).astype(np.float32), normals=(model.normals @ _turn(angle).T)
        )
        self._recolor = _color_change(rng) if rng.random() < _HUE_PROBABILITY else np.eye(3)
        self._gamma = float(np.exp(rng.uniform(-0.35, 0.35))) if rng.random() < _HUE_PROBABILITY else 1.0
        self._light = random_light(rng) if rng.random() < _LIGHT_PROBABILITY else None
        pattern: ColorPattern | None = random_pattern(rng, random_palette(rng))
        self._pattern = pattern if rng.random() < _PATTERN_PROBABILITY and not model.textures else None

    @property
    def vertices(self) -> NDArray[np.float32]:
        """(v, 3) in the unit ball."""
        return self._model.vertices

    @property
    def faces(self) -> NDArray[np.int64]:
        """(f, 3)."""
        return self._model.faces

    @property
    def source(self) -> Path:
        """The file."""
        return self._model.source

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        """Colours (p, 3), sRGB in [0, 1], and unit normals (p, 3), as `AssetSurface.shade` gives them, varied."""
        colors, normals = self._model.shade(points, face, barycentric)
        colors = (colors @ self._recolor.T).clip(0, 1) ** self._gamma
        if self._pattern is not None:
            colors = 0.5 * colors + 0.5 * self._pattern(points)
        if self._light is not None:
            light, shade = self._light
            colors = colors * (1 - shade * (1 - normals @ light) / 2)[:, None]
        return colors.clip(0, 1).astype(np.float32), normals


def _turn(angle: float) -> NDArray[np.float32]:
    """The rotation about z."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)


def _color_change(rng: np.random.Generator) -> Array:
    """A linear map of colours that turns hues by any angle and changes saturation by up to a half; greys stay."""
    angle, saturation = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
    cos, sin = saturation * np.cos(angle), saturation * np.sin(angle)
    return np.linalg.inv(_TO_YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _TO_YIQ
