"""Batches of photos in which half of the objects are mirrored: two objects for one, each as likely as the other.

The cameras of photos look from above the x axis (`photo_frame`), so a mirrored photo shows the object mirrored in
the plane y = 0. Batches of six views are left alone: a mirrored rig has other elevations.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.training.embedded.geometry_batches import GeometryBatch, GeometrySource


class MirroredPhotos:
    """A `GeometrySource` whose photos are mirrored with probability one half."""

    def __init__(self, source: GeometrySource) -> None:
        self._source = source

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> GeometryBatch:
        """As the source's."""
        batch = self._source.batch(samples, rng)
        if batch.images.shape[1] > 1:
            return batch
        return mirrored(batch, torch.from_numpy(rng.random(len(samples)) < 0.5))


def mirrored(batch: GeometryBatch, chosen: Bool[Tensor, " b"]) -> GeometryBatch:
    """Photos and samples of the chosen objects, mirrored; `frames` stay those of the objects as they were."""
    mirror = torch.tensor([1.0, -1.0, 1.0]).expand(len(chosen), 1, 3)
    signs = torch.where(chosen[:, None, None], mirror, torch.ones(3))
    return replace(
        batch,
        images=torch.where(chosen[:, None, None, None, None], batch.images.flip(-1), batch.images),
        points=signs * batch.points,
        surface_points=signs * batch.surface_points,
        surface_normals=signs * batch.surface_normals,
    )
