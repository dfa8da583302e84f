"""Marching cubes (Lewiner et al. 2003, by scikit-image): a density at grid points -> triangles, for the NeRF variants.

scikit-image rather than PyMCubes: on a 256^3 density with two blobs (89,496 faces) it takes 0.20 s and 7 MB beside the
grid against 0.40 s and 9 MB, on one core of a server CPU; both merge shared vertices (no duplicates, no triangle
without area, every edge in two faces), and Lewiner's tables also get the topology inside ambiguous cubes right.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.structures import Mesh
from instantmesh.surface.grid import check_surface, in_chunks
from instantmesh.surface.sparse_grid import DensityOnGrid, SparseGrid

DENSE_POINTS = 257
_POINTS_PER_CHUNK = 32768
_POINTS_PER_SLAB = 64_000_000

Triangles = tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]


@runtime_checkable
class DensityField(Protocol):
    """What a radiance field tells about its shape and colours."""

    def density_on_grid(
        self, x: Float[Tensor, " nx"], y: Float[Tensor, " ny"], z: Float[Tensor, " nz"]
    ) -> Float[Tensor, "nx ny nz"]:
        """Density on the grid x x y x z, indexed [x, y, z]."""
        ...

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """sRGB colours at points."""
        ...


def marching_cubes(
    values: Float[Tensor, "n n n"], level: float, bounds: tuple[float, float]
) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """Triangulate the surface `values` = `level`, inside being where values are larger (negate a signed distance).

    Args:
        values: the field at the points axis x axis x axis (x slowest), axis = linspace(*bounds, n).
        level: the value at the surface.
        bounds: coordinate of the first and of the last point along each axis.

    Returns:
        Vertices in the units of `bounds` and faces, counter-clockwise seen from outside, on the device of `values`.
        Without gradients. The surface is left open where it leaves the grid.

    Raises:
        InputError: the grid has fewer than two points a side, or values aren't finite.
        EmptySurfaceError: no value, or every value, is above the level.
    """
    n = len(values)
    if n < 2:
        raise InputError(f"marching cubes needs two grid points or more along each axis, got {n}")
    values = values.detach()
    check_surface(values, values > level, "density", level)
    vertices, faces = _triangulate(values, level)
    low, high = bounds
    points = vertices.float() / (n - 1) * (high - low) + low
    return points.to(values.device), faces.to(values.device)


@torch.no_grad()
def extract_isosurface(
    density_on_grid: DensityOnGrid,
    colors: Callable[[Tensor], Tensor],
    resolution: int = 256,
    bound: float = 1.0,
    threshold: float = 10.0,
    *,
    device: torch.device | str = "cpu",
) -> Mesh:
    """Extract the coloured surface of a density.

    Up to 257 points an axis the whole grid is evaluated. Finer grids are evaluated near the surface only and
    triangulated in slabs, so that memory grows with the surface; the mesh is the whole grid's, but for specks and thin
    plates between the coarse points, which are missed where they meet no evaluated block (see `sparse_grid`).

    Args:
        density_on_grid: three axes (nx,), (ny,), (nz,) -> (nx, ny, nz) activated density on the grid they span.
        colors: (p, 3) points -> (p, 3) sRGB, about [0, 1]; clamped here.
        resolution: n, points along each axis; first and last lie on the bounds.
        bound: the grid spans [-bound, bound]^3, world units.
        threshold: density at the surface.
        device: where the field lives.

    Raises:
        InputError: resolution below 2, bound not positive, or densities that aren't finite.
        EmptySurfaceError: the density stays on one side of the threshold.
    """
    if resolution < 2 or not bound > 0:
        raise InputError(f"need a resolution of 2 or more and a positive bound, got {resolution} and {bound}")
    axis = torch.linspace(-bound, bound, resolution, device=device)
    if resolution <= DENSE_POINTS:
        vertices, faces = marching_cubes(density_on_grid(axis, axis, axis), threshold, (-bound, bound))
    else:
        grid = SparseGrid(density_on_grid, axis, threshold)
        vertices, faces = _triangulate_slabs(grid.slabs(_POINTS_PER_SLAB), threshold)
        vertices = vertices / (resolution - 1) * 2 * bound - bound
    vertices, faces = vertices.float().to(device), faces.to(device)
    return Mesh(vertices, faces, in_chunks(colors, vertices, _POINTS_PER_CHUNK).clamp(0, 1))


def _triangulate(values: Float[Tensor, "x y z"], level: float) -> Triangles:
    """Lewiner's triangles in units of grid points; none where the surface isn't."""
    from skimage.measure import marching_cubes as lewiner

    low, high = (float(extreme) for extreme in values.aminmax())
    if not low <= level < high:
        return torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.int64)
    # scikit-image names the direction for a left-handed reading of the faces; ours are right-handed
    vertices, faces, _, _ = lewiner(values.float().cpu().numpy(), level, gradient_direction="ascent")
    return torch.from_numpy(vertices.copy()).double(), torch.from_numpy(faces.copy()).long()


def _triangulate_slabs(slabs: Iterable[tuple[int, Float[Tensor, "x y z"]]], level: float) -> Triangles:
    """One mesh of slabs that follow each other along x and share a layer of cubes, given as (first layer, values).

    Lewiner's algorithm walks through the cubes with x slowest, and what it makes of a cube depends on its corners only.
    So the shared layer's triangles end one slab's list and begin the next one's, in the same order, which tells exactly
    which vertices are the same. (Their places don't: near a grid point, those of several edges may coincide.) The mesh
    is the undivided grid's with the same numbering.
    """
    all_vertices, all_faces, count = [], [torch.zeros(0, 3, dtype=torch.int64)], 0
    for index, (start, values) in enumerate(slabs):
        vertices, faces = _triangulate(values, level)
        shared = len(_triangulate(values[:2], level)[1]) if index else 0
        ids = torch.full((len(vertices),), -1)
        ids[faces[:shared]] = all_faces[-1][len(all_faces[-1]) - shared :]
        fresh = ids < 0
        ids[fresh] = torch.arange(int(fresh.sum())) + count
        count += int(fresh.sum())
        vertices[:, 0] += start
        all_vertices.append(vertices[fresh])
        all_faces.append(ids[faces[shared:]])
    return torch.cat(all_vertices), torch.cat(all_faces)
