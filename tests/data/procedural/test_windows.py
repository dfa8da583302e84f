"""Rays cast only where the surface can be give the images that all rays give."""

import numpy as np
import pytest
import torch

from instantmesh.cameras import look_at_origin
from instantmesh.data.object_renderer import ObjectRenderer, _window
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.structures import Cameras

CLOSE = (0.4, 0.2, 0.1)  # inside the object
NEAR = (1.3, 0.2, 0.3)  # some of the object lies beside the image
AWAY = (4.0, 0.5, 1.0)


def camera_at(position: tuple[float, float, float], focal: float, shift: tuple[float, float] = (0.5, 0.5)) -> Cameras:
    k = torch.tensor([[focal, 0, shift[0]], [0, 1.2 * focal, shift[1]], [0, 0, 1.0]])
    return Cameras(look_at_origin(torch.tensor([position])), k[None])


@pytest.mark.parametrize(
    "camera",
    [
        random_cameras(1, np.random.default_rng(0)),
        camera_at(CLOSE, 1.0),
        camera_at(NEAR, 0.9),
        camera_at(AWAY, 1.5, (0.9, 0.2)),  # at the image's edge
        camera_at(AWAY, 1.5, (3.0, 0.5)),  # beside the image
    ],
)
def test_windows_change_no_image(camera):
    renderer = ObjectRenderer(ProceduralSurface(random_object(3)))
    with_window, plain = renderer._cast(camera, 65), renderer._cast_all(camera, 65)
    assert (np.abs(with_window - plain).max(-1) > 1e-3).mean() < 2e-3  # rays that graze an edge
    assert with_window.shape == plain.shape


def test_windows_hold_the_object_tightly():
    vertices = ProceduralSurface(random_object(3)).vertices
    for seed in range(5):
        camera = random_cameras(1, np.random.default_rng(seed))
        top, left, side = _window(vertices, camera, 100)
        mask = ObjectRenderer(ProceduralSurface(random_object(3)))._cast_all(camera, 100)[..., 3]
        rows, columns = np.nonzero(mask)
        assert 0 <= rows.min() - top <= rows.max() - top < side
        assert 0 <= columns.min() - left <= columns.max() - left < side
        assert side <= max(np.ptp(rows), np.ptp(columns)) + 5
    assert _window(vertices, camera_at(CLOSE, 1.0), 100) == (0, 0, 100)
