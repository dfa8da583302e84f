"""The triplane transformers: learned plane tokens that attend to the images' tokens.

LRM's (arXiv 2311.04400), which InstantMesh uses as it is and OpenLRM with a camera in every norm; and TripoSR's
(arXiv 2403.02151). Both turn image tokens into plane tokens (b, 3, low, low, dim), rows and columns as in
`grid_sample`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from instantmesh.config import TriplaneConfig
from instantmesh.lrm.attention import (
    Attention,
    GatedMLP,
    fourier_features,
    has_values,
    mlp,
    modulated,
    random_values,
    run_block,
)

_NORM_EPS = 1e-5
_LAST_NORM_EPS = 1e-6
_CAMERA_NORM_EPS = 1e-6
_GROUPS = 32
_GROUP_NORM_EPS = 1e-6


class TriplaneNorm(nn.Module):
    """LayerNorm, shifted and scaled by an embedded camera where there is one."""

    def __init__(self, dim: int, camera_size: int | None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, _NORM_EPS if camera_size is None else _CAMERA_NORM_EPS)
        self.modulation = None if camera_size is None else nn.Linear(camera_size, 2 * dim)

    def forward(self, x: Float[Tensor, "b n dim"], camera: Float[Tensor, "b s"] | None) -> Float[Tensor, "b n dim"]:
        if self.modulation is None:
            return self.norm(x)
        assert camera is not None
        shift, scale = self.modulation(silu(camera))[:, None].chunk(2, dim=-1)
        return modulated(self.norm(x), (shift, scale))


class LRMBlock(nn.Module):
    """Cross-attention to the images, self-attention, MLP; each pre-normed and added."""

    def __init__(self, dim: int, heads: int, context_dim: int, camera_size: int | None) -> None:
        super().__init__()
        self.norm1 = TriplaneNorm(dim, camera_size)
        self.cross_attention = Attention(dim, heads, context_dim=context_dim, qkv_bias=False, out_bias=False)
        self.norm2 = TriplaneNorm(dim, camera_size)
        self.self_attention = Attention(dim, heads, qkv_bias=False, out_bias=False)
        self.norm3 = TriplaneNorm(dim, camera_size)
        self.mlp = mlp(dim, 4 * dim)

    def forward(
        self, x: Float[Tensor, "b n dim"], context: Float[Tensor, "b m c"], camera: Float[Tensor, "b s"] | None
    ) -> Float[Tensor, "b n dim"]:
        x = x + self.cross_attention(self.norm1(x, camera), context)
        h = self.norm2(x, camera)
        x = x + self.self_attention(h, h)
        return x + self.mlp(self.norm3(x, camera))


class LRMTransformer(nn.Module):
    """Learned positions through `LRMBlock`s and a last norm.

    Args:
        config: sizes.
        context_dim: channels of the images' tokens.
        camera_size: of the embedded camera that modulates every block; None for none.
    """

    def __init__(self, config: TriplaneConfig, context_dim: int, camera_size: int | None = None) -> None:
        super().__init__()
        self.low_res = config.low_res
        self.gradient_checkpointing = False
        self.position_embedding = nn.Parameter(_initial_positions(config.low_res, config.dim))
        self.blocks = nn.ModuleList(
            LRMBlock(config.dim, config.heads, context_dim, camera_size) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim, _LAST_NORM_EPS)

    def forward(
        self, context: Float[Tensor, "b m c"], camera: Float[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b 3 low low dim"]:
        x = self.position_embedding.expand(len(context), -1, -1)
        for block in self.blocks:
            x = run_block(block, x, context, camera, gradient_checkpointing=self.gradient_checkpointing)
        return self.norm(x).unflatten(1, (3, self.low_res, self.low_res))


class TripoSRBlock(nn.Module):
    """Self-attention, cross-attention to the image, gated MLP; each pre-normed and added."""

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, _NORM_EPS)
        self.self_attention = Attention(dim, heads, qkv_bias=False, out_bias=True)
        self.norm2 = nn.LayerNorm(dim, _NORM_EPS)
        self.cross_attention = Attention(dim, heads, context_dim=context_dim, qkv_bias=False, out_bias=True)
        self.norm3 = nn.LayerNorm(dim, _NORM_EPS)
        self.mlp = GatedMLP(dim)

    def forward(self, x: Float[Tensor, "b n dim"], context: Float[Tensor, "b m c"]) -> Float[Tensor, "b n dim"]:
        h = self.norm1(x)
        x = x + self.self_attention(h, h)
        x = x + self.cross_attention(self.norm2(x), context)
        return x + self.mlp(self.norm3(x))


class TripoSRTransformer(nn.Module):
    """Learned planes plus what `TripoSRBlock`s, between two linear layers, make of them."""

    def __init__(self, config: TriplaneConfig, context_dim: int) -> None:
        super().__init__()
        dim, low = config.dim, config.low_res
        self.gradient_checkpointing = False
        self.planes = nn.Parameter(random_values(3, dim, low, low, std=dim**-0.5))
        self.norm = nn.GroupNorm(_GROUPS, dim, _GROUP_NORM_EPS)
        self.project_in = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(TripoSRBlock(dim, config.heads, context_dim) for _ in range(config.layers))
        self.project_out = nn.Linear(dim, dim)

    def forward(self, context: Float[Tensor, "b m c"]) -> Float[Tensor, "b 3 low low dim"]:
        tokens = self.planes.transpose(0, 1).flatten(1)[None].expand(len(context), -1, -1)  # (b, dim, 3 low low)
        x = self.project_in(self.norm(tokens).transpose(1, 2)).to(tokens.dtype)  # the sum keeps it under autocast
        for block in self.blocks:
            x = run_block(block, x, context, gradient_checkpointing=self.gradient_checkpointing)
        x = self.project_out(x) + tokens.transpose(1, 2)
        return x.unflatten(1, (3, *self.planes.shape[-2:]))


def _initial_positions(low_res: int, dim: int) -> Float[Tensor, "1 n dim"]:
    """Random numbers of variance 1/dim, plus a random linear map of Fourier features of each token's place.

    The features only start the training (tokens that know where they are learn geometry several times faster).
    """
    positions = random_values(1, 3 * low_res**2, dim, std=dim**-0.5)
    if not has_values():
        return positions
    centres = (torch.arange(low_res) + 0.5) / low_res * 2 - 1
    place = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).reshape(-1, 2)
    features = fourier_features(place, octaves=5)
    per_plane = [features @ torch.randn(features.shape[-1], dim) / features.shape[-1] ** 0.5 for _ in range(3)]
    return positions + 0.5 * torch.cat(per_plane)[None]
