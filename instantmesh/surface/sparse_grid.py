"""A fine regular grid of a density, evaluated only near its surface.

The grid's points are cut into blocks. A coarse grid, every `stride`-th point, tells which blocks the surface crosses;
from those it is followed: wherever the outermost points of an evaluated block lie on another side than the block
beside them, that one is evaluated, too. All cubes that the surface crosses then have eight evaluated points, as in the
whole grid, except in components that lie between the coarse points everywhere: those aren't found.

Symbols: n points an axis, b blocks an axis, m blocks along x of one slab; points and blocks are counted from 0.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from instantmesh.errors import InputError
from instantmesh.surface.grid import check_surface

DensityOnGrid = Callable[[Tensor, Tensor, Tensor], Tensor]
"""three axes (nx,), (ny,), (nz,) -> (nx, ny, nz) density on the grid they span"""

COARSE_POINTS = 257
_BLOCK_POINTS = 32

Block = tuple[int, int, int]


class SparseGrid:
    """Densities near the surface, each point evaluated once.

    Args:
        density_on_grid: the density.
        axis: (n,) coordinates of the points along each axis.
        level: density at the surface; inside is above it.
        coarse_points, block_points: the coarse grid's points and a block's, an axis, at most.

    Raises:
        InputError: densities that aren't finite. EmptySurfaceError: the coarse grid sees no surface.
    """

    def __init__(
        self,
        density_on_grid: DensityOnGrid,
        axis: Float[Tensor, " n"],
        level: float,
        coarse_points: int = COARSE_POINTS,
        block_points: int = _BLOCK_POINTS,
    ) -> None:
        self._density, self._axis, self._level = density_on_grid, axis, level
        stride = -(-(len(axis) - 1) // (coarse_points - 1))
        self._size = stride * max(1, block_points // stride)
        coarse = density_on_grid(axis[::stride], axis[::stride], axis[::stride])
        inside = coarse > level
        check_surface(coarse, inside, "density", level)
        some, every = _per_block(inside, self._size // stride)
        self._filling = every.cpu()  # side of the blocks that aren't evaluated
        self._values: dict[Block, Tensor] = {}
        self._follow((some & ~every).cpu())

    @property
    def evaluated_points(self) -> int:
        """Fine points whose density was asked for."""
        return sum(values.numel() for values in self._values.values())

    def slabs(self, points: int) -> Iterator[tuple[int, Float[Tensor, "x n n"]]]:
        """The grid in slabs along x of about `points` points; each shares its last layer with the next one's first.

        Yields:
            The slab's first layer's place along x, and its values on the CPU; where nothing was evaluated, one of two
            values on the right side of the level.
        """
        n, b = len(self._axis), len(self._filling)
        m = max(1, points // (n * n * self._size))
        for first in range(0, b, m):
            start, stop = first * self._size, min((first + m) * self._size + 1, n)
            if stop - start < 2:
                return
            yield start, self._assembled(start, stop)

    def _assembled(self, start: int, stop: int) -> Float[Tensor, "x n n"]:
        n, size = len(self._axis), self._size
        rows = torch.arange(start, stop) // size
        columns = torch.arange(n) // size
        slab = torch.empty(stop - start, n, n)
        for layer, row in enumerate(rows.tolist()):
            filling = self._filling[row][columns][:, columns]
            slab[layer] = torch.where(filling, self._level + 1, self._level - 1)
        for (i, j, k), values in self._values.items():
            low, high = max(i * size, start), min(i * size + len(values), stop)
            if low < high:
                part = values[low - i * size : high - i * size]
                place = (slice(low - start, high - start), *(slice(x * size, x * size + size) for x in (j, k)))
                slab[place] = part.cpu()
        return slab

    def _follow(self, crossed: Bool[Tensor, "b b b"]) -> None:
        """Evaluate the crossed blocks, and whatever the surface leads to from there."""
        for dim in range(3):  # the surface may also pass between two blocks
            low, high = (self._filling.narrow(dim, at, len(self._filling) - 1) for at in (0, 1))
            crossed.narrow(dim, 0, len(crossed) - 1).logical_or_(low != high)
        waiting = {(int(i), int(j), int(k)) for i, j, k in crossed.nonzero()}
        while waiting:
            block = waiting.pop()
            self._values[block] = values = self._evaluate(block)
            inside = values > self._level
            for dim, side in product(range(3), (-1, 1)):
                i, j, k = (place + side * (dim == other) for other, place in enumerate(block))
                neighbour = (i, j, k)
                if not 0 <= neighbour[dim] < len(crossed) or neighbour in self._values or neighbour in waiting:
                    continue
                if bool((inside.select(dim, 0 if side < 0 else -1) != self._filling[neighbour]).any()):
                    waiting.add(neighbour)

    def _evaluate(self, block: Block) -> Float[Tensor, "x y z"]:
        values = self._density(*(self._axis[i * self._size : (i + 1) * self._size] for i in block))
        if not bool(torch.isfinite(values).all()):
            raise InputError("the density has values that aren't finite")
        return values


def _per_block(inside: Bool[Tensor, "c c c"], size: int) -> tuple[Bool[Tensor, "b b b"], Bool[Tensor, "b b b"]]:
    """Whether some, and whether all, of the coarse points in each block are inside."""
    c = len(inside)
    b = -(-c // size)
    whole = pad(inside[None].float(), (0, b * size - c) * 3, mode="replicate")[0]
    blocks = whole.unflatten(2, (b, size)).unflatten(1, (b, size)).unflatten(0, (b, size))
    return blocks.amax((1, 3, 5)) > 0, blocks.amin((1, 3, 5)) > 0
