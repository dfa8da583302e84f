"""Parameterization charts packed into a square image, none nearer to another than a gutter.

Charts are dropped onto the image like Tetris pieces, the large ones first, each turned by quarters and moved sideways
so that it comes to lie lowest. The largest scale at which all fit is searched for. (xatlas's own packing can't be asked
for a size of the image together with a gutter, mirrors charts, and leaves most of the image empty where charts are
many.)

Source: the packing of Levy et al. (2002), Least Squares Conformal Maps.
Shapes: f faces, c charts.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.errors import InputError
from instantmesh.texture.outlines import Charts, Outlines
from instantmesh.texture.parameterization import Array, Indices, Parameterization

GUTTER_PX = 4
"""Texels between charts: the colours of two can't meet before the second mip level. Fewer where charts are so many that
there would be little else."""

_ROOM_PER_GUTTER = 4  # least side of the room that a chart has on average, in terms of the gutter
_LEAST_ROOM_PX = 3
_FIRST_FILLED = 0.9  # share of the image that the first try gives to charts' bounding boxes
_TRIES = 10  # to find the largest scale
_DROPS = 30_000  # charts dropped in all tries, about: larger numbers of them get fewer tries
_SMALL_PX = 32  # charts no higher are neither turned nor dropped in a second order


def packed(flat: Parameterization, size_px: int) -> tuple[Array, int]:
    """(f, 3, 2) the faces' corners in the image, in [0, 1], all at the same scale; and the number of charts.

    Charts are turned, and mirrored where that is needed to show the surface as it is seen from outside.

    Raises:
        InputError: there are too many charts for so small an image.
    """
    charts = Charts.of(flat)
    gutter_px = gutter(len(charts), size_px)
    scale, fitting = charts.scale_that_fills(_FIRST_FILLED * size_px**2, gutter_px), None
    low, high = 0.0, np.inf
    tries = int(np.clip(_DROPS / len(charts), 2, _TRIES))
    while tries > 0 or fitting is None:
        tries -= 1
        drop = _dropped(charts, scale, gutter_px, size_px)
        if drop.height_px <= size_px:
            low, fitting = scale, drop
        else:
            high = scale
        scale = (low * high) ** 0.5 if 0 < low < high < np.inf else scale * (size_px / drop.height_px) ** 0.5 * 0.99
    return charts.placed(low, fitting.ways, fitting.moves, gutter_px) / size_px, len(charts)


def gutter(charts: int, size_px: int) -> int:
    """Texels between so many charts in an image of this side.

    Raises:
        InputError: there are too many charts for so small an image.
    """
    room_px = size_px / charts**0.5
    if room_px < _LEAST_ROOM_PX:
        raise InputError(
            f"the surface falls into {charts} pieces, too many for a texture of {size_px} texels: take a larger one,"
            " or fewer faces (target_faces)"
        )
    return int(np.clip(room_px / _ROOM_PER_GUTTER, 1, GUTTER_PX))


@dataclass(frozen=True, eq=False)
class _Drop:
    """Where charts came to lie.

    Attributes:
        ways: (c,) by how many quarters each is turned, and moves: (c, 2) how far right and down it goes then.
        height_px: the lowest row that is taken.
    """

    ways: Indices
    moves: Indices
    height_px: int


def _dropped(charts: Charts, scale: float, gutter_px: int, width_px: int) -> _Drop:
    """The charts at so many texels per unit; the better of two orders, by area and by height."""
    outlines = [charts.outlines(scale, way, gutter_px) for way in range(4)]
    width, height = (charts.sides * scale).T
    rotations = np.where(np.maximum(width, height) > _SMALL_PX, 4, 1)
    orders = [np.argsort(-width * height, kind="stable")]
    if rotations.mean() > 2:
        orders.append(np.argsort(-height, kind="stable"))
    return min((_dropped_in(order, outlines, rotations, width_px) for order in orders), key=lambda drop: drop.height_px)


def _dropped_in(order: Indices, outlines: list[Outlines], rotations: Indices, width_px: int) -> _Drop:
    filled = np.zeros(width_px, np.int64)  # rows of each column that are taken
    ways, moves = np.zeros(len(order), np.int64), np.zeros((len(order), 2), np.int64)
    for chart in order:
        lowest, taken = np.inf, filled[:0]
        for way in range(rotations[chart]):
            top, bottom = outlines[way].of(int(chart))
            if len(top) > width_px:
                continue
            rows = (np.lib.stride_tricks.sliding_window_view(filled, width_px - len(top) + 1) - top[:, None]).max(0)
            column = int(rows.argmin())
            row = max(int(rows[column]), 0)
            level = row + bottom.mean()
            if level < lowest:
                lowest, ways[chart], moves[chart], taken = level, way, (column, row), row + bottom
        if not len(taken):
            return _Drop(ways, moves, 2 * width_px)  # too wide at this scale
        filled[moves[chart, 0] : moves[chart, 0] + len(taken)] = taken
    return _Drop(ways, moves, int(filled.max()))
