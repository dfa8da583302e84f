"""Recipes made into surfaces that can be rendered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.zeroverse.booleans import difference
from instantmesh.data.procedural.zeroverse.primitives import PrimitiveMesh, primitive_mesh
from instantmesh.data.procedural.zeroverse.recipe import Cut, Primitive, Recipe, Wires, random_recipe
from instantmesh.data.procedural.zeroverse.solids import Array, Solid, concatenate
from instantmesh.data.procedural.zeroverse.textures import SolidTexture
from instantmesh.data.procedural.zeroverse.wireframes import tubes
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.bounds import Bounds
from instantmesh.geometry.triangles import unit

_SMOOTH = (32, 1)  # segments around, cells along straight sides
_FINE = (40, 12)  # under height fields


@dataclass(frozen=True)
class Shape:
    """A finished shape, a `rendering.Surface`, coloured without light.

    Its bounding box is centred at the origin, its farthest point at a distance between 0.85 and 1, so that every camera
    sees all of it.

    Its solids overlap; what a ray meets first is on their union's surface.
    """

    solid: Solid
    textures: tuple[SolidTexture, ...]

    @property
    def vertices(self) -> Array:
        return self.solid.vertices

    @property
    def faces(self) -> NDArray[np.int64]:
        return self.solid.faces

    @cached_property
    def _normals_and_local(self) -> Array:
        return np.concatenate([self.solid.normals, self.solid.local], 1)

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        """Unlit colours (p, 3), sRGB in [0, 1], and unit normals (p, 3) at `barycentric` (p, 3) of faces (p,)."""
        both = interpolate(self._normals_and_local, self.faces[face], barycentric.astype(np.float32))
        normals, local = np.split(both, 2, axis=1)
        colors = np.empty_like(local)
        owner = self.solid.texture[face]
        for index in np.unique(owner):
            chosen = np.flatnonzero(owner == index)
            colors[chosen] = self.textures[index](local[chosen])
        return colors, unit(normals)


def random_shape(seed: int) -> Shape:
    """The shape of this seed: the same on every machine. Seeds from `HELD_OUT_SEED` on are kept for evaluation."""
    return build(random_recipe(seed))


def build(recipe: Recipe) -> Shape:
    """The shape of a recipe."""
    textures = [primitive.texture for primitive in recipe.primitives]
    finish = recipe.finish
    if isinstance(finish, Wires):
        solids = _wireframe(recipe.primitives, finish)
    else:
        solids = [_solid(primitive, index) for index, primitive in enumerate(recipe.primitives)]
    if isinstance(finish, Cut):
        cutter = _placed(_solid(finish.primitive, len(textures)), finish, concatenate(solids).vertices)
        textures.append(finish.primitive.texture)
        solids = difference(solids, cutter)
    return Shape(_normalised(concatenate(solids), recipe.radius), tuple(textures))


def _solid(primitive: Primitive, texture: int) -> Solid:
    mesh = primitive_mesh(primitive.kind, *(_SMOOTH if primitive.height_field is None else _FINE))
    points, local = _points(primitive, mesh)
    return Solid(
        points[mesh.place],
        mesh.faces,
        mesh.vertex_normals(points),
        local[mesh.place],
        np.full(len(mesh.faces), texture),
        mesh.place,
    )


def _points(primitive: Primitive, mesh: PrimitiveMesh) -> tuple[Array, Array]:
    """The mesh's points (n, 3) in the world, displaced, and their texture coordinates (n, 3)."""
    points = mesh.points
    if primitive.height_field is not None:
        points = points + mesh.outward * primitive.height_field(points)[:, None]
    local = points * primitive.half_sides
    return local @ primitive.rotation.T + primitive.position, local


def _wireframe(primitives: Sequence[Primitive], wires: Wires) -> list[Solid]:
    meshes = [primitive_mesh(primitive.kind, wires.segments, wires.cells) for primitive in primitives]
    placed = [_points(primitive, mesh) for primitive, mesh in zip(primitives, meshes, strict=True)]
    _, size = _centre_and_size(np.concatenate([points for points, _ in placed]))
    return [
        tubes(points, local, mesh.edges, wires.radius * size, texture)
        for texture, ((points, local), mesh) in enumerate(zip(placed, meshes, strict=True))
    ]


def _placed(cutter: Solid, cut: Cut, shape: Array) -> Solid:
    """The cutter scaled and moved into the shape with these vertices (v, 3), as its `Cut` says."""
    middle, _ = _centre_and_size(shape)
    outermost = shape[(shape @ cut.direction).argmax()]
    centre = middle + cut.place * (outermost - middle)
    reach = float(np.sqrt(np.square(shape - centre).sum(1).max()))
    own_centre, own_size = _centre_and_size(cutter.vertices)
    return _moved(cutter, own_centre, cut.size * reach / own_size, centre)


def _normalised(solid: Solid, radius: float) -> Solid:
    """The solid's bounding box centred at the origin, its farthest point at `radius`."""
    centre, size = _centre_and_size(solid.vertices)
    return _moved(solid, centre, radius / size, np.zeros(3, np.float32))


def _moved(solid: Solid, centre: Array, factor: float, to: Array) -> Solid:
    """The solid scaled about `centre` (3,), which moves to `to` (3,). Textures are scaled along."""
    scale = np.float32(factor)
    return replace(solid, vertices=(solid.vertices - centre) * scale + to, local=solid.local * scale)


def _centre_and_size(points: Array) -> tuple[Array, float]:
    """The middle (3,) of the bounding box of points (n, 3), and the distance from there to the farthest."""
    centre = Bounds.of(points).center
    return centre, float(np.sqrt(np.square(points - centre).sum(1).max()))
