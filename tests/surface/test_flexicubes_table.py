"""The generated case table: the published counts, and symmetries it must have."""

import time

import pytest
import torch

from instantmesh.surface.flexicubes_table import EDGES, case_table

TABLE = case_table(torch.device("cpu"))
CORNERS = [(c & 1, c >> 1 & 1, c >> 2 & 1) for c in range(8)]


def partition(case: int) -> set[frozenset[int]]:
    groups = TABLE.group_of_edge[case].tolist()
    return {frozenset(e for e in range(12) if groups[e] == g) for g in range(max(groups) + 1)}


def inside_count(case: int) -> int:
    return bin(case).count("1")


def test_published_counts():
    sizes = [len(group) for case in range(256) for group in partition(case)]
    assert int(TABLE.group_count.max()) == 4
    assert (min(sizes), max(sizes)) == (3, 7)
    checkable = TABLE.flip_offset.any(1).nonzero().squeeze(1).tolist()
    assert len(checkable) == 36
    assert {inside_count(case) for case in checkable} == {5, 6}


def test_groups_hold_the_crossed_edges_and_no_others():
    for case in range(256):
        crossed = {e for e, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert set().union(*partition(case)) == crossed
        assert int(TABLE.group_count[case]) == len(partition(case))


def test_edges_are_the_twelve_of_a_cube_in_one_direction_per_axis():
    steps = [tuple(q - p for p, q in zip(CORNERS[a], CORNERS[b], strict=True)) for a, b in EDGES]
    assert len({frozenset(edge) for edge in EDGES}) == 12
    assert [steps.count(s) for s in ((1, 0, 0), (0, 0, 1), (0, -1, 0))] == [4, 4, 4]


@pytest.mark.parametrize("turn", [lambda p: (1 - p[1], p[0], p[2]), lambda p: (p[0], 1 - p[2], p[1])])
def test_turning_the_cube_turns_the_groups(turn):
    corner = [CORNERS.index(turn(p)) for p in CORNERS]
    edges = [frozenset(edge) for edge in EDGES]
    edge = [edges.index(frozenset((corner[a], corner[b]))) for a, b in EDGES]
    for case in range(256):
        turned = sum(1 << corner[c] for c in range(8) if case >> c & 1)
        assert partition(turned) == {frozenset(edge[e] for e in group) for group in partition(case)}
        flip = tuple(TABLE.flip_offset[case].tolist())
        origin = turn((0, 0, 0))
        expected = tuple(q - o for q, o in zip(turn(flip), origin, strict=True))
        assert tuple(TABLE.flip_offset[turned].tolist()) == expected


def test_ambiguous_faces_keep_inside_corners_apart():
    assert len(partition(0b00001001)) == 2  # corners 0 and 3, diagonal on the lower z face
    (group,) = partition(0b11111111 - 0b00001001)  # their complement: the inside is joined below the face
    assert len(group) == 6
    assert TABLE.flip_offset[0b11110110].tolist() == [0, 0, -1]


def test_it_is_made_quickly_and_once():
    start = time.perf_counter()
    case_table.cache_clear()
    first = case_table(torch.device("cpu"))
    assert time.perf_counter() - start < 0.5  # a few milliseconds; the limit leaves room for a busy machine
    assert case_table(torch.device("cpu")) is first
