"""Stage 2 of the embedded model: rendering losses through FlexiCubes and the rasteriser, beside the warm-up's losses at
points, which stay on since exact distances of procedural objects cost next to nothing.

Rendered are some objects of a batch; the others have point losses only, which cost a tenth.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.cameras import rotate_about_up, spherical_cameras
from instantmesh.data.dataset import ProceduralDataset
from instantmesh.data.procedural import ProceduralSurface, random_object
from instantmesh.data.rendering import ObjectRenderer
from instantmesh.data.views import ObjectViews
from instantmesh.errors import EmptySurfaceError
from instantmesh.lrm.heads import SurfaceField, SurfaceHead
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh
from instantmesh.surface.extraction import ExtractedSurface, extract_flexicubes
from instantmesh.training.losses import depth_loss, normal_loss, picture_gradient_loss, sign_change_entropy
from instantmesh.training.stage import BatchSource, Stage
from instantmesh.training.stages import StageKind
from instantmesh.training.stages.geometry import (
    GeometryBatch,
    GeometryConfig,
    GeometrySource,
    GeometryStage,
    point_losses,
)


class RenderingConfig(GeometryConfig):
    """`configs/train/tiny-rendering.yaml`."""

    rendered_objects: int = 2
    views: int = 2
    picture_size_px: int = 64
    resolution: int = 48
    fov_deg: float = 30.0
    color_picture_weight: float = 1.0
    picture_gradient_weight: float = 1.0
    mask_weight: float = 1.0
    depth_weight: float = 0.5
    normal_weight: float = 0.2
    entropy_weight: float = 0.01
    deviation_weight: float = 0.5
    cube_weight_weight: float = 0.1


@dataclass(frozen=True, eq=False)
class RenderingBatch(GeometryBatch):
    """A geometry batch with t true pictures of r of its objects.

    Attributes:
        rendered: which of the batch's objects. The pictures are as in `data.views.ObjectViews`.
    """

    rendered: Int[Tensor, " r"]
    true_images: Float[Tensor, "r t 3 s s"]
    true_mask: Float[Tensor, "r t 1 s s"]
    true_depth: Float[Tensor, "r t 1 s s"]
    true_normal: Float[Tensor, "r t 3 s s"]
    camera_to_world: Float[Tensor, "r t 4 4"]
    intrinsics: Float[Tensor, "r t 3 3"]

    def truth(self, index: int) -> ObjectViews:
        """The true pictures of the index-th rendered object."""
        cameras = Cameras(self.camera_to_world[index], self.intrinsics[index])
        return ObjectViews(
            self.true_images[index], self.true_mask[index], self.true_depth[index], self.true_normal[index], cameras
        )


class RenderingSource:
    """Batches of a procedural data set; true pictures are cast as they are needed."""

    def __init__(self, data: ProceduralDataset, config: RenderingConfig) -> None:
        self._points, self._config = GeometrySource(data, config), config

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> RenderingBatch:
        """As in `GeometrySource`, with pictures from random sides of some objects."""
        points = self._points.batch(samples, rng)
        count = min(self._config.rendered_objects, len(samples))
        rendered = np.sort(rng.choice(len(samples), count, replace=False))
        truths = [self._pictures(int(points.seeds[i]), points.angle[i], rng) for i in rendered]
        return RenderingBatch(
            **vars(points),
            rendered=torch.from_numpy(rendered),
            true_images=torch.stack([truth.images for truth in truths]),
            true_mask=torch.stack([truth.mask for truth in truths]),
            true_depth=torch.stack([truth.depth for truth in truths]),
            true_normal=torch.stack([truth.normal for truth in truths]),
            camera_to_world=torch.stack([truth.cameras.camera_to_world for truth in truths]),
            intrinsics=torch.stack([truth.cameras.intrinsics for truth in truths]),
        )

    def _pictures(self, seed: int, angle: Float[Tensor, ""], rng: np.random.Generator) -> ObjectViews:
        config = self._config
        azimuth, elevation = rng.uniform(0, 360, config.views), rng.uniform(-30, 60, config.views)
        cameras = spherical_cameras(azimuth.tolist(), elevation.tolist(), radius=4.0, fov_deg=config.fov_deg)
        truth = ObjectRenderer(ProceduralSurface(random_object(seed))).views(cameras, config.picture_size_px)
        return _turned(truth, angle)


class RenderingStage(GeometryStage):
    """The model of the warm-up, with rendering losses."""

    config: RenderingConfig

    def forward(self, batch: GeometryBatch) -> dict[str, Tensor]:
        assert isinstance(batch, RenderingBatch)
        assert isinstance(self.model.head, SurfaceHead)
        planes = self.model(batch.images, batch.cameras)
        losses = point_losses(self.model.head, planes, batch, self.config)
        for k, index in enumerate(batch.rendered.tolist()):
            for name, loss in self._object_losses(planes[index], batch.truth(k)).items():
                losses[name] = losses.get(name, 0) + loss / len(batch.rendered)
        return losses

    def _object_losses(self, planes: Float[Tensor, "3 c h w"], truth: ObjectViews) -> dict[str, Tensor]:
        """Losses of one object's pictures; zeros while its surface is still empty."""
        field = self.model.field(planes)
        assert isinstance(field, SurfaceField)
        config = self.config
        try:
            surface = extract_flexicubes(
                field, config.resolution, config.model.grid_scale, training=True, device=planes.device
            )
        except EmptySurfaceError:
            return dict.fromkeys(_PICTURE_LOSSES, planes.sum() * 0)
        return surface_losses(field, surface, truth, config)


_PICTURE_LOSSES = (
    "picture",
    "picture_gradient",
    "mask",
    "depth",
    "normal",
    "entropy",
    "deviation",
    "cube_weights",
)


def surface_losses(
    field: SurfaceField,
    surface: ExtractedSurface,
    truth: ObjectViews,
    config: RenderingConfig,
) -> dict[str, Tensor]:
    """Picture losses and regularisers of one extracted surface."""
    mesh = Mesh(surface.vertices, surface.faces)
    size = config.picture_size_px
    seen = render_mesh(mesh, truth.cameras, size, size, color_field=field.colors)
    inside = truth.mask * (seen.depth > 0)  # both surfaces are there to compare
    return {
        "picture": config.color_picture_weight * 4 * (seen.color - truth.images).square().mean(),  # rgb in [-1, 1]
        "picture_gradient": config.picture_gradient_weight * picture_gradient_loss(seen.color, truth.images),
        "mask": config.mask_weight * (seen.mask - truth.mask).square().mean(),
        "depth": config.depth_weight * depth_loss(seen.depth, truth.depth, inside),
        "normal": config.normal_weight * normal_loss(seen.normal, truth.normal, inside),
        "entropy": config.entropy_weight * sign_change_entropy(surface.sdf_grid),
        "deviation": config.deviation_weight * surface.l_dev.mean(),
        "cube_weights": config.cube_weight_weight * surface.raw_weights.square().mean(),
    }


def _turned(truth: ObjectViews, angle: Float[Tensor, ""]) -> ObjectViews:
    """Cameras and world-space normals turn with the object."""
    x, y, z = truth.normal.unbind(1)
    normal = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z], dim=1)
    cameras = rotate_about_up(truth.cameras, angle.expand(len(truth)))
    return ObjectViews(truth.images, truth.mask, truth.depth, normal, cameras)


def _build(config: RenderingConfig) -> tuple[Stage, BatchSource]:
    return RenderingStage(config), RenderingSource(ProceduralDataset.open(config.data), config)


KIND = StageKind(RenderingConfig, _build)
