"""Criteria for dropping objects, one by one."""

import math

import numpy as np
import pytest
import torch
import trimesh

from instantmesh.cameras import spherical_cameras
from instantmesh.data.criteria import low_quality, several_objects, too_small, without_caption, without_texture
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.files.asset_files import AssetPart

WHITE = np.full((4, 4, 3), 255, np.uint8)


def part(mesh: trimesh.Trimesh, texture: np.ndarray | None = None) -> AssetPart:
    uv = None if texture is None else np.zeros((len(mesh.vertices), 2))
    return AssetPart(mesh.vertices, mesh.faces, uv, texture, None, None)


def box(size: float = 1.0, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    return trimesh.creation.box((size,) * 3).apply_translation(at)


def test_one_textured_part_is_a_texture():
    assert without_texture([part(box()), part(box(), WHITE)]) is None
    assert without_texture([part(box()), part(box())]) == "no texture map"


class FlatSquare:
    """Upright, facing +x."""

    faces = np.array([(0, 1, 2), (0, 2, 3)])

    def __init__(self, half: float) -> None:
        self.vertices = half * np.array([(0, -1, -1), (0, 1, -1), (0, 1, 1), (0, -1, 1)], np.float32)

    def shade(self, points: np.ndarray, face: np.ndarray, barycentric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones_like(points), np.zeros_like(points)


def test_a_view_from_any_angle_counts():
    fills = spherical_cameras([0.0, 90.0, 180.0], [0.0] * 3, radius=3.0, fov_deg=math.degrees(2 * math.atan(1 / 3)))
    masks = torch.zeros(3, 1, 10, 10)
    masks[:, :, :7, :2] = 1
    assert too_small(masks, fills) is None
    masks[1, :, :, 1] = 0
    assert too_small(masks, fills) == "covers 7.0% in view 1"
    masks[1, :, :7, 1] = 0.5
    assert too_small(masks, fills) is None


def test_the_cameras_distance_and_lens_do_not_matter_for_coverage():
    """A flat square of side 0.6 covers 9 % of the square of side 2 from wherever it is seen; one of side 0.7, 12 %."""
    for half, dropped in ((0.3, True), (0.35, False)):
        surface = FlatSquare(half)
        for radius, fov_deg in ((3.0, 50.0), (4.2, 50.0), (5.5, 30.0), (10.0, 20.0)):
            cameras = spherical_cameras([0.0], [0.0], radius, fov_deg)
            mask = ObjectRenderer(surface).views(cameras, 128).mask
            assert (too_small(mask, cameras) is not None) == dropped


@pytest.mark.parametrize(
    ("meshes", "count"),
    [
        ([box()], 1),
        ([box(), box(at=(3, 0, 0))], 2),
        ([box(), box(at=(0, 3, 0)), box(0.5, at=(0, 3, 3))], 3),
        ([box(), box(at=(1.0, 0, 0))], 1),  # they touch
        ([box(), box(at=(1.03, 0, 0))], 1),  # 1.5 % of 2.03 apart
        ([box(), box(at=(1.06, 0, 0))], 2),  # 2.9 % of 2.06 apart
        ([box(3), box(at=(0, 0, 0))], 1),  # one encloses the other
        ([box(), box(0.1, at=(1, 0, 0))], 1),  # a crumb: 0.1 of 1.55
        ([box(), box(0.2, at=(1, 0, 0))], 2),
        ([box(), box(at=(3, 0, 0)), trimesh.creation.box((9, 9, 0.1)).apply_translation((0, 0, -0.5))], 1),  # a floor
    ],
)
def test_separate_objects(meshes, count):
    found = several_objects([part(mesh) for mesh in meshes])
    assert found == (None if count == 1 else f"{count} separate objects")
    together = trimesh.util.concatenate(meshes)
    assert several_objects([part(together)]) == found
    bare = trimesh.Trimesh(together.triangles.reshape(-1, 3), np.arange(3 * len(together.faces)).reshape(-1, 3),
                           process=False)  # fmt: skip
    assert several_objects([part(bare)]) == found  # no two triangles share a vertex's number


def test_separate_objects_are_told_at_any_size_and_place():
    meshes = [box(at=(50, 60, 70)), box(at=(50, 60, 73))]
    for scale in (1e-3, 1, 1e3):
        parts = [part(mesh.copy().apply_scale(scale)) for mesh in meshes]
        assert several_objects(parts) == "2 separate objects"
        assert several_objects(parts[:1]) is None


def test_thousands_of_pieces_are_grouped_quickly():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-0.5, 0.5, (10_000, 1, 3)) + rng.normal(0, 0.02, (10_000, 3, 3))
    leaves = AssetPart(corners.reshape(-1, 3), np.arange(30_000).reshape(-1, 3), None, None, None, None)
    assert several_objects([leaves]) is None
    assert several_objects([leaves, part(box(at=(2, 0, 0)))]) == "2 separate objects"


def test_captions():
    captions = {"a": "a red chair", "b": "  "}
    assert without_caption("a", captions) is None
    assert without_caption("b", captions) == without_caption("c", captions) == "no caption"


@pytest.mark.parametrize(
    ("tags", "dropped"),
    [
        (["lowpoly"], True),
        (["low-poly"], True),
        (["low_poly"], True),
        (["Low Poly"], True),
        (["chair", "LowPolyArt"], True),
        (["gameready-lowpoly"], True),
        (["chair", "highpoly"], False),
        (["yellow polygon", "slow-poly"], False),
        ([], False),
    ],
)
def test_low_quality_tags(tags, dropped):
    metadata = {"a": {"name": "A chair", "tags": [{"name": tag} for tag in tags]}}
    assert (low_quality("a", metadata) is not None) == dropped
    assert low_quality("b", metadata) is None


def test_low_quality_in_names_and_descriptions():
    assert low_quality("a", {"a": {"name": "Low-Poly Tree", "tags": []}}) == 'low quality: its name says "low-poly"'
    about = {"name": "Tree", "tags": None, "description": "A low poly tree."}
    assert low_quality("a", {"a": about}) == 'low quality: its description says "low poly"'
    assert low_quality("a", {"a": {"name": None, "description": None}}) is None
