"""FlexiCubes (Shen et al., SIGGRAPH 2023): a signed distance at grid points -> a triangle mesh, differentiable.

Everything works on a list of cubes, never on the whole grid: a cube that the surface doesn't cross contributes nothing,
so any list that holds all crossed cubes gives the same mesh as all cubes of the grid would.

Shapes: c cubes, p grid points, v dual vertices (the vertices of the mesh, 0 to 4 a cube), n crossings (pairs of a cube
and one of its crossed edges, 3 to 7 a dual vertex), q quads (one per crossed grid edge that four listed cubes share).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from instantmesh.surface.flexicubes_table import case_table

WEIGHT_SCALE = 0.5


class CubeWeights(NamedTuple):
    """The flexible weights of each cube.

    Attributes:
        beta: (c, 12) > 0, share of each edge's crossing in its dual vertex.
        alpha: (c, 8) > 0, factor on each corner's SDF.
        gamma: (c,) > 0, chooses how quads are split.
    """

    beta: Float[Tensor, "c 12"]
    alpha: Float[Tensor, "c 8"]
    gamma: Float[Tensor, " c"]


class DualMesh(NamedTuple):
    """What FlexiCubes extracts.

    Attributes:
        vertices: (v, 3). While training, (v + q, 3): the centres of the quads come last.
        faces: (f, 3) int64, counter-clockwise seen from outside (the positive side).
        l_dev: (n,) the regulariser L_dev before its mean: how unequal the distances of a dual vertex to the crossings
            around it are (the paper's equation 8).
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    l_dev: Float[Tensor, " n"]


class _Crossings(NamedTuple):
    """The n crossings: cube by cube, each cube's in the order of its edges."""

    cube: Int[Tensor, " n"]
    edge: Int[Tensor, " n"]
    vertex: Int[Tensor, " n"]  # the dual vertex it belongs to
    vertex_cube: Int[Tensor, " v"]  # the cube of each dual vertex


def normalise_weights(raw: Float[Tensor, "c 21"]) -> CubeWeights:
    """A network's 21 unbounded numbers per cube (beta 12, alpha 8, gamma 1) -> weights around one."""
    beta, alpha, gamma = raw.split([12, 8, 1], dim=-1)
    w = WEIGHT_SCALE
    return CubeWeights(1 + w * beta.tanh(), 1 + w * alpha.tanh(), (w * gamma.sigmoid() + (1 - w) / 2).squeeze(-1))


def flexicubes(
    points: Float[Tensor, "p 3"],
    sdf: Float[Tensor, " p"],
    positions: Int[Tensor, "c 3"],
    corners: Int[Tensor, "c 8"],
    weights: CubeWeights | None = None,
    *,
    training: bool = False,
) -> DualMesh:
    """Extract the zero level of `sdf`.

    Only the cubes given are looked at: they must include all that the surface crosses, and `grid.surface_cubes` finds
    these. The surface is left open where it leaves the grid.

    Args:
        points: grid points after deformation, any units.
        sdf: signed distance at them, negative inside, finite.
        positions: place of each cube in the grid, ascending (x slowest, z fastest), each once.
        corners: index into `points` of each cube's corners, in the order of `grid.cube_corners`.
        weights: None for all ones.
        training: split each quad into four triangles around a centre through which `weights.gamma` gets gradients,
            instead of into two.

    Returns:
        The mesh, differentiable with respect to points, sdf and weights; an empty one if no cube is crossed.
    """
    inside = sdf < 0
    cases = _resolve_ambiguity(_cases(inside[corners]), positions)
    crossings = _crossings(cases)
    first, second = case_table(sdf.device).edges[crossings.edge].unbind(1)  # (n,) corners of the cube
    a, b = corners[crossings.cube, first], corners[crossings.cube, second]  # (n,) grid points
    zero = _zero_crossing(points[a], points[b], sdf[a], sdf[b])
    if weights is None:
        beta, moved, gamma = torch.ones_like(sdf[a]), zero, sdf.new_ones(len(corners))
    else:
        alpha_a, alpha_b = weights.alpha[crossings.cube, first], weights.alpha[crossings.cube, second]
        moved = _zero_crossing(points[a], points[b], alpha_a * sdf[a], alpha_b * sdf[b])
        beta, gamma = weights.beta[crossings.cube, crossings.edge], weights.gamma
    vertices = _group_mean(moved, beta, crossings)
    l_dev = _deviation(zero, vertices, crossings)
    quads = _quads(crossings.vertex, a, b, inside, len(points))
    quad_gamma = gamma[crossings.vertex_cube][quads]
    g02, g13 = quad_gamma[:, 0] * quad_gamma[:, 2], quad_gamma[:, 1] * quad_gamma[:, 3]
    if not training:
        return DualMesh(vertices, _two_triangles(quads, g02 > g13), l_dev)
    centres = _quad_centres(vertices[quads], g02, g13)
    return DualMesh(torch.cat([vertices, centres]), _four_triangles(quads, len(vertices)), l_dev)


def _cases(inside: Bool[Tensor, "c 8"]) -> Int[Tensor, " c"]:
    return (inside * (1 << torch.arange(8, device=inside.device))).sum(1)


def _resolve_ambiguity(cases: Int[Tensor, " c"], positions: Int[Tensor, "c 3"]) -> Int[Tensor, " c"]:
    """Read a checkable cube as its complement where the neighbour across the ambiguous face is checkable, too.

    A checkable neighbour shares that face, so it has no other ambiguous face and is flipped as well.
    """
    offsets = case_table(cases.device).flip_offset[cases]
    checkable = offsets.any(1)
    keys, wanted = _position_keys(positions), _position_keys(positions + offsets)
    neighbour = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    flipped = checkable & checkable[neighbour] & (keys[neighbour] == wanted)
    return torch.where(flipped, 255 - cases, cases)


def _position_keys(positions: Int[Tensor, "c 3"]) -> Int[Tensor, " c"]:
    """One number per place, ascending with the places, unique for coordinates in -1 .. 2^20."""
    x, y, z = (positions.long() + 1).unbind(1)
    return (x << 42) + (y << 21) + z


def _crossings(cases: Int[Tensor, " c"]) -> _Crossings:
    table = case_table(cases.device)
    groups, count = table.group_of_edge[cases], table.group_count[cases]
    cube, edge = (groups >= 0).nonzero(as_tuple=True)
    before = count.cumsum(0) - count  # dual vertices of the cubes before this one
    vertex_cube = torch.repeat_interleave(count)
    return _Crossings(cube, edge, before[cube] + groups[cube, edge], vertex_cube)


def _zero_crossing(
    x_a: Float[Tensor, "n 3"], x_b: Float[Tensor, "n 3"], s_a: Float[Tensor, " n"], s_b: Float[Tensor, " n"]
) -> Float[Tensor, "n 3"]:
    """Where the linear function with values s_a at x_a and s_b at x_b, of different signs, is zero."""
    s_a, s_b = s_a[:, None], s_b[:, None]
    return (x_a * s_b - x_b * s_a) / (s_b - s_a)


def _group_mean(
    values: Float[Tensor, "n 3"], weights: Float[Tensor, " n"], crossings: _Crossings
) -> Float[Tensor, "v 3"]:
    """Weighted mean over the crossings of each dual vertex."""
    return _group_sum(values * weights[:, None], crossings) / _group_sum(weights, crossings)[:, None]


def _group_sum(values: Float[Tensor, " n *d"], crossings: _Crossings) -> Float[Tensor, " v *d"]:
    """Sum over the crossings of each dual vertex."""
    sums = values.new_zeros(len(crossings.vertex_cube), *values.shape[1:])
    return sums.index_add(0, crossings.vertex, values)


def _deviation(
    zero: Float[Tensor, "n 3"], vertices: Float[Tensor, "v 3"], crossings: _Crossings
) -> Float[Tensor, " n"]:
    """| |z - v| - mean over the vertex's crossings of |z - v| |."""
    distance = torch.linalg.vector_norm(zero - vertices[crossings.vertex], dim=1)
    mean = _group_sum(distance, crossings) / _group_sum(torch.ones_like(distance), crossings)
    return (distance - mean[crossings.vertex]).abs()


def _quads(
    vertex: Int[Tensor, " n"], a: Int[Tensor, " n"], b: Int[Tensor, " n"], inside: Bool[Tensor, " p"], n_points: int
) -> Int[Tensor, "q 4"]:
    """The four dual vertices around each grid edge that four cubes share, counter-clockwise seen from outside."""
    key, order = (a * n_points + b).sort(stable=True)  # stable: the crossings of one edge stay in ascending cube order
    start = (key[:-3] == key[3:]).nonzero()  # (q, 1) an edge has four cubes at most
    entries = order[start + torch.arange(4, device=order.device)]
    # around the edge the cubes lie 0 1 3 2; which way round depends on the end that is inside (the released code tests
    # sdf > 0 instead, which turns quads over where sdf is exactly 0)
    v0, v1, v2, v3 = vertex[entries].unbind(1)
    start_inside = inside[a[entries[:, 0]]][:, None]
    return torch.where(start_inside, torch.stack([v2, v3, v1, v0], 1), torch.stack([v0, v1, v3, v2], 1))


def _two_triangles(quads: Int[Tensor, "q 4"], split_02: Bool[Tensor, " q"]) -> Int[Tensor, "f 3"]:
    v0, v1, v2, v3 = quads.unbind(1)  # not lists as indices: those are copied to a GPU, which waits
    along_02, along_13 = torch.stack([v0, v1, v2, v0, v2, v3], 1), torch.stack([v0, v1, v3, v3, v1, v2], 1)
    return torch.where(split_02[:, None], along_02, along_13).reshape(-1, 3)


def _four_triangles(quads: Int[Tensor, "q 4"], first_centre: int) -> Int[Tensor, "f 3"]:
    centre = torch.arange(first_centre, first_centre + len(quads), device=quads.device)
    return torch.stack([quads, quads.roll(-1, 1), centre[:, None].expand(-1, 4)], dim=2).reshape(-1, 3)


def _quad_centres(
    corners: Float[Tensor, "q 4 3"], g02: Float[Tensor, " q"], g13: Float[Tensor, " q"]
) -> Float[Tensor, "q 3"]:
    """Between the midpoints of the two diagonals, nearer to the one with the larger product of gammas."""
    v0, v1, v2, v3 = corners.unbind(1)
    total = g02[:, None] * (v0 + v2) / 2 + g13[:, None] * (v1 + v3) / 2
    return total / (g02 + g13 + 1e-8)[:, None]
