"""What flat charts take of an image, column by column.

Shapes: f faces, c charts, s columns of all charts. Texels have side 1; rows are counted downwards.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import components
from instantmesh.texture.parameterization import Array, Indices, Parameterization

_ANGLES = 24  # between 0 and 90 degrees, that charts are turned by


@dataclass(frozen=True, eq=False)
class Outlines:
    """Charts at some scale, turned by some quarters, with half a gutter around each.

    Attributes:
        first: (c + 1,) the first column of each chart.
        top, bottom: (s,) rows that charts begin at and end before.
    """

    first: Indices
    top: Indices
    bottom: Indices

    def of(self, chart: int) -> tuple[Indices, Indices]:
        """Top and bottom of one chart's columns."""
        own = slice(self.first[chart], self.first[chart + 1])
        return self.top[own], self.bottom[own]


@dataclass(frozen=True, eq=False)
class Charts:
    """Charts in the units of the surface, seen from outside.

    Each has its bounding box's upper left corner at (0, 0) and is turned so that this box is smallest, and higher than
    wide.

    Attributes:
        corners: (f, 3, 2) of the faces.
        of_face: (f,) the chart that each belongs to.
        sides: (c, 2) width and height of the charts.
        border: (b,) edges that one face alone has; edge 3 i + k begins at the corner k of face i.
    """

    corners: Array
    of_face: Indices
    sides: Array
    border: Indices

    @classmethod
    def of(cls, flat: Parameterization) -> "Charts":
        """The charts of a surface laid flat: the faces that hang together."""
        of_face = components(flat.faces, len(flat.places))
        order = np.argsort(of_face, kind="stable")
        chart = of_face[order]
        first = np.searchsorted(chart, np.arange(chart[-1] + 1))
        corners = _turned(_seen_from_outside(flat.corners()[order], chart, first), chart, first)
        sides = np.maximum.reduceat(corners.max(1), first)
        back = np.empty_like(corners)
        back[order] = corners
        edges = Edges.of(flat.faces)
        return cls(back, of_face, sides, np.flatnonzero(edges.is_boundary[edges.undirected]))

    def __len__(self) -> int:
        return len(self.sides)

    def scale_that_fills(self, area_px: float, gutter_px: int) -> float:
        """Texels per unit at which the bounding boxes with their gutters take `area_px`.

        Or little more than none if the gutters alone take more.
        """
        boxes, gutters = self.sides.prod(1).sum(), self.sides.sum() * gutter_px / 2
        free = max(area_px - len(self) * gutter_px**2, area_px / 100)
        return free / (gutters + (gutters**2 + boxes * free) ** 0.5)

    def outlines(self, scale: float, way: int, gutter_px: int) -> Outlines:
        """At so many texels per unit, turned clockwise by `way` quarters, with half a gutter on every side."""
        width, height = self.turned_sides(scale, way, gutter_px).T
        first = np.concatenate([[0], np.cumsum(width)])
        corners = self._turned_corners(scale, way, gutter_px).reshape(-1, 2)
        start, end = corners[self.border], corners[self.border // 3 * 3 + (self.border + 1) % 3]
        swap = (start[:, 0] > end[:, 0])[:, None]
        start, end = np.where(swap, end, start), np.where(swap, start, end)
        # Column i has what lies in it, and half a gutter to either side of it.
        margin, chart = gutter_px / 2, self.of_face[self.border // 3]
        low = np.floor(start[:, 0] - margin).astype(np.int64).clip(0)
        count = np.minimum(np.floor(end[:, 0] + margin).astype(np.int64), width[chart] - 1) - low + 1
        edge = np.repeat(np.arange(len(count)), count)
        column = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        run = np.maximum(end - start, 1e-12)[edge, 0]
        left, right = (
            start[edge, 1] + (end - start)[edge, 1] * np.clip((column + step - start[edge, 0]) / run, 0, 1)
            for step in (-margin, 1 + margin)
        )
        place = first[chart[edge]] + column
        top, bottom = np.full(first[-1], np.inf), np.full(first[-1], -np.inf)
        np.minimum.at(top, place, np.minimum(left, right) - margin)
        np.maximum.at(bottom, place, np.maximum(left, right) + margin)
        closed = top > bottom  # no border there: faces that lie upon each other
        top, bottom = np.where(closed, 0, top), np.where(closed, np.repeat(height, width), bottom)
        return Outlines(first, np.floor(top).astype(np.int64), np.ceil(bottom).astype(np.int64))

    def placed(self, scale: float, ways: Indices, moves: Indices, gutter_px: int) -> Array:
        """(f, 3, 2) the faces' corners, at so many texels per unit, each chart turned its way and moved."""
        corners = np.choose(
            ways[self.of_face][:, None, None], [self._turned_corners(scale, way, gutter_px) for way in range(4)]
        )
        return corners + moves[self.of_face][:, None]

    def turned_sides(self, scale: float, way: int, gutter_px: int) -> Indices:
        """(c, 2) columns and rows that the bounding boxes take, gutters included."""
        sides = np.ceil(self.sides * scale + gutter_px).astype(np.int64)
        return sides[:, ::-1] if way % 2 else sides

    def _turned_corners(self, scale: float, way: int, gutter_px: int) -> Array:
        """(f, 3, 2) the faces' corners in their chart's box of whole texels."""
        columns, rows = np.moveaxis(self.turned_sides(scale, 0, gutter_px)[self.of_face][:, None], -1, 0)
        x, y = np.moveaxis(self.corners * scale + gutter_px / 2, -1, 0)
        return np.stack([(x, y), (rows - y, x), (columns - x, rows - y), (y, columns - x)][way], -1)


def _seen_from_outside(corners: Array, chart: Indices, first: Indices) -> Array:
    """Charts mirrored where their faces don't turn counter-clockwise to the eye, most of them by area."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    mirrored = np.add.reduceat(ax * by - ay * bx, first) > 0  # rows are counted downwards
    return corners * np.where(mirrored[chart], [[-1], [1]], 1).T[:, None]


def _turned(corners: Array, chart: Indices, first: Indices) -> Array:
    """Charts turned so that their bounding boxes are smallest and not wider than high, from (0, 0) on."""
    least, angle = np.full(len(first), np.inf), np.zeros(len(first))
    for turn in np.linspace(0, np.pi / 2, _ANGLES, endpoint=False):
        at_turn = _rotated(corners, np.full(len(chart), turn))
        box = np.maximum.reduceat(at_turn.max(1), first) - np.minimum.reduceat(at_turn.min(1), first)
        smaller = box.prod(1) < least * (1 - 1e-9)
        least = np.where(smaller, box.prod(1), least)
        angle = np.where(smaller, turn + np.where(box[:, 0] > box[:, 1], np.pi / 2, 0), angle)
    best = _rotated(corners, angle[chart])
    return best - np.minimum.reduceat(best.min(1), first)[chart][:, None]


def _rotated(corners: Array, angle: Array) -> Array:
    """(f, 3, 2) the faces' corners turned about (0, 0), each face by its angle (f,)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = corners[..., 0], corners[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], -1)
