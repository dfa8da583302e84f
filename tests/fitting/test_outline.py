"""A field with the outline of its photo."""

import pytest
import torch
from torch import Tensor

from instantmesh import EmptySurfaceError
from instantmesh.cameras import photo_camera, project, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.fitting.outline import OutlinedDensity, OutlinedSurface
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh
from instantmesh.surface.extraction import extract_flexicubes
from instantmesh.surface.marching_cubes import extract_isosurface

SCALE = 2.1


class Balls:
    """Signed distance to the nearest of some balls, and a density that falls off around them."""

    def __init__(self, *balls: tuple[tuple[float, float, float], float]) -> None:
        self.balls = balls

    def sdf(self, points: Tensor) -> Tensor:
        return torch.stack([(points - torch.tensor(at)).norm(dim=-1) - radius for at, radius in self.balls]).amin(0)

    def sdf_on_grid(self, axis: Tensor) -> Tensor:
        return self.sdf(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1))

    def density_on_grid(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return 10 * torch.exp(-self.sdf(torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1)) / 0.05)

    def deformation(self, points: Tensor) -> Tensor:
        return torch.zeros_like(points)

    def cube_weights(self, points: Tensor, corners: Tensor) -> Tensor:
        return torch.zeros(len(corners), 21)

    def colors(self, points: Tensor) -> Tensor:
        return (points + 1) / 2


def surface(field) -> Mesh:
    found = extract_flexicubes(field, 48, SCALE)
    return Mesh(found.vertices, found.faces, found.colors)


def outline_of(field, camera=None, size_px: int = 256) -> Tensor:
    """(1, s, s) the mask of a field's surface."""
    return seen(surface(field), camera, size_px)


def seen(mesh: Mesh, camera=None, size_px: int = 256) -> Tensor:
    with torch.no_grad():
        return render_mesh(mesh, camera or photo_camera(), size_px).mask[0]


def iou(a: Tensor, b: Tensor) -> float:
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


GUESS = Balls(((0.0, 0.0, 0.0), 0.5))
TRUTH = Balls(((0.0, 0.0, 0.0), 0.42), ((0.0, 0.45, 0.2), 0.3))  # smaller, and with a part that the guess lacks


def test_the_outline_becomes_the_photos():
    mask = outline_of(TRUTH)
    assert iou(outline_of(GUESS), mask) < 0.75
    fitted = surface(OutlinedSurface(GUESS, photo_camera(), mask, SCALE))
    assert iou(seen(fitted), mask) > 0.92


def test_a_density_is_outlined_too():
    mask = outline_of(TRUTH)
    fitted = OutlinedDensity(GUESS, photo_camera(), mask, SCALE, 10.0)
    mesh = extract_isosurface(fitted.density_on_grid, fitted.colors, 64, SCALE / 2, 10.0)
    assert iou(seen(mesh), mask) > 0.92
    axis = torch.linspace(-1, 1, 9)
    assert bool(torch.isfinite(fitted.density_on_grid(axis, axis[:4], axis[2:])).all())
    assert fitted.density_on_grid(axis, axis[:4], axis[2:]).shape == (9, 4, 7)


def test_beside_the_outline_the_distance_is_at_least_that_to_it():
    mask = outline_of(TRUTH)
    camera, axis = photo_camera(), torch.linspace(-1, 1, 33)
    distance = OutlinedSurface(GUESS, camera, mask, SCALE).sdf_on_grid(axis).flatten()
    points = torch.cartesian_prod(axis, axis, axis)
    uv, depth = project(points, camera)
    column, row = (uv[0] * 256).long().clamp(0, 255).unbind(1)
    outside = torch.nn.functional.max_pool2d(mask[None], 9, 1, 4)[0, 0][row, column] < 0.1  # four pixels and more away
    assert int(outside.sum()) > 1000
    least = 3.5 / 256 * depth[0][outside] / camera.intrinsics[0, 1, 1]
    assert bool((distance[outside] >= least).all())


def test_a_field_with_the_right_outline_hardly_changes():
    fitted = surface(OutlinedSurface(TRUTH, photo_camera(), outline_of(TRUTH), SCALE))
    assert float(TRUTH.sdf(fitted.vertices).abs().quantile(0.95)) < 0.02
    assert float(TRUTH.sdf(fitted.vertices).abs().max()) < 0.08  # the sheet's rim


def test_colors_and_the_rest_are_the_fields():
    fitted = OutlinedSurface(GUESS, photo_camera(), outline_of(TRUTH), SCALE)
    points = torch.rand(5, 3)
    assert torch.equal(fitted.colors(points), GUESS.colors(points))
    assert torch.equal(fitted.deformation(points), GUESS.deformation(points))
    corners = torch.zeros(2, 8, dtype=torch.int64)
    assert torch.equal(fitted.cube_weights(points, corners), GUESS.cube_weights(points, corners))


def test_nothing_is_added_behind_the_camera_or_outside_the_mask():
    mask = torch.zeros(1, 64, 64)
    mask[:, 30:34, 30:34] = 1
    fitted = surface(OutlinedSurface(GUESS, photo_camera(), mask, SCALE))
    assert float(seen(fitted, size_px=64).sum()) < 40


def test_what_is_no_outline_is_refused(as_users_run_it):
    mask = outline_of(TRUTH)
    with pytest.raises(InputError, match="one camera"):
        OutlinedSurface(GUESS, spherical_cameras((0.0, 1.0), (0.0, 0.0), 4.0, 30.0), mask, SCALE)
    for wrong in (mask[0], mask[:, :-1], torch.zeros_like(mask)):
        with pytest.raises(InputError, match="mask"):
            OutlinedSurface(GUESS, photo_camera(), wrong, SCALE)


def test_a_field_that_is_nowhere_near_stays_without_a_surface_there():
    """Rays are moved in so far and no farther, but the sheet shows the outline."""
    far = Balls(((0.0, 0.0, 9.0), 0.1))
    try:
        mesh = surface(OutlinedSurface(far, photo_camera(), outline_of(TRUTH), SCALE))
    except EmptySurfaceError:
        return
    assert bool(torch.isfinite(mesh.vertices).all())


def test_depth_is_bounded_by_width_where_that_is_asked_for():
    """A slab whose front is a disc: with the bound about a ball, without it as deep as it was."""

    class Slab(Balls):
        def sdf(self, points: Tensor) -> Tensor:
            across = points[..., 1:].norm(dim=-1) - 0.4
            return torch.maximum(across, points[..., 0].abs() - 0.9)

    slab, camera = Slab(), spherical_cameras((0.0,), (0.0,), 4.0, 30.0)
    mask = outline_of(slab, camera)
    free = surface(OutlinedSurface(slab, camera, mask, SCALE))
    bounded = surface(OutlinedSurface(slab, camera, mask, SCALE, 1.2))
    assert float(free.vertices[:, 0].abs().max()) > 0.85
    assert 0.45 < float(bounded.vertices[:, 0].abs().max()) < 0.72  # 1.2 times 0.4 to 0.5, with the perspective
    assert iou(seen(bounded, camera), mask) > 0.92
    near_edge = bounded.vertices[bounded.vertices[:, 1:].norm(dim=1) > 0.38]
    assert float(near_edge[:, 0].abs().mean()) < 0.3  # a round cross-section, not a shorter slab
