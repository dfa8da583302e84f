"""Procedural objects with exact geometry and texture, unlimited and seeded (after LRM-Zero, arXiv 2406.09371).

An object is a union of parts. A part is a closed polygon turned about an axis (spheres, cones, tori, cups, vases ...)
or extruded along it (boxes, prisms, stars), then stretched, rotated and moved. Signed distances of polygons are exact,
so those of unions follow, and nothing has to be remeshed: images come from the parts' own triangles, since a ray's
first hit on all parts is its first hit on their union.

Symbols: p points, m profile corners. Profiles live in the half-plane (r, z) of a revolution or the plane (x, y) of an
extrusion. All arrays are numpy float32; distances are negative inside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float32 at the boundaries; float64 while an object is drawn

HELD_OUT_SEED = 1_000_000_000  # objects of this seed and above never occur in training
_SEGMENTS = 32  # around a revolution
_PART_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
_PART_COUNT_WEIGHTS = (5, 5, 5, 5, 5, 4, 3, 2, 1)  # LRM-Zero, section 3


@dataclass(frozen=True)
class ColorPattern:
    """Two colours and a pattern that mixes them, as a function of a part's local coordinates."""

    pattern: str  # solid, stripes, checker, gradient, spots
    colors: Array  # (2, 3) sRGB in [0, 1]
    direction: Array  # (3,) unit
    frequency: float
    phase: float

    def __call__(self, local: Array) -> Array:
        """Colours (p, 3) at local points (p, 3)."""
        if self.pattern == "solid":
            mix = np.zeros(len(local), np.float32)
        elif self.pattern == "stripes":
            mix = (np.sin(local @ self.direction * self.frequency + self.phase) > 0).astype(np.float32)
        elif self.pattern == "checker":
            cells = np.floor(local * self.frequency / np.pi + self.phase).sum(1)
            mix = (cells % 2).astype(np.float32)
        elif self.pattern == "gradient":
            mix = np.clip(0.5 + 0.6 * local @ self.direction, 0, 1)
        else:
            waves = np.sin(local * self.frequency + self.phase)
            mix = (waves.sum(1) > 0.9).astype(np.float32)
        return self.colors[0] + mix[:, None] * (self.colors[1] - self.colors[0])


@dataclass(frozen=True)
class UnionPart:
    """One solid: `profile` (m, 2) counter-clockwise, revolved (`half_height` None) or extruded over +-`half_height`.

    Local coordinates are world = rotation @ (scale * local) + position.
    """

    profile: Array
    half_height: float | None
    scale: Array  # (3,)
    rotation: Array  # (3, 3)
    position: Array  # (3,)
    texture: ColorPattern

    def to_local(self, points: Array) -> Array:
        return (points - self.position) @ self.rotation / self.scale

    def to_world(self, local: Array) -> Array:
        return (local * self.scale) @ self.rotation.T + self.position

    def distance(self, points: Array) -> tuple[Array, Array]:
        """Signed distances (p,) and outward unit normals (p, 3) of the nearest surface, in the world.

        Exact where the scale is uniform; else exact to first order: the local distance divided by how fast it changes.
        """
        local = self.to_local(points)
        if self.half_height is None:
            radius = np.hypot(local[:, 0], local[:, 1])
            distance, gradient = polygon_distance(np.stack([radius, local[:, 2]], 1), self.profile, axis_is_open=True)
            outward = local[:, :2] / np.maximum(radius, 1e-6)[:, None]
            normal = np.concatenate([outward * gradient[:, :1], gradient[:, 1:]], 1)
        else:
            side, gradient = polygon_distance(local[:, :2], self.profile, axis_is_open=False)
            distance, normal = _extrude(side, gradient, local[:, 2], self.half_height)
        normal = normal / self.scale
        rate = np.maximum(np.sqrt(normal[:, 0] ** 2 + normal[:, 1] ** 2 + normal[:, 2] ** 2), 1e-6)
        return distance / rate, (normal / rate[:, None]) @ self.rotation.T

    def triangles(self) -> tuple[Array, NDArray[np.int64]]:
        """World vertices (v, 3) and faces (f, 3), counter-clockwise seen from outside."""
        vertices, faces = _revolve(self.profile) if self.half_height is None else _prism(self.profile, self.half_height)
        return self.to_world(vertices), faces


