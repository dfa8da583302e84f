"""Antialiasing across silhouettes, differentiable in the vertices' positions.

Between the centres of two neighbouring pixels that see different surfaces runs the silhouette of the nearer one. Where
it crosses, at the share t of the way from the nearer surface's pixel to the farther one's, that surface ends: with
t < 1/2 its own pixel takes (1/2 - t) of the other's value, with t > 1/2 the other takes (t - 1/2) of its value. Values
then change continuously, and by the right amount, as the silhouette moves (Laine et al. 2020, "Modular primitives for
high-performance differentiable rendering", section 3.4).

That paper looks for the silhouette among the three edges of the face that a pixel sees, which fails where faces are
smaller than pixels. Here all silhouette edges of the mesh look for the pixel pairs that they cross, so that fine meshes
in small images, the usual case in training, get their gradients too.

Symbols:
    e, s        edges of the mesh; those on the silhouette of one view
    q           crossings of silhouette edges with lines through pixel centres
    (x, y)      column and row in pixels, integers at pixel centres
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class EdgeIncidence:
    """Edges of a mesh and the faces at them.

    Attributes:
        ends: (e, 2) the two vertices of each edge.
        at_edge: (3 f,) the edge of each (face, side) incidence.
        opposite: (3 f,) the face's corner that isn't on that side.
    """

    ends: Int[Tensor, "e 2"]
    at_edge: Int[Tensor, " i"]
    opposite: Int[Tensor, " i"]


@dataclass(frozen=True, eq=False)
class _Silhouette:
    """Silhouette edges of one view.

    Attributes:
        ends: (s, 2, 3) pixel coordinates x, y and depth of both ends.
        inward: (s, 2) the direction (x, y) towards the surface, as long as the edge.
    """

    ends: Float[Tensor, "s 2 3"]
    inward: Float[Tensor, "s 2"]


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Where silhouette edges cross lines between neighbouring pixels' centres.

    Attributes:
        near, far: (q,) flat pixel indices on the surface's side and on the other.
        share: (q,) of the way from the near to the far centre, where the surface ends; differentiable.
        depth: (q,) of the edge there.
        edge: (q,) index into the silhouette.
    """

    near: Int[Tensor, " q"]
    far: Int[Tensor, " q"]
    share: Float[Tensor, " q"]
    depth: Float[Tensor, " q"]
    edge: Int[Tensor, " q"]

    def __getitem__(self, kept: Tensor) -> "_Crossings":
        return _Crossings(self.near[kept], self.far[kept], self.share[kept], self.depth[kept], self.edge[kept])


