"""Procedural shapes after LRM-Zero (arXiv 2406.09371), unlimited and seeded: training data that needs no download.

`random_shape(seed)` makes a surface that `rendering.ObjectRenderer` takes. `recipe` draws what a shape is to be,
`building` makes it; `primitives`, `noise`, `textures`, `wireframes` and `booleans` hold one idea each.
"""

from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.data.procedural.zeroverse.building import Shape, build, random_shape
from instantmesh.data.procedural.zeroverse.recipe import Recipe, random_recipe

__all__ = ["HELD_OUT_SEED", "Recipe", "Shape", "build", "random_recipe", "random_shape"]
