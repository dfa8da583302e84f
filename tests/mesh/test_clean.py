"""Cleaning: each defect alone, all of them together, and meshes that have none."""

import logging
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instantmesh import InputError, Mesh, clean, finish, report
from tests.mesh.shapes import color_at, colored, cube, joined, ring, same, sphere, volume, with_faces


@pytest.mark.parametrize("mesh", [sphere(), cube(), ring()], ids=["sphere", "cube", "ring"])
def test_a_good_mesh_comes_back_bit_for_bit(mesh):
    cleaned, done = clean(mesh)
    assert same(cleaned, mesh)
    assert str(done) == "cleaned: nothing to do"


def test_all_components_stay_unless_asked_otherwise():
    mesh = joined(sphere(0.01, centre=(0, 3.0, 0)), sphere(1.0))
    assert same(clean(mesh)[0], mesh)


def test_corners_that_were_computed_twice_are_joined():
    soup = with_corners_apart(sphere())
    moved = soup.vertices + 2e-6 * torch.rand(soup.vertices.shape, generator=torch.Generator().manual_seed(0))
    cleaned, _ = clean(replace(soup, vertices=moved))
    assert (len(cleaned.vertices), len(cleaned.faces)) == (642, 1280)
    assert report(replace(soup, vertices=moved)).watertight
    far = joined(soup, sphere(centre=(1e5, 0, 0)))  # makes the extent large: nothing else may be joined for that
    cleaned, _ = clean(replace(far, vertices=far.vertices.double()))
    assert len(cleaned.faces) == 2 * 1280


def test_edges_of_a_rim_stay_however_short():
    fine = sphere(subdivisions=1)
    opened = with_faces(fine, fine.faces[5:])
    vertices = opened.vertices.clone()
    start, end = opened.faces[0, :2]
    vertices[end] = vertices[start] + 1e-6
    assert same(clean(replace(opened, vertices=vertices), largest_hole=0.0)[0], replace(opened, vertices=vertices))


def test_the_largest_component_stays_and_the_threshold_is_a_share_of_its_area():
    bowl, fruit, crumb = sphere(1.0), sphere(0.5, centre=(3.0, 0, 0)), sphere(0.1, centre=(0, 3.0, 0))
    mesh = joined(crumb, bowl, fruit)
    assert same(clean(mesh, min_component_area=0.03)[0], joined(bowl, fruit))
    alone, done = clean(mesh, min_component_area=1.0)
    assert same(alone, bowl)
    assert (done.dropped_components, done.dropped_faces) == (2, 2 * len(bowl.faces))
    assert done.dropped_share == pytest.approx(0.25, rel=1e-5)
    assert "2 loose parts dropped (2,560 faces, the largest 25.0% of the main part's area)" in str(done)
    assert same(clean(mesh, min_component_area=0.3)[0], bowl)
    assert same(clean(mesh, min_component_area=0.0)[0], mesh)


def test_dropping_a_large_part_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        finish(joined(sphere(1.0), sphere(0.5, centre=(3.0, 0, 0))), min_component_area=1.0)
    assert "25.0% of the main part's area; pass min_component_area=0.23" in caplog.text


def test_vertices_at_one_place_become_one_with_their_mean_colour():
    soup = with_corners_apart(sphere())
    assert report(soup).vertices == 3 * 1280
    assert soup.vertex_colors is not None
    soup.vertex_colors[0] = 0
    cleaned, done = clean(soup)
    assert (len(cleaned.vertices), len(cleaned.faces)) == (642, 1280)
    assert done.merged_vertices == 3 * 1280 - 642
    assert cleaned.vertex_colors is not None
    expected = color_at(cleaned.vertices)
    neighbours = int((soup.vertices == soup.vertices[0]).all(1).sum())
    expected[0] *= (neighbours - 1) / neighbours
    torch.testing.assert_close(cleaned.vertex_colors, expected)


