"""Views against the mesh: exact distances of known outlines, and what is warned of."""

import pytest
import torch
import trimesh

from instantmesh import CameraError, InputError, Mesh, Views
from instantmesh.cameras import SIX_VIEW_AZIMUTHS_DEG, six_view_cameras
from instantmesh.evaluation.protocol import true_views
from instantmesh.render.agreement import silhouettes, view_agreement

CAMERAS = six_view_cameras()


def ball(radius: float = 0.7, color: float = 0.3) -> Mesh:
    """Longer from left to right than from front to back, so that its sides look different."""
    made = trimesh.creation.icosphere(4, radius)
    vertices = torch.tensor(made.vertices, dtype=torch.float32) * torch.tensor([0.6, 1.3, 1.0])
    return Mesh(vertices, torch.tensor(made.faces), torch.full_like(vertices, color))


def views_of(mesh: Mesh, size_px: int = 64) -> Views:
    return true_views(mesh, CAMERAS, size_px)[0]


def test_a_mesh_agrees_with_its_own_images():
    found = view_agreement(ball(), views_of(ball()))
    assert found.warnings == ()
    assert found.azimuth_deg == SIX_VIEW_AZIMUTHS_DEG
    assert max(found.outline_distance) < 0.01
    assert min(found.outline_iou) > 0.95
    assert max(found.color_error) < 0.002


@pytest.mark.parametrize("size_px", [64, 256])
def test_the_distance_of_outlines_is_that_of_two_balls(size_px: int):
    small, large = trimesh.creation.icosphere(4, 0.6), trimesh.creation.icosphere(4, 0.7)
    meshes = [Mesh(torch.tensor(made.vertices).float(), torch.tensor(made.faces)) for made in (small, large)]
    found = view_agreement(meshes[0], views_of(meshes[1], size_px))
    focal = 0.5 / torch.tan(torch.deg2rad(torch.tensor(15.0)))
    radii = [float(focal * r / (16 - r**2) ** 0.5) for r in (0.6, 0.7)]
    assert found.outline_distance[0] == pytest.approx(radii[1] - radii[0], abs=0.5 / size_px + 0.001)
    assert found.outline_iou[0] == pytest.approx((radii[0] / radii[1]) ** 2, abs=1.5 / size_px)
    assert found.color_error == pytest.approx((0.0,) * 6, abs=0.003)


def test_the_view_with_another_outline_is_named():
    views = views_of(ball())
    images = views.images.clone()
    images[2] = images[1]  # the long side where a shorter one belongs
    found = view_agreement(ball(), Views(images, CAMERAS))
    assert found.warnings == (
        "the views disagree: seen from azimuth 150 the mesh has another outline than the view; try another seed",
    )
    assert found.outline_distance[2] > 3 * max(found.outline_distance[:2] + found.outline_distance[3:])


def test_views_with_other_colours_are_named():
    images = views_of(ball()).images.clone()
    for index in (0, 4):
        images[index] = torch.where(images[index] < 0.4, images[index] + 0.3, images[index])
    (warning,) = view_agreement(ball(), Views(images, CAMERAS)).warnings
    assert "azimuth 30, 270 the mesh has other colours" in warning


def test_enclosed_white_belongs_to_the_object():
    image = torch.ones(1, 3, 20, 20)
    image[..., 4:16, 4:16] = 0.2
    image[..., 8:12, 8:12] = 1  # an eye
    assert int(silhouettes(image).sum()) == 144
    assert not bool(silhouettes(torch.full((1, 3, 8, 8), 0.97)).any())


def test_a_view_without_an_object_is_as_far_off_as_can_be():
    images = views_of(ball()).images.clone()
    images[3] = 1
    found = view_agreement(ball(), Views(images, CAMERAS))
    assert found.outline_iou[3] == 0
    assert found.color_error[3] == 0
    assert "azimuth 210" in found.warnings[0]


def test_refusals():
    views = views_of(ball(), 16)
    with pytest.raises(CameraError):
        view_agreement(ball(), Views(views.images))
    with pytest.raises(InputError, match="square"):
        view_agreement(ball(), Views(views.images[..., :12], CAMERAS))
    with pytest.raises(InputError, match="no faces"):
        view_agreement(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), views)
