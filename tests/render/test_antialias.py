"""Silhouettes: coverage in closed form, gradients against finite differences and against areas."""

import math

import pytest
import torch
import trimesh
from torch import Tensor
from torch.nn.functional import avg_pool2d

from instantmesh.cameras import intrinsics_from_fov, spherical_cameras
from instantmesh.render.raster import MeshRenderings, render_mesh
from instantmesh.structures import Cameras, Mesh

SIZE_PX = 40
DISTANCE = 4.0


def _camera(azimuth_deg: float = 30.0, elevation_deg: float = 20.0) -> Cameras:
    camera = spherical_cameras([azimuth_deg], [elevation_deg], DISTANCE, 30.0)
    return Cameras(camera.camera_to_world.double(), camera.intrinsics.double())


def _shape(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices, faces, colours; `fine` has faces far smaller than the pixels."""
    shape = (
        trimesh.creation.box((1.0, 0.7, 0.5))
        if kind == "box"
        else trimesh.creation.icosphere(5 if kind == "fine" else 2)
    )
    vertices = torch.tensor(shape.vertices) * (1 if kind == "box" else 0.6)
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    colors = torch.rand(len(vertices), 3, generator=generator, dtype=torch.float64)
    return vertices @ rotation.T, torch.tensor(shape.faces), colors


def _plate(top_left: tuple[float, float], bottom_right: tuple[float, float], x: float = 0.0) -> Mesh:
    """A rectangle facing the camera at azimuth 0, elevation 0, given in pixels (column, row) of its image."""
    per_px = (DISTANCE - x) * 2 * math.tan(math.radians(15)) / SIZE_PX
    (left, top), (right, bottom) = (
        ((c + 0.5 - SIZE_PX / 2) * per_px, (SIZE_PX / 2 - r - 0.5) * per_px) for c, r in (top_left, bottom_right)
    )
    corners = torch.tensor(
        [[x, left, bottom], [x, right, bottom], [x, right, top], [x, left, top]], dtype=torch.float64
    )
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.full((4, 3), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.49, 0.51, 0.8, 0.95])
def test_straight_edges_cover_exactly_their_share(share: float) -> None:
    """An upright or level edge covers pixels by the area on its one side."""
    plate = _plate((9 + share, 11 + share), (29 + share, 27 + share))
    images = render_mesh(plate, _camera(0.0, 0.0), SIZE_PX)
    # Pixel j reaches from j - 1/2 to j + 1/2.
    covered = torch.zeros(2, SIZE_PX, dtype=torch.float64)
    for line, (low, high) in enumerate([(9 + share, 29 + share), (11 + share, 27 + share)]):
        positions = torch.arange(SIZE_PX, dtype=torch.float64)
        covered[line] = ((positions + 0.5).clamp(max=high) - (positions - 0.5).clamp(min=low)).clamp(0, 1)
    torch.testing.assert_close(images.mask[0, 0, 20], covered[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(images.mask[0, 0, :, 20], covered[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(images.color[:, :1], 1 - 0.75 * images.mask)
    torch.testing.assert_close(images.normal[:, 0:1], images.mask)


def _image(vertices: Tensor, faces: Tensor, colors: Tensor, size_px: int = SIZE_PX) -> Tensor:
    images = render_mesh(Mesh(vertices, faces, colors), _camera(), size_px)
    return torch.cat([images.color, images.mask, images.normal], dim=1)


@pytest.mark.parametrize("kind", ["box", "ball", "fine"])
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_the_images_own(kind: str, seed: int) -> None:
    """Each pixel's finite difference where every vertex moves in a direction of its own.

    Pixels whose centre changes from one face to another within the step differ; they must be few.
    """
    vertices, faces, colors = _shape(kind)
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(vertices.shape, generator=generator, dtype=torch.float64)
    step = 1e-6
    after, before = (_image(vertices + sign * step * direction, faces, colors) for sign in (1, -1))
    difference = (after - before) / (2 * step)

    moved = torch.zeros((), dtype=torch.float64, requires_grad=True)
    image = _image(vertices + moved * direction, faces, colors)
    cotangent = torch.zeros_like(image, requires_grad=True)  # the gradient is linear in it: its slope is d image
    (gradient,) = torch.autograd.grad(image, moved, cotangent, create_graph=True)
    (derivative,) = torch.autograd.grad(gradient, cotangent)
    scale = derivative.abs().mean()
    agrees = (derivative - difference).abs() <= 1e-3 * (derivative.abs() + scale)
    assert float(agrees.double().mean()) > 0.99
    assert float((derivative[:, 3] != 0).double().mean()) > 0.02  # the mask moves too


@pytest.mark.parametrize("size_px", [24, 64])
def test_area_of_a_ball_grows_as_it_should(size_px: int) -> None:
    """The mask's derivatives by a ball's radius and by its distance are those of the outline's area.

    Each single image is a few per cent off, as silhouettes change from upright to level pairs; the mean isn't.
    """
    ball = trimesh.creation.icosphere(4)
    unit, faces = torch.tensor(ball.vertices), torch.tensor(ball.faces)
    camera, focal_px = _camera(), 0.5 / math.tan(math.radians(15)) * size_px
    towards = camera.camera_to_world[0, :3, 2]
    ratios = []
    for radius in torch.linspace(0.5, 0.7, 9, dtype=torch.float64):
        scale, shift = radius.clone().requires_grad_(), torch.zeros_like(radius, requires_grad=True)
        area = render_mesh(Mesh(unit * scale + shift * towards, faces), camera, size_px).mask.sum()
        by_radius, by_shift = torch.autograd.grad(area, (scale, shift))
        rest = DISTANCE**2 - radius**2
        true_area = math.pi * focal_px**2 * radius**2 / rest
        ratios.append(
            torch.stack(
                [
                    area.detach() / true_area,
                    by_radius / (2 * true_area * DISTANCE**2 / (radius * rest)),
                    by_shift / (2 * true_area * DISTANCE / rest),
                ]
            )
        )
    table = torch.stack(ratios)
    assert float((table[:, 0] - 1).abs().max()) < 5e-3
    assert float((table.mean(0) - 1).abs().max()) < 0.015
    assert float((table - 1).abs().max()) < 0.06


def test_area_of_a_box_by_one_corner_against_supersampling() -> None:
    vertices, faces, _ = _shape("box")
    corner = int((vertices @ _camera().camera_to_world[0, :3, 0]).argmax())  # rightmost in the image
    direction = torch.zeros_like(vertices)
    direction[corner] = _camera().camera_to_world[0, :3, 0]

    def area(move: float) -> float:
        mesh = Mesh(vertices + move * direction, faces)
        return float(render_mesh(mesh, _camera(), 16 * SIZE_PX, antialias=False).mask.sum()) / 16**2

    moved = torch.zeros((), dtype=torch.float64, requires_grad=True)
    mask = render_mesh(Mesh(vertices + moved * direction, faces), _camera(), SIZE_PX).mask
    (gradient,) = torch.autograd.grad(mask.sum(), moved)
    assert float(gradient) == pytest.approx((area(0.05) - area(-0.05)) / 0.1, rel=0.05)


@pytest.mark.parametrize("kind", ["box", "ball", "fine"])
@pytest.mark.parametrize("size_px", [24, 64])
def test_close_to_supersampling(kind: str, size_px: int) -> None:
    vertices, faces, colors = _shape(kind)

    def render(scale: int, antialias: bool) -> MeshRenderings:
        return render_mesh(Mesh(vertices, faces, colors), _camera(), scale * size_px, antialias=antialias)

    true = avg_pool2d(render(8, False).mask, 8)
    mask = render(1, True).mask
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1
    error, error_without = (float((m - true).square().mean().sqrt()) for m in (mask, render(1, False).mask))
    assert error < 0.35 * error_without


def test_the_nearer_surface_moves_the_inner_outline() -> None:
    """Before a larger plate: its own edge gets the gradient, what it hides gets none."""
    near, far = _plate((12.3, 12.3), (24.3, 24.3), x=0.5), _plate((5.2, 5.2), (33.2, 33.2), x=-0.5)
    vertices = torch.cat([near.vertices, far.vertices]).requires_grad_()
    colors = torch.tensor([[1.0, 0, 0]] * 4 + [[0.0, 0, 1]] * 4, dtype=torch.float64)
    mesh = Mesh(vertices, torch.cat([near.faces, far.faces + 4]), colors)
    red = render_mesh(mesh, _camera(0.0, 0.0), SIZE_PX, background=0.0).color[:, 0]
    assert float(red.detach().sum()) == pytest.approx(12 * 12, abs=0.2)
    (gradient,) = torch.autograd.grad(red.sum(), vertices)
    assert float(gradient[4:].abs().max()) < 1e-9
    px_per_unit = SIZE_PX / (3.5 * 2 * math.tan(math.radians(15)))
    assert float(gradient[1:3, 1].sum()) == pytest.approx(12 * px_per_unit, rel=0.02)  # the right edge, outwards


def test_hidden_edges_do_not_show() -> None:
    near, hidden = _plate((5.2, 5.2), (33.2, 33.2), x=0.5), _plate((12.4, 12.4), (24.4, 24.4), x=-0.5)
    both = Mesh(
        torch.cat([near.vertices, hidden.vertices]),
        torch.cat([near.faces, hidden.faces + 4]),
        torch.tensor([[1.0, 0, 0]] * 4 + [[0.0, 0, 1]] * 4, dtype=torch.float64),
    )
    alone = Mesh(near.vertices, near.faces, torch.tensor([[1.0, 0, 0]] * 4, dtype=torch.float64))
    images = [render_mesh(mesh, _camera(0.0, 0.0), SIZE_PX).color for mesh in (both, alone)]
    assert torch.equal(*images)


def test_things_cut_off_by_the_image() -> None:
    """Silhouettes outside the image are nobody's."""
    images = render_mesh(_plate((-70.0, 10.4), (90.0, 50.0)), _camera(0.0, 0.0), SIZE_PX)
    torch.testing.assert_close(images.mask[0, 0], images.mask[0, 0, :, :1].expand(-1, SIZE_PX))
    assert float(images.mask[0, 0, 10, 0]) == pytest.approx(0.1, abs=1e-5)


def test_single_pixel_images() -> None:
    camera = _camera(0.0, 0.0)
    camera = Cameras(camera.camera_to_world, intrinsics_from_fov(30.0, 1).double())
    for height, width in ((1, 1), (1, 5), (5, 1)):
        mask = render_mesh(_plate((15.0, 15.0), (24.0, 24.0)), camera, height, width).mask
        assert float(mask.max()) == 1
