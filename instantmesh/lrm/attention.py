"""Attention, perceptrons and modulation, as every transformer of the family uses them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint


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


def has_values() -> bool:
    """Whether new tensors hold values.

    Where they don't (the meta device, on which loading builds networks), drawing random ones would do nothing but
    import torch's compiler, for several seconds.
    """
    return torch.get_default_device().type != "meta"


def random_values(*shape: int, std: float) -> Tensor:
    """Normal random numbers to start a training from."""
    return torch.randn(shape) * std if has_values() else torch.empty(shape)


def run_block(block: nn.Module, *inputs: Tensor | None, gradient_checkpointing: bool) -> Tensor:
    """The block's output.

    With checkpointing it keeps its inputs alone for the backward pass and computes itself again there: less memory for
    a third more time.
    """
    if gradient_checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


def mlp(dim: int, hidden: int) -> nn.Sequential:
    """Linear, exact GELU, Linear."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class GatedMLP(nn.Module):
    """A gated feed-forward network (GEGLU, arXiv 2002.05202).

    Linear to twice four times the channels, one half times the exact GELU of the other, Linear.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, 8 * dim)
        self.out = nn.Linear(4 * dim, dim)

    def forward(self, x: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        value, gate = self.gate(x).chunk(2, dim=-1)
        return self.out(value * gelu(gate))


def modulated(x: Float[Tensor, "n t d"], shift_and_scale: tuple[Tensor, Tensor] | None) -> Float[Tensor, "n t d"]:
    """x (1 + scale) + shift, both (n, 1, d); x itself where nothing modulates it."""
    if shift_and_scale is None:
        return x
    shift, scale = shift_and_scale
    return x * (1 + scale) + shift


def fourier_features(x: Float[Tensor, "... d"], octaves: int) -> Float[Tensor, "... e"]:
    """x and the sines and cosines of x * pi * 2^i, i = 0 .. octaves - 1: e = d (1 + 2 octaves)."""
    angles = x[..., None, :] * (torch.pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype))[:, None]
    return torch.cat([x, angles.sin().flatten(-2), angles.cos().flatten(-2)], dim=-1)
