"""InstantMesh (arXiv 2404.07191): posed views to a FlexiCubes surface or a radiance field."""

from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import camera_vector
from instantmesh.config import InstantMeshConfig
from instantmesh.errors import CameraError
from instantmesh.lrm.heads import RadianceField, RadianceHead, SurfaceField, SurfaceHead
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.official import LRM_TRANSFORMER_NAMES, dino_names
from instantmesh.lrm.transformer import LRMTransformer
from instantmesh.lrm.triplane import LRM_PLANE_AXES, DeconvUpsampler, SmoothUpsampler
from instantmesh.lrm.vit import ViT
from instantmesh.structures import Cameras


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
        self.config = config
        planes = config.triplane
        self.encoder = ViT(config.encoder)
        self.transformer = LRMTransformer(planes, context_dim=config.encoder.hidden_size)
        upsampler = {"deconv": DeconvUpsampler, "smooth": SmoothUpsampler}[planes.upsampler]
        self.upsampler = upsampler(planes.dim, planes.channels)
        self.head = (SurfaceHead if config.representation == "mesh" else RadianceHead)(planes.channels)

    def planes(
        self, tokens: Float[Tensor, "b m d"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b 3 c high high"]:
        return self.upsampler(self.transformer(tokens))

    def camera_numbers(self, cameras: Cameras | None) -> Float[Tensor, "v 16"]:
        if cameras is None:
            raise CameraError("InstantMesh needs the views' cameras: pass Views(images, cameras)")
        return camera_vector(cameras)

    def field(self, planes: Float[Tensor, "3 c high high"]) -> SurfaceField | RadianceField:
        if isinstance(self.head, SurfaceHead):
            return SurfaceField(planes, self.head, LRM_PLANE_AXES)
        return RadianceField(planes, self.head, LRM_PLANE_AXES)
