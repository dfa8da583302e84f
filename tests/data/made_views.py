"""Small views of procedural objects, for tests of layouts and readers."""

import functools

import numpy as np

from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.data.views import ObjectViews


@functools.cache
def made_views(number: int = 0, count: int = 4, size_px: int = 32) -> ObjectViews:
    """`count` random views of a held-out procedural object."""
    surface = ProceduralSurface(random_object(HELD_OUT_SEED + number))
    return ObjectRenderer(surface).views(random_cameras(count, np.random.default_rng(number)), size_px)
