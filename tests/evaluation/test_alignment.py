"""Known transforms are found again; every step against a plain twin."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from trimesh.creation import annulus, cone, torus

from instantmesh.errors import InputError
from instantmesh.evaluation.alignment import AlignmentMethod, align, apply, best_transform, icp
from instantmesh.evaluation.metrics.surface_points import sample_points
from instantmesh.geometry.nearest_points import FollowedNearest, nearest_points
from instantmesh.structures import Mesh

from .shapes import cuboid, sphere


def joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = [part.faces + int(start) for part, start in zip(parts, starts, strict=False)]
    return Mesh(torch.cat([part.vertices for part in parts]), torch.cat(faces))


def made(shape, shift=(0.0, 0.0, 0.0)) -> Mesh:
    return Mesh(torch.tensor(shape.vertices + np.array(shift), dtype=torch.float32), torch.tensor(shape.faces))


def moved(mesh: Mesh, transform: np.ndarray) -> Mesh:
    return replace(mesh, vertices=torch.from_numpy(apply(transform, mesh.vertices.double().numpy())).float())


SHAPES = {
    "table": joined(
        cuboid(1.0, 0.6, 0.1), made(cone(0.1, 0.7, sections=16), (0.4, 0.2, 0)), sphere(0.2, 2, (-0.3, 0, 0.2))
    ),
    "mug": joined(
        made(annulus(0.3, 0.35, 0.8, sections=24)), made(torus(0.2, 0.05, 16, 8), (0.4, 0, 0)), cuboid(0.1, 0.1, 0.1)
    ),
    "animal": joined(
        sphere(0.5, 3),
        sphere(0.3, 2, (0.6, 0, 0.3)),
        made(cone(0.1, 0.3, sections=12), (0.7, 0.1, 0.5)),
        cuboid(0.2, 0.9, 0.1),
    ),
}


def known_transform(turn_deg: float, scale: float, tilt_deg: float = 0.0) -> np.ndarray:
    transform = np.eye(4)
    rotation = Rotation.from_euler("y", tilt_deg, degrees=True) * Rotation.from_euler("z", turn_deg, degrees=True)
    transform[:3, :3] = scale * rotation.as_matrix()
    transform[:3, 3] = (0.3, -0.2, 0.1)
    return transform


def aligned(predicted: Mesh, true: Mesh, method: AlignmentMethod, count: int = 4_000):
    generator = torch.Generator().manual_seed(0)
    points, true_points = sample_points(predicted, count, generator), sample_points(true, count, generator)
    return align(predicted, true, points, true_points, method)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    ("method", "transform"),
    [
        (AlignmentMethod.none, np.eye(4)),
        (AlignmentMethod.box, known_transform(0, 0.4)),
        (AlignmentMethod.turn, known_transform(145, 1.7)),
        (AlignmentMethod.similarity, known_transform(-38, 0.6)),
        (AlignmentMethod.tilt, known_transform(50, 0.9, tilt_deg=20)),
    ],
)
def test_known_transforms_are_found_again(name, method, transform):
    """To the accuracy that 4,000 independent points on each surface allow. Without ICP's scale an angle between the
    steps of the search leaves the size that its box had, so there the angles are steps."""
    true = SHAPES[name]
    found = aligned(moved(true, transform), true, method)
    back = found.to_true_frame @ transform
    vertices = true.vertices.double().numpy()
    exact = method in (AlignmentMethod.none, AlignmentMethod.box)
    size = np.ptp(vertices, axis=0).max()
    assert np.abs(apply(back, vertices) - vertices).max() < (1e-6 if exact else 0.01 * size)
    assert not found.failed
    assert not found.ambiguous


def test_a_search_with_refitted_boxes_beats_boxes_fitted_once():
    """An identical cuboid turned by 37 degrees: its box has another size, which the search must not keep."""
    true = cuboid(2, 1, 0.5)
    turned = moved(true, known_transform(37, 1.0))
    size = np.linalg.det(aligned(turned, true, AlignmentMethod.turn).to_true_frame[:3, :3]) ** (1 / 3)
    assert size == pytest.approx(1, abs=0.03)
    assert aligned(turned, true, AlignmentMethod.box).to_true_frame[0, 0] < 0.95


def test_symmetry_is_called_ambiguous():
    assert aligned(cuboid(2, 1, 0.5), cuboid(2, 1, 0.5), AlignmentMethod.turn).ambiguous
    assert aligned(sphere(), sphere(), AlignmentMethod.turn).ambiguous


def test_a_scale_far_off_counts_as_failed():
    """A ball on a long antenna: the box makes it far too small, and ICP's scale says so."""
    antenna = joined(sphere(0.1, 2), cuboid(0.001, 0.001, 4.0))
    found = aligned(antenna, sphere(1.0, 2), AlignmentMethod.similarity)
    assert found.icp_scale > 1.5
    assert [replace(found, icp_scale=scale).failed for scale in (0.4, 0.5, 2.0, 2.1)] == [True, False, False, True]


