"""Objects with thin parts: seeded, exact, symmetric, and really thin."""

import numpy as np
import pytest

from instantmesh.cameras import spherical_cameras
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.thin_parts import THIN_PARTS_SEED, has_thin_parts, object_of_seed, thin_parts_object
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.errors import InputError
from instantmesh.training.embedded.dataset import GeometryDataset, write_dataset
from instantmesh.training.embedded.samples import geometry_samples

SEEDS = range(HELD_OUT_SEED + THIN_PARTS_SEED, HELD_OUT_SEED + THIN_PARTS_SEED + 25)


def test_ranges_of_seeds_say_which_recipe_makes_an_object():
    ranges = {0: False, THIN_PARTS_SEED - 1: False, THIN_PARTS_SEED: True, HELD_OUT_SEED - 1: True}
    for seed, thin in ranges.items():
        assert has_thin_parts(seed) is has_thin_parts(HELD_OUT_SEED + seed) is thin
        ours = object_of_seed(seed).triangles()[0]
        other = (thin_parts_object if thin else random_object)(seed).triangles()[0]
        assert np.array_equal(ours, other)


def test_objects_are_seeded_and_fit_the_unit_sphere():
    for seed in SEEDS:
        vertices, faces, _ = thin_parts_object(seed).triangles()
        assert np.array_equal(vertices, thin_parts_object(seed).triangles()[0])
        assert vertices.dtype == np.float32
        assert 0.84 < np.linalg.norm(vertices, axis=1).max() < 1.001
        assert faces.max() == len(vertices) - 1
    assert len({len(thin_parts_object(seed).parts) for seed in SEEDS}) > 8


@pytest.mark.parametrize("seed", SEEDS)
def test_triangles_lie_on_the_surface_and_face_outwards(seed):
    for part in thin_parts_object(seed).parts:
        vertices, faces = part.triangles()
        assert np.abs(part.distance(vertices)[0]).max() < 2e-3
        a, b, c = vertices[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1)
        large = area > 1e-6
        outside = ((a + b + c) / 3 + 0.01 * normal / np.maximum(area, 1e-12)[:, None])[large]
        assert (part.distance(outside)[0] > 0).mean() > 0.95


def test_most_objects_have_parts_that_random_objects_rarely_have():
    """The share of the surface's samples that lie where the object is thinner than 0.2: inwards it is left again."""

    def thin_share(obj) -> float:
        samples = geometry_samples(obj, np.random.default_rng(0), near=1, uniform=1, surface=200)
        points = samples.surface_points.astype(np.float32) - samples.surface_normals.astype(np.float32) / 127 * 0.2
        return float((obj.distance(points) > 0).mean())

    thin = np.mean([thin_share(thin_parts_object(seed)) for seed in SEEDS])
    fat = np.mean([thin_share(random_object(HELD_OUT_SEED + index)) for index in range(25)])
    assert thin > 1.5 * fat


def test_evenness_gives_small_parts_more_points():
    obj = thin_parts_object(SEEDS[0])
    counts = []
    for evenness in (0.0, 0.5, 1.0):
        samples = geometry_samples(obj, np.random.default_rng(0), near=1, uniform=1, surface=2000, evenness=evenness)
        points = samples.surface_points.astype(np.float32)
        nearest = np.argmin([part.distance(points)[0] for part in obj.parts], axis=0)
        counts.append(np.bincount(nearest, minlength=len(obj.parts)))
    largest = counts[0].argmax()
    assert counts[0][largest] > 1.2 * counts[1][largest] > 1.2 * counts[2][largest]


def test_objects_without_a_stride_look_the_same_from_both_sides():
    same = 0
    for seed in SEEDS:
        cameras = spherical_cameras([40.0, -40.0], [10.0, 10.0], radius=4.0, fov_deg=30.0)
        masks = ObjectRenderer(ProceduralSurface(thin_parts_object(seed))).rgba_images(cameras, 48)[..., 3] > 127
        left, right = masks[0], masks[1][:, ::-1]
        same += (left & right).sum() / (left | right).sum() > 0.97
    assert same > 0.6 * len(SEEDS)


def test_a_data_set_may_have_thin_parts_in_part(tmp_path):
    write_dataset(tmp_path, objects=3, size_px=16, first_seed=4, workers=1, thin_parts=1)
    data = GeometryDataset.open(tmp_path)
    assert data.seeds.tolist() == [4, 5, THIN_PARTS_SEED + 4]
    obj = thin_parts_object(THIN_PARTS_SEED + 4)
    assert (
        np.abs(
            obj.distance(data.samples.points[2].astype(np.float32)) - data.samples.distances[2].astype(np.float32)
        ).max()
        < 1e-3
    )
    with pytest.raises(InputError, match="other seeds"):
        write_dataset(tmp_path, objects=3, size_px=16, first_seed=4, workers=1, thin_parts=2)
    with pytest.raises(InputError, match="can't have thin parts"):
        write_dataset(tmp_path / "new", objects=3, workers=1, thin_parts=4)
    for first_seed in (THIN_PARTS_SEED - 2, HELD_OUT_SEED + THIN_PARTS_SEED):
        with pytest.raises(InputError, match="by their number"):
            write_dataset(tmp_path / "new", objects=3, first_seed=first_seed, workers=1)
