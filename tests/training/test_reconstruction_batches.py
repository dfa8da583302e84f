"""Batches of the reconstruction stages: what is drawn, and augmentations that really are views of moved objects."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from instantmesh.cameras import camera_vector
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.data.views import ObjectViews
from instantmesh.errors import ConfigError
from instantmesh.training.reconstruction_batches import (
    ReconstructionSource,
    ViewsConfig,
    augmented,
    rotated,
    scaled,
    with_noise,
)

STILL = ViewsConfig(scale_probability=0.0, camera_noise=0.0)
Array = NDArray[np.floating]


class MovedSurface:
    """A procedural object turned about z and scaled; its colours move along."""

    def __init__(self, seed: int, angle: float, factor: float) -> None:
        self._still = ProceduralSurface(random_object(seed))
        cos, sin = np.cos(angle), np.sin(angle)
        self._turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
        self._factor = factor
        self.vertices = (factor * self._still.vertices @ self._turn.T).astype(np.float32)
        self.faces = self._still.faces

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        colors, normals = self._still.shade(points @ self._turn / self._factor, face, barycentric)
        return colors, normals @ self._turn.T


def assert_same_views(views: ObjectViews, others: ObjectViews) -> None:
    """Up to a few pixels on edges, whose rays are decided by rounding."""
    for name in ("images", "mask", "depth", "normal"):
        difference = (getattr(views, name) - getattr(others, name)).abs()
        assert float((difference > 2e-3).float().mean()) < 5e-3, name


@pytest.mark.parametrize(("angle", "factor"), [(2.1, 1.0), (0.0, 0.7), (-0.8, 1.1)])
def test_augmented_views_are_views_of_the_moved_object(angle: float, factor: float):
    cameras = random_cameras(3, np.random.default_rng(0))
    still = ObjectRenderer(ProceduralSurface(random_object(5))).views(cameras, 32)
    moved = scaled(rotated(still, angle), factor)
    assert float(moved.mask.mean()) > 0.05
    seen = ObjectRenderer(MovedSurface(5, angle, factor)).views(moved.cameras, 32)
    assert_same_views(moved, seen)
    if angle:  # the comparison would notice normals that stay
        assert float((seen.normal - still.normal).abs().max()) > 0.5
    torch.testing.assert_close(moved.depth, factor * still.depth)


def test_augmentation_turns_always_and_scales_half_the_time(objects_in_memory):
    views, rng = objects_in_memory.read(0, range(4)), np.random.default_rng(0)
    poses = [augmented(views, ViewsConfig(), rng).cameras.camera_to_world for _ in range(200)]
    factors = torch.stack([p[0, :3, 3].norm() for p in poses]) / views.cameras.camera_to_world[0, :3, 3].norm()
    kept = (factors - 1).abs() < 1e-5
    assert 0.4 < float(kept.float().mean()) < 0.6
    assert 0.7 <= float(factors.min()) < 0.75
    assert 1.05 < float(factors.max()) <= 1.1 + 1e-5
    azimuth = torch.stack([torch.atan2(p[0, 1, 3], p[0, 0, 3]) for p in poses])
    assert torch.histc(azimuth, 8, -torch.pi, torch.pi).min() > 10


def test_noise_is_even_and_bounded():
    noise = with_noise(torch.ones(200, 16), 0.02, np.random.default_rng(0)) - 1
    assert float(noise.abs().max()) <= 0.02 + 1e-6
    assert float(noise.std()) == pytest.approx(0.02 / 3**0.5, rel=0.05)
    assert noise.dtype == torch.float32


def test_views_of_an_item_are_different_ones_with_their_own_cameras(objects_in_memory):
    source = ReconstructionSource(objects_in_memory, STILL, image_size_px=16, seed=0)
    batch = source.batch(np.arange(2), np.random.default_rng(0))
    assert batch.images.shape == (2, 6, 3, 16, 16)
    assert batch.targets.normal.shape == (2, 4, 3, 32, 32)
    heights = torch.cat(
        [batch.cameras[:, :, 11], batch.targets.camera_to_world[:, :, 2, 3]], dim=1
    )  # which turns leave alone
    for index in range(2):
        every = [objects_in_memory.read(number, range(10)).cameras.camera_to_world[:, 2, 3] for number in range(2)]
        assert any(torch.allclose(heights[index].sort().values, known.sort().values, atol=1e-5) for known in every)
    truth = batch.targets[1]
    torch.testing.assert_close(truth.cameras.camera_to_world, batch.targets.camera_to_world[1])
    vectors = camera_vector(truth.cameras)
    assert vectors.shape == (4, 16)


def test_every_epoch_shows_every_object(objects_in_memory):
    source = ReconstructionSource(objects_in_memory, STILL, image_size_px=16, seed=0)
    for epoch in range(3):
        batch = source.batch(np.arange(2) + 2 * epoch, np.random.default_rng(epoch))
        means = {round(float(masks.mean()), 2) for masks in batch.targets.mask}
        assert len(means) == 2


def test_batches_follow_the_random_numbers_alone(objects_in_memory):
    source = ReconstructionSource(objects_in_memory, ViewsConfig(), image_size_px=16, seed=0)
    first, same, other = (source.batch(np.arange(2), np.random.default_rng(seed)) for seed in (1, 1, 2))
    for batch, other_one in ((first, same), (first.targets, same.targets)):
        for name, tensor in vars(batch).items():
            assert name == "targets" or torch.equal(tensor, getattr(other_one, name)), name
    assert not torch.equal(first.cameras, other.cameras)


def test_noise_reaches_the_inputs_only(objects_in_memory):
    noisy = ViewsConfig(scale_probability=0.0, camera_noise=0.02)
    batches = [
        ReconstructionSource(objects_in_memory, config, 16, seed=0).batch(np.arange(1), np.random.default_rng(4))
        for config in (STILL, noisy)
    ]
    assert 0.01 < float((batches[0].cameras - batches[1].cameras).abs().max()) <= 0.02 + 1e-5
    assert torch.equal(batches[0].targets.camera_to_world, batches[1].targets.camera_to_world)


def test_too_few_views_are_an_error(objects_in_memory):
    with pytest.raises(ConfigError, match="7 input and 4 target views are 11"):
        ReconstructionSource(objects_in_memory, ViewsConfig(inputs=7), 16, seed=0)
