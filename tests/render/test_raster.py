"""Images of meshes against closed forms and a plain ray caster."""

import math

import pytest
import torch
import trimesh

from instantmesh.cameras import pixel_centres, project, rays, rotate_about_up, six_view_cameras, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.render.projection import to_pixels
from instantmesh.render.raster import interpolate, rasterize, render_mesh, visible_faces
from instantmesh.structures import Cameras, Mesh, Texture


def _sphere(radius: float, subdivisions: int = 4) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions)
    return Mesh(torch.tensor(sphere.vertices, dtype=torch.float32) * radius, torch.tensor(sphere.faces))


def _quad(x: float, half: float, color: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Mesh:
    """A square facing +x, its lower edge along y."""
    corners = [[x, -half, -half], [x, half, -half], [x, half, half], [x, -half, half]]
    return Mesh(torch.tensor(corners), torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.tensor([color] * 4))


def _join(*meshes: Mesh) -> Mesh:
    starts = [0, *torch.tensor([len(mesh.vertices) for mesh in meshes]).cumsum(0).tolist()]
    return Mesh(
        torch.cat([mesh.vertices for mesh in meshes]),
        torch.cat([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
        torch.cat([mesh.vertex_colors for mesh in meshes if mesh.vertex_colors is not None]),
    )


@pytest.mark.parametrize("size_px", [32, 96])
def test_sphere_silhouette_area(size_px: int) -> None:
    radius, distance = 0.8, 4.0
    focal_px = 0.5 / math.tan(math.radians(15)) * size_px
    area = math.pi * focal_px**2 * radius**2 / (distance**2 - radius**2)  # the centre projects to the image's middle
    camera = spherical_cameras([20.0], [10.0], distance, 30.0)
    mask = render_mesh(_sphere(radius, 5), camera, size_px).mask
    assert float(mask.sum()) == pytest.approx(area, rel=1.5e-3)
    assert float(mask.min()) == 0
    assert float(mask.max()) == 1


def test_sphere_depth_and_normals() -> None:
    radius, cameras = 0.7, six_view_cameras()
    images = render_mesh(_sphere(radius, 5), cameras, 40, antialias=False)
    origin, direction = rays(cameras, 40, 40)
    b = (origin * direction).sum(-1)
    discriminant = b**2 - (origin**2).sum(-1) + radius**2
    inner = discriminant > 0.05 * radius**2  # away from the outline, where depth is steep
    distance = -b - discriminant.clamp(min=0).sqrt()
    forward = -cameras.camera_to_world[:, None, :3, 2]
    depth = distance * (direction * forward).sum(-1)
    normal = (origin + distance[..., None] * direction) / radius
    assert bool((images.mask.flatten(1)[inner] == 1).all())
    torch.testing.assert_close(images.depth.flatten(1)[inner], depth[inner], atol=2e-3, rtol=0)
    torch.testing.assert_close(images.normal.flatten(2).mT[inner], normal[inner], atol=5e-3, rtol=0)
    outside = discriminant < -0.01
    assert bool((images.depth.flatten(1)[outside] == 0).all())
    assert bool((images.normal.flatten(2).mT[outside] == 0).all())
    assert bool((images.color.flatten(2).mT[outside] == 1).all())


def test_plane_depth_is_exact() -> None:
    """Depth at a pixel's centre where its ray meets a slanted plane; an image that isn't square."""
    camera = spherical_cameras([25.0], [-15.0], 3.0, 40.0)
    mesh = _quad(0.2, 0.9)
    images = render_mesh(mesh, camera, 24, 36)
    origin, direction = rays(camera, 24, 36)
    distance = (0.2 - origin[..., 0]) / direction[..., 0]
    hit = origin + distance[..., None] * direction
    inside = (hit[0, :, 1:].abs() < 0.9).all(-1)
    depth = distance * (direction * -camera.camera_to_world[:, None, :3, 2]).sum(-1)
    assert 100 < int(inside.sum()) < 24 * 36
    torch.testing.assert_close(images.depth.flatten()[inside], depth[0, inside], atol=1e-5, rtol=0)
    assert bool(((images.depth.flatten() > 0) == inside).all())


def test_images_agree_with_projection() -> None:
    """Three small coloured balls are seen where `project` says, from every side: nothing is mirrored or turned."""
    ball = _sphere(0.05, 2)
    centres = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.6, 0.1], [-0.1, -0.2, 0.7]])
    balls = [
        Mesh(ball.vertices + centre, ball.faces, torch.eye(3)[i].expand(len(ball.vertices), 3))
        for i, centre in enumerate(centres)
    ]
    cameras = spherical_cameras([0.0, 70.0, 160.0, 200.0], [10.0, -20.0, 45.0, 0.0], 4.0, 30.0)
    images = render_mesh(_join(*balls), cameras, 80, 120, background=0.0)
    uv, depth = project(centres, cameras)
    seen_uv = (images.color[..., None] * pixel_centres(80, 120)).sum((2, 3)) / images.color.sum((2, 3))[..., None]
    # a ball's perspective image is a slightly eccentric ellipse
    torch.testing.assert_close(seen_uv, uv, atol=2e-3, rtol=0)
    nearest = torch.where(images.color > 0.99, images.depth, torch.inf).flatten(2).amin(-1)
    torch.testing.assert_close(nearest, depth - 0.05, atol=4e-3, rtol=0)


