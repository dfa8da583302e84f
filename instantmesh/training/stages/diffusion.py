"""Stage 0: the multiview model learns to denoise six views, given a query view (Zero123++, arXiv 2310.15110).

v-prediction on a linear schedule with timesteps drawn evenly; the condition is dropped now and then, for guidance; the
reference image is noised at the sample's timestep. InstantMesh fine-tunes a released model on white backgrounds.
"""

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from instantmesh.data.layout import DIFFUSION_VIEWS
from instantmesh.data.source import ObjectSource
from instantmesh.data.stored_objects import StoredObjects
from instantmesh.multiview.latent_space import decode_views, encode_views, posterior
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.config import StageConfig
from instantmesh.training.data import DataConfig, open_data
from instantmesh.training.multiview_batches import MultiviewBatch, MultiviewSource, views_of_objects
from instantmesh.training.multiview_networks import SCHEDULE, MultiviewNetworks, networks_of
from instantmesh.training.stage import BatchSource, Stage, StageKind


class DenoisingConfig(StageConfig):
    """What fine-tuning and training from nothing share.

    Attributes:
        drop_probability: of the condition.
        dropped_condition: what then stands for its latents: zeros, as in the released fine-tuning, or those of the zero
            image, as in sampling.
        condition_size_px: smallest and largest side of the condition.
        background_weight: of latents away from the object; below 1 where white tiles would dominate.
    """

    drop_probability: NonNegativeFloat = 0.1
    dropped_condition: Literal["zero_latents", "zero_image"] = "zero_latents"
    condition_size_px: tuple[PositiveInt, PositiveInt] = (128, 512)
    background_weight: NonNegativeFloat = 1.0


class DiffusionConfig(DenoisingConfig):
    """Fine-tuning of a whole model, `configs/train/zero123plus.yaml`. Its UNet is trained, the rest stays.

    Attributes:
        start: the model, a folder or name as `Zero123PlusPipeline.from_pretrained` takes it.
        tile_size_px: side of a view.
    """

    start: str
    data: DataConfig
    tile_size_px: PositiveInt = 320


class DenoisingStage(Stage[MultiviewBatch]):
    """Networks that denoise the six views, under the loss of the v-prediction."""

    def __init__(self, networks: MultiviewNetworks, vae: AutoencoderKL, config: DenoisingConfig) -> None:
        super().__init__()
        self.config, self.networks = config, networks
        self.vae = vae.requires_grad_(False).eval()
        self._scheduler = DDPMScheduler(**SCHEDULE)

    def train(self, mode: bool = True) -> "DenoisingStage":
        """The VAE is never trained here."""
        super().train(mode)
        nn.Module.train(self.vae, False)
        return self

    def forward(self, batch: MultiviewBatch) -> dict[str, Tensor]:
        device, b = batch.tiled_views.device, len(batch.tiled_views)
        with torch.no_grad():
            latents = encode_views(self.vae, batch.tiled_views)
            condition = posterior(self.vae, batch.condition).mode()
            conditioned = torch.rand(b, device=device) >= self.config.drop_probability
            condition = torch.where(conditioned[:, None, None, None], condition, self._nothing(batch.condition))
        timestep = torch.randint(0, SCHEDULE["num_train_timesteps"], (b,), device=device)
        noised, v = self._noised(latents, timestep)
        noised_condition, _ = self._noised(condition, timestep)
        predicted = self.networks(noised, timestep, batch.clip_pixels, noised_condition, conditioned)
        return {"v": (batch.weight * (predicted - v).square()).mean()}

    def preview(self, batch: MultiviewBatch) -> dict[str, Tensor]:
        """The query, the true views, and what one prediction from half-way noise makes of them."""
        one: Bool[Tensor, " b"] = torch.ones(1, dtype=torch.bool, device=batch.tiled_views.device)
        timestep = torch.full((1,), SCHEDULE["num_train_timesteps"] // 2, device=batch.tiled_views.device)
        noised, _ = self._noised(encode_views(self.vae, batch.tiled_views[:1]), timestep)
        condition, _ = self._noised(posterior(self.vae, batch.condition[:1]).mode(), timestep)
        v = self.networks(noised, timestep, batch.clip_pixels[:1], condition, one)
        kept = self._scheduler.alphas_cumprod.to(v)[timestep][:, None, None, None]
        clean = kept.sqrt() * noised - (1 - kept).sqrt() * v
        predicted = decode_views(self.vae, clean)
        return {"query": batch.condition[0], "target": batch.tiled_views[0], "prediction": predicted[0]}

    def _nothing(self, condition: Float[Tensor, "b 3 k k"]) -> Float[Tensor, "1 c kl kl"]:
        zero = posterior(self.vae, torch.full_like(condition[:1], 0.5)).mode()
        return torch.zeros_like(zero) if self.config.dropped_condition == "zero_latents" else zero

    def _noised(self, clean: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Latents with noise of the timesteps, and the v that is to be predicted."""
        noise = torch.randn_like(clean)
        noised = self._scheduler.add_noise(clean, noise, timestep)  # pyright: ignore[reportArgumentType]
        return noised, self._scheduler.get_velocity(clean, noise, timestep)  # pyright: ignore[reportArgumentType]


class DiffusionStage(DenoisingStage):
    """A released model whose UNet is fine-tuned."""

    def __init__(self, config: DiffusionConfig) -> None:
        pipeline = Zero123PlusPipeline.from_pretrained(config.start)
        networks = networks_of(pipeline)
        networks.requires_grad_(False).unet.requires_grad_(True)
        super().__init__(networks, pipeline.vae, config)
        self._pipeline = pipeline

    @property
    def clip_size_px(self) -> int:
        """Side of the images that the vision encoder sees."""
        size = self.networks.vision_encoder.config.image_size
        assert isinstance(size, int)
        return size

    def export(self, folder: Path) -> None:
        """A pipeline folder, `multiview/`."""
        self._pipeline.save_pretrained(folder / "multiview")


def _build(config: DiffusionConfig) -> tuple[Stage, BatchSource]:
    stage, objects = DiffusionStage(config), open_data(config.data, "diffusion")
    return stage, MultiviewSource(
        views_of_objects(partial(_read, objects), config.tile_size_px),
        len(objects),
        config.loop.seed,
        config.condition_size_px,
        stage.clip_size_px,
        config.background_weight,
    )


def _read(objects: ObjectSource, index: int) -> tuple[Tensor, Tensor]:
    """An object's seven images and masks. Data sets of others may hold no more than images."""
    if isinstance(objects, StoredObjects):
        return objects.read_on_white(index, range(DIFFUSION_VIEWS))
    views = objects.read(index, range(DIFFUSION_VIEWS))
    return views.images, views.mask


KIND = StageKind(DiffusionConfig, _build)
