"""Blender against Embree: the same silhouettes, colours in their places. Only where bpy is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from instantmesh import backends
from instantmesh.cameras import intrinsics_from_fov, look_at_origin, project
from instantmesh.data.assets import load_asset
from instantmesh.data.engines import render_with_embree
from instantmesh.data.views import ObjectViews
from instantmesh.structures import Cameras, Mesh

from .made_assets import box_patches, write_box

pytestmark = pytest.mark.skipif(not backends.available("bpy"), reason="needs bpy")

POSITIONS = torch.tensor([[4.0, 1, 1], [1, 4, 1], [-4, -1, 1], [-1, -4, -1]])
CAMERAS = Cameras(look_at_origin(POSITIONS), intrinsics_from_fov(40.0, 4))


def assert_same_silhouettes(first: ObjectViews, second: ObjectViews) -> None:
    for a, b in zip(first.mask > 0.5, second.mask > 0.5, strict=True):
        assert float((a & b).sum() / (a | b).sum()) > 0.95


def test_a_textured_box_stands_in_its_place_under_a_white_sky(tmp_path: Path):
    from instantmesh.data.blender_engine import render_with_blender

    model = load_asset(write_box(tmp_path / "box.glb", scale=7))
    expected = render_with_embree(model, CAMERAS, 96)
    views = render_with_blender(model, CAMERAS, 96)
    assert_same_silhouettes(views, expected)
    uv, _ = project(torch.tensor(np.array([patch.centre for patch in box_patches()])).float(), CAMERAS)
    for index, position in enumerate(POSITIONS.numpy()):
        seen = [i for i, patch in enumerate(box_patches()) if patch.normal @ (position - patch.centre) > 2]
        assert len(seen) == 4  # the side in front; at glancing angles even dull paint reflects the sky
        for patch in seen:
            column, row = (uv[index, patch] * 96).long().tolist()
            difference = views.images[index, :, row, column] - expected.images[index, :, row, column]
            assert float(difference.abs().max()) < 0.15
    again = render_with_blender(model, CAMERAS[:1], 96)
    assert torch.equal(again.images[0], views.images[0])
    corner = views.mask[:, 0, 0, 0]
    assert float(corner.max()) == 0
    assert float(views.images[:, :, 0, 0].min()) == 1
    inside = views.mask[:, 0] == 1
    torch.testing.assert_close(views.depth[:, 0][inside], expected.depth[:, 0][inside], atol=0.1, rtol=0)


def test_other_formats_come_with_their_vertex_colours(tmp_path: Path):
    from instantmesh.data.blender_engine import render_with_blender

    ball = trimesh.creation.icosphere(subdivisions=3)
    mesh = Mesh(torch.tensor(ball.vertices).float(), torch.tensor(ball.faces), torch.tensor(ball.vertices > 0).float())
    model = load_asset(mesh.save(tmp_path / "ball.ply"))
    expected = render_with_embree(model, CAMERAS, 64)
    views = render_with_blender(model, CAMERAS, 64)
    assert_same_silhouettes(views, expected)
    assert float((views.images - expected.images).abs().mean()) < 0.05
