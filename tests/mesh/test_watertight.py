"""Solids for printing."""

from math import pi

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instantmesh import InputError, Mesh, clean, finish, make_watertight, report
from tests.mesh.shapes import color_at, colored, cube, joined, sphere, volume, with_faces


def test_a_closed_mesh_keeps_its_faces_and_colours():
    mesh = sphere()
    solid, done = make_watertight(mesh)
    assert len(solid.faces) == len(mesh.faces)
    assert volume(solid) == pytest.approx(volume(mesh), rel=1e-5)
    assert done.volume == pytest.approx(volume(mesh), rel=1e-5)
    assert solid.vertex_colors is not None
    torch.testing.assert_close(solid.vertex_colors, color_at(solid.vertices), atol=1e-4, rtol=0)


def test_large_holes_are_closed():
    mesh = sphere(subdivisions=4)
    middle = mesh.vertices[mesh.faces].mean(1)
    bowl = with_faces(mesh, mesh.faces[(middle[:, 2] < 0) & (middle[:, 0] < 0.9)])
    solid, done = make_watertight(bowl)
    now = report(solid)
    assert done.closed_holes in (1, 2)  # the rims touch or don't
    assert (now.watertight, now.euler_number) == (True, 2)
    assert 0.45 < (now.volume or 0) / (4 / 3 * pi) < 0.52
    assert trimesh.Trimesh(solid.vertices.numpy(), solid.faces.numpy(), process=False).is_volume


def test_overlapping_parts_become_one_and_cavities_are_filled():
    one, other = cube(1.0), cube(1.0, centre=(0.5, 0.25, 0.125))
    hollow = cube(0.2, centre=(-0.3, -0.3, -0.3))
    solid, done = make_watertight(joined(one, other, with_faces(hollow, hollow.faces.flip(1))))
    assert (done.solid_parts, done.filled_cavities) == (2, 1)
    assert done.volume == pytest.approx(2 - 0.5 * 0.75 * 0.875)
    now = report(solid)
    assert (now.components, now.watertight, now.non_manifold_edges) == (1, True, 0)
    assert now.volume == pytest.approx(done.volume)
    assert solid.vertex_colors is not None
    torch.testing.assert_close(solid.vertex_colors, color_at(solid.vertices), atol=1e-4, rtol=0)
    assert "2 parts, united where they overlap, 1 cavity filled and volume 1.672" in str(done)


def test_three_faces_at_an_edge_still_give_a_solid():
    mesh = cube()
    wall = Mesh(
        torch.cat([mesh.vertices, torch.tensor([[0.0, 0.0, 2.0]])]),
        torch.cat([mesh.faces, torch.tensor([[int(mesh.faces[0, 0]), int(mesh.faces[0, 1]), 8]])]),
    )
    solid, done = make_watertight(wall)
    assert done.volume == pytest.approx(1.0, abs=1e-5)
    assert report(solid).boundary_edges == 0


def test_sheets_that_touch_are_drawn_apart():
    """Two cubes that share an edge, as one component: four faces would meet there."""
    one, other = cube(), cube(centre=(1.0, 1.0, 0.0))
    touching, _ = clean(joined(one, other), min_component_area=0.0)
    assert report(touching).non_manifold_edges == 1
    solid, done = make_watertight(touching)
    now = report(solid)
    assert (now.watertight, now.non_manifold_edges) == (True, 0)
    assert now.volume == pytest.approx(2, abs=1e-3)
    assert done.volume == pytest.approx(2)


@given(seed=st.integers(0, 10_000))
@example(seed=297)  # no face with an area
@settings(max_examples=25, deadline=None)
def test_what_comes_out_is_closed_whatever_went_in(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 14))
    soup = colored(rng.normal(size=(count, 3)), rng.integers(0, count, (int(rng.integers(2, 40)), 3)))
    try:
        solid, done = make_watertight(soup)
    except InputError:  # a sheet, or too tangled
        return
    now = report(solid)
    assert (now.boundary_edges, now.inconsistent_edges) == (0, 0)
    assert done.volume > 0


def test_finish_does_it_last():
    mesh = sphere(subdivisions=4)
    holed = joined(
        with_faces(mesh, mesh.faces[mesh.vertices[mesh.faces].mean(1)[:, 1] < 0.7]), sphere(0.1, 1, (2.0, 0, 0))
    )
    done = finish(holed, min_component_area=0.03, target_faces=1000, watertight=True)
    now = report(done.mesh)
    assert [type(step).__name__ for step in done.steps] == ["CleanReport", "SimplifyReport", "WatertightReport"]
    assert (now.watertight, now.components) == (True, 1)
    assert now.faces == pytest.approx(1000, abs=60)
    assert str(done).splitlines()[0].startswith("cleaned: ")
    assert "1 loose part dropped (80 faces, the largest 1.1% of the main part's area)" in str(done)


def test_a_sheet_has_no_volume():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    with pytest.raises(InputError, match="encloses no volume"):
        make_watertight(colored(square, np.array([[0, 1, 2], [0, 2, 3]])))
