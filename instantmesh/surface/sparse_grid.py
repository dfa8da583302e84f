"""A fine regular grid of a density, evaluated only near its surface.

The grid's points are cut into blocks. A coarse grid, every `stride`-th point and the last, tells which blocks the
surface crosses; from those it is followed: wherever outermost points of an evaluated block lie on another side than a
block that touches them, be it at a face, an edge or a corner, that one is evaluated, too. In the end a cube with an
unevaluated corner has all its evaluated corners on that block's side, so a component of the surface is either found
whole, from eight evaluated points in every cube, or not at all. Missed is a component that parts no two neighbouring
coarse points and meets no evaluated block: a speck, or a thin plate that lies between the coarse points everywhere.

Symbols: n points an axis, b blocks an axis, c coarse points an axis; points and blocks are counted from 0.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.surface.grid import check_surface

DensityOnGrid = Callable[[Tensor, Tensor, Tensor], Tensor]
"""three axes (nx,), (ny,), (nz,) -> (nx, ny, nz) density on the grid they span"""

COARSE_POINTS = 257
_BLOCK_POINTS = 32
_TOUCHING = {-1: slice(0, 1), 0: slice(None), 1: slice(-1, None)}
"""which of a block's points touch the neighbour on this side, along one axis"""

Block = tuple[int, int, int]


class SparseGrid:
    """Densities near the surface, each point evaluated once.

    Args:
        density_on_grid: the density.
        axis: (n,) coordinates of the points along each axis.
        level: density at the surface; inside is above it.
        coarse_points, block_points: the coarse grid's points and a block's, an axis, at most.

    Raises:
        InputError: densities that aren't finite.
        EmptySurfaceError: the coarse grid sees no surface.
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
        last = len(axis) - 1
        stride = -(-last // (coarse_points - 1))
        self._size = stride * max(1, block_points // stride)
        points = torch.tensor([*range(0, last, stride), last])
        coarse = density_on_grid(*[axis[points.to(axis.device)]] * 3)
        inside = coarse > level
        check_surface(coarse, inside, "density", level)
        some, every = _per_block(inside.cpu(), torch.bincount(points // self._size).tolist())
        self._filling = every  # side of the blocks that aren't evaluated
        self._values: dict[Block, Tensor] = {}
        self._follow(some & ~every)

    @property
    def evaluated_points(self) -> int:
        """Fine points whose density was asked for."""
        return sum(values.numel() for values in self._values.values())

    def slabs(self, points: int) -> Iterator[tuple[int, Float[Tensor, "x n n"]]]:
        """The grid in slabs along x of about `points` points; each shares its last layer of cubes with the next one.

        Yields:
            The slab's first layer's place along x, and its values on the CPU; where nothing was evaluated, one of two
            values on the right side of the level.
        """
        n = len(self._axis)
        step = max(1, points // n**2)
        for start in range(0, n - 1, step):
            first = max(start - 1, 0)
            yield first, self._assembled(first, min(start + step + 1, n))

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
        start = crossed.clone()
        for dim in range(3):  # the surface may also pass between two blocks, each on one side
            low, high = (self._filling.narrow(dim, at, len(crossed) - 1) for at in (0, 1))
            known = crossed.narrow(dim, 0, len(crossed) - 1) | crossed.narrow(dim, 1, len(crossed) - 1)
            start.narrow(dim, 0, len(crossed) - 1).logical_or_((low != high) & ~known)
        waiting = {(i, j, k) for i, j, k in start.nonzero().tolist()}
        while waiting:
            block = waiting.pop()
            self._values[block] = values = self._evaluate(block)
            inside = (values > self._level).cpu()
            for step in product(_TOUCHING, repeat=3):
                i, j, k = (at + side for at, side in zip(block, step, strict=True))
                if not all(0 <= at < len(crossed) for at in (i, j, k)) or (i, j, k) in self._values:
                    continue
                touching = inside[tuple(_TOUCHING[side] for side in step)]
                if bool((touching != self._filling[i, j, k]).any()):
                    waiting.add((i, j, k))

    def _evaluate(self, block: Block) -> Float[Tensor, "x y z"]:
        values = self._density(*(self._axis[i * self._size : (i + 1) * self._size] for i in block))
        if not bool(torch.isfinite(values).all()):
            raise InputError("the density has values that aren't finite")
        return values


def _per_block(inside: Bool[Tensor, "c c c"], counts: list[int]) -> tuple[Bool[Tensor, "b b b"], Bool[Tensor, "b b b"]]:
    """Whether some, and whether all, of the coarse points in each block are inside; `counts` (b) of them an axis."""
    some = every = inside
    for dim in range(3):
        some = torch.stack([part.any(dim) for part in some.split(counts, dim)], dim)
        every = torch.stack([part.all(dim) for part in every.split(counts, dim)], dim)
    return some, every
