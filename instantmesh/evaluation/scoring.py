"""All numbers of one reconstruction against its true mesh."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.evaluation.alignment import Alignment, AlignmentMethod, align, apply, box_transform, surface_vertices
from instantmesh.evaluation.metrics.defects import mesh_defects
from instantmesh.evaluation.metrics.images import PhotoView, photo_view, photo_view_scores, view_scores
from instantmesh.evaluation.metrics.perceptual import PERCEPTUAL_METRICS
from instantmesh.evaluation.metrics.shape import F_SCORE_THRESHOLDS, seen_from_outside, surface_scores, volume_iou
from instantmesh.evaluation.metrics.surface_points import SurfacePoints, sample_points
from instantmesh.evaluation.protocol import true_views
from instantmesh.structures import Cameras, Mesh

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class ScoringProtocol:
    """What is measured and how; every entry is printed in reports.

    Attributes:
        alignment: of reconstructions to true meshes.
        points: on each surface; None takes what the alignment's papers take.
        views: name of the view set for images, or None for none.
        size_px: side of the rendered views.
        perceptual: metrics of networks; those that can't be had here stay empty.
        seed: of all points.
    """

    alignment: AlignmentMethod = AlignmentMethod.box
    points: int | None = None
    views: str | None = "orbit21"
    size_px: int = 128
    perceptual: tuple[str, ...] = PERCEPTUAL_METRICS
    seed: int = 0

    @property
    def sample_count(self) -> int:
        """Points on each surface."""
        return self.points or self.alignment.sample_count


@dataclass(frozen=True, eq=False)
class Truth:
    """A true mesh with what is compared to it.

    Attributes:
        mesh: in the world frame, inside the unit sphere.
        photo: what the photo's camera sees of it, and that camera. None where there is no photo.
        views: images (n, 3, h, w) and the cameras that took them; None where images aren't compared.
    """

    mesh: Mesh
    photo: tuple[PhotoView, Cameras] | None = None
    views: tuple[Float[Tensor, "n 3 h w"], Cameras] | None = None

    @classmethod
    def of(cls, mesh: Mesh, photo: Cameras | None, views: Cameras | None, size_px: int) -> "Truth":
        """Render what is compared."""
        seen = None if photo is None else (photo_view(mesh, photo), photo)
        rendered = None if views is None else (true_views(mesh, views, size_px)[0].images, views)
        return cls(mesh, seen, rendered)


@dataclass(frozen=True, eq=False)
class Scores:
    """What was found about one reconstruction.

    Attributes:
        numbers: by metric; None where one can't be had or has no meaning.
        alignment: what the alignment found, by name.
        defects: the classes of defects that it has.
        mesh_numbers: counts that the classes follow from.
        aligned: the reconstruction in the true mesh's frame.
    """

    numbers: Numbers
    alignment: dict[str, Any]
    defects: tuple[str, ...]
    mesh_numbers: dict[str, Any]
    aligned: Mesh


def score(predicted: Mesh, truth: Truth, protocol: ScoringProtocol) -> Scores:
    """Score a reconstruction.

    Args:
        predicted: in the world frame, its front where the true mesh has it unless the alignment looks for it.
        truth: what it should be.
        protocol: how it is measured.

    Raises:
        InputError: one of the meshes has no surface.
    """
    generator = torch.Generator().manual_seed(protocol.seed)
    points, true_points = (
        sample_points(_in_own_box(mesh), protocol.sample_count, generator) for mesh in (predicted, truth.mesh)
    )
    points, true_points = _from_own_box(points, predicted), _from_own_box(true_points, truth.mesh)
    found = align(predicted, truth.mesh, points, true_points, protocol.alignment)
    aligned = moved(predicted, found.to_true_frame)
    judged = mesh_defects(predicted)
    return Scores(
        {
            **_shape_numbers(predicted, truth.mesh, points, true_points, found, protocol.seed),
            **_images(aligned, truth, protocol),
        },
        {
            "turn_deg": found.turn_deg,
            "tilt_deg": found.tilt_deg,
            "icp_rounds": found.icp_rounds,
            "icp_scale": found.icp_scale,
            "ambiguous": found.ambiguous,
            "failed": found.failed,
        },
        judged.classes(),
        vars(judged),
        aligned,
    )


def score_nothing(truth: Truth, protocol: ScoringProtocol) -> Numbers:
    """What a result that isn't there scores, so that failures count against a system.

    No volume, blank views, F-scores and normal consistency of 0, and the Chamfer distance of a point at the centre of
    the box.
    """
    generator = torch.Generator().manual_seed(protocol.seed)
    distances = np.linalg.norm(sample_points(_in_own_box(truth.mesh), protocol.sample_count, generator).points, axis=1)
    far = float(distances.min() + distances.mean()) / 2
    zeros = dict.fromkeys((*F_SCORE_THRESHOLDS, "normal_consistency"), 0.0)
    shape: Numbers = {"chamfer": far, **zeros, "volume_iou": 0.0}
    shape |= {f"visible_{name}": value for name, value in {"chamfer": far, **zeros}.items()}
    empty = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    return {**shape, **_images(empty, truth, protocol)}


def noise_floor(true: Mesh, protocol: ScoringProtocol) -> float:
    """The Chamfer distance between two samples of the same true surface, below which no score can be."""
    generator = torch.Generator().manual_seed(protocol.seed + 1)
    box = _in_own_box(true)
    first, second = (sample_points(box, protocol.sample_count, generator) for _ in range(2))
    return surface_scores(first, second)["chamfer"]


def moved(mesh: Mesh, transform: np.ndarray) -> Mesh:
    """The mesh after a transform (4, 4)."""
    vertices = apply(transform, mesh.vertices.detach().cpu().double().numpy())
    return replace(mesh.to("cpu"), vertices=torch.from_numpy(vertices).float())


def _in_own_box(mesh: Mesh) -> Mesh:
    return moved(mesh, box_transform(surface_vertices(mesh)))


def _from_own_box(points: SurfacePoints, mesh: Mesh) -> SurfacePoints:
    """Points drawn in the box, where single precision does no harm, in the mesh's own frame."""
    return points.moved(np.linalg.inv(box_transform(surface_vertices(mesh))))


