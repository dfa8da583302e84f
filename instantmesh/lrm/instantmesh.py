"""InstantMesh (arXiv 2404.07191): assembles the family's parts and knows the official checkpoints' names."""

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.config import InstantMeshConfig
from instantmesh.lrm.heads import RadianceField, RadianceHead, SurfaceField, SurfaceHead
from instantmesh.lrm.transformer import TriplaneTransformer
from instantmesh.lrm.triplane import LRM_PLANE_AXES, DeconvUpsampler, SmoothUpsampler
from instantmesh.lrm.vit import CameraViT


class InstantMesh(nn.Module):
    """Views to a triplane, and a triplane to a field. `config.representation` decides which field."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.config = config
        planes = config.triplane
        self.encoder = CameraViT(config.encoder)
        self.transformer = TriplaneTransformer(planes, context_dim=config.encoder.hidden_size)
        upsampler = {"deconv": DeconvUpsampler, "smooth": SmoothUpsampler}[planes.upsampler]
        self.upsampler = upsampler(planes.dim, planes.channels)
        self.head = (SurfaceHead if config.representation == "mesh" else RadianceHead)(planes.channels)

    def forward(
        self, images: Float[Tensor, "b v 3 h w"], cameras: Float[Tensor, "b v 16"]
    ) -> Float[Tensor, "b 3 c high high"]:
        """Planes of b objects from v views each; any number of views, any poses.

        Args:
            images: RGB in [0, 1] on white, at the configuration's picture size.
            cameras: the 16 numbers of `instantmesh.cameras.camera_vector`.
        """
        return self.upsampler(self.transformer(self.encoder(images, cameras)))

    def field(self, planes: Float[Tensor, "3 c high high"]) -> SurfaceField | RadianceField:
        """The field of one object's planes."""
        if isinstance(self.head, SurfaceHead):
            return SurfaceField(planes, self.head, LRM_PLANE_AXES)
        return RadianceField(planes, self.head, LRM_PLANE_AXES)


# Where each of our tensors stands in an official checkpoint. Names that match nothing are the same in both.
_OFFICIAL_NAMES = [
    (r"encoder\.(cls_token)", r"encoder.model.embeddings.\1"),
    (r"encoder\.position_embedding", r"encoder.model.embeddings.position_embeddings"),
    (r"encoder\.patch_embedding\.", r"encoder.model.embeddings.patch_embeddings.projection."),
    (r"encoder\.camera_embedding\.", r"encoder.camera_embedder."),
    (r"encoder\.norm\.", r"encoder.model.layernorm."),
    (r"encoder\.blocks\.(\d+)\.attention\.out\.", r"encoder.model.encoder.layer.\1.attention.output.dense."),
    (r"encoder\.blocks\.(\d+)\.attention\.(\w+)\.", r"encoder.model.encoder.layer.\1.attention.attention.\2."),
    (r"encoder\.blocks\.(\d+)\.norm1\.", r"encoder.model.encoder.layer.\1.layernorm_before."),
    (r"encoder\.blocks\.(\d+)\.norm2\.", r"encoder.model.encoder.layer.\1.layernorm_after."),
    (r"encoder\.blocks\.(\d+)\.mlp\.0\.", r"encoder.model.encoder.layer.\1.intermediate.dense."),
    (r"encoder\.blocks\.(\d+)\.mlp\.2\.", r"encoder.model.encoder.layer.\1.output.dense."),
    (r"encoder\.blocks\.(\d+)\.modulation\.", r"encoder.model.encoder.layer.\1.adaLN_modulation.1."),
    (r"transformer\.position_embedding", r"transformer.pos_embed"),
    (r"transformer\.blocks\.(\d+)\.cross_attention\.out\.", r"transformer.layers.\1.cross_attn.out_proj."),
    (r"transformer\.blocks\.(\d+)\.cross_attention\.([qkv])\w+\.", r"transformer.layers.\1.cross_attn.\2_proj_"),
    (r"transformer\.blocks\.(\d+)\.self_attention\.out\.", r"transformer.layers.\1.self_attn.out_proj."),
    (r"transformer\.blocks\.(\d+)\.self_attention\.(?:query|key|value)\.", r"transformer.layers.\1.self_attn.in_proj_"),
    (r"transformer\.blocks\.(\d+)\.mlp\.2\.", r"transformer.layers.\1.mlp.3."),
    (r"transformer\.blocks\.", r"transformer.layers."),
    (r"upsampler\.deconv\.", r"transformer.deconv."),
    (r"head\.", r"synthesizer.decoder."),
]


def official_name(name: str) -> str:
    """The official checkpoint's name (without its `lrm_generator.` prefix) of the tensor our model calls `name`."""
    for pattern, replacement in _OFFICIAL_NAMES:
        new, count = re.subn("^" + pattern, replacement, name)
        if count:
            return new
    return name


def to_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the official names; tensors that the official layout keeps in one are joined (q, k, v)."""
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():  # state dicts list query, key, value in this order
        groups.setdefault(official_name(name), []).append(tensor)
    return {name: torch.cat(parts) if len(parts) > 1 else parts[0] for name, parts in groups.items()}


def from_official(official: dict[str, Tensor], model: InstantMesh) -> dict[str, Tensor]:
    """A state dict for `model` from one with exactly the official names (see `to_official` for what those are)."""
    state, used = {}, dict.fromkeys(official, 0)
    for name, tensor in model.state_dict().items():
        source = official_name(name)
        start = used[source]
        state[name] = official[source][start : start + tensor.shape[0]]
        used[source] = start + tensor.shape[0]
    return state
