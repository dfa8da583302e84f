"""Images' colours over the field's: right where they see the surface, nothing where they don't, no seam between."""

import pytest
import torch
from torch import Tensor
from trimesh.creation import box, icosphere

from instantmesh.cameras import six_view_cameras, spherical_cameras
from instantmesh.errors import CameraError
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, ColorField, Mesh, Views
from instantmesh.texture.view_colors import blend

SIZE_PX = 160
FIELD = 0.5  # the field's grey in most tests
NEAR_FIELD = 0.54  # one that is believed, nearly wholly


def mesh_of(*parts) -> Mesh:
    starts = [sum(len(part.vertices) for part in parts[:i]) for i in range(len(parts))]
    vertices = torch.cat([torch.tensor(part.vertices, dtype=torch.float32) for part in parts])
    return Mesh(
        vertices, torch.cat([torch.tensor(p.faces).long() + start for p, start in zip(parts, starts, strict=True)])
    )


def sphere(radius: float = 0.8) -> Mesh:
    return mesh_of(icosphere(subdivisions=5, radius=radius))


def plate(x: float, half_side: float):
    """A thin square plate that faces +x."""
    made = box((0.02, 2 * half_side, 2 * half_side))
    made.apply_translation((x - 0.01, 0, 0))
    return made


def front() -> Cameras:
    return spherical_cameras((0.0,), (0.0,), 4.0, 30.0)


def images(mesh: Mesh, cameras: Cameras, field: ColorField, size_px: int = SIZE_PX) -> Views:
    return Views(render_mesh(mesh, cameras, size_px, color_field=field).color.clamp(0, 1), cameras)


def grey(level: float) -> ColorField:
    return lambda points: torch.full_like(points, level)


def stripes(points: Tensor) -> Tensor:
    """Finer than the smoothing that looks at whether images can be believed."""
    return 0.5 + 0.2 * torch.sin(60 * points[:, 2:]).expand(-1, 3)


def on_sphere(mesh: Mesh, views: Views, level: float = FIELD) -> Tensor:
    """Blended colours of all vertices of a sphere."""
    return blend(mesh.vertices, mesh.vertex_normals(), torch.full_like(mesh.vertices, level), mesh, views)


def facing(mesh: Mesh, cameras: Cameras) -> Tensor:
    """(n, v) cosines between the sphere's normals and the directions to the cameras."""
    towards = torch.nn.functional.normalize(cameras.camera_to_world[:, None, :3, 3] - mesh.vertices, dim=-1)
    return (towards * mesh.vertex_normals()).sum(-1)


