"""FlexiCubes against a plain twin: the rules written out with loops over cubes, edges and faces."""

from itertools import product

import pytest
import torch
from torch import Tensor

from instantmesh.evaluation.mesh_matching import match_vertices, same_mesh
from instantmesh.surface.flexicubes import CubeWeights, DualMesh, flexicubes, normalise_weights
from instantmesh.surface.grid import cube_corners, surface_cubes

EDGES = [(0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4)]
Place = tuple[int, int, int]


def plain_groups(inside: list[bool]) -> tuple[list[list[int]], list[Place]]:
    """Edges of each dual vertex, and the steps to the neighbours across ambiguous faces."""
    crossed = {e for e, (a, b) in enumerate(EDGES) if inside[a] != inside[b]}
    partners: dict[int, set[int]] = {e: {e} for e in crossed}
    ambiguous = []
    for axis, side in product(range(3), range(2)):
        on_face = [e for e in crossed if all(c >> axis & 1 == side for c in EDGES[e])]
        if len(on_face) == 4:
            ambiguous.append(tuple((2 * side - 1) * (axis == i) for i in range(3)))
        for e, f in product(on_face, on_face):
            if len(on_face) == 2 or any(inside[c] for c in set(EDGES[e]) & set(EDGES[f])):
                partners[e].add(f)
    groups = []
    while crossed:
        group = {min(crossed)}
        while (grown := set().union(*(partners[e] for e in group))) != group:
            group = grown
        groups.append(sorted(group))
        crossed -= group
    return groups, ambiguous


def plain_flexicubes(grid: Tensor, sdf: Tensor, weights: CubeWeights | None, training: bool) -> tuple[DualMesh, int]:
    """The mesh of a whole grid (x, y, z, 3), (x, y, z), and the number of cubes read as their complement."""
    places = list(product(*(range(n - 1) for n in sdf.shape)))
    at = {p: [(p[0] + (c & 1), p[1] + (c >> 1 & 1), p[2] + (c >> 2 & 1)) for c in range(8)] for p in places}
    inside = {p: [bool(sdf[q] < 0) for q in at[p]] for p in places}
    read = {p: plain_groups(inside[p]) for p in places}
    checkable = {p: amb[0] for p, (groups, amb) in read.items() if len(amb) == 1 and len(groups) == 1}
    flips = {p for p, step in checkable.items() if tuple(i + j for i, j in zip(p, step, strict=True)) in checkable}
    vertices, gammas, deviations = [], [], []
    users: dict[tuple[Place, Place], list[int]] = {}
    for n, p in enumerate(places):
        groups = plain_groups([not s for s in inside[p]] if p in flips else inside[p])[0]
        distance_of = {}
        for group in groups:
            zeros, total, share = {}, torch.zeros(3, dtype=sdf.dtype), torch.zeros((), dtype=sdf.dtype)
            for e in group:
                a, b = (at[p][c] for c in EDGES[e])
                alpha_a, alpha_b = (1.0, 1.0) if weights is None else (weights.alpha[n, c] for c in EDGES[e])
                beta = 1.0 if weights is None else weights.beta[n, e]
                zeros[e] = (grid[a] * sdf[b] - grid[b] * sdf[a]) / (sdf[b] - sdf[a])
                moved = grid[a] * alpha_b * sdf[b] - grid[b] * alpha_a * sdf[a]
                total = total + beta * moved / (alpha_b * sdf[b] - alpha_a * sdf[a])
                share = share + beta
                users.setdefault((a, b), []).append(len(vertices))
            vertex = total / share
            distances = {e: (zeros[e] - vertex).norm() for e in group}
            mean = sum(distances.values(), torch.zeros(())) / len(group)
            distance_of |= {e: (distances[e] - mean).abs() for e in group}
            vertices.append(vertex)
            gammas.append(torch.ones(()) if weights is None else weights.gamma[n])
        deviations += [distance_of[e] for e in sorted(distance_of)]
    faces, centres = [], []
    for (a, _), (q0, q1, q2, q3) in ((edge, quad) for edge, quad in users.items() if len(quad) == 4):
        w = (q0, q1, q3, q2) if sdf[a] > 0 else (q2, q3, q1, q0)
        g02, g13 = gammas[w[0]] * gammas[w[2]], gammas[w[1]] * gammas[w[3]]
        if training:
            c = len(vertices) + len(centres)
            v = [vertices[i] for i in w]
            centres.append((g02 * (v[0] + v[2]) / 2 + g13 * (v[1] + v[3]) / 2) / (g02 + g13 + 1e-8))
            faces += [(w[i], w[(i + 1) % 4], c) for i in range(4)]
        elif g02 > g13:
            faces += [(w[0], w[1], w[2]), (w[0], w[2], w[3])]
        else:
            faces += [(w[0], w[1], w[3]), (w[3], w[1], w[2])]
    mesh = DualMesh(torch.stack(vertices + centres), torch.tensor(faces).reshape(-1, 3), torch.stack(deviations))
    return mesh, len(flips)


