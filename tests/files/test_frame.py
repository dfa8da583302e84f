"""Export frames: proper rotations, places and sizes, and what can't be."""

import itertools

import numpy as np
import pytest
import torch
import trimesh

from instantmesh.errors import InputError, OutputError
from instantmesh.files.frame import Frame, gltf_to_world, world_to_gltf
from instantmesh.mesh.reading import read_mesh

from .lettered import textured_letter

AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-x": (-1, 0, 0), "-y": (0, -1, 0), "-z": (0, 0, -1)}
KEPT = {"size_m": None, "origin": None}
POINTS = np.random.default_rng(0).normal(size=(20, 3))
TRIANGLES = np.arange(18).reshape(6, 3)  # the last two points belong to none


@pytest.mark.parametrize(
    ("up", "front"), [(a, b) for a, b in itertools.product(AXES, AXES) if a[-1] != b[-1]] + [(a, None) for a in AXES]
)
def test_up_and_front_go_where_they_should_and_nothing_is_mirrored(up: str, front: str | None):
    frame = Frame(up, front, **KEPT)
    assert np.linalg.det(frame.rotation()) == pytest.approx(1)
    placed = frame.place(np.array([(0, 0, 1.0), (1.0, 0, 0)]), np.zeros((1, 3), int))
    np.testing.assert_array_equal(placed, [AXES[up], AXES[frame.front]])


def test_the_default_is_glTF_s_and_z_up_is_the_world_s():
    np.testing.assert_array_equal(Frame(**KEPT).place(POINTS, TRIANGLES), world_to_gltf(POINTS))
    np.testing.assert_array_equal(Frame("z", **KEPT).place(POINTS, TRIANGLES), POINTS)
    assert (Frame().front, Frame("z").front, Frame("x").front, Frame("-y").front) == ("z", "x", "y", "z")
    np.testing.assert_array_equal(gltf_to_world(world_to_gltf(POINTS)), POINTS)


@pytest.mark.parametrize("up", AXES)
@pytest.mark.parametrize("size_m", [None, 0.25])
def test_origins(up: str, size_m: float | None):
    centred = Frame(up, size_m=size_m, origin="center").place(POINTS, TRIANGLES)[:18]
    np.testing.assert_allclose(centred.min(0), -centred.max(0), atol=1e-12)
    standing = Frame(up, size_m=size_m, origin="bottom").place(POINTS, TRIANGLES)[:18]
    vertical = np.abs(AXES[up]) > 0
    np.testing.assert_allclose(standing.min(0)[~vertical], -standing.max(0)[~vertical], atol=1e-12)
    heights = standing @ AXES[up]
    assert heights.min() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(np.ptp(standing, axis=0), np.ptp(centred, axis=0))
    if size_m is not None:
        assert np.ptp(standing, axis=0).max() == pytest.approx(size_m)
    else:
        moved = standing - Frame(up, **KEPT).place(POINTS, TRIANGLES)[:18]
        np.testing.assert_allclose(moved, moved[:1].repeat(18, 0), atol=1e-12)


def test_loose_vertices_don_t_count():
    points = POINTS.copy()
    points[18:] = 100
    np.testing.assert_array_equal(Frame().place(points, TRIANGLES)[:18], Frame().place(POINTS, TRIANGLES)[:18])


def test_the_world_s_origin_may_stay_while_sizes_change():
    longest = np.ptp(POINTS[:18], axis=0).max()
    placed = Frame("z", size_m=2.0, origin=None).place(POINTS, TRIANGLES)
    np.testing.assert_allclose(placed, POINTS * 2 / longest)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"up": "w"}, "up='w' is no axis"),
        ({"front": "forward"}, "front='forward' is no axis"),
        ({"up": "y", "front": "-y"}, "aren't perpendicular"),
        ({"size_m": 0.0}, "longest side"),
        ({"size_m": float("nan")}, "longest side"),
        ({"origin": "top"}, "'center', 'bottom'"),
        ({"unit": "cm"}, "'m' or 'mm'"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_can_t_be(options: dict, message: str, tmp_path):
    with pytest.raises(InputError, match=message):
        textured_letter().save(tmp_path / "a.obj", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".stl", ".obj", ".ply"])
def test_millimetres(ending: str, tmp_path, caplog: pytest.LogCaptureFixture):
    mesh = textured_letter()
    for options, longest in (({"size_m": 0.1, "unit": "mm"}, 100.0), ({"size_m": 0.1}, 0.1)):
        caplog.clear()
        written = read_mesh(mesh.save(tmp_path / f"a{ending}", **options)).vertices
        assert float((written.amax(0) - written.amin(0)).max()) == pytest.approx(longest)
        assert ("millimetres" in caplog.text) == (ending == ".stl" and "unit" not in options)
    kept = read_mesh(mesh.save(tmp_path / f"b{ending}", size_m=None, origin=None, unit="mm")).vertices
    torch.testing.assert_close(kept.amax(0) - kept.amin(0), 1000 * (mesh.vertices.amax(0) - mesh.vertices.amin(0)))


@pytest.mark.parametrize("ending", [".glb", ".usdz"])
def test_formats_that_are_in_metres(ending: str, tmp_path):
    pytest.importorskip("pxr.UsdUtils", reason="needs usd-core")
    with pytest.raises(OutputError, match="in metres by its standard"):
        textured_letter().save(tmp_path / f"a{ending}", unit="mm")


def test_a_point_has_no_size():
    with pytest.raises(InputError, match="one point"):
        Frame().place(np.ones((3, 3)), np.array([[0, 1, 2]]))


@pytest.mark.parametrize("ending", [".obj", ".ply", ".stl"])
@pytest.mark.parametrize(
    ("up", "front", "sides"), [("y", None, "yz"), ("z", None, "zx"), ("z", "-y", "zy"), ("-x", "z", "xz")]
)
def test_saved_meshes_stand_in_their_frame(ending: str, up: str, front: str | None, sides: str, tmp_path):
    path = textured_letter().save(tmp_path / f"a{ending}", up=up, front=front, size_m=2.0, origin="bottom")
    mesh = trimesh.load(path, force="mesh")
    extents = dict(zip("xyz", mesh.extents, strict=True))
    assert (extents[sides[0]], extents[sides[1]]) == (pytest.approx(2), pytest.approx(0.8))  # height, depth
    assert mesh.volume == pytest.approx(11 * 0.4**3, rel=1e-5)
    assert (mesh.vertices @ AXES[up]).min() == pytest.approx(0, abs=1e-6)
    assert mesh.center_mass @ AXES[up] > 1  # the F's weight is above its middle
