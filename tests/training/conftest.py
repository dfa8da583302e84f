"""A model and a data set small enough to train in a test."""

import numpy as np
import pytest

from instantmesh.config import InstantMeshConfig, TriplaneConfig, ViTConfig
from instantmesh.data.dataset import ProceduralDataset, _row


@pytest.fixture(scope="session")
def small_data() -> ProceduralDataset:
    rows = [_row(seed, 32) for seed in range(4)]
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return ProceduralDataset(seeds=np.arange(4), **arrays)


@pytest.fixture(scope="session")
def small_model() -> InstantMeshConfig:
    return InstantMeshConfig(
        representation="mesh",
        image_size_px=32,
        encoder=ViTConfig(hidden_size=32, layers=1, heads=2, mlp_size=64, patch_size=8, trained_grid=4, ray_octaves=3),
        triplane=TriplaneConfig(dim=32, layers=1, heads=2, low_res=4, channels=8, upsampler="smooth"),
        grid_resolution=16,
    )