@dataclass(frozen=True)
class ProceduralObject:
    """A union of parts under one soft light, inside the sphere of radius 1 around the origin.

    The light is baked into the colours, so that all views agree on them and untextured parts show their shape:
    colour = texture * (1 - shade * (1 - normal . light) / 2).
    """

    parts: tuple[UnionPart, ...]
    light: Array  # (3,) unit, towards the light
    shade: float

    def distance(self, points: Array) -> Array:
        """Signed distance (p,) to the union: exact outside; inside its magnitude is a lower bound."""
        return np.min([part.distance(points)[0] for part in self.parts], axis=0)

    def nearest(self, points: Array) -> tuple[Array, Array, Array]:
        """Signed distances (p,), normals (p, 3) and lit colours (p, 3) in [0, 1] of the nearest surface."""
        every = [part.distance(points) for part in self.parts]
        distances = np.stack([distance for distance, _ in every])
        nearest = distances.argmin(0)
        normals = np.stack([normal for _, normal in every])[nearest, np.arange(len(points))]
        return distances.min(0), normals, self.colors(points, normals, nearest)

    def colors(self, points: Array, normals: Array, part_index: NDArray[np.integer]) -> Array:
        """Lit colours (p, 3) in [0, 1] of points on the parts `part_index` (p,)."""
        colors = np.zeros_like(points)
        for index in np.unique(part_index):
            chosen = part_index == index
            part = self.parts[index]
            colors[chosen] = part.texture(part.to_local(points[chosen]) * part.scale)
        return colors * (1 - self.shade * (1 - normals @ self.light) / 2)[:, None]

    def triangles(self) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """All parts' vertices (v, 3) and faces (f, 3), and every face's part (f,). Parts overlap; nothing is cut."""
        vertices, faces, owner, start = [], [], [], 0
        for index, part in enumerate(self.parts):
            v, f = part.triangles()
            vertices.append(v)
            faces.append(f + start)
            owner.append(np.full(len(f), index))
            start += len(v)
        return np.concatenate(vertices), np.concatenate(faces), np.concatenate(owner)


class ProceduralSurface:
    """What rays meet on an object, a `rendering.Surface`: all parts' triangles, with exact normals and colours."""

    def __init__(self, obj: ProceduralObject) -> None:
        self._object = obj
        self.vertices, self.faces, self._owner = obj.triangles()

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        """Lit colours (p, 3) and unit normals (p, 3) at points on faces."""
        part_index = self._owner[face]
        normals = np.zeros_like(points)
        for index in np.unique(part_index):
            chosen = part_index == index
            normals[chosen] = self._object.parts[index].distance(points[chosen])[1]
        return self._object.colors(points, normals, part_index), normals


def random_object(seed: int) -> ProceduralObject:
    """The object of this seed: the same on every machine. Seeds from `HELD_OUT_SEED` on are kept for evaluation."""
    rng = np.random.default_rng(seed)
    weights = np.array(_PART_COUNT_WEIGHTS, float)
    count = int(rng.choice(_PART_COUNTS, p=weights / weights.sum()))
    palette = random_palette(rng)
    upright = rng.random() < 0.6
    parts = [_random_part(rng, palette, upright, size=rng.uniform(0.4, 0.7), position=np.zeros(3))]
    while len(parts) < count:
        anchor = parts[rng.integers(len(parts))] if rng.random() < 0.4 else parts[0]
        vertices, _ = anchor.triangles()
        parts.append(
            _random_part(rng, palette, upright, rng.uniform(0.12, 0.45), vertices[rng.integers(len(vertices))])
        )
    if rng.random() < 0.6:  # most real things are mirror-symmetric, and face forward (+x)
        parts += [mirrored(part) for part in parts[1:] if abs(part.position[1]) > 0.02]
    light, shade = random_light(rng)
    return ProceduralObject(tuple(normalised(parts, radius=rng.uniform(0.85, 1.0))), light, shade)


