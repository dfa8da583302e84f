"""What both reconstruction stages have in common: a model, its start, images to compare, a way out."""

from abc import abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from instantmesh.config import StrictModel
from instantmesh.errors import ConfigError
from instantmesh.files.image_files import tile
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.training.config import StageConfig
from instantmesh.training.data import DataConfig, open_data
from instantmesh.training.export import export_reconstruction
from instantmesh.training.perceptual import PerceptualName
from instantmesh.training.reconstruction_batches import ReconstructionBatch, ReconstructionSource, ViewsConfig
from instantmesh.training.stage import Stage


class ImageLossConfig(StrictModel):
    """Weights of the losses of colour images and masks; the colours' squared error weighs 1.

    Attributes:
        perceptual: LPIPS with VGG as in the paper, or image gradients, a stated replacement that needs no weights.
            Nothing chooses for you: LPIPS without its packages is an error.
    """

    perceptual: PerceptualName = "lpips-vgg"
    perceptual_weight: NonNegativeFloat = 2.0
    mask_weight: NonNegativeFloat = 1.0


class ReconstructionStageConfig(StageConfig):
    """What both stages need.

    Attributes:
        data: objects with random views.
        start: a checkpoint, model folder or finished run; random weights where it is left out.
        gradient_checkpointing: compute the transformers' blocks, and in stage 1 what rays see, again in the backward
            pass: less memory for more time.
    """

    model: InstantMeshConfig
    data: DataConfig
    views: ViewsConfig = ViewsConfig()
    start: str | None = None
    gradient_checkpointing: bool = False

    def source(self) -> ReconstructionSource:
        """Where the batches come from. Errors as in `open_data` and `ReconstructionSource`."""
        objects = open_data(self.data, "random")
        return ReconstructionSource(objects, self.views, self.model.image_size_px, self.loop.seed)


AnyConfig = TypeVar("AnyConfig", bound=ReconstructionStageConfig)


class ReconstructionStage(Stage[ReconstructionBatch], Generic[AnyConfig]):
    """A reconstruction model, trained with images.

    The transformers run in the precision of the loop, fields, renderers and losses always in float32.

    Raises:
        ConfigError: the model's representation isn't the stage's.
    """

    representation: str

    def __init__(self, config: AnyConfig) -> None:
        super().__init__()
        if config.model.representation != self.representation:
            raise ConfigError(f"stage {config.stage} trains a model with representation: {self.representation}")
        self.config = config
        self.model = InstantMesh(config.model)
        self.model.set_gradient_checkpointing(config.gradient_checkpointing)

    def forward(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        planes = self.model(batch.images, batch.cameras)
        with torch.autocast(planes.device.type, enabled=False):
            return self.losses(planes.float(), batch)

    @abstractmethod
    def losses(self, planes: Float[Tensor, "b 3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Named losses of a batch whose planes are known, as `forward` returns them."""

    @abstractmethod
    def rendered(self, planes: Float[Tensor, "3 c h w"], batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Images (t, 3, h, w) of a batch's first object from its target views, by name."""

    def preview(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Input and target views of the first object, and what the model makes of it."""
        planes = self.model(batch.images[:1], batch.cameras[:1])
        with torch.autocast(planes.device.type, enabled=False):
            shown = {"target": batch.targets.images[0], **self.rendered(planes[0].float(), batch)}
        images = {name: tile(views, columns=2) for name, views in shown.items()}
        return {"input": tile(batch.images[0], columns=3), **images}

    def export(self, folder: Path) -> None:
        export_reconstruction(self.model, folder)