def random_case(seed: int, shape: Place) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(-1, 1, n + 1, dtype=torch.float64) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    grid = grid + 0.05 * torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    # more inside than outside: the cases whose reading depends on a neighbour have five or six corners inside
    sdf = torch.randn(grid.shape[:3], generator=generator, dtype=torch.float64) - 0.4
    raw = torch.randn(shape[0] * shape[1] * shape[2], 21, generator=generator, dtype=torch.float64)
    return grid, sdf, raw


def sparse(grid: Tensor, sdf: Tensor, raw: Tensor | None, training: bool) -> DualMesh:
    positions = surface_cubes(sdf < 0)
    _, ny, nz = (n - 1 for n in sdf.shape)
    x, y, z = positions.unbind(1)
    weights = None if raw is None else normalise_weights(raw[(x * ny + y) * nz + z])
    corners = cube_corners(positions, sdf.shape)
    return flexicubes(grid.reshape(-1, 3), sdf.flatten(), positions, corners, weights, training=training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("seed", "shape"), [(0, (4, 4, 4)), (13, (2, 5, 3)), (2, (6, 3, 4))])
def test_same_mesh_and_gradients_as_the_twin(seed: int, shape: Place, training: bool):
    leaves, twin_leaves = ([t.requires_grad_() for t in random_case(seed, shape)] for _ in range(2))
    ours = sparse(*leaves, training=training)
    twin, flips = plain_flexicubes(twin_leaves[0], twin_leaves[1], normalise_weights(twin_leaves[2]), training)
    assert flips > 0, "the case should test cubes that are read as their complement"
    assert same_mesh(ours.vertices, ours.faces, twin.vertices, twin.faces, atol=1e-9) < 1e-9
    torch.testing.assert_close(ours.l_dev, twin.l_dev, rtol=0, atol=1e-10)
    order = match_vertices(ours.vertices, twin.vertices, atol=1e-9)
    cotangents = torch.randn_like(twin.vertices), torch.randn_like(twin.l_dev)
    torch.autograd.backward([ours.vertices, ours.l_dev], [cotangents[0][order], cotangents[1]])
    torch.autograd.backward([twin.vertices, twin.l_dev], list(cotangents))
    for leaf, twin_leaf in zip(leaves, twin_leaves, strict=True):
        torch.testing.assert_close(leaf.grad, twin_leaf.grad, rtol=1e-8, atol=1e-9)


def test_without_weights_they_are_ones():
    grid, sdf, _ = random_case(3, (3, 4, 3))
    ours = sparse(grid, sdf, None, training=False)
    twin, _ = plain_flexicubes(grid, sdf, None, training=False)
    same_mesh(ours.vertices, ours.faces, twin.vertices, twin.faces, atol=1e-9)
    torch.testing.assert_close(ours.l_dev, twin.l_dev, rtol=0, atol=1e-10)
