"""Parts by what they join: limbs between points, tubes along paths, rings, bodies; `thin_parts` joins them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.unions import (
    Array,
    ColorPattern,
    UnionPart,
    arc,
    random_palette,
    random_pattern,
    rotation_y,
)

Point = tuple[float | int, float | int, float | int]


class PartKit:
    """Makes parts of one object, which share their colours. Lengths are in any unit: objects are scaled at the end."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._plain = rng.random() < 0.45
        self._palette = random_palette(rng)
        if self._plain:  # clay, plaster, metal: one colour; dark spots on light now and then
            self._palette = np.repeat(rng.uniform(0.35, 1.0, (1, 1)), 3, axis=1).astype(np.float32)
        self._spotted = rng.random() < 0.2

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def texture(self) -> ColorPattern:
        texture = random_pattern(self.rng, self._palette)
        if self._spotted:
            light = np.maximum(self._palette[0], 0.75)
            return replace(texture, pattern="spots", colors=np.stack([light, light * 0.15]))
        return texture

    def limb(self, start: Point, end: Point, start_radius: float, end_radius: float | None = None) -> UnionPart:
        """A capsule between two points, its caps half spheres around them; tapered if the radii differ."""
        return self._between(start, end, _capsule, start_radius, start_radius if end_radius is None else end_radius)

    def cone(self, start: Point, end: Point, start_radius: float, end_radius: float) -> UnionPart:
        """A frustum with flat ends."""
        return self._between(start, end, _frustum, start_radius, end_radius)

    def _between(
        self, start: Point, end: Point, profile: Callable[[float, float, float], Array], *radii: float
    ) -> UnionPart:
        """A solid of revolution about the line between two points; `profile` takes half its length and two radii."""
        a, b = np.array(start), np.array(end)
        half_length = float(np.linalg.norm(b - a)) / 2
        return UnionPart(
            profile(half_length, *radii).astype(np.float32),
            None,
            np.ones(3, np.float32),
            _upwards_to(b - a).astype(np.float32),
            ((a + b) / 2).astype(np.float32),
            self.texture(),
        )

    def tube(self, path: Sequence[Point], start_radius: float, end_radius: float) -> list[UnionPart]:
        """Capsules along a path, in one texture."""
        radii = np.linspace(start_radius, end_radius, len(path))
        limbs = [self.limb(a, b, r, s) for a, b, r, s in zip(path, path[1:], radii, radii[1:], strict=False)]
        return [replace(limb, texture=limbs[0].texture) for limb in limbs]

    def ellipsoid(self, centre: Point, radii: Point, pitch: float = 0.0) -> UnionPart:
        """`pitch` (radians) turns it about y."""
        return self._solid(arc((0.0, 0.0), 1.0, -90.0, 90.0, 13), None, centre, radii, pitch)

    def box(self, centre: Point, half_sizes: Point, pitch: float = 0.0) -> UnionPart:
        square = np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)])
        return self._solid(square, 1.0, centre, half_sizes, pitch)

    def upright(self, profile: Array, centre: Point) -> UnionPart:
        """A solid of revolution about the vertical."""
        return self._solid(profile, None, centre, (1, 1, 1), 0.0)

    def ring(self, centre: Point, radius: float, thickness: float, axis: int) -> UnionPart:
        """A torus; `radius` to the middle of its tube of radius `thickness`, about a coordinate axis."""
        part = self._solid(arc((radius, 0.0), thickness, 0.0, 360.0, 13)[:-1], None, centre, (1, 1, 1), 0.0)
        return rotated(part, _upwards_to(np.eye(3)[axis]))

    def mass(self, centre: Point, half_sizes: Point, pitch: float = 0.0) -> UnionPart:
        """A body: an ellipsoid mostly, or a box."""
        if self.chance(0.75):
            return self.ellipsoid(centre, half_sizes, pitch)
        x, y, z = half_sizes
        return self.box(centre, (0.9 * x, 0.85 * y, 0.85 * z), pitch)

    def _solid(self, profile: Array, half_height: float | None, centre: Point, scale: Point, pitch: float) -> UnionPart:
        return UnionPart(
            profile.astype(np.float32),
            half_height,
            np.array(scale, np.float32),
            rotation_y(pitch).astype(np.float32),
            np.array(centre, np.float32),
            self.texture(),
        )


def _capsule(half_length: float, lower: float, upper: float) -> Array:
    return np.concatenate(
        [arc((0.0, -half_length), lower, -90.0, 0.0, 5), arc((0.0, half_length), upper, 0.0, 90.0, 5)]
    )


def _frustum(half_length: float, lower: float, upper: float) -> Array:
    return np.array([(0, -half_length), (lower, -half_length), (upper, half_length), (0, half_length)])


def _upwards_to(direction: NDArray[np.floating]) -> NDArray[np.float64]:
    """A rotation that takes +z to `direction`."""
    z = direction / np.linalg.norm(direction)
    x = np.cross((0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (1.0, 0.0, 0.0), z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def turned(part: UnionPart, yaw: float) -> UnionPart:
    """Turned about the vertical."""
    c, s = np.cos(yaw), np.sin(yaw)
    return rotated(part, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])) if yaw else part


def rotated(part: UnionPart, rotation: NDArray[np.float64]) -> UnionPart:
    """Turned about the origin, position and all."""
    position = part.position if not part.position.any() else rotation @ part.position
    new = (rotation @ part.rotation).astype(np.float32)
    return replace(part, rotation=new, position=np.asarray(position, np.float32))