def _plain_ray_caster(vertices: torch.Tensor, faces: torch.Tensor, camera: Cameras, size: int) -> tuple:
    """Every ray against every face (Moeller and Trumbore 1997): nearest face, barycentric coordinates, depth."""
    origin, direction = (ray[0].to(vertices) for ray in rays(camera, size, size))
    a, b, c = vertices[faces].unbind(1)
    p = torch.linalg.cross(direction[:, None], (c - a)[None])
    scale = 1 / ((b - a) * p).sum(-1)
    t = origin[:, None] - a
    u = (t * p).sum(-1) * scale
    q = torch.linalg.cross(t, (b - a)[None].expand_as(t))
    v = (direction[:, None] * q).sum(-1) * scale
    distance = ((c - a) * q).sum(-1) * scale
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
    nearest, face = torch.where(hit, distance, torch.inf).min(1)
    pick = torch.arange(len(face)), face
    forward = -camera.camera_to_world[0, :3, 2].to(vertices)
    barycentric = torch.stack([1 - u[pick] - v[pick], u[pick], v[pick]], dim=-1)
    return torch.where(nearest.isfinite(), face, -1), barycentric, distance[pick] * (direction @ forward)


def test_triangle_soup_against_plain_ray_caster() -> None:
    """Visibility, interpolation and depth, and their gradients under random cotangents."""
    generator = torch.Generator().manual_seed(3)
    vertices = (torch.rand(90, 3, generator=generator, dtype=torch.float64) * 2 - 1).requires_grad_()
    attributes = torch.rand(90, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    faces = torch.randperm(90, generator=generator).reshape(30, 3)
    camera, size = spherical_cameras([40.0], [25.0], 3.0, 45.0), 36
    seen = visible_faces(vertices, faces, camera, size, size)
    true_face, true_barycentric, true_depth = _plain_ray_caster(vertices, faces, camera, size)
    assert bool((seen.flatten() == true_face).all())
    assert len(seen.unique()) > 20

    fragments = rasterize(faces, seen[0], to_pixels(vertices, camera, size, size)[0])
    values = interpolate(attributes, fragments)
    true_values = (attributes[faces[true_face]] * true_barycentric[..., None]).sum(1)[fragments.pixel]
    true_depth = true_depth[fragments.pixel]
    torch.testing.assert_close(values, true_values, atol=2e-5, rtol=0)  # the camera is float32
    torch.testing.assert_close(fragments.depth, true_depth, atol=2e-5, rtol=0)

    cotangents = torch.randn_like(values), torch.randn_like(true_depth)
    gradients = torch.autograd.grad((values, fragments.depth), (vertices, attributes), cotangents)
    true_gradients = torch.autograd.grad((true_values, true_depth), (vertices, attributes), cotangents)
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert float((gradient - true_gradient).norm() / true_gradient.norm()) < 1e-4


def test_the_nearer_object_hides_the_farther() -> None:
    camera = spherical_cameras([0.0], [0.0], 4.0, 30.0)
    near, far = _quad(0.5, 0.3, (1.0, 0.0, 0.0)), _quad(-0.5, 0.8, (0.0, 0.0, 1.0))
    images = [render_mesh(_join(*order), camera, 48) for order in ((near, far), (far, near))]
    torch.testing.assert_close(images[0].color, images[1].color)
    assert images[0].color[0, :, 24, 24].tolist() == [1, 0, 0]
    assert images[0].color[0, :, 24, 12].tolist() == [0, 0, 1]
    assert float(images[0].depth[0, 0, 24, 24]) == pytest.approx(3.5, abs=1e-5)
    assert float(images[0].depth[0, 0, 24, 12]) == pytest.approx(4.5, abs=1e-5)
    torch.testing.assert_close(images[0].mask, render_mesh(far, camera, 48).mask)  # near lies inside far's outline


def test_turning_object_and_cameras_together_changes_nothing() -> None:
    box = trimesh.creation.box((1.0, 0.7, 0.4))
    vertices, faces = torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces)
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
    cameras = six_view_cameras()
    still = render_mesh(Mesh(vertices, faces), cameras, 48)
    turned = render_mesh(Mesh(vertices @ turn.T, faces), rotate_about_up(cameras, angle.expand(6)), 48)
    assert float((still.mask - turned.mask).abs().mean()) < 1e-5
    assert float((still.depth - turned.depth).abs().mean()) < 1e-4
    back = torch.einsum("ji,njhw->nihw", turn, turned.normal)
    assert float((still.normal - back).abs().mean()) < 1e-4


