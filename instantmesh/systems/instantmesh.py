"""InstantMesh (arXiv 2404.07191): posed views to a FlexiCubes surface or a radiance field."""

from pathlib import Path
from typing import Literal

from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from instantmesh.cameras import PHOTO_ELEVATION_DEG, camera_vector, photo_camera
from instantmesh.config import ReconstructionConfig, TriplaneConfig, ViTConfig
from instantmesh.errors import CameraError
from instantmesh.lrm.heads import RadianceField, RadianceHead, SurfaceField, SurfaceHead
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.official import LRM_TRANSFORMER_NAMES, dino_names
from instantmesh.lrm.transformer import LRMTransformer
from instantmesh.lrm.triplane import LRM_PLANE_AXES, DeconvUpsampler, SmoothUpsampler
from instantmesh.lrm.vit import ViT
from instantmesh.structures import Cameras, Views
from instantmesh.systems.system import FoundCheckpoint, System


class InstantMeshConfig(ReconstructionConfig):
    """A sparse-view model of InstantMesh.

    Attributes:
        representation: FlexiCubes surface, or radiance field.
        photo: what the photo itself is to the model: not used (the released models see generated views only), or its
            only view, seen from `cameras.photo_camera`.
    """

    representation: Literal["mesh", "nerf"]
    image_size_px: PositiveInt = 320
    encoder: ViTConfig = ViTConfig()
    triplane: TriplaneConfig = TriplaneConfig()
    samples_per_ray: PositiveInt = 96
    grid_resolution: PositiveInt = 128
    grid_scale: PositiveFloat = 2.1
    density_threshold: PositiveFloat = 10.0
    photo: Literal["not_used", "only_view"] = "not_used"


class InstantMesh(ReconstructionModel):
    """Any number of views, any poses. `config.representation` decides which field."""

    system = "InstantMesh"
    single_view = False
    official_names = (
        (r"encoder\.camera_embedding\.", "encoder.camera_embedder."),
        (r"encoder\.blocks\.(\d+)\.modulation\.", r"encoder.model.encoder.layer.\1.adaLN_modulation.1."),
        *dino_names("encoder.model."),
        (r"transformer\.position_embedding", "transformer.pos_embed"),
        (r"transformer\.blocks\.(\d+)\.norm(\d)\.norm\.", r"transformer.layers.\1.norm\2."),
        *LRM_TRANSFORMER_NAMES,
        (r"upsampler\.deconv\.", "transformer.deconv."),
        (r"head\.", "synthesizer.decoder."),
    )

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.config: InstantMeshConfig = config  # pyright: ignore[reportIncompatibleVariableOverride]
        planes = config.triplane
        self.encoder = ViT(config.encoder)
        self.transformer = LRMTransformer(planes, context_dim=config.encoder.hidden_size)
        upsampler = {"deconv": DeconvUpsampler, "smooth": SmoothUpsampler}[planes.upsampler]
        self.upsampler = upsampler(planes.dim, planes.channels)
        self.head = (SurfaceHead if config.representation == "mesh" else RadianceHead)(planes.channels)

    @property
    def takes_photo(self) -> bool:
        return self.config.photo != "not_used"

    @property
    def takes_generated_views(self) -> bool:
        return self.config.photo != "only_view"

    def photo_view(self, image: Float[Tensor, "3 s s"], elevation_deg: float | None = None) -> Views:
        elevation_deg = PHOTO_ELEVATION_DEG if elevation_deg is None else elevation_deg
        return Views(image[None], photo_camera(elevation_deg).to(image.device))

    def planes(
        self, tokens: Float[Tensor, "b m d"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b 3 c high high"]:
        return self.upsampler(self.transformer(tokens))

    def camera_conditioning(self, cameras: Cameras | None) -> Float[Tensor, "v 16"]:
        if cameras is None:
            raise CameraError("InstantMesh needs the views' cameras: pass Views(images, cameras)")
        return camera_vector(cameras)

    def field(self, planes: Float[Tensor, "3 c high high"]) -> SurfaceField | RadianceField:
        if isinstance(self.head, SurfaceHead):
            return SurfaceField(planes, self.head, LRM_PLANE_AXES)
        return RadianceField(planes, self.head, LRM_PLANE_AXES)


def find_checkpoint(folder: Path) -> FoundCheckpoint | None:
    """The one `instant_*.ckpt` or `instant_*.safetensors` of a folder; which variant it is, its tensors say."""
    found = sorted(folder.glob("instant_*.ckpt")) + sorted(folder.glob("instant_*.safetensors"))
    return FoundCheckpoint(found[0], None) if len(found) == 1 else None


SYSTEM = System(
    name="instantmesh",
    config=InstantMeshConfig,
    model=InstantMesh,
    find_checkpoint=find_checkpoint,
    folder_layout="one instant_*.ckpt",
)