def polygon_distance(points: Array, corners: Array, axis_is_open: bool) -> tuple[Array, Array]:
    """Signed distance (p,) of 2D points to a closed polygon and its unit gradient (p, 2); negative inside.

    `axis_is_open`: edges on the line r = 0 are no surface (the polygon is turned about that line).
    """
    corners = corners.astype(np.float32)
    start, end = corners, np.roll(corners, -1, axis=0)
    edge = end - start
    # Coordinates apart, (p, m) each: sums over a last axis of two are several times slower in numpy.
    x, y = points[:, :1] - start[:, 0], points[:, 1:] - start[:, 1]
    along = (x * edge[:, 0] + y * edge[:, 1]) / np.maximum(edge[:, 0] ** 2 + edge[:, 1] ** 2, 1e-12)
    along = np.clip(along, 0, 1, out=along)
    away_x, away_y = x - along * edge[:, 0], y - along * edge[:, 1]
    squared = away_x * away_x + away_y * away_y
    if axis_is_open:
        squared[:, (start[:, 0] <= 1e-6) & (end[:, 0] <= 1e-6)] = np.inf
    nearest = squared.argmin(1)
    rows = np.arange(len(points))
    distance = np.sqrt(squared[rows, nearest])
    # Crossing parity of the ray towards +x (+r).
    straddles = (y < 0) != (points[:, 1:] < end[:, 1])
    crosses = straddles & ((edge[:, 0] * y - edge[:, 1] * x) * np.sign(edge[:, 1]) > 0)
    inside = np.logical_xor.reduce(crosses, axis=1)
    sign = np.where(inside, -1, 1).astype(np.float32)
    # On the surface the offset vanishes: there the edge's own outward normal (corners run counter-clockwise) is right.
    edge_normal = np.stack([edge[:, 1], -edge[:, 0]], 1)
    edge_normal = edge_normal / np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-12)[:, None]
    offset = np.stack([away_x[rows, nearest], away_y[rows, nearest]], 1)
    gradient = np.where(
        distance[:, None] > 1e-4, (sign / np.maximum(distance, 1e-12))[:, None] * offset, edge_normal[nearest]
    )
    return sign * distance, gradient


def _extrude(side: Array, side_gradient: Array, z: Array, half_height: float) -> tuple[Array, Array]:
    """Distance and gradient of a prism from those of its cross-section (exact: the two are independent axes)."""
    cap = np.abs(z) - half_height
    distance = np.minimum(np.maximum(side, cap), 0) + np.hypot(np.maximum(side, 0), np.maximum(cap, 0))
    outside = (side > 0) & (cap > 0)
    total = np.maximum(np.hypot(side, cap), 1e-12)
    side_share = np.where(outside, side / total, side >= cap)
    cap_share = np.where(outside, cap / total, side < cap)
    gradient = np.concatenate([side_gradient * side_share[:, None], (np.sign(z) * cap_share)[:, None]], 1)
    return distance, gradient


def _revolve(profile: Array) -> tuple[Array, NDArray[np.int64]]:
    angle = np.arange(_SEGMENTS) * 2 * np.pi / _SEGMENTS
    m = len(profile)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    vertices = np.concatenate(
        [profile[None, :, :1] * ring[:, None], np.broadcast_to(profile[None, :, 1:], (_SEGMENTS, m, 1))], -1
    ).reshape(-1, 3)
    a = np.arange(_SEGMENTS)[:, None] * m + np.arange(m)
    b = np.roll(a, -1, axis=0)  # next angle
    next_corner = np.roll(np.arange(m), -1)
    quads = np.stack([a, b, b[:, next_corner], a[:, next_corner]], -1)
    on_axis = (profile[:, 0] <= 1e-6) & (profile[next_corner, 0] <= 1e-6)
    return vertices.astype(np.float32), _split(quads[:, ~on_axis].reshape(-1, 4))


