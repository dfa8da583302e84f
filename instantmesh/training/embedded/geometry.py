"""Geometry warm-up of a reconstruction model: signed distances and colours at points, no rendering.

Exact distances come for free with procedural shapes, and converge far faster than rendering losses alone
(docs/training.md); stage 2 follows in `stages.rendering`.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.lrm.heads import SurfaceHead
from instantmesh.lrm.triplane import LRM_PLANE_AXES, sample_planes
from instantmesh.systems.instantmesh import InstantMesh
from instantmesh.training.embedded.dataset import GeometryDataset
from instantmesh.training.embedded.geometry_batches import GeometryBatch, GeometryConfig, GeometrySource
from instantmesh.training.embedded.mirrored_photos import MirroredPhotos
from instantmesh.training.export import export_reconstruction
from instantmesh.training.losses import sdf_loss, slope_loss
from instantmesh.training.preview import reconstruction_images
from instantmesh.training.stage import BatchSource, Stage, StageKind
from instantmesh.training.transfer import start_from


class GeometryStage(Stage[GeometryBatch]):
    """A reconstruction model and its losses at points."""

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        self.config = config
        self.model = InstantMesh(config.model)
        if config.start is not None:
            start_from(self.model, config.start)

    def forward(self, batch: GeometryBatch) -> dict[str, Tensor]:
        assert isinstance(self.model.head, SurfaceHead)
        return point_losses(self.model.head, self.model(batch.images, batch.cameras), batch, self.config)

    def preview(self, batch: GeometryBatch) -> dict[str, Tensor]:
        return reconstruction_images(self.model, batch.images[0], batch.cameras[0])

    def export(self, folder: Path) -> None:
        export_reconstruction(self.model, folder)


def point_losses(
    head: SurfaceHead, planes: Float[Tensor, "b 3 c h w"], batch: GeometryBatch, config: GeometryConfig
) -> dict[str, Tensor]:
    """Losses of a batch's points, given its planes."""
    step = 0.5 * 2 / planes.shape[-1]  # half a texel: finite differences then see the planes' own detail
    offsets = step * torch.cat([torch.zeros(1, 3), torch.eye(3)]).to(planes)
    around = (batch.surface_points[:, :, None] + offsets).flatten(1, 2)
    features = sample_planes(planes, torch.cat([batch.points, around], dim=1), LRM_PLANE_AXES)
    p = batch.points.shape[1]
    sdf = head.sdf(features)
    stencil = sdf[:, p:].unflatten(1, (-1, 4))
    on_surface, slope = stencil[..., 0], (stencil[..., 1:] - stencil[..., :1]) / step
    predicted = torch.cat([sdf[:, :p], on_surface], dim=1)
    true = torch.cat([batch.distances, batch.surface_distances], dim=1)
    colors = head.colors(features[:, p:].unflatten(1, (-1, 4))[:, :, 0])
    error = colors - batch.surface_colors
    return {
        "sdf": config.sdf_weight * sdf_loss(predicted, true),
        "color": config.color_weight * error.square().sum(-1).mean(),
        "hue": config.hue_weight * (error - error.mean(-1, keepdim=True)).square().sum(-1).mean(),
        "slope": config.slope_weight * slope_loss(slope, batch.surface_normals),
    }


def _build(config: GeometryConfig) -> tuple[Stage, BatchSource]:
    source = GeometrySource(GeometryDataset.open(config.data.folder), config)
    return GeometryStage(config), MirroredPhotos(source)


KIND = StageKind(GeometryConfig, _build)
