"""The triplane transformer: learned plane tokens that attend to the pictures' tokens (LRM, arXiv 2311.04400)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.config import TriplaneConfig
from instantmesh.lrm.attention import Attention, fourier_features, mlp

_NORM_EPS = 1e-5
_LAST_NORM_EPS = 1e-6


class TriplaneBlock(nn.Module):
    """Cross-attention to the pictures, self-attention, MLP; each pre-normed and added."""

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, _NORM_EPS)
        self.cross_attention = Attention(dim, heads, context_dim=context_dim, qkv_bias=False, out_bias=False)
        self.norm2 = nn.LayerNorm(dim, _NORM_EPS)
        self.self_attention = Attention(dim, heads, qkv_bias=False, out_bias=False)
        self.norm3 = nn.LayerNorm(dim, _NORM_EPS)
        self.mlp = mlp(dim, 4 * dim)

    def forward(self, x: Float[Tensor, "b n dim"], context: Float[Tensor, "b m c"]) -> Float[Tensor, "b n dim"]:
        x = x + self.cross_attention(self.norm1(x), context)
        h = self.norm2(x)
        x = x + self.self_attention(h, h)
        return x + self.mlp(self.norm3(x))


class TriplaneTransformer(nn.Module):
    """Picture tokens (b, m, c) to plane tokens (b, 3, low_res, low_res, dim), rows and columns as in `grid_sample`."""

    def __init__(self, config: TriplaneConfig, context_dim: int) -> None:
        super().__init__()
        self.low_res = config.low_res
        self.position_embedding = nn.Parameter(_initial_positions(config.low_res, config.dim))
        self.blocks = nn.ModuleList(TriplaneBlock(config.dim, config.heads, context_dim) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim, _LAST_NORM_EPS)

    def forward(self, context: Float[Tensor, "b m c"]) -> Float[Tensor, "b 3 low low dim"]:
        x = self.position_embedding.expand(len(context), -1, -1)
        for block in self.blocks:
            x = block(x, context)
        return self.norm(x).unflatten(1, (3, self.low_res, self.low_res))


def _initial_positions(low_res: int, dim: int) -> Float[Tensor, "1 n dim"]:
    """Random numbers of variance 1/dim, plus a random linear map of Fourier features of each token's place.

    The features only start the training (tokens that know where they are learn geometry several times faster).
    """
    positions = torch.randn(1, 3 * low_res**2, dim) / dim**0.5
    centres = (torch.arange(low_res) + 0.5) / low_res * 2 - 1
    place = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).reshape(-1, 2)
    features = fourier_features(place, octaves=5)
    per_plane = [features @ torch.randn(features.shape[-1], dim) / features.shape[-1] ** 0.5 for _ in range(3)]
    return positions + 0.5 * torch.cat(per_plane)[None]