def _prism(profile: Array, half_height: float) -> tuple[Array, NDArray[np.int64]]:
    """Profiles of extrusions are star-shaped about the origin, so their caps are fans."""
    m = len(profile)
    low = np.concatenate([profile, np.full((m, 1), -half_height)], 1)
    high = np.concatenate([profile, np.full((m, 1), half_height)], 1)
    centres = np.array([[0, 0, -half_height], [0, 0, half_height]])
    i, j = np.arange(m), np.roll(np.arange(m), -1)
    sides = _split(np.stack([i, j, m + j, m + i], 1))
    bottom = np.stack([np.full(m, 2 * m), j, i], 1)
    top = np.stack([np.full(m, 2 * m + 1), m + i, m + j], 1)
    return np.concatenate([low, high, centres]).astype(np.float32), np.concatenate([sides, bottom, top])


def _split(quads: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _random_part(rng: np.random.Generator, palette: Array, upright: bool, size: float, position: Array) -> UnionPart:
    kind = rng.choice(["ellipsoid", "cylinder", "cone", "torus", "cup", "vase", "capsule", "box", "prism", "star"],
                      p=[0.2, 0.1, 0.08, 0.08, 0.07, 0.07, 0.12, 0.18, 0.05, 0.05])  # fmt: skip
    profile, half_height = _profile(rng, str(kind))
    stretch = np.exp(rng.normal(0, 0.35, 3))
    if rng.random() < 0.5:
        stretch[1] = stretch[0]
    if kind in ("torus", "cup"):
        stretch = np.full(3, 1.0) * (1, 1, rng.uniform(0.7, 1.4))
    rotation = _random_rotation(rng)
    if upright and rng.random() < 0.75:  # along an axis, perhaps tilted about y (within the mirror plane)
        rotation = np.eye(3)[:, rng.permutation(3)]
        rotation[:, 0] *= np.linalg.det(rotation)
        rotation = rotation_y(rng.normal(0, 0.4) * (rng.random() < 0.4)) @ rotation
    return UnionPart(
        profile.astype(np.float32),
        half_height,
        (size * stretch / stretch.max()).astype(np.float32),
        rotation.astype(np.float32),
        np.asarray(position, np.float32),
        random_pattern(rng, palette),
    )


def _profile(rng: np.random.Generator, kind: str) -> tuple[Array, float | None]:
    """The polygon of a kind, counter-clockwise, within [-1, 1]^2, and the half height where it is extruded."""
    if kind == "ellipsoid":
        return arc((0.0, 0.0), 1.0, -90.0, 90.0, 15), None
    if kind == "cylinder":
        return np.array([(0.0, -1), (1, -1), (1, 1), (0, 1)]), None
    if kind == "cone":
        top = rng.uniform(0, 0.7)
        return np.array([(0, -1), (1, -1), (top, 1), (0, 1)]), None
    if kind == "torus":
        thickness = rng.uniform(0.12, 0.4)
        return arc((1 - thickness, 0.0), thickness, 0.0, 360.0, 13)[:-1], None
    if kind == "cup":
        wall, bottom, flare = rng.uniform(0.08, 0.2), rng.uniform(0.1, 0.3), rng.uniform(0.5, 1)
        return np.array(
            [(0, -1), (flare, -1), (1, 1), (1 - wall, 1), (flare - wall, -1 + bottom), (0, -1 + bottom)]
        ), None
    if kind == "vase":
        height = np.linspace(-1, 1, 11)
        waist = 0.6 + 0.35 * np.sin(height * rng.uniform(1, 4) + rng.uniform(0, 2 * np.pi))
        return np.concatenate([[(0, -1)], np.stack([waist, height], 1), [(0, 1)]]), None
    if kind == "capsule":
        radius = rng.uniform(0.15, 0.5)
        lower, upper = arc((0.0, -1 + radius), radius, -90.0, 0.0, 6), arc((0.0, 1 - radius), radius, 0.0, 90.0, 6)
        return np.concatenate([lower, upper]), None
    if kind == "box":
        return np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)]), 1.0
    if kind == "prism":
        return arc((0.0, 0.0), 1.0, 0.0, 360.0, int(rng.choice([3, 5, 6])) + 1)[:-1], 1.0
    tips = int(rng.integers(4, 8))
    star = arc((0.0, 0.0), 1.0, 0.0, 360.0, 2 * tips + 1)[:-1]
    star[1::2] *= rng.uniform(0.4, 0.7)
    return star, float(rng.uniform(0.2, 1))


