"""Reference attention: a UNet that looks at a second image through its own self-attention layers.

Two passes of the same UNet (Zero123++, arXiv 2310.15110, section 2.2). The *reference* pass runs on the noised
condition image and remembers the keys and values of every self-attention layer (`attn1`). In the *denoising* pass
each of these layers attends to its own tokens and the remembered ones together. Both passes have the same weights, so
remembering a layer's tokens, as the paper has it, comes to the same; keys and values aren't computed twice.
Cross-attention to the text (`attn2`) is unchanged in both.

The reference pass ends at the last self-attention layer: what comes after it would be thrown away.

Symbols: b images; c latent channels; h x w latents of the tiled image, k x l of the condition;
t text tokens of d channels.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from instantmesh import backends
from instantmesh.errors import InputError

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

KeysValues = tuple[Tensor, Tensor]
Memory = dict[str, KeysValues]
"""Remembered keys and values, each (b, tokens at that level, channels), by the layer's name."""

Attention = Literal["sdpa", "xformers"]
"""Who computes attention: torch's scaled_dot_product_attention, or xformers' memory_efficient_attention."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""query (b, q, heads, d), key and value (b, k, heads, d) -> (b, q, heads, d)"""

_ORDER = ("down_blocks", "mid_block", "up_blocks")  # in which a UNet runs its parts; it lists them otherwise


class _AllRemembered(Exception):
    """Ends the reference pass."""


class ReferenceAttnProcessor:
    """Processor of one self-attention layer.

    The UNet's `cross_attention_kwargs` say what to do in a pass: `remember` is a dict that receives the layer's keys
    and values, `recall` one that holds them; with neither it is plain self-attention.

    Args:
        name: of the layer in the dict.
        last: the reference pass ends here.
        attend: computes the attention.
    """

    def __init__(self, name: str, last: bool = False, attend: Attend | None = None) -> None:
        self.name, self.last, self.attend = name, last, attend or sdpa

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        remember: Memory | None = None,
        recall: Memory | None = None,
    ) -> Tensor:
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if remember is not None:
            remember[self.name] = key, value
            if self.last:
                raise _AllRemembered
        if recall is not None:
            key, value = (torch.cat(pair, dim=1) for pair in zip((key, value), recall[self.name], strict=True))
        return _attended(attn, attn.to_q(hidden_states), key, value, self.attend)


class TextAttnProcessor:
    """Plain cross-attention that takes no notice of `remember` and `recall`."""

    def __init__(self, attend: Attend | None = None) -> None:
        self.attend = attend or sdpa

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        remember: Memory | None = None,
        recall: Memory | None = None,
    ) -> Tensor:
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        return _attended(attn, attn.to_q(hidden_states), key, value, self.attend)


def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by torch's scaled_dot_product_attention; shapes as in `Attend`."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return scaled_dot_product_attention(query, key, value).transpose(1, 2)


def attention_function(attention: Attention) -> Attend:
    """Who computes attention, by name.

    Raises:
        InputError: no such name.
        MissingBackendError: xformers isn't installed.
    """
    if attention not in get_args(Attention):
        raise InputError(f"attention must be one of {', '.join(get_args(Attention))}, got {attention!r}")
    return sdpa if attention == "sdpa" else backends.load("xformers.ops").memory_efficient_attention


def _attended(attn: Any, query: Tensor, key: Tensor, value: Tensor, attend: Attend) -> Tensor:
    """Attention of a layer with its output projection, all of them (b, tokens, channels)."""
    query, key, value = (x.unflatten(-1, (attn.heads, -1)) for x in (query, key, value))
    projection, dropout = attn.to_out
    return dropout(projection(attend(query, key, value).flatten(2)))


def install_reference_attention(unet: "UNet2DConditionModel", attention: Attention = "sdpa") -> None:
    """Give this UNet's attention layers the processors above. Without a reference it computes what it did before.

    Raises:
        InputError, MissingBackendError: see `attention_function`.
    """
    attend = attention_function(attention)
    names = list(unet.attn_processors)
    own = [name for name in names if name.endswith("attn1.processor")]
    last = max(own, key=lambda name: (_ORDER.index(name.split(".")[0]), own.index(name)))
    processors: dict[str, Any] = {
        name: ReferenceAttnProcessor(name, name == last, attend) if name in own else TextAttnProcessor(attend)
        for name in names
    }
    unet.set_attn_processor(processors)


def remember(
    unet: "UNet2DConditionModel",
    noised_condition: Float[Tensor, "b c k l"],
    timestep: Shaped[Tensor, "*b"],
    text: Float[Tensor, "b t d"],
) -> Memory:
    """The reference pass: what the denoising pass of the same timestep recalls. See `predict_with_reference`."""
    memory: Memory = {}
    with suppress(_AllRemembered):
        unet(noised_condition, timestep, text, cross_attention_kwargs={"remember": memory}, return_dict=False)
    return memory


def recall(
    unet: "UNet2DConditionModel",
    sample: Float[Tensor, "b c h w"],
    timestep: Shaped[Tensor, "*b"],
    text: Float[Tensor, "b t d"],
    memory: Memory,
) -> Float[Tensor, "b c h w"]:
    """The denoising pass: the UNet's prediction for `sample`. See `predict_with_reference`."""
    return unet(sample, timestep, text, cross_attention_kwargs={"recall": memory}, return_dict=False)[0]


def predict_with_reference(
    unet: "UNet2DConditionModel",
    sample: Float[Tensor, "b c h w"],
    timestep: Shaped[Tensor, "*b"],
    text: Float[Tensor, "b t d"],
    noised_condition: Float[Tensor, "b c k l"],
) -> Float[Tensor, "b c h w"]:
    """The UNet's prediction for `sample` with reference to a condition; differentiable through both passes.

    Args:
        unet: prepared by `install_reference_attention`.
        sample: noised latents, scaled to the unit variance the UNet expects.
        timestep: of the whole batch () or of each image (b,).
        text: prompt embeddings, the same in both passes.
        noised_condition: the condition's latents with noise of the same timestep, scaled like `sample`.
    """
    return recall(unet, sample, timestep, text, remember(unet, noised_condition, timestep, text))
