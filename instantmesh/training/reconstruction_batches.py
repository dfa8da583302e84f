"""Batches of the reconstruction stages: some views of an object to see, others to be judged by, both augmented.

Symbols: b objects, v input views, t target views, s side of the model's images, S side of the data's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from instantmesh.cameras import camera_vector, rotate_about_up, scale_positions
from instantmesh.config import StrictModel
from instantmesh.data.source import ObjectSource
from instantmesh.data.views import ObjectViews
from instantmesh.errors import ConfigError
from instantmesh.structures import Cameras
from instantmesh.training.multiview_batches import resized
from instantmesh.training.stage import Batch, object_numbers


class ViewsConfig(StrictModel):
    """How views are drawn and augmented; the defaults are InstantMesh's.

    Attributes:
        inputs, targets: views of an object that the model sees, and others that its images are compared with.
        scale_probability: how often an object is scaled.
        scale: by a factor drawn evenly between these.
        camera_noise: largest error of each of an input camera's 16 numbers.
    """

    inputs: PositiveInt = 6
    targets: PositiveInt = 4
    scale_probability: NonNegativeFloat = 0.5
    scale: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.1)
    camera_noise: NonNegativeFloat = 0.02


@dataclass(frozen=True, eq=False)
class TargetViews(Batch):
    """What rendered views of b objects are compared with: t views each, as in `ObjectViews`.

    Attributes:
        camera_to_world, intrinsics: of the views, without noise.
    """

    images: Float[Tensor, "b t 3 S S"]
    mask: Float[Tensor, "b t 1 S S"]
    depth: Float[Tensor, "b t 1 S S"]
    normal: Float[Tensor, "b t 3 S S"]
    camera_to_world: Float[Tensor, "b t 4 4"]
    intrinsics: Float[Tensor, "b t 3 3"]

    @classmethod
    def stack(cls, objects: Sequence[ObjectViews]) -> "TargetViews":
        """The views of several objects, as many of each."""
        fields = (
            (
                views.images,
                views.mask,
                views.depth,
                views.normal,
                views.cameras.camera_to_world,
                views.cameras.intrinsics,
            )
            for views in objects
        )
        return cls(*(torch.stack(field) for field in zip(*fields, strict=True)))

    def __getitem__(self, index: int) -> ObjectViews:
        """The views of one object."""
        cameras = Cameras(self.camera_to_world[index], self.intrinsics[index])
        return ObjectViews(self.images[index], self.mask[index], self.depth[index], self.normal[index], cameras)


@dataclass(frozen=True, eq=False)
class ReconstructionBatch(Batch):
    """Views of b objects.

    Attributes:
        images: of the input views, in [0, 1] on white.
        cameras: their camera vectors, with noise.
        targets: other views.
    """

    images: Float[Tensor, "b v 3 s s"]
    cameras: Float[Tensor, "b v 16"]
    targets: TargetViews


class ReconstructionSource:
    """Draws batches out of a data set.

    Args:
        objects: the data set.
        config: of the views.
        image_size_px: side of the model's images.
        seed: of the order of the objects.

    Raises:
        ConfigError: the objects have fewer views than an item needs.
    """

    def __init__(self, objects: ObjectSource, config: ViewsConfig, image_size_px: int, seed: int) -> None:
        needed = config.inputs + config.targets
        if objects.view_count < needed:
            raise ConfigError(
                f"{config.inputs} input and {config.targets} target views are {needed}, and the objects of this data"
                f" set have {objects.view_count}"
            )
        self._objects, self._config, self._image_size_px, self._seed = objects, config, image_size_px, seed

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> ReconstructionBatch:
        """Views of these samples' objects, each object augmented on its own."""
        numbers = object_numbers(samples, len(self._objects), self._seed)
        images, cameras, targets = zip(*(self._item(int(number), rng) for number in numbers), strict=True)
        return ReconstructionBatch(torch.stack(images), torch.stack(cameras), TargetViews.stack(targets))

    def _item(self, number: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, ObjectViews]:
        """Images and camera vectors of one object's input views, and its target views."""
        config = self._config
        chosen = rng.permutation(self._objects.view_count)[: config.inputs + config.targets]
        views = augmented(self._objects.read(number, chosen.tolist()), config, rng)
        seen, target = views[: config.inputs], views[config.inputs :]
        vectors = with_noise(camera_vector(seen.cameras), config.camera_noise, rng)
        return resized(seen.images, self._image_size_px), vectors, target


def augmented(views: ObjectViews, config: ViewsConfig, rng: np.random.Generator) -> ObjectViews:
    """The views turned about z by any angle and, now and then, scaled."""
    views = rotated(views, float(rng.uniform(0, 2 * np.pi)))
    is_scaled, factor = rng.random() < config.scale_probability, float(rng.uniform(*config.scale))
    return scaled(views, factor) if is_scaled else views


def rotated(views: ObjectViews, angle: float) -> ObjectViews:
    """Views of the object turned about z by an angle in radians: the images stay, cameras and normals turn."""
    x, y, z = views.normal.unbind(1)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    normal = torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=1)
    angles = torch.full((len(views),), angle, device=x.device)
    return ObjectViews(views.images, views.mask, views.depth, normal, rotate_about_up(views.cameras, angles))


def scaled(views: ObjectViews, factor: float) -> ObjectViews:
    """Views of the object made `factor` times as large: the images stay, cameras move away, depths grow."""
    cameras = scale_positions(views.cameras, factor)
    return ObjectViews(views.images, views.mask, factor * views.depth, views.normal, cameras)


def with_noise(vectors: Float[Tensor, "v 16"], amount: float, rng: np.random.Generator) -> Float[Tensor, "v 16"]:
    """Camera vectors with errors drawn evenly from [-amount, amount]."""
    return vectors + torch.from_numpy(rng.uniform(-amount, amount, vectors.shape).astype(np.float32))
