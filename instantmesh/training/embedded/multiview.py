"""A small multiview model from nothing, on the latents of a small VAE (`stages.vae`), with stage 0's loss."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from instantmesh.errors import MissingFileError
from instantmesh.training.embedded.dataset import DatasetConfig, GeometryDataset
from instantmesh.training.embedded.small_networks import SmallModelConfig, small_networks, small_pipeline
from instantmesh.training.multiview_batches import MultiviewSource, views_of_images
from instantmesh.training.stage import BatchSource, Stage, StageKind
from instantmesh.training.stages.diffusion import DenoisingConfig, DenoisingStage


class MultiviewConfig(DenoisingConfig):
    """`configs/train/tiny-multiview.yaml`.

    Attributes:
        vae: folder of the trained VAE.
    """

    model: SmallModelConfig
    data: DatasetConfig
    vae: str


class MultiviewStage(DenoisingStage):
    """Small networks, all of them trained."""

    def __init__(self, config: MultiviewConfig) -> None:
        if not Path(config.vae, "config.json").is_file():
            raise MissingFileError(f"no VAE in {config.vae}; train it first (stage: vae)")
        vae = AutoencoderKL.from_pretrained(config.vae)
        vae.register_to_config(_name_or_path="")  # or it would be saved where the folder lay on this machine
        super().__init__(small_networks(config.model), vae, config)
        self._model = config.model

    def export(self, folder: Path) -> None:
        """A pipeline folder in float16, `multiview/`."""
        pipeline = small_pipeline(self.networks.eval(), self.vae, self._model)
        for network in (self.vae, self.networks):
            torch.nn.Module.to(network, torch.float16)
        pipeline.save_pretrained(folder / "multiview")


def _build(config: MultiviewConfig) -> tuple[Stage, BatchSource]:
    data = GeometryDataset.open(config.data.folder)
    return MultiviewStage(config), MultiviewSource(
        views_of_images(data.images[:, :7]),
        len(data),
        config.loop.seed,
        config.condition_size_px,
        config.model.tile_size_px,
        config.background_weight,
    )


KIND = StageKind(MultiviewConfig, _build)