def across_plate(x: float, half_width: float, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Points along a line over a plate at x, from side to side, and their normals."""
    y = torch.linspace(-half_width, half_width, count)
    points = torch.stack([torch.full_like(y, x), y, torch.full_like(y, 0.013)], 1)
    return points, torch.tensor([1.0, 0.0, 0.0]).expand_as(points)


class TestWhereItIsSeen:
    def test_detail_that_the_field_lacks_comes_from_the_images(self) -> None:
        ball, cameras = sphere(), six_view_cameras()
        blended = on_sphere(ball, images(ball, cameras, stripes, size_px=320))
        squarely = facing(ball, cameras).amax(0) > 0.85
        error = (blended - stripes(ball.vertices)).abs().amax(1)[squarely]
        assert squarely.float().mean() > 0.25
        assert error.max() < 0.05  # bilinear reading of stripes of 16 pixels
        assert error.mean() < 0.015  # the field alone: 0.13

    def test_what_no_camera_sees_keeps_its_colour_exactly(self) -> None:
        ball, cameras = sphere(), front()
        blended = on_sphere(ball, images(ball, cameras, stripes, size_px=320))
        cosine = facing(ball, cameras)[0]
        assert torch.equal(blended[cosine < 0.3], torch.full_like(blended[cosine < 0.3], FIELD))
        assert (blended[cosine > 0.9] - FIELD).abs().amax() > 0.15

    def test_a_camera_more_changes_only_what_it_sees(self) -> None:
        ball = sphere()
        views = images(ball, six_view_cameras(), stripes)
        five, six = on_sphere(ball, views[:5]), on_sphere(ball, views)
        hidden = facing(ball, views.known_cameras)[5] < 0.3
        torch.testing.assert_close(five[hidden], six[hidden])
        assert (five - six).abs().amax() > 0.1

    def test_points_in_chunks_are_the_same_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ball = sphere()
        views = images(ball, front(), stripes)
        whole = on_sphere(ball, views)
        monkeypatch.setattr("instantmesh.texture.view_colors._POINTS_PER_CHUNK", 1000)
        torch.testing.assert_close(on_sphere(ball, views), whole)


class TestOutlines:
    def test_no_seam_where_a_view_ends(self) -> None:
        """From a grey to another: over the terminator of a sphere, and past what stands before a plate."""
        ball = sphere()
        angle = torch.linspace(0, torch.pi, 4000)
        around = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
        views = images(ball, front(), grey(NEAR_FIELD))
        over = blend(0.8 * around, around, torch.full_like(around, FIELD), ball, views)
        both = mesh_of(plate(-0.3, 0.9), plate(0.3, 0.25))
        points, normals = across_plate(-0.3, 0.85)
        past = blend(points, normals, torch.full_like(points, FIELD), both, images(both, front(), grey(NEAR_FIELD)))
        for line in (over, past):
            assert line.max() > FIELD + 0.03
            assert line.min() == FIELD
            assert line.diff(dim=0).abs().max() < 0.003  # a seam would be ten times this

    def test_what_stands_in_front_is_not_painted_on_what_lies_behind(self) -> None:
        """Even where the image shows it larger than it is."""
        both = mesh_of(plate(-0.3, 0.9), plate(0.3, 0.25))
        larger = mesh_of(plate(-0.3, 0.9), plate(0.3, 0.26))

        def red_in_front(points: Tensor) -> Tensor:
            return torch.where(points[:, :1] > 0, torch.tensor([0.6, 0.5, 0.5]), torch.tensor([0.5, 0.5, 0.6]))

        points, normals = across_plate(-0.3, 0.85)
        field = torch.full_like(points, FIELD)
        blended = blend(points, normals, field, both, images(larger, front(), red_in_front))
        behind = points[:, 1].abs() < 0.25 * 4.3 / 3.7
        assert torch.equal(blended[behind], field[behind])
        assert blended[:, 0].max() < FIELD + 1e-4
        assert blended[:, 2].max() > 0.55

    def test_the_white_background_never_comes_in(self) -> None:
        """The image shows a smaller ball than the mesh, of a grey from which white would be believed."""
        ball = sphere(0.8)
        views = images(sphere(0.74), six_view_cameras(), grey(0.85))
        blended = on_sphere(ball, views, level=0.9)
        assert blended.max() <= 0.9
        assert blended.min() < 0.86

    def test_a_hole_that_only_the_image_has_stays_empty(self) -> None:
        ball = sphere()
        image = images(ball, front(), grey(0.85)).images
        image[:, :, 70:90, 70:90] = 1.0
        blended = on_sphere(ball, Views(image, front()), level=0.9)
        assert blended.max() <= 0.9

    def test_an_empty_image_changes_nothing(self) -> None:
        ball = sphere()
        blended = on_sphere(ball, Views(torch.ones(6, 3, SIZE_PX, SIZE_PX), six_view_cameras()))
        assert torch.equal(blended, torch.full_like(blended, FIELD))

    def test_an_object_that_the_frame_cuts_off_fades_out(self) -> None:
        wall = mesh_of(plate(0.0, 1.5))
        points, normals = across_plate(0.0, 1.4)
        views = images(wall, front(), grey(NEAR_FIELD))
        line = blend(points, normals, torch.full_like(points, FIELD), wall, views)
        assert line.max() > FIELD + 0.03
        assert line[0, 0] == line[-1, 0] == FIELD
        assert line.diff(dim=0).abs().max() < 0.003


class TestDoubt:
    def test_a_view_of_another_colour_is_dropped(self) -> None:
        ball = sphere()
        views = images(ball, front(), lambda points: torch.tensor([0.1, 0.2, 0.9]).expand_as(points))
        assert (on_sphere(ball, views) - FIELD).abs().max() < 0.01

    def test_detail_of_another_colour_is_not(self) -> None:
        """A black dot of seven pixels on the field's own grey."""
        ball = sphere()
        image = images(ball, front(), grey(FIELD)).images
        image[:, :, 77:84, 77:84] = 0
        blended = on_sphere(ball, Views(image, front()))
        assert blended[ball.vertices[:, 0].argmax()].max() < 0.1


class TestArguments:
    def test_views_without_cameras_are_refused(self) -> None:
        ball = sphere()
        with pytest.raises(CameraError, match="cameras"):
            on_sphere(ball, Views(torch.ones(1, 3, 32, 32)))

    def test_colours_keep_their_type_and_may_be_none(self) -> None:
        ball = sphere()
        views = images(ball, front(), grey(NEAR_FIELD))
        normals = ball.vertex_normals().double()
        blended = blend(ball.vertices.double(), normals, torch.full_like(normals, FIELD), ball, views)
        assert blended.dtype == torch.float64
        assert blended.max() > FIELD + 0.03
        nothing = torch.zeros(0, 3)
        assert blend(nothing, nothing, nothing, ball, views).shape == (0, 3)
