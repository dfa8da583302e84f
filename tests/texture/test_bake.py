"""Textures: texels against brute force, colours against known functions, padding, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from instantmesh.errors import InputError
from instantmesh.evaluation.protocol import held_out_cameras
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.nearest import NearestSurface
from instantmesh.geometry.sampling import sample_faces
from instantmesh.geometry.triangles import Triangles
from instantmesh.mesh.simplify import simplify
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh
from instantmesh.texture.bake import bake
from instantmesh.texture.correspondence import SurfaceCorrespondence
from instantmesh.texture.padding import padded
from instantmesh.texture.texels import locate_texels
from instantmesh.texture.unwrap import unwrap
from tests.mesh.shapes import color_at, joined, ring, sphere


def _stripes(points: torch.Tensor) -> torch.Tensor:
    """Colours that vertices of a coarse mesh can't hold."""
    return 0.5 + 0.4 * torch.sin(points * 12)


def test_texels_are_where_brute_force_finds_them() -> None:
    size_px = 64
    uv = unwrap(Triangles.of(sphere(subdivisions=1)), size_px).uv
    found = locate_texels(uv, size_px)
    centres = np.stack(np.meshgrid(np.arange(size_px), np.arange(size_px)), -1).reshape(-1, 1, 2) + 0.5
    a, b, c = (uv[None, :, k] * size_px for k in range(3))

    def cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]

    whole = cross(b - a, c - a)
    weights = np.stack([cross(b - centres, c - centres), cross(c - centres, a - centres)], -1) / whole[..., None]
    weights = np.concatenate([weights, 1 - weights.sum(-1, keepdims=True)], -1)  # (texels, faces, 3)
    inside = weights.min(-1) > 1e-4  # borders may go either way
    texel, face = np.nonzero(inside)
    assert found.covered >= len(texel)
    place = np.searchsorted(found.texel, texel)
    np.testing.assert_array_equal(found.texel[place], texel)
    np.testing.assert_array_equal(found.face[place], face)
    np.testing.assert_allclose(found.weights[place], weights[texel, face], atol=1e-6)
    # Everything that a bilinear lookup inside a chart reads is there: the four texels around any covered point.
    points = np.einsum("sk,fkx->sfx", np.random.default_rng(0).dirichlet(np.ones(3), 50), uv * size_px)
    corner = np.floor(points.reshape(-1, 2) - 0.5).astype(int)
    read = np.unique(np.concatenate([(corner + step) @ (1, size_px) for step in np.ndindex(2, 2)]))
    assert np.isin(read, found.texel).all()


def test_padding_is_the_nearest_texel_s_colour() -> None:
    rng = np.random.default_rng(0)
    texel = np.sort(rng.choice(32 * 32, 40, replace=False))
    colors = rng.random((40, 3))
    image = padded(colors, texel, 32).reshape(-1, 3)
    np.testing.assert_allclose(image[texel], colors, atol=1e-7)
    there = np.stack(np.divmod(np.arange(32 * 32), 32), 1)
    distances = np.linalg.norm(there[:, None] - there[texel], axis=-1)
    nearest = distances.min(1)
    for place in range(32 * 32):
        ways = colors[distances[place] == nearest[place]]
        assert np.abs(ways - image[place]).max(1).min() < 1e-6


def test_original_places_are_the_nearest_ones_on_smooth_surfaces() -> None:
    fine = sphere(subdivisions=5)
    coarse, _ = simplify(fine, 1000)
    triangles = Triangles.of(coarse)
    face, weights = sample_faces(triangles.areas() / triangles.areas().sum(), 2000, np.random.default_rng(0))
    points = interpolate(triangles.vertices, triangles.faces[face], weights)
    outward = points / np.linalg.norm(points, axis=1, keepdims=True)
    found = SurfaceCorrespondence(Triangles.of(fine))(points, outward)
    exact = NearestSurface(Triangles.of(fine))(points)
    np.testing.assert_allclose(found.distances, exact.distances, atol=2e-4)
    np.testing.assert_allclose(found.points, exact.points, atol=2e-3)
    corners = fine.vertices.double().numpy()[fine.faces.numpy()[found.faces]]
    np.testing.assert_allclose(np.einsum("pk,pkx->px", found.weights, corners), found.points, atol=1e-4)