def arc(centre: tuple[float, float], radius: float, start_deg: float, end_deg: float, n: int) -> Array:
    """`n` points (n, 2) on an arc in the plane."""
    angle = np.deg2rad(np.linspace(start_deg, end_deg, n))
    arc = np.array(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    arc[:, 0][np.abs(arc[:, 0]) < 1e-9] = 0
    return arc


def random_pattern(rng: np.random.Generator, palette: Array) -> ColorPattern:
    """A pattern of two of the palette's colours (k, 3)."""
    pattern = rng.choice(["solid", "stripes", "checker", "gradient", "spots"], p=[0.5, 0.13, 0.07, 0.15, 0.15])
    direction = rng.normal(size=3)
    return ColorPattern(
        str(pattern),
        palette[rng.integers(len(palette), size=2)],
        (direction / np.linalg.norm(direction)).astype(np.float32),
        float(rng.uniform(6, 22)),
        float(rng.uniform(0, 2 * np.pi)),
    )


def random_palette(rng: np.random.Generator) -> Array:
    """Two to four colours that an object's parts share; every third one is grey, white or black."""
    n = int(rng.integers(2, 5))
    hue, saturation, value = rng.random(n), rng.random(n) ** 0.7, rng.uniform(0.15, 1, n) ** 0.7
    saturation[rng.random(n) < 0.33] = 0
    channel = (np.array([5, 3, 1]) + hue[:, None] * 6) % 6
    ramp = np.clip(np.minimum(channel, 4 - channel), 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * ramp)).astype(np.float32)


def random_light(rng: np.random.Generator) -> tuple[Array, float]:
    """The direction (3,) towards a light, rather from above, and how much it shades."""
    light = rng.normal(size=3) * (1, 1, 0.6) + (0, 0, 1.2)
    return (light / np.linalg.norm(light)).astype(np.float32), rng.uniform(0.1, 0.9)


def _random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return q


def rotation_y(angle: float) -> NDArray[np.float64]:
    """The rotation (3, 3) about y by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def mirrored(part: UnionPart) -> UnionPart:
    """The part reflected in the plane y = 0.

    A reflection of the world is a rotation of a solid that is itself reflected in local y; extrusions need their
    polygon reflected, revolutions are symmetric.
    """
    flip = np.array([1, -1, 1], np.float32)
    profile = part.profile if part.half_height is None else (part.profile * (1, -1))[::-1].astype(np.float32)
    return UnionPart(
        profile, part.half_height, part.scale, flip[:, None] * part.rotation * flip, part.position * flip, part.texture
    )


def normalised(parts: list[UnionPart], radius: float) -> list[UnionPart]:
    """Moved and scaled so that the bounding box is centred and the farthest vertex lies at `radius`."""
    vertices = np.concatenate([part.triangles()[0] for part in parts])
    centre = (vertices.min(0) + vertices.max(0)) / 2
    factor = radius / np.linalg.norm(vertices - centre, axis=1).max()
    return [
        UnionPart(p.profile, p.half_height, p.scale * factor, p.rotation, (p.position - centre) * factor, p.texture)
        for p in parts
    ]
