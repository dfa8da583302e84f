"""What every system of the family is to its callers: images to planes, planes to a field, names of its tensors."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from instantmesh.config import ReconstructionConfig
from instantmesh.lrm.heads import RadianceField, SurfaceField
from instantmesh.lrm.official import Names, from_official, names_of_sizes, official_shapes, to_official
from instantmesh.lrm.transformer import LRMTransformer, TripoSRTransformer
from instantmesh.lrm.vit import ViT
from instantmesh.structures import Cameras, Views


class ReconstructionModel(nn.Module, ABC):
    """Base of `InstantMesh`, `TripoSR` and `OpenLRM`.

    Attributes:
        config: sizes.
        encoder: images, and cameras where they modulate it, to tokens.
        transformer: those to tokens of planes.
        system: what messages call it.
        official_names: how the official checkpoint calls our tensors, see `lrm.official`; `names` has them for this
            model's sizes.
        unused_official: starts of names in official checkpoints that the model has no use for.
        single_view: whether it takes one view only, the photo.
        background: grey level that its images were composited on, in [0, 1].
    """

    config: ReconstructionConfig
    encoder: ViT
    transformer: LRMTransformer | TripoSRTransformer
    system: ClassVar[str]
    official_names: ClassVar[Names]
    unused_official: ClassVar[tuple[str, ...]] = ()
    single_view: ClassVar[bool] = True
    background: ClassVar[float] = 1.0

    @property
    def takes_photo(self) -> bool:
        """Whether the photo itself is a view, see `photo_view`."""
        return self.single_view

    @property
    def takes_generated_views(self) -> bool:
        """Whether it reconstructs from the views of a multiview generator."""
        return not self.single_view

    def photo_view(self, image: Float[Tensor, "3 s s"], elevation_deg: float | None = None) -> Views:
        """The photo as a view, with the camera that the system knows it by, if it needs one.

        Args:
            image: on `background`.
            elevation_deg: from how high it was taken; None: nobody knows. For systems that need a camera.
        """
        return Views(image[None])

    def forward(
        self, images: Float[Tensor, "b v 3 h w"], cameras: Float[Tensor, "b v 16"] | None = None
    ) -> Float[Tensor, "b 3 c high high"]:
        """Planes, in the system's own frame, of b objects from v views each.

        Args:
            images: RGB in [0, 1] on `background`, at the configuration's image size.
            cameras: from `camera_conditioning`; None for systems that use none.
        """
        return self.planes(self.tokens(images, cameras), cameras)

    def tokens(
        self, images: Float[Tensor, "b v 3 h w"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b m d"]:
        """The encoder's part of `forward`; an encoder that no camera modulates doesn't look at them."""
        return self.encoder(images, cameras)

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Compute the blocks of encoder and transformer again in the backward pass.

        In place of keeping all that happens in them. The gradients are the same; without gradients nothing changes.
        """
        self.encoder.gradient_checkpointing = self.transformer.gradient_checkpointing = enabled

    @abstractmethod
    def planes(
        self, tokens: Float[Tensor, "b m d"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b 3 c high high"]:
        """The transformer's part of `forward`."""

    @abstractmethod
    def camera_conditioning(self, cameras: Cameras | None) -> Float[Tensor, "v 16"] | None:
        """What `forward` takes for cameras in the world frame.

        Raises:
            CameraError: cameras are missing, or given where the system uses none.
        """

    @abstractmethod
    def field(self, planes: Float[Tensor, "3 c high high"]) -> SurfaceField | RadianceField:
        """The field of one object's planes, in the world frame."""

    def resize(self, images: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 3 p p"]:
        """Images at the configuration's size, resampled as the system's own code does."""
        size = (self.config.image_size_px, self.config.image_size_px)
        if images.shape[-2:] == size:
            return images
        return interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)

    @property
    def names(self) -> Names:
        """How the official checkpoint calls this model's tensors."""
        return names_of_sizes(self.official_names, self.config.triplane.dim, self.config.encoder.hidden_size)

    def official_state(self) -> dict[str, Tensor]:
        """The state dict under the official checkpoint's names."""
        return to_official(self.state_dict(), self.names)

    def official_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of `official_state`'s tensors."""
        return official_shapes(self.state_dict(), self.names)

    def load_official(self, official: dict[str, Tensor]) -> None:
        """Take over tensors (not copies) from a dict with exactly the names and shapes of `official_state`."""
        self.load_state_dict(from_official(official, self.state_dict(), self.names), assign=True)