def test_best_transform_against_scipy_and_a_known_similarity():
    rng = np.random.default_rng(0)
    start, rotation = rng.normal(size=(50, 3)), Rotation.random(rng=rng)
    weights = rng.random(50)
    weights /= weights.sum()
    end = 1.7 * rotation.apply(start) + [1, 2, 3]
    exact = best_transform(start, end, weights, with_scale=True)
    assert np.abs(apply(exact, start) - end).max() < 1e-12
    noisy = end + 0.1 * rng.normal(size=end.shape)
    twin = Rotation.align_vectors(noisy - weights @ noisy, start - weights @ start, weights)[0]
    assert best_transform(start, noisy, weights)[:3, :3] == pytest.approx(twin.as_matrix(), abs=1e-9)
    mirrored = start * [-1, 1, 1]
    assert np.linalg.det(best_transform(start, mirrored, weights)[:3, :3]) == pytest.approx(1)


def test_icp_against_a_plain_twin():
    """The same rounds with all distances written out."""
    rng = np.random.default_rng(1)
    target = rng.random((200, 3))
    points = apply(known_transform(4, 1.0), rng.random((150, 3))) - [0.28, -0.2, 0.1]
    weights = np.concatenate([np.full(150, 0.5 / 150), np.full(200, 0.5 / 200)])
    pose, history = np.eye(4), []
    for _ in range(50):
        moved_points = apply(pose, points)
        distance = cdist(moved_points, target)
        start = np.concatenate([moved_points, moved_points[distance.argmin(0)]])
        end = np.concatenate([target[distance.argmin(1)], target])
        history.append((weights @ np.square(start - end).sum(1), pose))
        if len(history) > 1 and history[-2][0] - history[-1][0] < 1e-6 * history[-2][0]:
            pose = history[-2][1]
            break
        pose = best_transform(start, end, weights) @ pose
    found, rounds = icp(points, target)
    assert rounds == len(history) - 1
    assert found == pytest.approx(pose, abs=1e-9)


def test_followed_nearest_is_exact():
    rng = np.random.default_rng(2)
    points, queries = rng.random((300, 3)), rng.random((200, 3))
    follow = FollowedNearest(points)
    for step in (0, 1e-4, 1e-3, 1e-2, 0.3, 1e-4):
        queries = queries + step * rng.normal(size=queries.shape)
        assert np.array_equal(follow(queries), nearest_points(queries, points)[1])


def test_meshes_without_faces_or_size_are_refused():
    empty = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long))
    point = Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]]))
    some = sample_points(sphere(), 10, torch.Generator())
    for bad, message in ((empty, "no faces"), (point, "one point")):
        with pytest.raises(InputError, match=message):
            align(bad, sphere(), some, some, AlignmentMethod.box)
        with pytest.raises(InputError, match=message):
            align(sphere(), bad, some, some, AlignmentMethod.box)
