"""A photo's pixels on a mesh."""

from dataclasses import replace

import pytest
import torch

from instantmesh import Mesh, bake
from instantmesh.cameras import photo_camera, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.render.raster import render_mesh
from instantmesh.texture.photo_colors import PosedPhoto, project_photo

GREY = 0.5


def ball() -> Mesh:
    from trimesh.creation import icosphere

    made = icosphere(subdivisions=5, radius=0.7)
    vertices = torch.tensor(made.vertices, dtype=torch.float32)
    return Mesh(vertices, torch.tensor(made.faces), torch.full_like(vertices, GREY))


def checkered(mesh: Mesh, size_px: int = 256) -> PosedPhoto:
    """A photo on white of a mesh with red and blue patches."""
    pattern = ((mesh.vertices * 6).floor().sum(1) % 2)[:, None]
    colors = pattern * torch.tensor([[0.9, 0.1, 0.1]]) + (1 - pattern) * torch.tensor([[0.1, 0.1, 0.8]])
    with torch.no_grad():
        seen = render_mesh(replace(mesh, vertex_colors=colors), photo_camera(), size_px)
    return PosedPhoto(seen.color[0].clamp(0, 1), seen.mask[0], photo_camera())


def error_at_photo(mesh: Mesh, photo: PosedPhoto) -> float:
    """RMS difference where both show the object, away from the outline."""
    with torch.no_grad():
        seen = render_mesh(mesh, photo.camera, photo.image.shape[-1])
    inner = -torch.nn.functional.max_pool2d(-photo.mask[None], 17, 1, 8)[0] > 0.99
    return float(((seen.color[0] - photo.image).square().mean(0)[inner[0]]).mean().sqrt())


@pytest.mark.parametrize("textured", [False, True])
def test_seen_from_its_camera_the_mesh_looks_like_the_photo(textured):
    mesh = ball()
    photo = checkered(mesh)
    if textured:
        mesh, _ = bake(mesh, mesh, 512)
    done, report = project_photo(mesh, photo)
    assert error_at_photo(mesh, photo) > 0.3
    assert error_at_photo(done, photo) < 0.1  # patches' edges are as sharp as vertices or texels are dense
    assert 0.25 < report.share < 0.4
    assert torch.equal(done.vertices, mesh.vertices)
    if textured:
        assert done.texture is not None
        assert mesh.texture is not None
        assert torch.equal(done.texture.uv, mesh.texture.uv)


def test_the_far_side_keeps_its_colours_and_the_mean_fades_between():
    mesh = ball()
    photo = PosedPhoto(torch.full((3, 64, 64), 0.9), torch.ones(1, 64, 64), photo_camera())
    done, _ = project_photo(mesh, photo)
    assert done.vertex_colors is not None
    along = mesh.vertices @ photo.camera.camera_to_world[0, :3, 2] / 0.7  # 1 nearest the camera
    changed = (done.vertex_colors - GREY).abs().amax(1)
    assert float(changed[along < -0.5].max()) < 0.01
    assert float((changed[along > 0.5] - 0.4).abs().max()) < 1e-3
    rim = changed[(along > 0.1) & (along < 0.2)]  # just beyond what the camera sees
    assert 0.05 < float(rim.mean()) < 0.35
    order = along.argsort()
    steps = torch.nn.functional.avg_pool1d(changed[order][None], 200, 100)[0].diff()
    assert float(steps.abs().max()) < 0.12


def test_the_background_does_not_bleed_in():
    mesh = ball()
    with torch.no_grad():
        seen = render_mesh(replace(mesh, vertex_colors=torch.zeros_like(mesh.vertices)), photo_camera(), 96)
    done, _ = project_photo(mesh, PosedPhoto(seen.color[0].clamp(0, 1), seen.mask[0], photo_camera()))
    assert done.vertex_colors is not None
    assert float(done.vertex_colors.max()) <= GREY + 1e-3  # the photo's white stays out


def test_what_is_hidden_keeps_its_colours():
    towards = torch.nn.functional.normalize(photo_camera().camera_to_world[0, :3, 3], dim=0)
    small = replace(ball(), vertices=ball().vertices * 0.35 + 0.5 * towards)
    large = replace(ball(), vertices=ball().vertices * 0.6 - 0.5 * towards)
    both = Mesh(
        torch.cat([small.vertices, large.vertices]),
        torch.cat([small.faces, large.faces + len(small.vertices)]),
        torch.full((2 * len(small.vertices), 3), GREY),
    )
    photo = PosedPhoto(torch.full((3, 64, 64), 0.9), torch.ones(1, 64, 64), photo_camera())
    done, _ = project_photo(both, photo)
    assert done.vertex_colors is not None
    behind = done.vertex_colors[len(small.vertices) :]
    middle = large.vertices + 0.5 * towards
    across = (middle - (middle @ towards)[:, None] * towards).norm(dim=1)
    hidden = (middle @ towards > 0) & (across < 0.1)
    free = (middle @ towards > 0.2) & (across > 0.33)
    assert int(hidden.sum()) > 10
    assert int(free.sum()) > 10
    assert float((behind[free] - 0.9).abs().max()) < 1e-3
    assert float((behind[hidden] - GREY).abs().mean()) < float((behind[free] - GREY).abs().mean()) / 2


def test_what_cannot_be_coloured_is_refused(as_users_run_it):
    mesh = ball()
    photo = checkered(mesh, 64)
    with pytest.raises(InputError, match="no colours"):
        project_photo(replace(mesh, vertex_colors=None), photo)
    with pytest.raises(InputError, match="one camera"):
        PosedPhoto(photo.image, photo.mask, spherical_cameras((0.0, 1.0), (0.0, 0.0), 4.0, 30.0))
    with pytest.raises(InputError, match="mask"):
        PosedPhoto(photo.image, photo.mask[0], photo.camera)
    textured, _ = bake(mesh, mesh, 64)
    assert textured.texture is not None
    wide = replace(textured.texture, image=textured.texture.image[:, :32])
    with pytest.raises(InputError, match="square"):
        project_photo(replace(textured, texture=wide), photo)