def test_color_field_is_asked_at_the_surface() -> None:
    asked = []

    def field(points: torch.Tensor) -> torch.Tensor:
        asked.append(points)
        return points / 2 + 0.5

    mesh, cameras = _sphere(0.6), six_view_cameras()
    by_field = render_mesh(mesh, cameras, 32, color_field=field)
    by_vertex = render_mesh(Mesh(mesh.vertices, mesh.faces, mesh.vertices / 2 + 0.5), cameras, 32)
    torch.testing.assert_close(by_field.color, by_vertex.color)
    assert len(asked) == 6
    radii = torch.cat(asked).norm(dim=1)
    assert 0.59 < float(radii.min()) <= float(radii.max()) <= 0.6001


@pytest.mark.parametrize("vertex_count", [0, 3])
def test_mesh_without_faces_is_all_background(vertex_count: int) -> None:
    mesh = Mesh(torch.zeros(vertex_count, 3), torch.zeros(0, 3, dtype=torch.int64))
    images = render_mesh(mesh, six_view_cameras(), 8, 12, background=0.25)
    assert images.color.shape == (6, 3, 8, 12)
    assert bool((images.color == 0.25).all())
    for image in (images.mask, images.depth, images.normal):
        assert bool((image == 0).all())


def test_object_behind_or_around_the_camera_does_no_harm() -> None:
    behind = _quad(8.0, 0.5)
    images = render_mesh(behind, spherical_cameras([0.0], [0.0], 4.0, 30.0), 16)
    assert float(images.mask.sum()) == 0
    inside = _sphere(10.0, 2)
    vertices = inside.vertices.clone().requires_grad_()
    images = render_mesh(Mesh(vertices, inside.faces), six_view_cameras(), 16)
    assert float(images.mask.detach().min()) == 1
    (images.depth.sum() + images.normal.sum()).backward()
    assert vertices.grad is not None
    assert bool(torch.isfinite(vertices.grad).all())


def test_degenerate_faces_have_finite_gradients() -> None:
    sphere = _sphere(0.5, 2)
    flat = torch.tensor([[0, 0, 1], [0, 1, 1], [2, 2, 2]])
    vertices = sphere.vertices.clone().requires_grad_()
    images = render_mesh(Mesh(vertices, torch.cat([sphere.faces, flat])), six_view_cameras(), 24)
    torch.testing.assert_close(images.depth, render_mesh(sphere, six_view_cameras(), 24).depth)
    (images.color.square().sum() + images.normal.sum() + images.depth.sum()).backward()
    assert vertices.grad is not None
    assert bool(torch.isfinite(vertices.grad).all())


def test_twice_the_same() -> None:
    mesh, cameras = _sphere(0.7), six_view_cameras()
    first, second = (render_mesh(mesh, cameras, 40) for _ in range(2))
    for name in ("color", "mask", "depth", "normal"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_sides_must_be_positive() -> None:
    with pytest.raises(InputError, match="positive"):
        render_mesh(_quad(0.0, 1.0), six_view_cameras(), 0)


def _textured_quad(image: torch.Tensor) -> Mesh:
    """A square facing +x with the image upright on it: seen from the front, +y is to the right."""
    quad = _quad(0.0, 0.5)
    corners = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # lower left, lower right, ...
    return Mesh(quad.vertices, quad.faces, quad.vertex_colors, Texture(image, corners[quad.faces]))


def test_texture_lies_upright_and_isn_t_mirrored() -> None:
    image = torch.zeros(3, 2, 2)
    image[0, 0, 0], image[1, 0, 1], image[2, 1, 0] = 1, 1, 1  # red upper left, green upper right, blue lower left
    camera = spherical_cameras([0.0], [0.0], 4.0, 30.0)
    color = render_mesh(_textured_quad(image), camera, 64, antialias=False).color[0]
    inside = color[:, 20:44, 20:44]
    assert inside[:, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=0.05)
    assert inside[:, 0, -1].tolist() == pytest.approx([0, 1, 0], abs=0.05)
    assert inside[:, -1, 0].tolist() == pytest.approx([0, 0, 1], abs=0.05)
    assert inside[:, -1, -1].tolist() == pytest.approx([0, 0, 0], abs=0.05)


def test_texture_is_bilinear_and_differentiable() -> None:
    """A ramp in u comes out as the same ramp over the square, whose place in the image is known."""
    ramp = ((torch.arange(64) + 0.5) / 64).expand(3, 64, 64).clone().requires_grad_()
    camera = spherical_cameras([0.0], [0.0], 4.0, 30.0)
    images = render_mesh(_textured_quad(ramp), camera, 96, antialias=False)
    origin, direction = rays(camera, 96, 96)
    across = (origin + direction * (-origin[..., :1] / direction[..., :1]))[..., 1].reshape(96, 96)  # y where x = 0
    inside = (images.mask[0, 0] == 1) & (across.abs() < 0.49)
    torch.testing.assert_close(images.color[0, 0][inside], (across + 0.5)[inside], atol=1e-4, rtol=0)
    images.color[0, 0][inside].sum().backward()
    assert ramp.grad is not None
    assert float(ramp.grad[0].sum()) == pytest.approx(float(inside.sum()), rel=1e-4)
    assert float(ramp.grad[1].abs().sum()) == 0
