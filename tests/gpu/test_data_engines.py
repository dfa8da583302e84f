"""Training images with visibility from nvdiffrast: those of Embree."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from instantmesh import backends
from instantmesh.data.assets import load_asset
from instantmesh.data.engines import render_with_embree
from instantmesh.data.nvdiffrast_engine import render_with_nvdiffrast
from instantmesh.data.rigs import random_cameras

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    pytest.mark.skipif(not backends.available("nvdiffrast.torch"), reason="needs nvdiffrast"),
]


def test_images_agree_with_embree_s(tmp_path: Path) -> None:
    trimesh.creation.torus(0.6, 0.25).export(tmp_path / "torus.glb")
    model, cameras = load_asset(tmp_path / "torus.glb"), random_cameras(4, np.random.default_rng(0))
    expected, views = (render(model, cameras, 128) for render in (render_with_embree, render_with_nvdiffrast))
    for name in ("images", "mask", "depth", "normal"):
        assert float((getattr(views, name) - getattr(expected, name)).abs().mean()) < 2e-3
