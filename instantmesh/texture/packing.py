"""Flat charts packed into a square picture, by xatlas."""

from dataclasses import dataclass

import numpy as np

from instantmesh.texture.flat import Array, Flat

GUTTER_PX = 4
"""Texels between charts: the colours of two can't meet before the second mip level."""

_FIRST_FILLED = 0.5  # share of the picture that the first try gives to charts
_ENOUGH = 0.97  # share of the picture's side that, once taken, is good enough
_TRIES = 5  # then the best one is taken, or the scale lowered until one fits


def packed(flat: Flat, size_px: int) -> tuple[Array, int]:
    """(f, 3, 2) the faces' corners in the picture, in [0, 1], all at the same scale; and the number of charts.

    Charts may be turned and mirrored. xatlas takes a scale and says how large a picture became of it, so the largest
    scale that fits is searched for.
    """
    inner_px = size_px - 2 * (GUTTER_PX // 2)
    places = flat.places / max(flat.area(), 1e-30) ** 0.5
    scale = inner_px * _FIRST_FILLED**0.5
    fitting: list[tuple[float, _Packed]] = []
    tries = 0
    while not fitting or tries < _TRIES:
        found = _pack(Flat(places, flat.faces), scale)
        taken = max(found.sides_px) / inner_px  # of the room there is, and not quite in proportion to the scale
        if taken <= 1:
            fitting.append((scale, found))
        if _ENOUGH <= taken <= 1:
            break
        tries += 1
        scale *= (1 + _ENOUGH) / 2 / taken * (1 if tries <= _TRIES else _ENOUGH)
    _, found = max(fitting, key=lambda each: each[0])
    return (found.corners * found.sides_px + GUTTER_PX // 2) / size_px, found.charts


@dataclass(frozen=True, eq=False)
class _Packed:
    """Charts in a picture that is as large as they need: the faces' corners (f, 3, 2) in terms of it, its sides."""

    corners: Array
    sides_px: tuple[int, int]
    charts: int


def _pack(flat: Flat, texels_per_unit: float) -> _Packed:
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(flat.places.astype(np.float32), flat.faces.astype(np.uint32))
    options = xatlas.PackOptions()
    options.texels_per_unit = texels_per_unit
    options.padding = GUTTER_PX
    options.bilinear = True
    atlas.generate(xatlas.ChartOptions(), options)
    _, corners, uv = atlas.get_mesh(0)
    return _Packed(uv[corners].astype(np.float64), (atlas.width, atlas.height), atlas.chart_count)
