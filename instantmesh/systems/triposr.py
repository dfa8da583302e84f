"""TripoSR (arXiv 2403.02151): one image, without a camera, to a radiance field."""

from functools import partial
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate

from instantmesh.config import ReconstructionConfig, TriplaneConfig, ViTConfig, parse_config, read_mapping
from instantmesh.errors import CameraError, ConfigError
from instantmesh.lrm.heads import RadianceField, RadianceHead, exponential_density
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.official import dino_names
from instantmesh.lrm.transformer import TripoSRTransformer
from instantmesh.lrm.triplane import DeconvUpsampler, PlaneAxes
from instantmesh.lrm.vit import ViT
from instantmesh.render.even_volume import render_rays_evenly
from instantmesh.render.turntable import RayRenderer
from instantmesh.structures import Cameras
from instantmesh.systems.foreign_config import entry, known
from instantmesh.systems.system import Field, FoundCheckpoint, System

PLANE_AXES: PlaneAxes = ((0, 1), (0, 2), (1, 2))


_DINO = {"facebook/dino-vitb16": ViTConfig(camera_modulation=False)}


class TripoSRConfig(ReconstructionConfig):
    """A single-view model of TripoSR; the defaults are the released one."""

    image_size_px: PositiveInt = 512
    encoder: ViTConfig = ViTConfig(camera_modulation=False)
    triplane: TriplaneConfig = TriplaneConfig(layers=16)
    head_hidden: PositiveInt = 64
    head_layers: PositiveInt = 9  # hidden ones
    density_bias: float = -1.0
    samples_per_ray: PositiveInt = 128
    grid_resolution: PositiveInt = 256
    grid_scale: PositiveFloat = 1.74
    density_threshold: PositiveFloat = 25.0


class TripoSR(ReconstructionModel):
    """Its frame is the world frame: +z up, the image looks from +x."""

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

    def camera_conditioning(self, cameras: Cameras | None) -> None:
        if cameras is not None:
            raise CameraError("TripoSR uses no camera, it takes every image for the front: pass Views(images)")

    def resize(self, images: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 3 p p"]:
        size = self.config.image_size_px
        return interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)

    def field(self, planes: Float[Tensor, "3 c high high"]) -> RadianceField:
        return RadianceField(planes, self.head, PLANE_AXES, half_side=self.config.grid_scale / 2)


def triposr_config(path: str | PathLike[str]) -> TripoSRConfig:
    """Read TripoSR's `config.yaml`.

    Raises:
        ConfigError: unreadable, a setting is missing, or has a value that isn't known here.
    """
    values = read_mapping(path)
    backbone, decoder, renderer = (entry(values, key, path, dict) for key in ("backbone", "decoder", "renderer"))
    tokenizer, upsampler, images = (
        entry(values, key, path, dict) for key in ("tokenizer", "post_processor", "image_tokenizer")
    )
    for owner, key, only in ((decoder, "activation", "silu"), (renderer, "density_activation", "exp")):
        if entry(owner, key, path, str) != only:
            raise ConfigError(f"{path}: {key} is {owner[key]!r}, and only {only!r} is known")
    ours = {
        "image_size_px": entry(values, "cond_image_size", path),
        "encoder": known(_DINO, images, "pretrained_model_name_or_path", path),
        "triplane": {
            "dim": entry(backbone, "in_channels", path),
            "layers": entry(backbone, "num_layers", path),
            "heads": entry(backbone, "num_attention_heads", path),
            "low_res": entry(tokenizer, "plane_size", path),
            "channels": entry(upsampler, "out_channels", path),
        },
        "head_hidden": entry(decoder, "n_neurons", path),
        "head_layers": entry(decoder, "n_hidden_layers", path),
        "density_bias": entry(renderer, "density_bias", path, float),
        "samples_per_ray": entry(renderer, "num_samples_per_ray", path),
        "grid_scale": 2 * entry(renderer, "radius", path, float),
    }
    return parse_config(ours, TripoSRConfig, source=str(path))


def find_checkpoint(folder: Path) -> FoundCheckpoint | None:
    """The official folder's `model.ckpt`, and its `config.yaml`."""
    config, checkpoint = folder / "config.yaml", folder / "model.ckpt"
    if not (config.is_file() and checkpoint.is_file()):
        return None
    return FoundCheckpoint(checkpoint, triposr_config(config))


def ray_renderer(field: Field, config: ReconstructionConfig, samples: int) -> RayRenderer:
    """Volume rendering with evenly spaced samples, as the released code does it."""
    assert isinstance(field, RadianceField)
    return partial(render_rays_evenly, field.radiance, samples=samples, half_side=config.grid_scale / 2)


SYSTEM = System(
    name="triposr",
    config=TripoSRConfig,
    model=TripoSR,
    find_checkpoint=find_checkpoint,
    folder_layout="TripoSR's config.yaml and model.ckpt",
    ray_renderer=ray_renderer,
)
