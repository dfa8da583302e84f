"""Stage 1: a radiance field, trained through patches of its images (InstantMesh, section 3.2)."""

from functools import partial

import torch
from jaxtyping import Float
from pydantic import PositiveInt, model_validator
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from instantmesh.cameras import rays
from instantmesh.data.views import ObjectViews
from instantmesh.lrm.heads import RadianceField
from instantmesh.render.volume import RayValues, render_field, render_rays
from instantmesh.structures import Cameras
from instantmesh.training.crops import Crop, cameras_of_crop, crop_images, random_crop
from instantmesh.training.losses import color_loss, mask_loss
from instantmesh.training.perceptual import perceptual_loss
from instantmesh.training.reconstruction_batches import ReconstructionBatch
from instantmesh.training.reconstruction_stage import ImageLossConfig, ReconstructionStage, ReconstructionStageConfig
from instantmesh.training.stage import BatchSource, Stage, StageKind
from instantmesh.training.transfer import checkpoint_tensors, start_from, take_dino

_RAYS_PER_CHECKPOINT = 4096
_LOGGED_IMAGE_PX = 96


class NerfConfig(ReconstructionStageConfig, ImageLossConfig):
    """Stage 1, `configs/train/instant-nerf-*.yaml`.

    Attributes:
        start: besides what it says there, an OpenLRM checkpoint, whose transformer is taken over.
        encoder_start: a DINO ViT for the encoder, a file or folder in the Transformers library's layout.
        patch_px: side of the part of a target view that is rendered.
        size_px: smallest and largest side that a target view is resized to before the part is cut out.
    """

    encoder_start: str | None = None
    patch_px: PositiveInt = 192
    size_px: tuple[PositiveInt, PositiveInt] = (192, 512)

    @model_validator(mode="after")
    def _patches_fit(self) -> "NerfConfig":
        if not self.patch_px <= self.size_px[0] <= self.size_px[1]:
            raise ValueError(f"size_px must run upwards from patch_px = {self.patch_px} or more, got {self.size_px}")
        return self


class NerfStage(ReconstructionStage[NerfConfig]):
    """Volume rendering of patches; the samples along rays are drawn by torch's global generator."""

    representation = "nerf"

    def __init__(self, config: NerfConfig) -> None:
        super().__init__(config)
        self._perceptual = perceptual_loss(config.perceptual)
        if config.start is not None:
            start_from(self.model, config.start)
        if config.encoder_start is not None:
            take_dino(self.model, checkpoint_tensors(config.encoder_start))

    def losses(self, planes: Float[Tensor, "b 3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        config = self.config
        patches = [self._patches(planes[index], batch.targets[index]) for index in range(len(planes))]
        color, weight, true_color, true_mask = (torch.cat(part) for part in zip(*patches, strict=True))
        return {
            "color": color_loss(color, true_color),
            "perceptual": config.perceptual_weight * self._perceptual(color, true_color),
            "mask": config.mask_weight * mask_loss(weight, true_mask),
        }

    def rendered(self, planes: Float[Tensor, "3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        truth, size = batch.targets[0], min(_LOGGED_IMAGE_PX, batch.targets.images.shape[-1])
        seen = render_field(self._field(planes), truth.cameras, size, size, self.config.model.samples_per_ray)
        return {"render": seen.color, "opacity": seen.weight.expand(-1, 3, -1, -1)}

    def _field(self, planes: Float[Tensor, "3 c h w"]) -> RadianceField:
        field = self.model.field(planes)
        assert isinstance(field, RadianceField)
        return field

    def _patches(self, planes: Float[Tensor, "3 c h w"], truth: ObjectViews) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A patch of every view: its colour and opacity, and the true colour and mask."""
        p, image_px = self.config.patch_px, truth.images.shape[-1]
        crops = [random_crop(image_px, p, self.config.size_px) for _ in range(len(truth))]
        cameras, color, mask = cropped(truth, crops)
        seen = self._see(self._field(planes), cameras)
        colors, weights = (x.unflatten(0, (-1, p, p)).permute(0, 3, 1, 2) for x in (seen.color, seen.weight))
        return colors, weights, color, mask

    def _see(self, field: RadianceField, cameras: Cameras) -> RayValues:
        """What the cameras' rays see, view after view and row by row."""
        origins, directions = (ray.flatten(0, 1) for ray in rays(cameras, self.config.patch_px, self.config.patch_px))
        see = partial(
            render_rays, field, samples=self.config.model.samples_per_ray, generator=global_generator(origins.device)
        )
        if not (self.config.gradient_checkpointing and torch.is_grad_enabled()):
            return see(origins, directions)
        chunks = zip(origins.split(_RAYS_PER_CHECKPOINT), directions.split(_RAYS_PER_CHECKPOINT), strict=True)
        seen = [checkpoint(see, *chunk, use_reentrant=False) for chunk in chunks]  # it keeps the generator's state
        return RayValues(*(torch.cat([getattr(x, name) for x in seen]) for name in ("color", "depth", "weight")))


def cropped(
    truth: ObjectViews, crops: list[Crop]
) -> tuple[Cameras, Float[Tensor, "t 3 p p"], Float[Tensor, "t 1 p p"]]:
    """Cameras, colours and masks of one part of every view; the parts are of one size."""
    parts = [
        (cameras_of_crop(truth.cameras[[i]], crop), crop_images(torch.cat([truth.images, truth.mask], 1)[[i]], crop))
        for i, crop in enumerate(crops)
    ]
    cameras = Cameras(
        torch.cat([camera.camera_to_world for camera, _ in parts]),
        torch.cat([camera.intrinsics for camera, _ in parts]),
    )
    color, mask = torch.cat([image for _, image in parts]).split([3, 1], dim=1)
    return cameras, color, mask


def global_generator(device: torch.device) -> torch.Generator:
    """The generator that `torch.manual_seed` seeds for this device."""
    if device.type != "cuda":
        return torch.default_generator
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]


def _build(config: NerfConfig) -> tuple[Stage, BatchSource]:
    return NerfStage(config), config.source()


KIND = StageKind(NerfConfig, _build)
