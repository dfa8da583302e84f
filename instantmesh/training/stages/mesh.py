"""Stage 2: a FlexiCubes surface, trained through whole images of it (InstantMesh, section 3.2)."""

import logging

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from instantmesh.cameras import rays
from instantmesh.data.views import ObjectViews
from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.lrm.heads import SurfaceField
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh
from instantmesh.surface.extraction import ExtractedSurface, extract_flexicubes
from instantmesh.training.losses import (
    color_loss,
    depth_loss,
    mask_loss,
    normal_loss,
    sides_loss,
    sign_change_entropy,
)
from instantmesh.training.perceptual import PerceptualLoss, perceptual_loss
from instantmesh.training.reconstruction_batches import ReconstructionBatch
from instantmesh.training.reconstruction_stage import ImageLossConfig, ReconstructionStage, ReconstructionStageConfig
from instantmesh.training.stage import BatchSource, Stage, StageKind
from instantmesh.training.transfer import start_from

_log = logging.getLogger("instantmesh.training")

SURFACE_LOSSES = ("color", "perceptual", "mask", "depth", "normal", "entropy", "deviation", "cube_weights")
_POINTS_BESIDE_SURFACE = 2048


class SurfaceLossConfig(ImageLossConfig):
    """Weights of a surface's losses.

    Normals are compared signed, 1 - n . n_true, as in the paper; the released code takes |n . n_true|. The
    regularisers' weights are the released code's; the paper has one, 0.01, for all of them.

    Attributes:
        depth_weight, normal_weight: of differences inside the true mask.
        entropy_weight: of the signs' cross-entropy on grid edges.
        deviation_weight: of FlexiCubes' L_dev.
        cube_weight_weight: of the squares of FlexiCubes' raw weights.
    """

    depth_weight: NonNegativeFloat = 0.5
    normal_weight: NonNegativeFloat = 0.2
    entropy_weight: NonNegativeFloat = 0.01
    deviation_weight: NonNegativeFloat = 0.5
    cube_weight_weight: NonNegativeFloat = 0.1


class MeshConfig(ReconstructionStageConfig, SurfaceLossConfig):
    """Stage 2, `configs/train/instant-mesh-*.yaml`.

    Attributes:
        start: besides what it says there, stage 1's model, whose density becomes the signed distance.
    """


class MeshStage(ReconstructionStage[MeshConfig]):
    """FlexiCubes and the rasteriser.

    An object whose field has no surface (yet, or no more) has one loss, "empty": signs of the field just before and
    behind the true surface. It is 0 for all others, so where the log shows more than 0, surfaces were missing.
    """

    representation = "mesh"

    def __init__(self, config: MeshConfig) -> None:
        super().__init__(config)
        self._perceptual = perceptual_loss(config.perceptual)
        if config.start is not None:
            start_from(self.model, config.start)

    def losses(self, planes: Float[Tensor, "b 3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        objects = [self._object_losses(planes[index], batch.targets[index]) for index in range(len(planes))]
        missing = sum("color" not in losses for losses in objects)
        if missing:
            _log.info("%d of %d objects have no surface", missing, len(objects))
        # Zero, with a gradient of zero for every parameter of the heads, whether it was used or not: processes that
        # share their gradients all need the same ones.
        zero = 0 * torch.stack([x.sum() for x in (planes, *self.model.head.parameters())]).sum()
        return {
            name: torch.stack([losses.get(name, zero) for losses in objects]).mean()
            for name in (*SURFACE_LOSSES, "empty")
        }

    def rendered(self, planes: Float[Tensor, "3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        truth, field = batch.targets[0], self._field(planes)
        images = {"target_normal": (truth.normal + 1) / 2 * truth.mask}
        surface = self._surface(field, planes.device)
        if surface is not None:
            mesh, size = Mesh(surface.vertices, surface.faces), truth.images.shape[-1]
            seen = render_mesh(mesh, truth.cameras, size, color_field=field.colors)
            images |= {"render": seen.color, "normal": (seen.normal + 1) / 2 * seen.mask}
        return images

    def _field(self, planes: Float[Tensor, "3 c h w"]) -> SurfaceField:
        field = self.model.field(planes)
        assert isinstance(field, SurfaceField)
        return field

    def _surface(self, field: SurfaceField, device: torch.device) -> ExtractedSurface | None:
        """The surface with its gradients; None where the field has none."""
        config = self.model.config
        try:
            return extract_flexicubes(field, config.grid_resolution, config.grid_scale, training=True, device=device)
        except (EmptySurfaceError, InputError):  # or isn't finite: nor is the loss then, and the loop stops
            return None

    def _object_losses(self, planes: Float[Tensor, "3 c h w"], truth: ObjectViews) -> dict[str, Tensor]:
        field = self._field(planes)
        surface = self._surface(field, planes.device)
        if surface is not None:
            return surface_losses(field, surface, truth, self._perceptual, self.config)
        cell = self.model.config.grid_scale / self.model.config.grid_resolution
        before, behind = points_beside_surface(truth, cell)
        if not len(before):
            return {}
        return {"empty": sides_loss(field.sdf(before), field.sdf(behind))}


def surface_losses(
    field: SurfaceField,
    surface: ExtractedSurface,
    truth: ObjectViews,
    perceptual: PerceptualLoss,
    config: SurfaceLossConfig,
) -> dict[str, Tensor]:
    """Weighted image losses and regularisers of one extracted surface.

    Rendered at the truth's size; their names are `SURFACE_LOSSES`.
    """
    mesh, (height, width) = Mesh(surface.vertices, surface.faces), truth.images.shape[-2:]
    seen = render_mesh(mesh, truth.cameras, height, width, color_field=field.colors)
    return {
        "color": color_loss(seen.color, truth.images),
        "perceptual": config.perceptual_weight * perceptual(seen.color, truth.images),
        "mask": config.mask_weight * mask_loss(seen.mask, truth.mask),
        "depth": config.depth_weight * depth_loss(seen.depth, truth.depth, truth.mask),
        "normal": config.normal_weight * normal_loss(seen.normal, truth.normal, truth.mask),
        "entropy": config.entropy_weight * sign_change_entropy(surface.sdf_grid),
        "deviation": config.deviation_weight * surface.l_dev.mean(),
        "cube_weights": config.cube_weight_weight * surface.raw_weights.square().mean(),
    }


def points_beside_surface(truth: ObjectViews, distance: float) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """Points on rays `distance` before and behind the surface that true depths show.

    At most 2,048, drawn by torch's global generator; none where the object isn't seen. Only pixels that it covers
    wholly count.
    """
    origins, directions = rays(truth.cameras, *truth.depth.shape[-2:])
    view, ray = (truth.mask.flatten(1) > 0.999).nonzero(as_tuple=True)
    if len(view) > _POINTS_BESIDE_SURFACE:
        drawn = torch.randint(len(view), (_POINTS_BESIDE_SURFACE,)).to(view.device)
        view, ray = view[drawn], ray[drawn]
    origin, direction = origins[view, ray], directions[view, ray]
    forward = -truth.cameras.camera_to_world[view, :3, 2]
    along = truth.depth.flatten(1)[view, ray][:, None] / (direction * forward).sum(-1, keepdim=True)
    return origin + (along - distance) * direction, origin + (along + distance) * direction


def _build(config: MeshConfig) -> tuple[Stage, BatchSource]:
    return MeshStage(config), config.source()


KIND = StageKind(MeshConfig, _build)
