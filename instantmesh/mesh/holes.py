"""Holes: their rims as closed loops, and faces that close them."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Array, Indices, Triangles, components


def close_small_holes(mesh: Triangles, largest_hole: float) -> tuple[Triangles, int]:
    """Close the holes that are at most `largest_hole` times as wide as the component that they are in is long.

    A sheet's own rim is as wide as the sheet, so that it is no small hole. Returns the mesh and how many were closed.
    """
    rims = rim_loops(Edges.of(mesh.faces).boundary())
    if not rims:
        return mesh, 0
    component = components(mesh.faces, len(mesh.vertices))
    of_vertex = np.zeros(len(mesh.vertices), np.int64)
    of_vertex[mesh.faces.ravel()] = np.repeat(component, 3)
    sizes: dict[int, float] = {}
    small = []
    for rim in rims:
        number = int(of_vertex[rim[0]])
        if number not in sizes:
            sizes[number] = mesh.keep(component == number).extent()
        if float(np.ptp(mesh.vertices[rim], axis=0).max()) <= largest_hole * sizes[number]:
            small.append(rim)
    return close_loops(mesh, small), len(small)


def rim_loops(edges: Indices) -> list[list[int]]:
    """The directed edges (k, 2) chained to closed loops of vertices; a loop that would touch itself becomes several.

    Edges that don't close are left out.
    """
    following: defaultdict[int, list[int]] = defaultdict(list)
    for start, end in edges[::-1].tolist():
        following[start].append(end)
    loops = []
    for first in edges[:, 0].tolist():
        path, place = [first], {first: 0}
        while following[path[-1]]:
            vertex = following[path[-1]].pop()
            if vertex in place:  # a loop is complete; go on from where it was entered
                loops.append(path[place[vertex] :])
                for passed in path[place[vertex] + 1 :]:
                    del place[passed]
                del path[place[vertex] + 1 :]
            else:
                place[vertex] = len(path)
                path.append(vertex)
    return loops


def close_loops(mesh: Triangles, loops: Sequence[Sequence[int]]) -> Triangles:
    """One face across a rim of three edges; across others a fan around a new vertex in their middle.

    The new vertex has the rim's mean place and colour, both weighted by the edges' lengths.
    """
    faces, places, colors = [mesh.faces], [mesh.vertices], [mesh.colors]
    count = len(mesh.vertices)
    for loop in loops:
        rim = np.asarray(loop)
        after = np.roll(rim, -1)
        if len(rim) == 3:
            faces.append(rim[None, ::-1])
            continue
        faces.append(np.stack([after, rim, np.full(len(rim), count)], 1))
        count += 1
        share = _length_shares(mesh.vertices[rim], mesh.vertices[after])
        places.append(share @ mesh.vertices[rim])
        if mesh.colors is not None:
            colors.append(share @ mesh.colors[rim])
    new_colors = None if mesh.colors is None else np.concatenate([c for c in colors if c is not None])
    return Triangles(np.concatenate(places), np.concatenate(faces), new_colors)


def _length_shares(start: Array, end: Array) -> Array:
    """(1, n) each vertex's share in the rim's length: half of the edges before and after it."""
    length = np.linalg.norm(end - start, axis=1)
    total = length.sum()
    if total == 0:
        return np.full((1, len(length)), 1 / len(length))
    return ((length + np.roll(length, 1)) / (2 * total))[None]