def mesh_edges(faces: Int[Tensor, "f 3"], vertex_count: int) -> EdgeIncidence:
    """The edges of a mesh; any number of faces may meet at one."""
    opposite = faces.T.reshape(-1).long()
    start, end = opposite.roll(-len(faces)), opposite.roll(-2 * len(faces))
    keys, at_edge = torch.unique(
        torch.minimum(start, end) * vertex_count + torch.maximum(start, end), return_inverse=True
    )
    return EdgeIncidence(torch.stack([keys // vertex_count, keys % vertex_count], dim=-1), at_edge, opposite)


def blend_silhouettes(
    values: Float[Tensor, "height width c"],
    depth: Float[Tensor, "height width"],
    seen: Int[Tensor, "height width"],
    pixels: Float[Tensor, "v 3"],
    edges: EdgeIncidence,
) -> Float[Tensor, "height width c"]:
    """Blend neighbouring pixels of one view where silhouettes pass between their centres.

    Args:
        values: what the pixels' centres see.
        depth: along the forward axis, infinite where nothing is seen.
        seen: the face that each pixel sees, -1 for none.
        pixels: homogeneous pixel coordinates of the vertices (`to_pixels`).
        edges: of the mesh.

    Returns:
        The blended values: convex combinations of the given ones.
    """
    height, width, channels = values.shape
    silhouette = _silhouette(pixels, edges)
    steep = _steep_edges(silhouette, height, width)
    flat_depth, flat_seen = depth.detach().flatten(), seen.flatten()
    parts = []
    for axis in (0, 1):  # pairs side by side for steep silhouettes, pairs one above the other for the others
        found = _crossings(silhouette, height, width, axis)
        found = found[_is_visible(found, flat_depth, flat_seen)]
        found = found[_is_outermost(found, height * width)]
        parts.append(found[steep[found.edge] == (axis == 0)])
    return _blend(values.reshape(-1, channels), *parts).reshape(height, width, channels)


def _silhouette(pixels: Float[Tensor, "v 3"], edges: EdgeIncidence) -> _Silhouette:
    """Edges whose faces all lie on one side of them in the image; open borders are among them."""
    depth = pixels[:, 2]
    in_front = depth > 1e-6
    points = pixels[:, :2] / torch.where(in_front, depth, 1.0)[:, None]
    with torch.no_grad():
        start, end = points[edges.ends[:, 0]], points[edges.ends[:, 1]]
        along = end - start
        to_opposite = points[edges.opposite] - start[edges.at_edge]
        incident = along[edges.at_edge]
        side = (incident[:, 0] * to_opposite[:, 1] - incident[:, 1] * to_opposite[:, 0]).sign()
        total = side.new_zeros(len(edges.ends)).index_add(0, edges.at_edge, side)
        count = side.new_zeros(len(edges.ends)).index_add(0, edges.at_edge, side.abs())
        kept = (total.abs() == count) & (count > 0) & in_front[edges.ends].all(1)
        inward = torch.stack([-along[kept, 1], along[kept, 0]], dim=-1) * total[kept].sign()[:, None]
    ends = torch.cat([points, depth[:, None]], dim=1)[edges.ends[kept].flatten()].unflatten(0, (-1, 2))
    return _Silhouette(ends, inward)


def _crossings(silhouette: _Silhouette, height: int, width: int, axis: int) -> _Crossings:
    """Crossings with the rows' centre lines (`axis` 0) or the columns' (1), as far as they lie between two pixels."""
    across = 1 - axis  # the coordinate that is constant on a line
    lines, length = (height, width) if axis == 0 else (width, height)
    with torch.no_grad():
        first, last = silhouette.ends[..., across].aminmax(dim=1)
        first, last = (limit.clamp(0, lines).ceil().long() for limit in (first, last))  # half-open: [first, last)
        count = last - first
        edge = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
        line = torch.arange(len(edge), device=edge.device) - (count.cumsum(0) - count)[edge] + first[edge]
    start, end = silhouette.ends[edge].unbind(1)
    along_edge = (line - start[:, across]) / (end[:, across] - start[:, across])
    position = start[:, axis] + along_edge * (end[:, axis] - start[:, axis])
    with torch.no_grad():
        inverse_depth = torch.lerp(1 / start[:, 2], 1 / end[:, 2], along_edge)  # linear in the image
        cell = position.floor().clamp(-1, length)
        between = (cell >= 0) & (cell < length - 1)
        step, line_step = (1, width) if axis == 0 else (width, 1)
        before = line * line_step + cell.long() * step
        surface_after = silhouette.inward[edge, axis] > 0
        near, far = before + step * surface_after, before + step * ~surface_after
    share = torch.where(surface_after, 1 - (position - cell), position - cell)
    return _Crossings(near, far, share, 1 / inverse_depth, edge)[between]


def _is_visible(crossings: _Crossings, depth: Float[Tensor, " p"], seen: Int[Tensor, " p"]) -> Bool[Tensor, " q"]:
    """Whether the far pixel sees something behind the edge, and the near pixel something else nearer the edge."""
    near, far = depth[crossings.near], depth[crossings.far]
    different = seen[crossings.near] != seen[crossings.far]
    return different & (crossings.depth < far) & (near < (crossings.depth + far) / 2)


def _is_outermost(crossings: _Crossings, pixel_count: int) -> Bool[Tensor, " q"]:
    """Whether, of all crossings between two pixels, this is the farthest out: where what is behind ends."""
    order = torch.argsort(crossings.share.detach(), stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    pair = crossings.near * 2 + (crossings.far > crossings.near)
    best = rank.new_zeros(2 * pixel_count).scatter_reduce(0, pair, rank, "amax")
    return rank == best[pair]


def _steep_edges(silhouette: _Silhouette, height: int, width: int) -> Bool[Tensor, " s"]:
    """Whether the silhouette around each edge runs rather up and down than sideways.

    Every stretch of it must count in one of the two directions only, or its motion would count twice. The direction is
    that of all silhouette edges with their middle in the same pixel together: edges shorter than a pixel zigzag.
    """
    middle = silhouette.ends[..., :2].detach().mean(1).round()
    column, row = middle[:, 0].clamp(0, width - 1).long(), middle[:, 1].clamp(0, height - 1).long()
    pixel = row * width + column
    total = silhouette.inward.new_zeros(height * width, 2).index_add(0, pixel, silhouette.inward)
    # The edge itself counts a little more, which decides where opposite silhouettes of something thin cancel.
    direction = total[pixel] + silhouette.inward / 8
    return direction[:, 0].abs() >= direction[:, 1].abs()


def _blend(values: Float[Tensor, "p c"], *parts: _Crossings) -> Float[Tensor, "p c"]:
    """Let every crossing move its share of one pixel's value into the other."""
    near, far, share = (torch.cat([getattr(part, name) for part in parts]) for name in ("near", "far", "share"))
    shift = share - 0.5  # of the silhouette from the middle between the centres, towards the far pixel
    into, source = torch.where(shift > 0, far, near), torch.where(shift > 0, near, far)
    weight = shift.abs()
    total = values.new_zeros(len(values)).index_add(0, into, weight)
    weight = weight / total.clamp(min=1).index_select(0, into)  # no pixel gives away more than all of itself
    return values.index_add(0, into, weight[:, None] * (values.index_select(0, source) - values.index_select(0, into)))
