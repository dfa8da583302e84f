"""A field's signed distance -> a coloured FlexiCubes mesh, evaluating everything but the distance at the surface only.

The official models evaluate deformation and weights at all (R + 1)^3 points and R^3 cubes of the grid. FlexiCubes looks
at none but the cubes that the surface crosses, a few percent, so the mesh is the same.

Shapes: n = resolution + 1 points along each axis, p points, c cubes, v vertices, f faces.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.surface.flexicubes import flexicubes, normalise_weights
from instantmesh.surface.grid import check_surface, cube_corners, in_chunks, point_positions, surface_cubes

_CPU_CHUNKS = (32_768, 4_096)
_GPU_CHUNKS = (1_048_576, 131_072)
"""Points, and cubes, whose features are evaluated at once. They bound the memory: at 240 features a point, as the large
model has, some 30 to 60 MB on a CPU and 1 GB on a GPU, where chunks cost more than they save."""


@runtime_checkable
class SignedDistanceField(Protocol):
    """What a reconstruction model tells about its shape."""

    def sdf_on_grid(self, axis: Float[Tensor, " n"]) -> Float[Tensor, "n n n"]:
        """Signed distance, negative inside, at the points axis x axis x axis (x slowest)."""
        ...

    def deformation(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Raw (unbounded) deformation of grid points."""
        ...

    def cube_weights(self, points: Float[Tensor, "p 3"], corners: Int[Tensor, "c 8"]) -> Float[Tensor, "c 21"]:
        """Raw (unbounded) FlexiCubes weights of cubes whose corners are `points[corners]`, before deformation."""
        ...

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """sRGB colour, about [0, 1], not clamped."""
        ...


@dataclass(frozen=True, eq=False)
class ExtractedSurface:
    """A mesh with what its training needs.

    Attributes:
        vertices: (v, 3) world units.
        faces: (f, 3) int64, counter-clockwise seen from outside.
        colors: (v, 3) in [0, 1], sRGB; None while training, where renderers ask the field for each pixel.
        l_dev: FlexiCubes' regulariser before its mean, see `flexicubes.DualMesh`.
        sdf_grid: (n, n, n) the signed distance it was extracted from.
        raw_weights: (c, 21) the field's raw weights at the cubes that the surface crosses.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "v 3"] | None
    l_dev: Float[Tensor, " l"]
    sdf_grid: Float[Tensor, "n n n"]
    raw_weights: Float[Tensor, "c 21"]


def grid_axis(resolution: int, scale: float, device: torch.device | str = "cpu") -> Float[Tensor, " n"]:
    """Coordinates of the `resolution` + 1 grid points along an axis: from -scale / 2 to scale / 2."""
    return (torch.arange(resolution + 1, device=device) / resolution - 0.5) * scale


def extract_flexicubes(
    field: SignedDistanceField,
    resolution: int = 128,
    scale: float = 2.1,
    *,
    training: bool = False,
    device: torch.device | str = "cpu",
) -> ExtractedSurface:
    """Extract the surface of `field` with FlexiCubes.

    Args:
        field: the shape.
        resolution: cubes along each axis.
        scale: side of the grid, world units; it is centred at the origin.
        training: keep the gradients, split quads around their centres, leave out the colours.
        device: where the field lives.

    Raises:
        InputError: resolution or scale isn't positive, or the field isn't finite.
        EmptySurfaceError: the SDF has the same sign everywhere.
    """
    if resolution < 1 or not scale > 0:
        raise InputError(f"resolution and scale of the grid must be positive, got {resolution} and {scale}")
    with torch.set_grad_enabled(training and torch.is_grad_enabled()):
        axis = grid_axis(resolution, scale, device)
        sdf_grid = field.sdf_on_grid(axis)
        inside = sdf_grid < 0
        check_surface(sdf_grid, inside, "SDF", level=0.0, warn=not training)
        cubes = surface_cubes(inside)
        ids, corners = torch.unique(cube_corners(cubes, sdf_grid.shape), return_inverse=True)
        points = axis[point_positions(ids, sdf_grid.shape)]
        points_per_chunk, cubes_per_chunk = _CPU_CHUNKS if points.device.type == "cpu" else _GPU_CHUNKS
        deformation = in_chunks(field.deformation, points, points_per_chunk).tanh() / (4 * resolution)
        raw = _cube_weights(field, points, corners, cubes_per_chunk)
        mesh = flexicubes(
            points + deformation, sdf_grid.flatten()[ids], cubes, corners, normalise_weights(raw), training=training
        )
        colors = None if training else in_chunks(field.colors, mesh.vertices, points_per_chunk).clamp(0, 1)
    return ExtractedSurface(mesh.vertices, mesh.faces, colors, mesh.l_dev, sdf_grid, raw)


def _cube_weights(
    field: SignedDistanceField, points: Float[Tensor, "p 3"], corners: Int[Tensor, "c 8"], cubes_per_chunk: int
) -> Float[Tensor, "c 21"]:
    if len(corners) <= cubes_per_chunk:
        return field.cube_weights(points, corners)
    raw = []
    for chunk in corners.split(cubes_per_chunk):
        used, local = torch.unique(chunk, return_inverse=True)
        raw.append(field.cube_weights(points[used], local))
    return torch.cat(raw)
