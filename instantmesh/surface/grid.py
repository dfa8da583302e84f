"""Regular grids: their points, their cubes, and what a surface crosses.

A grid of (x, y, z) cubes has (x + 1, y + 1, z + 1) points; both are enumerated with x slowest and z fastest. Corner c
of a cube sits at offset (c & 1, c >> 1 & 1, c >> 2 & 1).
"""

import logging
from collections.abc import Callable
from math import isfinite

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from instantmesh.errors import EmptySurfaceError, InputError

_log = logging.getLogger(__name__)


def surface_cubes(inside: Bool[Tensor, "x y z"]) -> Int[Tensor, "c 3"]:
    """Positions of the cubes whose eight corners aren't all on one side, in ascending order.

    Args:
        inside: at every grid point, whether it lies inside.
    """
    some = every = inside
    for axis in range(3):
        n = inside.shape[axis] - 1
        some = some.narrow(axis, 0, n) | some.narrow(axis, 1, n)
        every = every.narrow(axis, 0, n) & every.narrow(axis, 1, n)
    return (some & ~every).nonzero()


def cube_corners(positions: Int[Tensor, "c 3"], shape: tuple[int, ...]) -> Int[Tensor, "c 8"]:
    """Point ids of the corners of cubes at `positions`, in a grid of `shape` = (x, y, z) points."""
    _, ny, nz = shape
    x, y, z = positions.unbind(1)
    first = (x * ny + y) * nz + z
    return torch.stack([first + ((c & 1) * ny + (c >> 1 & 1)) * nz + (c >> 2 & 1) for c in range(8)], dim=1)


def point_positions(ids: Int[Tensor, " p"], shape: tuple[int, ...]) -> Int[Tensor, "p 3"]:
    """Where the points with these ids sit, in a grid of `shape` = (x, y, z) points: the inverse of the enumeration."""
    _, ny, nz = shape
    return torch.stack([ids // (ny * nz), ids // nz % ny, ids % nz], dim=1)


def check_surface(
    values: Float[Tensor, "x y z"], inside: Bool[Tensor, "x y z"], name: str, level: float, *, warn: bool = True
) -> None:
    """Check that a surface lies in the grid, and warn where it leaves it.

    Args:
        values: the field at the grid points.
        inside: where they count as inside.
        name: what the field is called in messages.
        level: the value at the surface.
        warn: about surfaces that leave the grid; in training they come and go.

    Raises:
        InputError: the field has values that aren't finite.
        EmptySurfaceError: all points lie on the same side.
    """
    sides = torch.cat([inside.select(axis, end).flatten() for axis in range(3) for end in (0, -1)])
    extremes = torch.stack(values.detach().aminmax()).double()  # NaN wherever there is one
    flags = torch.stack([inside.any(), inside.all(), sides.any(), sides.all()])
    low, high, some, every, some_side, every_side = torch.cat([extremes, flags]).tolist()  # a GPU is waited for once
    if not (isfinite(low) and isfinite(high)):
        raise InputError(f"the {name} has values that aren't finite")
    if not some or every:
        side = "inside (full)" if every else "outside (empty)"
        raise EmptySurfaceError(
            f"no surface in the grid: the {name} runs from {low:.4g} to {high:.4g} and never crosses {level:g},"
            f" so all of the grid is {side}"
        )
    if warn and some_side and not every_side:
        _log.warning("the surface touches the boundary of the grid and is left open there")


def in_chunks(function: Callable[[Tensor], Tensor], points: Float[Tensor, "p 3"], size: int) -> Tensor:
    """`function` of all points, evaluated on `size` points at a time; it's called once even if there are none."""
    return torch.cat([function(chunk) for chunk in points.split(size)])
