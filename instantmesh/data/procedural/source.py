"""Procedural shapes as a source of objects, rendered when they are asked for: no data set, no download.

Object i is the shape of seed `first_seed + i`. Its cameras follow from that seed alone, so view k of object i is the
same image whichever views are read, in whatever order, in whichever process.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from instantmesh.data.layout import DIFFUSION_VIEWS
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.data.procedural.zeroverse import random_shape
from instantmesh.data.rigs import diffusion_cameras, random_cameras
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError
from instantmesh.structures import Cameras

RANDOM_VIEWS = 32
SHAPES = ("zero", "unions")
LAYOUTS = ("random", "diffusion")
_CAMERA_STREAM = 2  # of an object's random numbers; seeds alone draw its shape


class ProceduralSource:
    """An `ObjectSource` of procedural shapes.

    Args:
        first_seed: of object 0. The held-out seeds, from 1,000,000,000 on, don't mix with the others.
        objects: how many there are; they cost nothing until they are read.
        size_px: side of the images.
        layout: "random", 32 random cameras; "diffusion", a query view and the six fixed poses. See `rigs`.
        shapes: "zero", shapes after LRM-Zero (`zeroverse`); "unions", exact unions under a soft light (`procedural`).

    Raises:
        InputError: no objects or pixels, an unknown layout or kind of shape, or seeds on both sides of the held-out
            seeds' beginning.
    """

    def __init__(
        self, first_seed: int, objects: int, size_px: int, layout: str = "random", shapes: str = "zero"
    ) -> None:
        if first_seed < 0 or objects < 1 or size_px < 1:
            raise InputError(f"need a seed from 0 on, objects and pixels; got {first_seed}, {objects}, {size_px}")
        if layout not in LAYOUTS or shapes not in SHAPES:
            raise InputError(f"layouts are {LAYOUTS}, shapes are {SHAPES}; got {layout!r}, {shapes!r}")
        if first_seed < HELD_OUT_SEED < first_seed + objects:
            raise InputError(f"seeds from {HELD_OUT_SEED} on are held out; these run over them")
        self.view_count = RANDOM_VIEWS if layout == "random" else DIFFUSION_VIEWS
        self._first_seed, self._objects, self._size_px = first_seed, objects, size_px
        self._layout, self._shapes = layout, shapes
        self._last: tuple[int, ObjectRenderer] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}  # ray structures don't go to other processes

    def __len__(self) -> int:
        return self._objects

    def cameras(self, index: int) -> Cameras:
        """All cameras of object `index`."""
        rng = np.random.default_rng([self._seed(index), _CAMERA_STREAM])
        return random_cameras(RANDOM_VIEWS, rng) if self._layout == "random" else diffusion_cameras(rng)

    def read(self, index: int, views: Sequence[int]) -> ObjectViews:
        """These views of object `index`, in this order. Only they are rendered.

        Raises:
            InputError: no such object or view.
        """
        if not views or min(views) < 0 or max(views) >= self.view_count:
            raise InputError(f"objects have views 0..{self.view_count - 1}, asked for {list(views)}")
        return self._renderer(index).views(self.cameras(index)[list(views)], self._size_px)

    def _renderer(self, index: int) -> ObjectRenderer:
        """The object's renderer. The last one is kept, for items that read one object's views in two calls."""
        if self._last is None or self._last[0] != index:
            seed = self._seed(index)
            surface = random_shape(seed) if self._shapes == "zero" else ProceduralSurface(random_object(seed))
            self._last = index, ObjectRenderer(surface)
        return self._last[1]

    def _seed(self, index: int) -> int:
        if not 0 <= index < self._objects:
            raise InputError(f"there are {self._objects} objects, asked for number {index}")
        return self._first_seed + index
