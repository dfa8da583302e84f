import math

import pytest
import torch

from instantmesh.cameras import orbit_cameras, pixel_centres, project, rays, six_view_cameras, spherical_cameras
from instantmesh.errors import EmptySurfaceError, ImageError, InputError
from instantmesh.evaluation.baselines import look_up, silhouette_ball, visual_hull
from instantmesh.structures import Cameras, Mesh, Views

from .shapes import volume

SIZE_PX = 96


def ball_masks(cameras: Cameras, radius: float, size_px: int = SIZE_PX) -> torch.Tensor:
    """Silhouettes of a ball at the origin: pixels whose rays pass the origin within `radius`."""
    origin, direction = rays(cameras, size_px, size_px)
    nearest = torch.linalg.cross(origin, direction).norm(dim=-1)
    return (nearest < radius).float().view(len(cameras), 1, size_px, size_px)


def plain_views(cameras: Cameras, color: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Views:
    return Views(torch.tensor(color).view(1, 3, 1, 1).expand(len(cameras), 3, SIZE_PX, SIZE_PX).contiguous(), cameras)


def is_closed(mesh: Mesh) -> bool:
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    return set(map(tuple, edges.tolist())) == {(b, a) for a, b in edges.tolist()}


def test_the_hull_of_a_ball_contains_it():
    cameras = six_view_cameras()
    hull = visual_hull(plain_views(cameras), ball_masks(cameras, 0.6), resolution=64)
    pixel = 2 * 4 * math.tan(math.radians(15)) / SIZE_PX
    assert float(hull.vertices.norm(dim=-1).min()) > 0.6 - pixel
    assert volume(hull) > 4 / 3 * math.pi * 0.6**3  # positive: faces look outwards
    assert is_closed(hull)


def test_every_silhouette_of_the_hull_is_inside_its_mask():
    cameras = six_view_cameras()
    hull = visual_hull(plain_views(cameras), ball_masks(cameras, 0.6), resolution=64)
    uv, _ = project(hull.vertices, cameras)
    reach = (uv - 0.5).norm(dim=-1).amax(1)
    focal = float(cameras.intrinsics[0, 0, 0])
    assert reach.tolist() == pytest.approx([focal * 0.6 / math.sqrt(16 - 0.36)] * 6, abs=1.5 / SIZE_PX)


def test_two_far_views_leave_the_solid_of_steinmetz():
    """Parallel rays along x and along y leave two crossed cylinders: 16/3 r^3."""
    cameras = spherical_cameras((0.0, 90.0), (0.0, 0.0), radius=100.0, fov_deg=math.degrees(2 * math.atan(0.01)))
    hull = visual_hull(plain_views(cameras), ball_masks(cameras, 0.6), resolution=64)
    assert volume(hull) == pytest.approx(16 / 3 * 0.6**3, rel=0.02)


def test_more_views_carve_the_hull_down_to_the_ball():
    exact = 4 / 3 * math.pi * 0.6**3
    volumes = []
    for elevations in [(0.0,), (-40.0, 0.0, 40.0), (-80.0, -60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0, 80.0)]:
        azimuths = [a + e for e in elevations for a in range(0, 360, 90)]
        cameras = spherical_cameras(azimuths, [e for e in elevations for _ in range(4)], radius=4.0, fov_deg=30.0)
        volumes.append(volume(visual_hull(plain_views(cameras), ball_masks(cameras, 0.6), resolution=64)) / exact)
    assert volumes[0] > volumes[1] > volumes[2]
    assert volumes[0] > 1.1
    assert volumes[2] == pytest.approx(1, abs=0.03)  # binary masks take a little off, view by view


def test_the_hull_sits_where_the_masks_say():
    """A ball beside the origin, seen along the three axes: mirrored or transposed masks would move it."""
    centre = torch.tensor([0.3, -0.2, 0.1])
    cameras = spherical_cameras((0.0, 90.0, 0.0), (0.0, 0.0, 89.0), radius=4.0, fov_deg=40.0)
    uv, _ = project(centre[None], cameras)
    seen = (pixel_centres(SIZE_PX, SIZE_PX)[None] - uv[:, :, None]).norm(dim=-1)
    hull = visual_hull(plain_views(cameras), (seen < 0.08).float()[:, None], resolution=64)
    assert hull.vertices.mean(0).tolist() == pytest.approx(centre.tolist(), abs=0.03)


def test_a_hull_that_fills_the_cube_is_closed():
    cameras = orbit_cameras(1, elevation_deg=0.0, radius=10.0, fov_deg=30.0)
    hull = visual_hull(plain_views(cameras), torch.ones(1, 1, SIZE_PX, SIZE_PX), resolution=9)
    assert is_closed(hull)
    assert volume(hull) == pytest.approx(2.25**3, rel=0.1)  # the surface lies half a cell outside the cube


def test_the_hull_has_the_colours_of_the_views():
    cameras = six_view_cameras()
    hull = visual_hull(plain_views(cameras, (0.2, 0.5, 0.9)), ball_masks(cameras, 0.6), resolution=32)
    assert hull.vertex_colors is not None
    torch.testing.assert_close(hull.vertex_colors, torch.tensor([0.2, 0.5, 0.9]).expand_as(hull.vertices))


def test_colours_come_from_the_camera_that_faces_them():
    cameras = orbit_cameras(2, elevation_deg=0.0, radius=4.0)  # from +x and from -x
    images = torch.zeros(2, 3, SIZE_PX, SIZE_PX)
    images[0, 0], images[1, 2] = 1, 1
    hull = visual_hull(Views(images, cameras), ball_masks(cameras, 0.6), resolution=32)
    assert hull.vertex_colors is not None
    front = hull.vertex_colors[hull.vertices[:, 0].argmax()]
    back = hull.vertex_colors[hull.vertices[:, 0].argmin()]
    assert front.tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert back.tolist() == pytest.approx([0, 0, 1], abs=0.01)


def test_masks_that_leave_nothing_are_refused():
    views = plain_views(six_view_cameras())
    with pytest.raises(EmptySurfaceError, match="leave nothing"):
        visual_hull(views, torch.zeros(6, 1, SIZE_PX, SIZE_PX), resolution=16)
    with pytest.raises(InputError, match="5 masks but 6 views"):
        visual_hull(views, torch.ones(5, 1, SIZE_PX, SIZE_PX))
    with pytest.raises(InputError, match="at least 2"):
        visual_hull(views, torch.ones(6, 1, SIZE_PX, SIZE_PX), resolution=1)


def test_images_are_zero_outside_and_behind():
    camera = orbit_cameras(1, elevation_deg=0.0, radius=4.0)
    points = torch.tensor([[0.0, 0, 0], [0.0, 3, 0], [5.0, 0, 0]])  # seen, beside the image, behind the camera
    assert look_up(torch.ones(1, 1, 8, 8), camera, points).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("radius", [0.3, 0.9])
def test_the_ball_is_as_large_as_the_ball_in_the_image(radius: float):
    camera = orbit_cameras(1, elevation_deg=10.0, radius=4.0)
    mask = ball_masks(camera, radius, 256)[0]
    image = torch.where(mask > 0, torch.tensor([0.8, 0.4, 0.1]).view(3, 1, 1), torch.ones(3, 1, 1))
    ball = silhouette_ball(image, mask, camera)
    assert ball.vertices.norm(dim=-1).mean() == pytest.approx(radius, rel=0.01)
    assert ball.vertex_colors is not None
    torch.testing.assert_close(ball.vertex_colors, torch.tensor([0.8, 0.4, 0.1]).expand_as(ball.vertices))
    assert volume(ball) == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.03)


def test_a_ball_needs_a_silhouette_and_one_camera():
    camera = orbit_cameras(1)
    with pytest.raises(ImageError, match="empty"):
        silhouette_ball(torch.ones(3, 8, 8), torch.zeros(1, 8, 8), camera)
    with pytest.raises(InputError, match="one camera"):
        silhouette_ball(torch.ones(3, 8, 8), torch.ones(1, 8, 8), six_view_cameras())
