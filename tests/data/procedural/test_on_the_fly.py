"""Shapes rendered on the fly: one object, one view, always the same image."""

import hashlib
import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from instantmesh.data.procedural.source import ProceduralSource
from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.data.procedural.zeroverse import random_shape
from instantmesh.data.source import ObjectSource
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError


def same(one: ObjectViews, other: ObjectViews) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("images", "mask", "depth", "normal")]
    poses = one.cameras.camera_to_world, other.cameras.camera_to_world
    return all(torch.equal(a, b) for a, b in [*pairs, poses, (one.cameras.intrinsics, other.cameras.intrinsics)])


@pytest.mark.parametrize("shapes", ["zero", "unions"])
@pytest.mark.parametrize(("layout", "views"), [("random", 32), ("diffusion", 7)])
def test_views_don_t_depend_on_what_else_is_read(shapes, layout, views):
    source = ProceduralSource(4, 5, 24, layout, shapes)
    assert isinstance(source, ObjectSource)
    assert (len(source), source.view_count) == (5, views)
    pair = source.read(0, [5, 1])
    source.read(3, [0])
    fresh = ProceduralSource(4, 5, 24, layout, shapes)
    every = fresh.read(0, range(views))
    assert len(every) == views
    assert same(every[[5, 1]], pair)
    assert same(source.read(0, [1]), pair[[1]])
    assert same(ProceduralSource(0, 9, 24, layout, shapes).read(4, [5, 1]), pair)  # seeds count, not numbers
    assert not torch.equal(source.read(1, [5]).images, pair[[0]].images)
    assert torch.equal(every.cameras.camera_to_world, source.cameras(0).camera_to_world)


def test_every_camera_sees_the_whole_object():
    for layout in ("random", "diffusion"):
        source = ProceduralSource(HELD_OUT_SEED, 4, 32, layout)
        for index in range(len(source)):
            mask = source.read(index, range(7)).mask
            edge = torch.cat([mask[..., 0, :], mask[..., -1, :], mask[..., :, 0], mask[..., :, -1]])
            assert float(edge.max()) == 0
            assert float(mask.mean((1, 2, 3)).min()) > 0.01


def test_depth_and_normals_agree_with_the_surface():
    views = ProceduralSource(11, 1, 64).read(0, [0, 9])
    inside = views.mask[:, 0] == 1
    distance = views.cameras.camera_to_world[:, :3, 3].norm(dim=1)[:, None, None]
    assert bool(((views.depth[:, 0] - distance).abs() < 1)[inside].all())
    length = views.normal.norm(dim=1)[inside]
    assert float((length - 1).abs().median()) < 1e-3


def test_sources_can_be_sent_to_other_processes():
    source = ProceduralSource(4, 5, 16)
    first = source.read(2, [3])
    assert same(pickle.loads(pickle.dumps(source)).read(2, [3]), first)


def digest(seed: int) -> str:
    """Of a shape's geometry and of an image of it."""
    shape = random_shape(seed)
    image = ProceduralSource(seed, 1, 24).read(0, [2]).images.numpy()
    arrays = shape.vertices, shape.faces, shape.solid.normals, shape.solid.local, shape.solid.texture, image
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def test_other_processes_make_the_same_shapes():
    seeds = [0, 3, 4, 8]  # a union, wires, two differences
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(digest, seeds) == [digest(seed) for seed in seeds]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 8), "need a seed"),
        ((-1, 1, 8), "need a seed"),
        ((0, 1, 0), "need a seed"),
        ((0, 1, 8, "six"), "layouts are"),
        ((0, 1, 8, "random", "cubes"), "shapes are"),
        ((HELD_OUT_SEED - 5, 6, 8), "held out"),
    ],
)
def test_sources_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ProceduralSource(*arguments)


def test_seeds_may_end_where_the_held_out_ones_begin():
    assert len(ProceduralSource(HELD_OUT_SEED - 5, 5, 8)) == 5
    assert len(ProceduralSource(HELD_OUT_SEED, 10**9, 8)) == 10**9


@pytest.mark.parametrize(("index", "views"), [(5, [0]), (-1, [0]), (0, [32]), (0, [-1]), (0, [])])
def test_objects_and_views_that_don_t_exist(index, views):
    with pytest.raises(InputError, match=r"there are 5 objects|have views 0\.\.31"):
        ProceduralSource(0, 5, 8).read(index, views)
