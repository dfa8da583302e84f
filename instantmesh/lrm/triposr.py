"""TripoSR (arXiv 2403.02151): one picture, without a camera, to a radiance field."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from instantmesh.config import TripoSRConfig
from instantmesh.errors import CameraError
from instantmesh.lrm.heads import RadianceField, RadianceHead, exponential_density
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.official import dino_names
from instantmesh.lrm.transformer import TripoSRTransformer
from instantmesh.lrm.triplane import DeconvUpsampler, PlaneAxes
from instantmesh.lrm.vit import ViT
from instantmesh.structures import Cameras

PLANE_AXES: PlaneAxes = ((0, 1), (0, 2), (1, 2))


class TripoSR(ReconstructionModel):
    """Its frame is the world frame: +z up, the picture looks from +x."""

    system = "TripoSR"
    background = 0.5
    unused_official = ("image_tokenizer.model.pooler.",)
    official_names = (
        *dino_names("image_tokenizer.model."),
        (r"transformer\.planes", "tokenizer.embeddings"),
        (r"transformer\.norm\.", "backbone.norm."),
        (r"transformer\.project_(in|out)\.", r"backbone.proj_\1."),
        (r"transformer\.blocks\.(\d+)\.self_attention\.out\.", r"backbone.transformer_blocks.\1.attn1.to_out.0."),
        (r"transformer\.blocks\.(\d+)\.self_attention\.([qkv])\w+\.", r"backbone.transformer_blocks.\1.attn1.to_\2."),
        (r"transformer\.blocks\.(\d+)\.cross_attention\.out\.", r"backbone.transformer_blocks.\1.attn2.to_out.0."),
        (r"transformer\.blocks\.(\d+)\.cross_attention\.([qkv])\w+\.", r"backbone.transformer_blocks.\1.attn2.to_\2."),
        (r"transformer\.blocks\.(\d+)\.mlp\.gate\.", r"backbone.transformer_blocks.\1.ff.net.0.proj."),
        (r"transformer\.blocks\.(\d+)\.mlp\.out\.", r"backbone.transformer_blocks.\1.ff.net.2."),
        (r"transformer\.blocks\.", "backbone.transformer_blocks."),
        (r"upsampler\.deconv\.", "post_processor.upsample."),
        (r"head\.net\.", "decoder.layers."),
    )

    def __init__(self, config: TripoSRConfig) -> None:
        super().__init__()
        self.config = config
        planes = config.triplane
        self.encoder = ViT(config.encoder)
        self.transformer = TripoSRTransformer(planes, context_dim=config.encoder.hidden_size)
        self.upsampler = DeconvUpsampler(planes.dim, planes.channels)
        self.head = RadianceHead(
            planes.channels,
            hidden=config.head_hidden,
            layers=config.head_layers,
            activation=nn.SiLU,
            density=partial(exponential_density, bias=config.density_bias),
            color=torch.sigmoid,
        )

    def planes(
        self, tokens: Float[Tensor, "b m d"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b 3 c high high"]:
        return self.upsampler(self.transformer(tokens))

    def camera_numbers(self, cameras: Cameras | None) -> None:
        if cameras is not None:
            raise CameraError("TripoSR uses no camera, it takes every picture for the front: pass Views(images)")

    def resize(self, images: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 3 p p"]:
        size = self.config.image_size_px
        return interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)

    def field(self, planes: Float[Tensor, "3 c high high"]) -> RadianceField:
        return RadianceField(planes, self.head, PLANE_AXES, half_side=self.config.grid_scale / 2)
