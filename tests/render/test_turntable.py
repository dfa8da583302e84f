"""Turntables: what is where in which frame, for meshes and fields."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from instantmesh import InputError, Mesh, cli
from instantmesh.cameras import orbit_cameras
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.shading import render_shaded
from instantmesh.render.turntable import _of_mesh, turntable
from instantmesh.render.volume import render_rays
from tests.files.lettered import textured_letter


def images(path) -> list[np.ndarray]:
    with Image.open(path) as film:
        return [np.asarray(image.convert("RGB")).astype(float) for image in ImageSequence.Iterator(film)]


def ball_with_a_red_front(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours and raw densities: a ball of radius 0.6, red where x > 0.3, blue where y > 0.3, green elsewhere."""
    red, blue = points[:, 0] > 0.3, points[:, 1] > 0.3
    colors = torch.stack([red, ~red & ~blue, blue & ~red], dim=1).float()
    return colors, torch.where(points.norm(dim=1, keepdim=True) < 0.6, 200.0, -200.0)


def test_only_the_box_around_the_object_is_rendered_and_nothing_is_lost():
    mesh = to_unit_sphere(textured_letter())
    cameras = orbit_cameras(5)
    whole = render_shaded(mesh, cameras, 96, 96).color()
    image = _of_mesh(textured_letter())
    for index in range(5):
        part = image(cameras[index : index + 1], 96)
        assert part.shape == (3, 96, 96)
        torch.testing.assert_close(part, whole[index], atol=0.02, rtol=0)


def test_a_mesh_turns_once_beginning_with_its_front(tmp_path):
    vertices = torch.tensor([[0.5, -0.5, -0.5], [0.5, 0.5, -0.5], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5]])
    vertices = torch.cat([vertices, vertices * torch.tensor([-1.0, 1, 1])])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]])  # a front in red and a back in blue
    colors = torch.tensor([[1.0, 0, 0]] * 4 + [[0.0, 0, 1]] * 4)
    path = turntable(Mesh(100 * vertices + 7, faces, colors), tmp_path / "film.gif", frames=4, size_px=64, fps=10)
    front, left, back, right = images(path)
    middle = (slice(24, 40), slice(24, 40))
    for image, channel in ((front, 0), (back, 2)):
        color = image[middle].mean((0, 1))
        assert color[channel] > 150
        assert np.delete(color, channel).max() < 40
    assert (left[32] < 128).any(1).sum() < 14  # edge-on
    red_is_at = np.flatnonzero(left[32, :, 0] - left[32, :, 2] > 50).mean()
    assert red_is_at < 30  # seen from its left (+y), the front looks to the left
    assert np.flatnonzero(right[32, :, 0] - right[32, :, 2] > 50).mean() > 34


def test_a_field_turns_as_a_mesh_does(tmp_path):
    ray_renderer = partial(render_rays, ball_with_a_red_front, samples=48)
    told = []
    path = turntable(
        ray_renderer, tmp_path / "film.gif", frames=4, size_px=48, fps=10, callback=lambda *done: told.append(done)
    )
    front, left, back, _ = images(path)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for image, channel in ((front, 0), (left, 2), (back, 1)):
        color = image[22:27, 22:27].mean((0, 1))
        assert color[channel] > 200
        assert np.delete(color, channel).max() < 60
    assert front[0].min() == 255  # white behind
    expected_radius_px = 48 * 0.5 / np.tan(np.radians(15)) * 0.6 / np.sqrt(4.5**2 - 0.6**2)
    radius_px = np.sqrt((front.min(2) < 128).sum() / np.pi)
    assert radius_px == pytest.approx(expected_radius_px, abs=1.5)


def test_refusals(tmp_path):
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="no faces"):
        turntable(empty, tmp_path / "film.gif")
    with pytest.raises(InputError, match="2 frames"):
        turntable(textured_letter(), tmp_path / "film.gif", frames=1)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, monkeypatch, capsys):
    source = textured_letter().save(tmp_path / "letter.glb")
    arguments = ["instantmesh", "turntable", str(source), "-o", str(tmp_path / "film.mp4")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--frames", "3", "--size-px", "32"])
    for code, word in ((0, "3/3"), (2, "exists")):
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        assert int(stop.value.code or 0) == code
        assert word in printed.out + printed.err
    assert (tmp_path / "film.mp4").stat().st_size > 500