def test_thin_walls_keep_their_sides_apart() -> None:
    """Two sheets nearer to each other than rays reach: each point goes to the sheet that looks its way."""
    near, far = sphere(0.5, 4), sphere(0.497, 4)
    both = joined(near, replace(far, faces=far.faces.flip(1)))
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    outward = directions.double().numpy()
    surface = SurfaceCorrespondence(Triangles.of(both))
    outside, inside = surface(outward * 0.4985, outward), surface(outward * 0.4985, -outward)
    assert (outside.faces < len(near.faces)).all()
    assert (inside.faces >= len(near.faces)).all()


def test_places_out_of_reach_are_searched_for() -> None:
    fine = Triangles.of(sphere(1.0, 3))
    points = np.array([[1.5, 0, 0], [0, 0, 0.2]])
    found = SurfaceCorrespondence(fine)(points, np.array([[0.0, 1, 0], [0, 0, 1]]))
    exact = NearestSurface(fine)(points)
    np.testing.assert_allclose(found.points, exact.points)
    np.testing.assert_array_equal(found.faces, exact.faces)


@pytest.mark.parametrize("time_limit_s", [60.0, 0.0], ids=["xatlas", "projected"])
def test_a_textured_mesh_shows_the_field(time_limit_s: float) -> None:
    original = ring()
    coarse, _ = simplify(original, 600)
    textured, report = bake(coarse, original, 512, color_field=_stripes, time_limit_s=time_limit_s)
    cameras = held_out_cameras()
    seen = render_mesh(textured, cameras, 128, antialias=False)
    true = render_mesh(original, cameras, 128, antialias=False, color_field=_stripes)
    both = ((seen.mask == 1) & (true.mask == 1)).expand_as(seen.color)
    error = (seen.color - true.color)[both].square().mean().sqrt()
    plain = render_mesh(coarse, cameras, 128, antialias=False, color_field=None).color
    assert float(error) < 0.03
    assert float(error) < 0.2 * float((plain - true.color)[both].square().mean().sqrt())
    assert (report.size_px, report.projected_faces) == (512, 0 if time_limit_s else len(coarse.faces))
    assert report.coverage > 0.3
    assert 0 < report.mean_distance < report.max_distance < 0.05
    assert str(report).startswith("textured: 512 x 512, ")


def test_colours_come_from_vertices_or_from_the_old_texture() -> None:
    original = ring()
    by_vertices, _ = bake(original, original, 256)
    again, _ = bake(original, replace(by_vertices, vertex_colors=None), 512)
    cameras = held_out_cameras()
    true = render_mesh(original, cameras, 96, antialias=False, color_field=color_at)
    for mesh in (by_vertices, again):
        seen = render_mesh(mesh, cameras, 96, antialias=False)
        torch.testing.assert_close(seen.color, true.color, atol=0.01, rtol=0)
    assert torch.equal(by_vertices.vertices, original.vertices)
    assert by_vertices.vertex_colors is not None


def test_progress_counts_texels() -> None:
    told: list[tuple[int, int]] = []
    bake(ring(), ring(), 512, callback=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 65_536
    assert len(told) > 1


@pytest.mark.parametrize("size_px", [0, 63, 8193])
def test_sizes_that_can_t_be(size_px: int) -> None:
    with pytest.raises(InputError, match="texture_size must be a number of texels from"):
        bake(ring(), ring(), size_px)


def test_a_mesh_without_colours_needs_a_field() -> None:
    plain = Mesh(ring().vertices, ring().faces)
    with pytest.raises(InputError, match="no colours"):
        bake(plain, plain, 256)
    bake(plain, plain, 256, color_field=color_at)
