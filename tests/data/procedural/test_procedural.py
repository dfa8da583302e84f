"""Procedural objects: their distances, normals, triangles and images agree with each other."""

import numpy as np
import pytest
import torch

from instantmesh.cameras import project, six_view_cameras, spherical_cameras
from instantmesh.data.object_renderer import ObjectRenderer, query_camera
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, polygon_distance, random_object
from instantmesh.errors import InputError
from instantmesh.training.embedded.dataset import GeometryDataset, write_dataset
from instantmesh.training.embedded.samples import geometry_samples

SEEDS = range(HELD_OUT_SEED, HELD_OUT_SEED + 25)


def test_polygon_distance_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    star = np.array([(1, 0), (0.3, 0.3), (0, 1), (-0.4, 0.2), (-1, -0.5), (0.2, -0.6)], np.float32)
    points = rng.uniform(-1.5, 1.5, (200, 2)).astype(np.float32)
    distance, gradient = polygon_distance(points, star, axis_is_open=False)
    for point, ours, slope in zip(points, distance, gradient, strict=True):
        nearest, inside = np.inf, False
        for a, b in zip(star, np.roll(star, -1, axis=0), strict=True):
            t = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            nearest = min(nearest, float(np.linalg.norm(point - a - t * (b - a))))
            if (a[1] > point[1]) != (b[1] > point[1]):
                inside ^= bool(point[0] < a[0] + (point[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
        assert ours == pytest.approx(-nearest if inside else nearest, abs=1e-5)
        assert np.linalg.norm(slope) == pytest.approx(1, abs=1e-4)


def test_an_open_axis_is_no_surface():
    half_disc = np.array([(0, -1), (1, -1), (1, 1), (0, 1)], np.float32)
    distance, _ = polygon_distance(np.array([[0.01, 0.0]], np.float32), half_disc, axis_is_open=True)
    assert distance[0] == pytest.approx(-0.99, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_triangles_lie_on_the_surface_and_face_outwards(seed):
    for part in random_object(seed).parts:
        vertices, faces = part.triangles()
        assert np.abs(part.distance(vertices)[0]).max() < 2e-3
        a, b, c = vertices[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1)
        large = area > 1e-6
        outside = ((a + b + c) / 3 + 0.02 * normal / np.maximum(area, 1e-12)[:, None])[large]
        inside_now = part.distance(outside)[0] > 0
        assert inside_now.mean() > 0.95  # 2 % off a concave face can be inside another wall


def test_uniform_scale_gives_exact_distances():
    """Distances of a union grow at most as fast as one walks, and along a normal exactly so near the surface."""
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        obj = random_object(seed)
        samples = geometry_samples(obj, rng, near=10, uniform=10, surface=60)
        points = samples.surface_points.astype(np.float32)
        normals = samples.surface_normals.astype(np.float32) / 127
        assert np.abs(samples.surface_distances.astype(np.float32)).max() < 0.02
        stepped = obj.distance(points + 0.005 * normals) - obj.distance(points)
        assert np.median(stepped) == pytest.approx(0.005, abs=5e-4)


def test_objects_are_seeded_and_fit_the_unit_sphere():
    for seed in SEEDS:
        vertices, _, _ = random_object(seed).triangles()
        again, _, _ = random_object(seed).triangles()
        assert np.array_equal(vertices, again)
        assert 0.84 < np.linalg.norm(vertices, axis=1).max() < 1.001
    assert not np.array_equal(random_object(1).triangles()[0], random_object(2).triangles()[0])


def test_images_show_what_the_samples_say():
    """Surface points that a camera sees first project onto pixels of their own colour and depth."""
    obj = random_object(HELD_OUT_SEED + 3)
    renderer = ObjectRenderer(ProceduralSurface(obj))
    cameras = six_view_cameras()[[0]]
    truth = renderer.views(cameras, 128)
    samples = geometry_samples(obj, np.random.default_rng(0), surface=400)
    points = torch.from_numpy(samples.surface_points.astype(np.float32))
    uv, depth = project(points, cameras)
    column, row = (uv[0] * 128).long().clamp(0, 127).unbind(-1)
    seen = truth.depth[0, 0, row, column]
    front = ((depth[0] - seen).abs() < 0.02) & (truth.mask[0, 0, row, column] == 1)
    assert front.float().mean() > 0.2
    behind = (depth[0] < seen - 0.05) & (truth.mask[0, 0, row, column] == 1)
    assert behind.float().mean() < 0.02  # nothing lies in front of what is seen
    colors = torch.from_numpy(samples.surface_colors.astype(np.float32)) / 255
    error = (truth.images[0, :, row, column].T - colors).abs().mean(1)[front]
    assert float(error.median()) < 0.05
    normals = torch.from_numpy(samples.surface_normals.astype(np.float32)) / 127
    assert float((truth.normal[0, :, row, column].T * normals).sum(1)[front].median()) > 0.95


def test_query_images_are_centred_at_85_percent():
    for seed in SEEDS:
        surface = ProceduralSurface(random_object(seed))
        camera = query_camera(surface.vertices, np.random.default_rng(seed))
        image = ObjectRenderer(surface).rgba_images(camera, 100)[0]
        rows, columns = np.nonzero(image[..., 3] > 127)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(height, width) == pytest.approx(85, abs=2)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(49.5, abs=1.5)
        assert (columns.min() + columns.max()) / 2 == pytest.approx(49.5, abs=1.5)


def test_mirrored_objects_look_mirrored():
    """The mirror plane of symmetric objects is y = 0: azimuths a and -a show mirrored masks."""
    found = 0
    for seed in range(40):
        obj = random_object(seed)
        positions = {tuple(np.round(part.position, 4)) for part in obj.parts}
        pairs = [p for p in positions if (p[0], round(-p[1], 4), p[2]) in positions and abs(p[1]) > 0.05]
        if len(pairs) < 2:
            continue
        found += 1
        cameras = spherical_cameras([35.0, -35.0], [10.0, 10.0], radius=4.0, fov_deg=30.0)
        left, right = ObjectRenderer(ProceduralSurface(obj)).rgba_images(cameras, 48)[..., 3].astype(float) / 255
        both = np.minimum(left, right[:, ::-1]).sum() / np.maximum(left, right[:, ::-1]).sum()
        assert both > 0.6  # the first part may be askew
    assert found > 5


def test_dataset_round_trip_and_resume(tmp_path):
    with pytest.raises(InputError, match="holds no data set"):
        GeometryDataset.open(tmp_path)
    write_dataset(tmp_path, objects=3, size_px=24, first_seed=7, workers=1)
    data = GeometryDataset.open(tmp_path)
    assert data.images.shape == (3, 7, 24, 24, 4)
    assert data.seeds.tolist() == [7, 8, 9]
    before = data.images[1].copy()
    state = np.load(tmp_path / "state.npy")
    state[1] = 0
    np.save(tmp_path / "state.npy", state)
    with pytest.raises(InputError, match="incomplete"):
        GeometryDataset.open(tmp_path)
    write_dataset(tmp_path, objects=3, size_px=24, first_seed=7, workers=1)
    assert np.array_equal(GeometryDataset.open(tmp_path).images[1], before)
    with pytest.raises(InputError, match="begun with 3 objects"):
        write_dataset(tmp_path, objects=4, size_px=24, first_seed=7, workers=1)
