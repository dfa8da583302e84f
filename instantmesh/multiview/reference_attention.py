"""Reference attention: a UNet that looks at a second picture through its own self-attention layers.

Two passes of the same UNet (Zero123++, arXiv 2310.15110, section 2.2). The *reference* pass runs on the noised
condition picture and remembers the tokens that enter every self-attention layer (`attn1`: the source of its keys and
values). In the *denoising* pass each of these layers attends to its own tokens and the remembered ones together.
Cross-attention to the text (`attn2`) is unchanged in both.

Symbols: b pictures; c latent channels; h x w latents of the painted picture, k x l of the condition;
t text tokens of d channels.
"""

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from jaxtyping import Float, Shaped
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

Tokens = dict[str, Tensor]
"""Remembered tokens (b, k * l at that level, channels) by the layer's name."""


class ReferenceAttnProcessor:
    """Processor of one self-attention layer; torch's scaled_dot_product_attention does the work.

    The UNet's `cross_attention_kwargs` say what to do in a pass: `remember` is a dict that receives the layer's
    tokens, `recall` one that holds them; with neither it is plain self-attention.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._attend = AttnProcessor2_0()

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        remember: Tokens | None = None,
        recall: Tokens | None = None,
    ) -> Tensor:
        context = hidden_states
        if remember is not None:
            remember[self.name] = hidden_states
        if recall is not None:
            context = torch.cat([hidden_states, recall[self.name]], dim=1)
        return self._attend(attn, hidden_states, context, attention_mask)  # pyright: ignore[reportArgumentType]


class TextAttnProcessor:
    """Plain cross-attention that takes no notice of `remember` and `recall`."""

    def __init__(self) -> None:
        self._attend = AttnProcessor2_0()

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        remember: Tokens | None = None,
        recall: Tokens | None = None,
    ) -> Tensor:
        return self._attend(attn, hidden_states, encoder_hidden_states, attention_mask)  # pyright: ignore[reportArgumentType]


def install_reference_attention(unet: "UNet2DConditionModel") -> None:
    """Give this UNet's attention layers the processors above. Without a reference it computes what it did before."""
    processors: dict[str, Any] = {
        name: ReferenceAttnProcessor(name) if name.endswith("attn1.processor") else TextAttnProcessor()
        for name in unet.attn_processors
    }
    unet.set_attn_processor(processors)


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
        timestep: of the whole batch () or of each picture (b,).
        text: prompt embeddings, the same in both passes.
        noised_condition: the condition's latents with noise of the same timestep, scaled like `sample`.
    """
    tokens: Tokens = {}
    unet(noised_condition, timestep, text, cross_attention_kwargs={"remember": tokens}, return_dict=False)
    return unet(sample, timestep, text, cross_attention_kwargs={"recall": tokens}, return_dict=False)[0]
