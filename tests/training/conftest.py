"""A model and a data set small enough to train in a test."""

from collections.abc import Sequence

import numpy as np
import pytest

from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.data.views import ObjectViews
from instantmesh.systems.instantmesh import InstantMeshConfig
from instantmesh.training.embedded.dataset import GeometryDataset, dataset_row
from instantmesh.training.embedded.samples import GeometrySamples


@pytest.fixture(scope="session")
def small_data() -> GeometryDataset:
    rows = [dataset_row(seed, None, 32, 2) for seed in range(4)]
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    images, frames, elevations = (arrays.pop(name) for name in ("images", "query_frames", "query_elevations"))
    samples = GeometrySamples(**arrays)
    return GeometryDataset((), np.arange(4), np.full(4, -1, np.int32), images, frames, elevations, samples)


@pytest.fixture(scope="session")
def small_model() -> InstantMeshConfig:
    return InstantMeshConfig(
        representation="mesh",
        image_size_px=32,
        encoder=ViTConfig(hidden_size=32, layers=1, heads=2, mlp_size=64, patch_size=8, trained_grid=4, ray_octaves=3),
        triplane=TriplaneConfig(dim=32, layers=1, heads=2, low_res=4, channels=8, upsampler="smooth"),
        grid_resolution=16,
    )


class ObjectsInMemory:
    """An `ObjectSource` of a few procedural objects with ten random views each."""

    view_count = 10

    def __init__(self, count: int, size_px: int) -> None:
        self._views = [
            ObjectRenderer(ProceduralSurface(random_object(seed))).views(
                random_cameras(self.view_count, np.random.default_rng(seed)), size_px
            )
            for seed in range(count)
        ]

    def __len__(self) -> int:
        return len(self._views)

    def read(self, index: int, views: Sequence[int]) -> ObjectViews:
        return self._views[index][list(views)]


@pytest.fixture(scope="session")
def objects_in_memory() -> ObjectsInMemory:
    return ObjectsInMemory(2, 32)
