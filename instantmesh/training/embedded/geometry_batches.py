"""Batches of the geometry warm-up: photos in their cameras' frames or six views, and samples of the geometry."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.cameras import camera_vector, photo_camera, rotate_about_up, six_view_cameras
from instantmesh.structures import Cameras
from instantmesh.systems.instantmesh import InstantMeshConfig
from instantmesh.training.config import StageConfig
from instantmesh.training.embedded.dataset import DatasetConfig, GeometryDataset
from instantmesh.training.embedded.photo_frame import IDENTITY_FRAME, into_frames, turn_about_up
from instantmesh.training.multiview_batches import on_white
from instantmesh.training.stage import Batch, object_numbers


class GeometryConfig(StageConfig):
    """The geometry warm-up, `configs/train/tiny-geometry.yaml`.

    Attributes:
        start: a checkpoint, model folder or run to start from; random weights where it is left out. A smaller model is
            grown (`transfer.grown`).
        photo_probability: how often a batch shows one photo of every object, under the camera of its elevation
            (`photo_frame`), in place of the six views.
    """

    model: InstantMeshConfig
    data: DatasetConfig
    start: str | None = None
    sdf_weight: float = 5.0
    color_weight: float = 2.0
    hue_weight: float = 20.0  # of hues beside brightness, which has most of the colours' variance and is learned alone
    slope_weight: float = 0.1
    photo_probability: float = 0.0
    subset_probability: float = 0.15  # how often some of the six views are left out
    camera_noise: float = 0.005
    free_rotation_probability: float = 0.1  # of any angle about z; otherwise a multiple of 120 degrees


@dataclass(frozen=True, eq=False)
class GeometryBatch(Batch):
    """Views of b objects and samples of their geometry.

    Attributes:
        rows: of the data set.
        frames: in which its samples and images are put, see `photo_frame`.
        images: what the model reconstructs from, and their `cameras`: camera vectors, with noise. The others are as in
            `dataset`.
    """

    rows: Int[Tensor, " b"]
    frames: Float[Tensor, "b 5"]
    images: Float[Tensor, "b v 3 h w"]
    cameras: Float[Tensor, "b v 16"]
    points: Float[Tensor, "b p 3"]
    distances: Float[Tensor, "b p"]
    surface_points: Float[Tensor, "b q 3"]
    surface_distances: Float[Tensor, "b q"]
    surface_colors: Float[Tensor, "b q 3"]
    surface_normals: Float[Tensor, "b q 3"]


class GeometrySource:
    """Batches of a data set: photos in their camera's frame, or six views, turned together with their cameras."""

    def __init__(self, data: GeometryDataset, config: GeometryConfig) -> None:
        self._data, self._config = data, config

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> GeometryBatch:
        """Views and samples of b objects; all of them have the same number of views."""
        data, config = self._data, self._config
        rows = np.sort(object_numbers(samples, len(data), config.loop.seed))
        if rng.random() < config.photo_probability:
            images, vectors, frames = self._photos(rows, rng)
        else:
            images, vectors, frames = self._six_views(rows, rng)
        noise = torch.from_numpy(rng.uniform(-1, 1, vectors.shape).astype(np.float32)) * config.camera_noise
        scale, known = frames[:, 4:], data.samples

        def floats(array: np.ndarray, divisor: float = 1.0) -> Tensor:
            return torch.from_numpy(array[rows].astype(np.float32)) / divisor

        return GeometryBatch(
            torch.from_numpy(rows),
            frames,
            on_white(torch.from_numpy(images))[0],
            vectors + noise,
            into_frames(floats(known.points), frames),
            floats(known.distances) * scale,
            into_frames(floats(known.surface_points), frames),
            floats(known.surface_distances) * scale,
            floats(known.surface_colors, 255.0),
            turn_about_up(floats(known.surface_normals, 127.0), frames[:, 0]),
        )

    def _photos(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Tensor, Tensor]:
        """One of each object's query views (b, 1, s, s, 4), its camera's vector and frame."""
        data = self._data
        query = rng.integers(len(data.query_places), size=len(rows))
        elevations = data.query_elevations[rows, query]
        vectors = torch.stack([camera_vector(photo_camera(float(elevation))) for elevation in elevations])
        frames = torch.from_numpy(data.query_frames[rows, query])
        return data.images[rows, data.query_places[query]][:, None], vectors, frames

    def _six_views(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Tensor, Tensor]:
        """The six views (b, v, s, s, 4), of which some are left out now and then, camera vectors and frames."""
        config = self._config
        angle = torch.from_numpy(_draw_angles(len(rows), config.free_rotation_probability, rng))
        views = np.arange(6)
        if rng.random() < config.subset_probability:
            views = np.sort(rng.choice(6, rng.integers(2, 6), replace=False))
        vectors = rotated_camera_vectors(six_view_cameras()[torch.from_numpy(views)], angle)
        frames = torch.tensor(IDENTITY_FRAME).repeat(len(rows), 1)
        frames[:, 0] = angle
        return self._data.images[rows][:, 1 + views], vectors, frames


def _draw_angles(n: int, free_probability: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Angles about z.

    Turns by 120 degrees carry the six-view rig into itself, so they give three objects for one without asking a small
    model for all poses at once, which slows its learning down several times.
    """
    thirds = rng.integers(3, size=n) * (2 * np.pi / 3)
    return np.where(rng.random(n) < free_probability, rng.uniform(0, 2 * np.pi, n), thirds).astype(np.float32)


def rotated_camera_vectors(cameras: Cameras, angle: Float[Tensor, " b"]) -> Float[Tensor, "b v 16"]:
    """Camera vectors of a rig turned about z by each of b angles."""
    b, v = len(angle), len(cameras)
    rig = Cameras(cameras.camera_to_world.repeat(b, 1, 1), cameras.intrinsics.repeat(b, 1, 1))
    return camera_vector(rotate_about_up(rig, angle.repeat_interleave(v))).unflatten(0, (b, v))
