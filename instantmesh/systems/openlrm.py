"""OpenLRM 1.1 (LRM, arXiv 2311.04400): one image and its camera to a radiance field.

Its frame has +z up, too, and its images look from -y; the world frame's look from +x. A point at (x, y, z) in the
world is at (y, -x, z) there.
"""

from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate

from instantmesh.cameras import camera_vector, rotate_about_up
from instantmesh.config import ReconstructionConfig, ViTConfig, parse_config, read_mapping
from instantmesh.lrm.heads import RadianceField, RadianceHead
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.official import LRM_TRANSFORMER_NAMES
from instantmesh.lrm.transformer import LRMTransformer
from instantmesh.lrm.triplane import DeconvUpsampler, PlaneAxes
from instantmesh.lrm.vit import ViT
from instantmesh.structures import Cameras
from instantmesh.systems.foreign_config import entry, known
from instantmesh.systems.system import FoundCheckpoint, System

DEFAULT_CAMERA = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -2.0, 0.0, 1.0, 0.0, 0.0, 0.75, 0.75, 0.5, 0.5)
"""The numbers given with an image of unknown camera: at distance 2, focal length 0.75."""

WORLD_PLANE_AXES: PlaneAxes = ((1, 0), (1, 2), (2, 0))
"""Where LRM's planes, read at (x, y), (x, z), (z, y) of its own frame, lie in the world; x there counts backwards."""
_PLANES_WITH_X_AS_ROWS = (0, 2)


def _dinov2(hidden_size: int, heads: int) -> ViTConfig:
    return ViTConfig(
        hidden_size=hidden_size,
        heads=heads,
        mlp_size=4 * hidden_size,
        patch_size=14,
        trained_grid=37,
        norm_eps=1e-6,
        imagenet_normalised=False,
        position_resizing="dinov2",
        register_tokens=4,
        layer_scale=True,
        camera_modulation=False,
    )


_DINOV2 = {"dinov2_vits14_reg": _dinov2(384, 6), "dinov2_vitb14_reg": _dinov2(768, 12)}
_OPENLRM_IMAGE_SIZE_PX = {512: 224, 768: 336, 1024: 448}
"""By the transformer's width, which tells small, base and large apart; the files don't say."""


class OpenLRMConfig(ReconstructionConfig):
    """A single-view model of OpenLRM 1.1."""

    camera_size: PositiveInt = 1024  # of the embedded camera that modulates the triplane transformer
    samples_per_ray: PositiveInt = 96
    grid_resolution: PositiveInt = 256
    grid_scale: PositiveFloat = 2.0
    density_threshold: PositiveFloat = 3.0


class OpenLRM(ReconstructionModel):
    """The six released models, by `config`."""

    system = "OpenLRM"
    official_names = (
        (r"encoder\.(cls_token|register_tokens)", r"encoder.model.\1"),
        (r"encoder\.position_embedding", r"encoder.model.pos_embed"),
        (r"encoder\.patch_embedding\.", r"encoder.model.patch_embed.proj."),
        (r"encoder\.norm\.", r"encoder.model.norm."),
        (r"encoder\.blocks\.(\d+)\.attention\.out\.", r"encoder.model.blocks.\1.attn.proj."),
        (r"encoder\.blocks\.(\d+)\.attention\.[qkv]\w+\.", r"encoder.model.blocks.\1.attn.qkv."),
        (r"encoder\.blocks\.(\d+)\.scale([12])\.", r"encoder.model.blocks.\1.ls\2."),
        (r"encoder\.blocks\.(\d+)\.mlp\.0\.", r"encoder.model.blocks.\1.mlp.fc1."),
        (r"encoder\.blocks\.(\d+)\.mlp\.2\.", r"encoder.model.blocks.\1.mlp.fc2."),
        (r"encoder\.blocks\.", r"encoder.model.blocks."),
        (r"camera_embedding\.", r"camera_embedder.mlp."),
        (r"transformer\.position_embedding", r"pos_embed"),
        (r"transformer\.blocks\.(\d+)\.norm(\d)\.modulation\.", r"transformer.layers.\1.norm\2.mlp.1."),
        *LRM_TRANSFORMER_NAMES,
        (r"upsampler\.deconv\.", r"upsampler."),
        (r"head\.", r"synthesizer.decoder."),
    )

    def __init__(self, config: OpenLRMConfig) -> None:
        super().__init__()
        self.config = config
        planes = config.triplane
        self.encoder = ViT(config.encoder)
        self.camera_embedding = nn.Sequential(
            nn.Linear(16, config.camera_size), nn.SiLU(), nn.Linear(config.camera_size, config.camera_size)
        )
        self.transformer = LRMTransformer(planes, config.encoder.hidden_size, config.camera_size)
        self.upsampler = DeconvUpsampler(planes.dim, planes.channels)
        self.head = RadianceHead(planes.channels)

    def planes(
        self, tokens: Float[Tensor, "b m d"], cameras: Float[Tensor, "b v 16"] | None
    ) -> Float[Tensor, "b 3 c high high"]:
        assert cameras is not None
        return self.upsampler(self.transformer(tokens, self.camera_embedding(cameras[:, 0])))

    def camera_conditioning(self, cameras: Cameras | None) -> Float[Tensor, "v 16"]:
        if cameras is None:
            return torch.tensor([DEFAULT_CAMERA])
        quarter = torch.full((len(cameras),), -torch.pi / 2, device=cameras.camera_to_world.device)
        return camera_vector(rotate_about_up(cameras, quarter))

    def resize(self, images: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 3 p p"]:
        size = self.config.image_size_px
        return interpolate(images, (size, size), mode="bicubic", align_corners=True).clamp(0, 1)

    def field(self, planes: Float[Tensor, "3 c high high"]) -> RadianceField:
        in_world = [plane.flip(1) if i in _PLANES_WITH_X_AS_ROWS else plane for i, plane in enumerate(planes)]
        return RadianceField(torch.stack(in_world), self.head, WORLD_PLANE_AXES)


def openlrm_config(path: str | PathLike[str]) -> OpenLRMConfig:
    """Read OpenLRM's `config.json`. Errors as in `triposr_config`."""
    values = read_mapping(path)
    ours = {
        "image_size_px": known(_OPENLRM_IMAGE_SIZE_PX, values, "transformer_dim", path),
        "encoder": known(_DINOV2, values, "encoder_model_name", path),
        "triplane": {
            "dim": entry(values, "transformer_dim", path),
            "layers": entry(values, "transformer_layers", path),
            "heads": entry(values, "transformer_heads", path),
            "low_res": entry(values, "triplane_low_res", path),
            "channels": entry(values, "triplane_dim", path),
        },
        "camera_size": entry(values, "camera_embed_dim", path),
        "samples_per_ray": entry(values, "rendering_samples_per_ray", path),
    }
    return parse_config(ours, OpenLRMConfig, source=str(path))


def find_checkpoint(folder: Path) -> FoundCheckpoint | None:
    """The official folder's `model.safetensors`, and its `config.json`."""
    config, checkpoint = folder / "config.json", folder / "model.safetensors"
    if not (config.is_file() and checkpoint.is_file()):
        return None
    return FoundCheckpoint(checkpoint, openlrm_config(config))


SYSTEM = System(
    name="openlrm",
    config=OpenLRMConfig,
    model=OpenLRM,
    find_checkpoint=find_checkpoint,
    folder_layout="OpenLRM's config.json and model.safetensors",
)
