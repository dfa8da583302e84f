"""Stage 2: rendering losses through FlexiCubes and the rasteriser (InstantMesh, section 3.2 and the released weights).

Colour, mask, depth and signed normals as in the paper; regularisers as in the released code. The perceptual loss is
replaced by a loss of picture gradients where its weights can't be had: the configuration says so by its weight. The
point losses of the warm-up stay on beside them, since exact distances cost next to nothing here.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import rotate_about_up, spherical_cameras
from instantmesh.data.dataset import ProceduralDataset
from instantmesh.data.procedural import ProceduralSurface, random_object
from instantmesh.data.rendering import ObjectRenderer
from instantmesh.data.views import ObjectViews
from instantmesh.errors import EmptySurfaceError
from instantmesh.lrm.heads import SurfaceField, SurfaceHead
from instantmesh.lrm.instantmesh import InstantMesh
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh
from instantmesh.surface.extraction import ExtractedSurface, extract_flexicubes
from instantmesh.training.geometry import GeometryBatch, GeometryTrainingConfig, draw_batch, point_losses
from instantmesh.training.loop import train
from instantmesh.training.losses import depth_loss, normal_loss, picture_gradient_loss, sign_change_entropy


class RenderingTrainingConfig(GeometryTrainingConfig):
    """`configs/train/tiny-rendering.yaml`."""

    rendered_objects: int = 2  # of a batch; the others only have point losses, which cost a tenth
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


def rendering_losses(
    model: InstantMesh, batch: GeometryBatch, config: RenderingTrainingConfig, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Named losses of a batch, weighted; objects that aren't rendered, or whose surface is still empty, only have
    point losses."""
    planes = model(batch.images, batch.cameras)
    assert isinstance(model.head, SurfaceHead)
    losses = point_losses(model.head, planes, batch, config)
    per_object = []
    rendered = rng.choice(len(batch.seeds), min(config.rendered_objects, len(batch.seeds)), replace=False).tolist()
    for index in rendered:
        cameras = _supervising_cameras(config, rng)
        field = model.field(planes[index])
        assert isinstance(field, SurfaceField)
        try:
            surface = extract_flexicubes(
                field, config.resolution, model.config.grid_scale, training=True, device=planes.device
            )
        except EmptySurfaceError:
            continue
        truth = _turned(
            ObjectRenderer(ProceduralSurface(random_object(int(batch.seeds[index])))).views(
                cameras, config.picture_size_px
            ),
            batch.angle[index],
        )
        turned = rotate_about_up(cameras, batch.angle[index].cpu().expand(config.views))
        per_object.append(surface_losses(field, surface, turned, truth, config))
    for name in per_object[0] if per_object else ():
        losses[name] = torch.stack([entry[name] for entry in per_object]).sum() / len(rendered)
    return losses


def surface_losses(
    field: SurfaceField,
    surface: ExtractedSurface,
    cameras: Cameras,
    truth: ObjectViews,
    config: RenderingTrainingConfig,
) -> dict[str, Tensor]:
    """Picture losses and regularisers of one extracted surface."""
    mesh = Mesh(surface.vertices, surface.faces)
    size = config.picture_size_px
    seen = render_mesh(mesh, cameras.to(mesh.vertices.device), size, size, color_field=field.colors)
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


def train_rendering(
    config: RenderingTrainingConfig,
    data: ProceduralDataset,
    official: dict[str, Tensor],
    out: str | Path,
    minutes: float | None = None,
) -> InstantMesh:
    """Go on from the warm-up's tensors (official names) with rendering losses; resumes from `out`."""
    model = InstantMesh(config.model)
    model.load_official({name: x.float().clone() for name, x in official.items()})

    def losses(rng: np.random.Generator) -> dict[str, Tensor]:
        return rendering_losses(model, draw_batch(data, config, rng), config, rng)

    train(model, losses, config.optimiser, out, minutes=minutes)
    return model


def _supervising_cameras(config: RenderingTrainingConfig, rng: np.random.Generator) -> Cameras:
    azimuth, elevation = rng.uniform(0, 360, config.views), rng.uniform(-30, 60, config.views)
    return spherical_cameras(azimuth.tolist(), elevation.tolist(), radius=4.0, fov_deg=config.fov_deg)


def _turned(truth: ObjectViews, angle: Float[Tensor, ""]) -> ObjectViews:
    """World-space normals turn with the object."""
    x, y, z = truth.normal.unbind(1)
    normal = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z], dim=1)
    return ObjectViews(truth.images, truth.mask, truth.depth, normal, truth.cameras)
