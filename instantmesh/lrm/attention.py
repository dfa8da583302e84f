"""Multi-head attention and the two-layer perceptron, as every transformer of the family uses them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Scaled-dot-product attention from `dim` channels to a context of `context_dim` channels.

    No attention weights are returned, so torch's fused kernels run (the exact shortcut 1 of docs/performance.md).
    """

    def __init__(self, dim: int, heads: int, *, context_dim: int | None = None, qkv_bias: bool, out_bias: bool) -> None:
        super().__init__()
        context_dim = dim if context_dim is None else context_dim
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=qkv_bias)
        self.key = nn.Linear(context_dim, dim, bias=qkv_bias)
        self.value = nn.Linear(context_dim, dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim, bias=out_bias)

    def forward(self, x: Float[Tensor, "b n dim"], context: Float[Tensor, "b m c"]) -> Float[Tensor, "b n dim"]:
        """Attend from `x` to `context` (pass `x` twice for self-attention)."""
        q, k, v = (self._split_heads(t) for t in (self.query(x), self.key(context), self.value(context)))
        return self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def mlp(dim: int, hidden: int) -> nn.Sequential:
    """Linear, exact GELU, Linear."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


def fourier_features(x: Float[Tensor, "... d"], octaves: int) -> Float[Tensor, "... e"]:
    """x and the sines and cosines of x * pi * 2^i, i = 0 .. octaves - 1: e = d (1 + 2 octaves)."""
    angles = x[..., None, :] * (torch.pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype))[:, None]
    return torch.cat([x, angles.sin().flatten(-2), angles.cos().flatten(-2)], dim=-1)