def _shape_numbers(
    predicted: Mesh, true: Mesh, points: SurfacePoints, true_points: SurfacePoints, found: Alignment, seed: int
) -> Numbers:
    """Surface scores of all and of the visible points, and the volumes', in the box frame."""
    here, there = points.moved(found.to_box_frame), true_points.moved(found.true_to_box_frame)
    surface, true_surface = (
        (apply(transform, mesh.vertices.detach().cpu().double().numpy()), mesh.faces.cpu().numpy())
        for mesh, transform in ((predicted, found.to_box_frame), (true, found.true_to_box_frame))
    )
    numbers: Numbers = dict(surface_scores(here, there))
    visible, true_visible = (
        sampled.chosen(seen_from_outside(sampled, *triangles))
        for sampled, triangles in ((here, surface), (there, true_surface))
    )
    if len(visible) and len(true_visible):
        numbers |= {f"visible_{name}": value for name, value in surface_scores(visible, true_visible).items()}
    numbers["volume_iou"] = volume_iou(*surface, *true_surface, seed=seed)
    return numbers


def _images(mesh: Mesh, truth: Truth, protocol: ScoringProtocol) -> Numbers:
    numbers: Numbers = {}
    if truth.views is not None:
        images, cameras = truth.views
        rendered, _ = true_views(mesh, cameras, images.shape[-1])
        numbers |= view_scores(rendered.images, images, protocol.perceptual)
    if truth.photo is not None:
        seen, camera = truth.photo
        numbers |= photo_view_scores(photo_view(mesh, camera), seen, protocol.perceptual)
    return {name: None if value is None or not math.isfinite(value) else value for name, value in numbers.items()}
