"""What a shape is made of: every random choice of LRM-Zero's recipe, and nothing that takes time.

One to nine primitives, stretched along each axis, turned and placed at random, each with its own texture and half of
them with a height field; then something is cut out, or the whole becomes a wireframe, or neither.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.data.procedural.zeroverse.noise import Noise, random_noise
from instantmesh.data.procedural.zeroverse.primitives import KINDS
from instantmesh.data.procedural.zeroverse.solids import Array
from instantmesh.data.procedural.zeroverse.textures import SolidTexture, random_texture

COUNT_WEIGHTS = (5, 5, 5, 5, 5, 4, 3, 2, 1)  # of one to nine primitives
HEIGHT_FIELD_SHARE = 0.5
FINISHES = ("difference", "wireframe", "plain")
FINISH_SHARES = (0.4, 0.2, 0.4)

RADIUS = (0.85, 1.0)  # of the farthest point of a finished shape
_HALF_SIDE = (0.3, 1.0)  # of a primitive along each axis, before the whole is normalised
_HEIGHT_FREQUENCY = (2.5, 9.0)  # radians per length, in a primitive of half side 1
_STEEPNESS = (0.3, 1.0)  # height times frequency: about the slope of a height field
_LARGEST_HEIGHT = 0.2
_TUBE_RADIUS = (0.012, 0.035)  # of a wireframe, in a shape of radius 1
_CUT_SIZE = (0.4, 0.9)  # of what is cut out, in distances to the farthest point: below 1, so something stays
_CUT_PLACE = (0.4, 1.0)  # where it is centred, from the middle of the shape (0) to its outermost point (1)


@dataclass(frozen=True)
class HeightField:
    """Moves a surface along its normals by `height` times the noise, or, `ridged`, its crests folded."""

    noise: Noise
    height: float
    ridged: bool

    def __call__(self, points: Array) -> Array:
        """Heights (n,) at points (n, 3) of the unstretched primitive."""
        value = self.noise(points)
        return self.height * (1 - 2 * np.abs(value) if self.ridged else value)


@dataclass(frozen=True)
class Primitive:
    """One of `primitives.KINDS`: world = rotation @ (half_sides * local) + position."""

    kind: str
    half_sides: Array  # (3,)
    rotation: Array  # (3, 3)
    position: Array  # (3,)
    texture: SolidTexture
    height_field: HeightField | None


@dataclass(frozen=True)
class Cut:
    """What is cut out of a shape.

    `primitive`, made `size` large and centred towards the outermost point along `direction` (3,). Its position is that
    of the shape's, not its own.
    """

    primitive: Primitive
    direction: Array
    place: float
    size: float


@dataclass(frozen=True)
class Wires:
    """Tubes along the edges of coarse primitives: `segments` around, `cells` along straight sides."""

    radius: float
    segments: int
    cells: int


@dataclass(frozen=True)
class Recipe:
    """A shape to be built.

    Attributes:
        primitives: one to nine.
        radius: distance of the finished shape's farthest point from the origin.
        finish: a cut (boolean difference), wires, or None.
    """

    primitives: tuple[Primitive, ...]
    finish: Cut | Wires | None
    radius: float


def random_recipe(seed: int) -> Recipe:
    """The recipe of this seed: the same on every machine. Seeds from `HELD_OUT_SEED` on are kept for evaluation."""
    rng = np.random.default_rng(seed)
    weights = np.array(COUNT_WEIGHTS, float)
    count = 1 + int(rng.choice(len(COUNT_WEIGHTS), p=weights / weights.sum()))
    primitives = tuple(_random_primitive(rng) for _ in range(count))
    finish = _random_finish(rng, str(rng.choice(FINISHES, p=FINISH_SHARES)))
    return Recipe(primitives, finish, radius=float(rng.uniform(*RADIUS)))


def _random_primitive(rng: np.random.Generator) -> Primitive:
    return Primitive(
        str(rng.choice(KINDS)),
        rng.uniform(*_HALF_SIDE, 3).astype(np.float32),
        _random_rotation(rng),
        rng.uniform(-1, 1, 3).astype(np.float32),
        random_texture(rng),
        _random_height_field(rng) if rng.random() < HEIGHT_FIELD_SHARE else None,
    )


def _random_height_field(rng: np.random.Generator) -> HeightField:
    frequency = float(rng.uniform(*_HEIGHT_FREQUENCY))
    height = min(float(rng.uniform(*_STEEPNESS)) / frequency, _LARGEST_HEIGHT)
    return HeightField(random_noise(rng, frequency), height, ridged=bool(rng.random() < 0.3))


def _random_finish(rng: np.random.Generator, name: str) -> Cut | Wires | None:
    if name == "difference":
        direction = rng.normal(size=3)
        return Cut(
            _random_primitive(rng),
            (direction / np.linalg.norm(direction)).astype(np.float32),
            place=float(rng.uniform(*_CUT_PLACE)),
            size=float(rng.uniform(*_CUT_SIZE)),
        )
    if name == "wireframe":
        return Wires(
            float(rng.uniform(*_TUBE_RADIUS)), segments=int(rng.integers(6, 15)), cells=int(rng.integers(1, 4))
        )
    return None


def _random_rotation(rng: np.random.Generator) -> Array:
    """Uniform over all rotations: an orthonormalised Gaussian matrix without reflection."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return q.astype(np.float32)
