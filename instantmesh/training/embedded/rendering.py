"""Stage 2 of the embedded model: rendering losses through FlexiCubes and the rasteriser.

They stand beside the warm-up's losses at points, which stay on since exact distances of procedural objects cost next to
nothing.

Rendered are some objects of a batch; the others have point losses only, which cost a tenth.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from instantmesh.cameras import rotate_about_up, spherical_cameras
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.views import ObjectViews
from instantmesh.errors import EmptySurfaceError
from instantmesh.lrm.heads import SurfaceField, SurfaceHead
from instantmesh.structures import Cameras
from instantmesh.surface.extraction import extract_flexicubes
from instantmesh.training.embedded.dataset import GeometryDataset
from instantmesh.training.embedded.geometry import GeometryStage, point_losses
from instantmesh.training.embedded.geometry_batches import GeometryBatch, GeometryConfig, GeometrySource
from instantmesh.training.perceptual import perceptual_loss
from instantmesh.training.reconstruction_batches import TargetViews
from instantmesh.training.stage import BatchSource, Stage, StageKind
from instantmesh.training.stages.mesh import SURFACE_LOSSES, SurfaceLossConfig, surface_losses


class RenderingConfig(GeometryConfig, SurfaceLossConfig):
    """`configs/train/tiny-rendering.yaml`.

    Attributes:
        rendered_objects: of every process's share of a batch.
        views, target_size_px, fov_deg: of the true images, from random sides.
    """

    rendered_objects: PositiveInt = 2
    views: PositiveInt = 2
    target_size_px: PositiveInt = 64
    fov_deg: PositiveFloat = 30.0


@dataclass(frozen=True, eq=False)
class RenderingBatch(GeometryBatch):
    """A geometry batch in which r objects are rendered, too.

    Attributes:
        rendered: their places in the batch.
        targets: what their renderings are compared with.
    """

    rendered: Int[Tensor, " r"]
    targets: TargetViews


class RenderingSource:
    """Batches of a data set with exact geometry; true images are cast as they are needed."""

    def __init__(self, data: GeometryDataset, config: RenderingConfig) -> None:
        self._data, self._points, self._config = data, GeometrySource(data, config), config

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> RenderingBatch:
        """As in `GeometrySource`, with images from random sides of some objects."""
        points = self._points.batch(samples, rng)
        count = min(self._config.rendered_objects, len(samples))
        rendered = np.sort(rng.choice(len(samples), count, replace=False))
        targets = [self._targets(int(points.rows[i]), points.frames[i], rng) for i in rendered]
        return RenderingBatch(**vars(points), rendered=torch.from_numpy(rendered), targets=TargetViews.stack(targets))

    def _targets(self, row: int, frame: Float[Tensor, " 5"], rng: np.random.Generator) -> ObjectViews:
        config = self._config
        azimuth, elevation = rng.uniform(0, 360, config.views), rng.uniform(-30, 60, config.views)
        cameras = spherical_cameras(azimuth.tolist(), elevation.tolist(), radius=4.0, fov_deg=config.fov_deg)
        surface, two_sided = self._data.surface(row)
        return _in_frame(ObjectRenderer(surface, two_sided).views(cameras, config.target_size_px), frame)


class RenderingStage(GeometryStage):
    """The model of the warm-up, with rendering losses."""

    config: RenderingConfig

    def __init__(self, config: RenderingConfig) -> None:
        super().__init__(config)
        self._perceptual = perceptual_loss(config.perceptual)

    def forward(self, batch: GeometryBatch) -> dict[str, Tensor]:
        assert isinstance(batch, RenderingBatch)
        assert isinstance(self.model.head, SurfaceHead)
        planes = self.model(batch.images, batch.cameras)
        losses = point_losses(self.model.head, planes, batch, self.config)
        for k, index in enumerate(batch.rendered.tolist()):
            for name, loss in self._object_losses(planes[index], batch.targets[k]).items():
                losses[f"surface_{name}"] = losses.get(f"surface_{name}", 0) + loss / len(batch.rendered)
        return losses

    def _object_losses(self, planes: Float[Tensor, "3 c h w"], truth: ObjectViews) -> dict[str, Tensor]:
        """Losses of one object's images; zeros while its surface is still empty, for it has point losses."""
        field = self.model.field(planes)
        assert isinstance(field, SurfaceField)
        model = self.config.model
        try:
            surface = extract_flexicubes(
                field, model.grid_resolution, model.grid_scale, training=True, device=planes.device
            )
        except EmptySurfaceError:
            return dict.fromkeys(SURFACE_LOSSES, planes.sum() * 0)
        return surface_losses(field, surface, truth, self._perceptual, self.config)


def _in_frame(truth: ObjectViews, frame: Float[Tensor, " 5"]) -> ObjectViews:
    """Cameras, world-space normals and depths go with the object into its frame."""
    angle, centre, scale = frame[0], frame[1:4], frame[4]
    x, y, z = truth.normal.unbind(1)
    normal = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z], dim=1)
    cameras = rotate_about_up(truth.cameras, angle.expand(len(truth)))
    poses = cameras.camera_to_world.clone()
    poses[:, :3, 3] = scale * (poses[:, :3, 3] - centre)
    return ObjectViews(truth.images, truth.mask, scale * truth.depth, normal, Cameras(poses, cameras.intrinsics))


def _build(config: RenderingConfig) -> tuple[Stage, BatchSource]:
    return RenderingStage(config), RenderingSource(GeometryDataset.open(config.data.folder), config)


KIND = StageKind(RenderingConfig, _build)
