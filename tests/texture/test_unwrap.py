"""Unwrapping: every face has a place of its own, charts keep apart, scales agree, and the time is bounded."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from instantmesh.geometry.rays import covering_faces
from instantmesh.geometry.triangles import Triangles, connected
from instantmesh.texture import charts
from instantmesh.texture.packing import GUTTER_PX
from instantmesh.texture.projection import projected
from instantmesh.texture.unwrap import Unwrapped, unwrap
from tests.mesh.shapes import cube, ring, sphere

SIZE_PX = 256


def _staircase(steps: int = 48) -> Triangles:
    """A spiral ramp of two turns: seen from above it lies over itself."""
    angle = np.linspace(0, 4 * np.pi, steps + 1)
    inner = np.stack([0.4 * np.cos(angle), 0.4 * np.sin(angle), angle / 8], 1)
    outer = inner * (2.5, 2.5, 1)
    i = np.arange(steps)
    a, b, c, d = i, steps + 1 + i, steps + 2 + i, i + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Triangles(np.concatenate([inner, outer]), faces)


def _chart_of_faces(uv: NDArray[np.float64]) -> NDArray[np.int64]:
    """Faces that share two corners' places are in one chart."""
    _, corners = np.unique(uv.reshape(-1, 2).round(9), axis=0, return_inverse=True)
    corners = corners.reshape(-1, 3)
    edges = np.sort(np.stack([corners, np.roll(corners, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(uv)), 3)
    order = np.lexsort(edges.T)
    same = (edges[order][1:] == edges[order][:-1]).all(1)
    return connected(owner[order][:-1][same], owner[order][1:][same], len(uv))


def _areas(uv: NDArray[np.float64]) -> NDArray[np.float64]:
    (ax, ay), (bx, by) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    return np.abs(ax * by - ay * bx) / 2


SURFACES = {
    "ring": Triangles.of(ring()),
    "sphere": Triangles.of(sphere()),
    "cube": Triangles.of(cube()),
    "small": Triangles.of(sphere(1e-3, centre=(5.0, 5.0, 5.0))),
    "staircase": _staircase(),
}


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("time_limit_s", [60.0, 0.0], ids=["xatlas", "projected"])
def test_faces_don_t_overlap_and_charts_keep_apart(name: str, time_limit_s: float) -> None:
    surface = SURFACES[name]
    found = unwrap(surface, SIZE_PX, time_limit_s)
    assert found.uv.shape == (len(surface.faces), 3, 2)
    assert found.uv.min() >= 0
    assert found.uv.max() <= 1
    assert found.projected_faces == (0 if time_limit_s else len(surface.faces))
    owner = covering_faces(found.uv * SIZE_PX, SIZE_PX, SIZE_PX)
    # The areas that faces take are those that they were given: nothing hides another face.
    taken = np.bincount(owner[owner >= 0], minlength=len(surface.faces)) / SIZE_PX**2
    chart = _chart_of_faces(found.uv)
    given = np.bincount(chart, _areas(found.uv))
    rim = 3 * np.sqrt(given) / SIZE_PX  # texels that a border cuts, in relation to a chart's width
    assert (np.abs(np.bincount(chart, taken) - given) < rim + 4 / SIZE_PX**2).all()
    assert taken.sum() == pytest.approx(given.sum(), rel=0.02)
    assert chart.max() + 1 == found.charts
    for number in range(min(found.charts, 8)):
        mine = np.isin(owner, np.flatnonzero(chart == number))
        others = (owner >= 0) & ~mine
        if mine.any() and others.any():
            assert np.asarray(distance_transform_edt(~mine))[others].min() > GUTTER_PX - 1


@pytest.mark.parametrize("name", ["ring", "sphere", "cube"])
@pytest.mark.parametrize("time_limit_s", [60.0, 0.0], ids=["xatlas", "projected"])
def test_texels_are_spread_evenly(name: str, time_limit_s: float) -> None:
    """A texel shows about as much surface everywhere; plain projection shortens slopes, by sqrt(3) at most."""
    surface = SURFACES[name]
    given = _areas(unwrap(surface, 1024, time_limit_s).uv)
    density = given / surface.areas()
    spread = density / np.median(density)
    assert spread.min() > (0.5 if time_limit_s else 3**-0.5 - 0.01)
    assert spread.max() < 2
    assert given.sum() > 0.4


def test_a_ramp_over_itself_becomes_several_charts() -> None:
    ramp = SURFACES["staircase"]
    flat = projected(ramp.vertices, ramp.faces)
    chart = connected(np.repeat(np.arange(len(flat.faces)), 3), len(flat.faces) + flat.faces.ravel(), 10_000)
    assert len(np.unique(chart[: len(flat.faces)])) >= 2
    seen = ramp.vertices[ramp.faces][..., :2]
    assert flat.area() == pytest.approx(float(_areas(seen).sum()), rel=1e-6)  # seen from above, all of it


def test_large_meshes_are_cut_in_pieces_and_the_clock_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "FACES_PER_PIECE", 400)
    surface = SURFACES["ring"]
    told: list[tuple[int, int]] = []
    flat, projected_faces = charts.flattened(surface, 60.0, lambda done, total: told.append((done, total)))
    assert projected_faces == 0
    assert told[-1] == (len(surface.faces),) * 2
    assert len(told) >= len(surface.faces) / 400
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert flat.area() == pytest.approx(surface.areas().sum(), rel=0.1)
    clock = iter(range(100))
    monkeypatch.setattr(charts.time, "monotonic", lambda: float(next(clock)))
    _, projected_faces = charts.flattened(surface, 3.5)  # the third look at the clock still is in time
    pieces = len(told)
    assert 0 < projected_faces < len(surface.faces)
    assert projected_faces == pytest.approx(len(surface.faces) * (pieces - 3) / pieces, rel=0.01)


def test_the_fall_back_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found: Unwrapped = unwrap(SURFACES["ring"], SIZE_PX, 0.0)
    assert found.projected_faces == len(SURFACES["ring"].faces)
    assert "projected plainly" in caplog.text


def test_the_same_again() -> None:
    one, other = (unwrap(SURFACES["ring"], SIZE_PX).uv for _ in range(2))
    np.testing.assert_array_equal(one, other)
