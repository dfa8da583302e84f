"""Reading planes: every shortcut against its plain twin, values and gradients."""

import pytest
import torch
from torch import nn
from torch.nn.functional import grid_sample

from instantmesh.lrm.heads import RadianceField, RadianceHead, SurfaceField, SurfaceHead, activate_density
from instantmesh.lrm.triplane import (
    LRM_PLANE_AXES,
    DeconvUpsampler,
    SmoothUpsampler,
    linear_on_grid,
    project_planes,
    sample_planes,
)

OTHER_AXES = ((0, 1), (0, 2), (1, 2))


@pytest.fixture
def planes() -> torch.Tensor:
    return torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)


def bilinear(plane: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """One bilinear look-up written out: pixel centres at (i + 0.5) / size, zeros outside."""
    c, h, w = plane.shape
    u, v = (x + 1) / 2 * w - 0.5, (y + 1) / 2 * h - 0.5
    total = torch.zeros(c)
    for row in (int(torch.floor(torch.tensor(v))), int(torch.floor(torch.tensor(v))) + 1):
        for column in (int(torch.floor(torch.tensor(u))), int(torch.floor(torch.tensor(u))) + 1):
            if 0 <= row < h and 0 <= column < w:
                total = total + plane[:, row, column] * (1 - abs(v - row)) * (1 - abs(u - column))
    return total


def test_sampling_reads_the_documented_axes(planes):
    points = torch.tensor([[0.1, -0.4, 0.7], [0.95, 0.2, -0.99], [1.05, 0.0, -1.05]])
    features = sample_planes(planes, points, LRM_PLANE_AXES)
    for point, row in zip(points.tolist(), features, strict=True):
        x, y, z = point
        expected = torch.cat([bilinear(planes[0], x, y), bilinear(planes[1], x, z), bilinear(planes[2], z, y)])
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)


def test_sampling_works_in_batches(planes):
    batch = torch.stack([planes, planes.flip(-1)])
    points = torch.rand(2, 11, 3) * 2 - 1
    together = sample_planes(batch, points, LRM_PLANE_AXES)
    for index in range(2):
        torch.testing.assert_close(together[index], sample_planes(batch[index], points[index], LRM_PLANE_AXES))


def test_projecting_first_equals_projecting_after(planes):
    layer = nn.Linear(15, 4, bias=False)
    points = torch.rand(50, 3) * 2.1 - 1.05
    direct = layer(sample_planes(planes, points, LRM_PLANE_AXES))
    projected = sample_planes(project_planes(planes, layer.weight), points, LRM_PLANE_AXES)
    torch.testing.assert_close(projected.unflatten(-1, (3, 4)).sum(1), direct, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("axes", [LRM_PLANE_AXES, OTHER_AXES])
def test_separable_grid_equals_sampling_every_point(planes, axes):
    layer = nn.Linear(15, 4)
    axis = torch.linspace(-1.05, 1.05, 9)
    fast = torch.cat(list(linear_on_grid(planes, layer, axis, axis, axis, axes, slab=4)))
    slow = layer(sample_planes(planes, torch.cartesian_prod(axis, axis, axis), axes)).reshape(9, 9, 9, 4)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)
    part = torch.cat(list(linear_on_grid(planes, layer, axis[2:7], axis[:3], axis[5:], axes, slab=4)))
    torch.testing.assert_close(part, fast[2:7, :3, 5:])
    cotangent = torch.randn_like(slow)
    gradients = [torch.autograd.grad((out * cotangent).sum(), [planes, *layer.parameters()]) for out in (fast, slow)]
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


def test_fields_on_grids_equal_fields_at_points(planes):
    axis = torch.linspace(-1.05, 1.05, 8)
    points = torch.cartesian_prod(axis, axis, axis)
    surface = SurfaceField(planes, SurfaceHead(5), LRM_PLANE_AXES)
    torch.testing.assert_close(surface.sdf_on_grid(axis).flatten(), surface.sdf(points), atol=1e-5, rtol=1e-5)
    radiance = RadianceField(planes, RadianceHead(5), LRM_PLANE_AXES)
    density = activate_density(radiance(points)[1]).squeeze(-1)
    torch.testing.assert_close(radiance.density_on_grid(axis, axis, axis).flatten(), density, atol=1e-5, rtol=1e-5)


def test_cube_weights_read_corners_in_order(planes):
    head = SurfaceHead(5)
    nn.init.normal_(head.net_weight[-1].weight)  # it starts at zero
    field = SurfaceField(planes, head, LRM_PLANE_AXES)
    points, corners = torch.rand(30, 3) - 0.5, torch.randint(30, (6, 8))
    features = sample_planes(planes, points, LRM_PLANE_AXES)
    for cube, row in zip(corners, field.cube_weights(points, corners), strict=True):
        expected = 0.1 * head.net_weight(torch.cat([features[corner] for corner in cube]))
        torch.testing.assert_close(row, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("upsampler", "factor"), [(DeconvUpsampler, 2), (SmoothUpsampler, 4)])
def test_upsamplers_keep_planes_apart_and_places_in_order(upsampler, factor):
    torch.manual_seed(0)
    module = upsampler(8, 5)
    tokens = torch.randn(2, 3, 6, 6, 8)
    planes = module(tokens)
    assert planes.shape == (2, 3, 5, 6 * factor, 6 * factor)
    changed = tokens.clone()
    changed[1, 2, 1, 4] += 1  # row 1, column 4 of the last plane of the second object
    difference = (module(changed) - planes).abs().sum(2)
    assert difference[0].max() == 0
    assert difference[1, :2].max() == 0
    rows, columns = (difference[1, 2] > 1e-7).nonzero().float().mean(0) / factor
    assert abs(float(rows) - 1.4) < 0.5
    assert abs(float(columns) - 4.4) < 0.5


def test_grid_sample_convention_is_texel_centred():
    """A texel's own value is read at its centre, which is what puts planes over exactly [-1, 1]."""
    plane = torch.arange(4.0).reshape(1, 1, 1, 4)
    centres = torch.tensor([[-0.75, 0.0], [-0.25, 0.0], [0.25, 0.0], [0.75, 0.0]])[None, None]
    read = grid_sample(plane, centres, padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(read.flatten(), plane.flatten())