def test_duplicate_faces_go_whatever_their_order():
    mesh = sphere()
    again = torch.cat([mesh.faces, mesh.faces[:5].roll(1, 1), mesh.faces[7:9].flip(1)])
    cleaned, done = clean(with_faces(mesh, again))
    assert same(cleaned, mesh)
    assert done.duplicate_faces == 7


def test_degenerate_faces_go_and_leave_no_slit():
    """A corner on an edge (no area, three places), an edge of no length, and a face that names a vertex twice."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0], [0.5, 1e-9, 0]], np.float64)
    # a tetrahedron whose edge 0-1 is split at 4 for one of its faces only: the flat face 0 1 4 fills the slit
    faces = np.array([[0, 2, 1], [4, 1, 3], [0, 4, 3], [0, 1, 4], [0, 3, 2], [1, 2, 3], [2, 2, 3]])
    cleaned, done = clean(colored(vertices, faces))
    now = report(cleaned)
    assert done.degenerate_faces == 2
    assert (now.degenerate_faces, now.watertight, now.euler_number) == (0, True, 2)
    assert now.volume == pytest.approx(1 / 6)
    # the same with the middle twice, 1e-9 apart
    faces = np.array([[0, 2, 1], [4, 1, 3], [0, 5, 3], [0, 1, 5], [5, 1, 4], [5, 4, 3], [0, 3, 2], [1, 2, 3]])
    now = report(clean(colored(vertices, faces))[0])
    assert (now.degenerate_faces, now.watertight, now.euler_number) == (0, True, 2)
    assert now.volume == pytest.approx(1 / 6)


@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_faces_turned_at_random_are_turned_back(seed, share):
    mesh = ring()
    over = torch.from_numpy(np.random.default_rng(seed).random(len(mesh.faces)) < share)
    faces = torch.where(over[:, None], mesh.faces.flip(1), mesh.faces)
    cleaned, done = clean(with_faces(mesh, faces))
    assert volume(cleaned) == pytest.approx(volume(mesh), rel=1e-5)
    assert done.turned_faces in (int(over.sum()), len(over) - int(over.sum()), len(over))
    assert report(cleaned).watertight


def test_cavities_stay_cavities_and_solids_beside_each_other_are_solids():
    shell, hollow, beside = sphere(1.0), sphere(0.5), sphere(0.6, centre=(3.0, 0, 0))
    hollow, beside = with_faces(hollow, hollow.faces.flip(1)), with_faces(beside, beside.faces.flip(1))
    cleaned, done = clean(joined(shell, hollow, beside), min_component_area=0.0)
    assert done.turned_faces == 1280
    assert volume(cleaned) == pytest.approx(4 / 3 * pi * (1 - 0.5**3 + 0.6**3), rel=0.02)


def test_a_moebius_strip_stays_as_it_is():
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    middle, lift = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1), np.array([0, 0, 1.0])
    across = np.cos(angle / 2)[:, None] * middle + np.sin(angle / 2)[:, None] * lift
    vertices = np.concatenate([middle + 0.3 * across, middle - 0.3 * across])
    upper, lower = np.arange(24), np.arange(24, 48)
    after, below = np.append(upper[1:], 24), np.append(lower[1:], 0)  # half a turn on the way
    faces = np.concatenate([np.stack([upper, after, lower], 1), np.stack([after, below, lower], 1)])
    mesh = colored(vertices, faces)
    assert same(clean(mesh)[0], mesh)
    assert report(mesh).inconsistent_edges == 2 or report(mesh).inconsistent_edges == 1


def test_small_holes_are_closed_in_the_colour_of_their_rim():
    mesh = sphere(subdivisions=4)
    pole = int(mesh.vertices[:, 0].argmax())
    towards = mesh.vertices[mesh.faces].mean(1)
    bowl = with_faces(mesh, mesh.faces[towards[:, 1] < 0.9])
    holed = with_faces(mesh, bowl.faces[(bowl.faces != pole).all(1)])
    cleaned, done = clean(holed)  # of two, 0.15 and 0.9 wide in a ball that is 2 wide
    assert done.closed_holes == 1
    assert report(cleaned).boundary_edges == report(bowl).boundary_edges > 0
    new = cleaned.vertices[:, 0].argmax()
    assert float(cleaned.vertices[new, 0]) == pytest.approx(1, abs=0.01)
    assert cleaned.vertex_colors is not None
    torch.testing.assert_close(cleaned.vertex_colors[new], color_at(cleaned.vertices[new]), atol=0.005, rtol=0)
    whole, done = clean(holed, largest_hole=0.5)
    assert done.closed_holes == 2
    assert report(whole).watertight
    assert volume(whole) == pytest.approx(volume(mesh), rel=0.05)
    assert clean(holed, largest_hole=0.0)[1].closed_holes == 0


def test_a_triangle_missing_comes_back():
    mesh = sphere()
    cleaned, done = clean(with_faces(mesh, mesh.faces[1:]))
    assert done.closed_holes == 1
    assert volume(cleaned) == pytest.approx(volume(mesh))
    assert len(cleaned.vertices) == len(mesh.vertices)


def test_a_sheet_stays_a_sheet():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    mesh = colored(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    assert same(clean(mesh)[0], mesh)
    one = colored(vertices[:3], np.array([[0, 1, 2]]))
    assert same(clean(one)[0], one)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_everything_at_once_and_twice_is_once(seed):
    rng = np.random.default_rng(seed)
    body, debris = sphere(1.0), [sphere(0.05, 1, tuple(rng.uniform(1.5, 3, 3))) for _ in range(3)]
    faces = body.faces[torch.from_numpy(rng.permutation(1280))]
    over = torch.from_numpy(rng.random(1280) < 0.3)
    faces = torch.where(over[:, None], faces.flip(1), faces)[3:]  # three faces missing
    mesh = joined(with_faces(body, torch.cat([faces, faces[:4], faces[:2, [0, 0, 1]]])), *debris)
    cleaned, done = clean(mesh, min_component_area=0.03, largest_hole=0.3)  # the three may lie side by side
    now = report(cleaned)
    assert (now.components, now.watertight, now.euler_number, now.duplicate_faces, now.degenerate_faces) == (
        (1, True, 2, 0, 0)
    )
    assert now.volume == pytest.approx(volume(body), rel=0.01)
    assert now.volume > 0
    assert (done.dropped_components, done.duplicate_faces, done.degenerate_faces) == (3, 4, 2)
    again, nothing = clean(cleaned)
    assert same(again, cleaned)
    assert str(nothing) == "cleaned: nothing to do"
    assert cleaned.vertex_colors is not None
    torch.testing.assert_close(cleaned.vertex_colors, color_at(cleaned.vertices), atol=0.01, rtol=0)


def test_meshes_without_colours_and_of_double_precision_stay_so():
    plain = Mesh(sphere().vertices.double(), sphere().faces[1:])
    cleaned, _ = clean(plain)
    assert cleaned.vertex_colors is None
    assert cleaned.vertices.dtype == torch.float64


def test_bad_input():
    nothing = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="no faces"):
        clean(nothing)
    for flat in (torch.zeros(3, 3), torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])):
        with pytest.raises(InputError, match="no face with an area"):
            clean(Mesh(flat, torch.tensor([[0, 1, 2]])))
    for bad in ({"min_component_area": 1.5}, {"min_component_area": -0.1}, {"largest_hole": float("nan")}):
        with pytest.raises(InputError, match="is a share"):
            clean(sphere(), **bad)


def with_corners_apart(mesh: Mesh) -> Mesh:
    """Every face with three vertices of its own, as in STL files."""
    places = mesh.vertices[mesh.faces].reshape(-1, 3)
    return Mesh(places, torch.arange(len(places)).reshape(-1, 3), color_at(places))
