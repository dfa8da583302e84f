"""Reference attention against the released code's numbers and against a plain twin."""

import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import softmax

from instantmesh.errors import InputError, MissingBackendError
from instantmesh.multiview.latent_space import decode_views, encode_views, raw_latents, scaled_latents
from instantmesh.multiview.reference_attention import (
    Memory,
    ReferenceAttnProcessor,
    predict_with_reference,
    remember,
)
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.multiview.zero123plus_generator import Zero123PlusGenerator

pytestmark = pytest.mark.filterwarnings(
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@torch.no_grad()
def test_one_denoising_prediction_meets_the_reference(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(5)
    torch.testing.assert_close(scheduler.timesteps, golden["step.timesteps"], atol=0, rtol=0)
    torch.testing.assert_close(scheduler.sigmas, golden["step.sigmas"], atol=1e-4, rtol=0)
    timestep = golden["step.timestep"]
    noised = scheduler.add_noise(golden["step.cond_lat"], golden["step.cond_noise"], timestep)
    noised = scheduler.scale_model_input(noised, timestep[0])
    text = golden["step.encoder_hidden_states"]
    predicted = predict_with_reference(pipeline.unet, golden["step.sample"], timestep[0], text, noised)
    torch.testing.assert_close(predicted, golden["step.v_pred"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_training_side_prediction_meets_the_reference(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], golden_config: dict
):
    timestep = golden["train.timestep"]
    scheduler = DDPMScheduler(**golden_config["scheduler"])
    noised = scheduler.add_noise(golden["step.cond_lat"], golden["step.cond_noise"], timestep)
    text = golden["step.encoder_hidden_states"]
    predicted = predict_with_reference(pipeline.unet, golden["step.sample"], timestep, text, noised)
    torch.testing.assert_close(predicted, golden["train.v_pred"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_training_targets_meet_the_reference(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    latents = encode_views(pipeline.vae, golden["target.grid"])
    torch.testing.assert_close(latents, golden["target.latents"], atol=1e-5, rtol=0)
    raw = torch.randn(1, 4, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(raw_latents(pipeline.vae, scaled_latents(pipeline.vae, raw)), raw)
    assert decode_views(pipeline.vae, latents).shape == golden["target.grid"].shape


def test_attention_equals_a_plain_twin_with_gradients(pipeline: Zero123PlusPipeline):
    attn = next(m for name, m in pipeline.unet.named_modules() if name.endswith("attn1"))
    processor, generator = ReferenceAttnProcessor("layer"), torch.Generator().manual_seed(0)
    tokens, reference = (torch.randn(2, n, 32, generator=generator, requires_grad=True) for n in (7, 5))
    cotangent = torch.randn(2, 7, 32, generator=generator)

    memory: Memory = {}
    processor(attn, reference, remember=memory)
    fast = processor(attn, tokens, recall=memory)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    context = torch.cat([tokens, reference], dim=1)
    q, k, v = heads(attn.to_q(tokens)), heads(attn.to_k(context)), heads(attn.to_v(context))
    weights = softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
    plain = attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))

    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    for a, b in zip(
        torch.autograd.grad(fast, [tokens, reference], cotangent),
        torch.autograd.grad(plain, [tokens, reference], cotangent),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_gradients_reach_the_reference_and_images_of_a_batch_stay_apart(pipeline: Zero123PlusPipeline):
    generator = torch.Generator().manual_seed(1)
    sample, text = torch.randn(2, 4, 12, 8, generator=generator), torch.randn(2, 77, 32, generator=generator)
    condition = torch.randn(2, 4, 8, 8, generator=generator, requires_grad=True)
    timestep = torch.tensor([10, 700])
    predicted = predict_with_reference(pipeline.unet, sample, timestep, text, condition)
    predicted[0].square().sum().backward()
    assert condition.grad is not None
    assert float(condition.grad[0].abs().max()) > 0
    assert float(condition.grad[1].abs().max()) == 0
    alone = predict_with_reference(pipeline.unet, sample[1:], timestep[1:], text[1:], condition[1:])
    torch.testing.assert_close(alone, predicted[1:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_reference_pass_ends_where_nothing_more_is_remembered(pipeline: Zero123PlusPipeline):
    """It remembers every layer's keys and values, of the same tokens as a whole pass, and runs nothing after them."""
    unet, generator = pipeline.unet, torch.Generator().manual_seed(3)
    condition, text = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 77, 32, generator=generator)
    own = {name: m for name, m in unet.named_modules() if name.endswith("attn1")}
    ran, expected = [], {}
    hooks = [unet.conv_out.register_forward_hook(lambda *_: ran.append("conv_out"))]
    for name, layer in own.items():
        hooks.append(layer.register_forward_pre_hook(partial(_keys_values, expected, name), with_kwargs=True))
    memory = remember(unet, condition, torch.tensor(500.0), text)
    assert ran == []
    expected.clear()
    unet(condition, torch.tensor(500.0), text)
    for hook in hooks:
        hook.remove()
    assert ran == ["conv_out"]
    assert memory.keys() == {f"{name}.processor" for name in own}
    for name, pair in expected.items():
        for remembered, whole in zip(memory[f"{name}.processor"], pair, strict=True):
            torch.testing.assert_close(remembered, whole, atol=1e-6, rtol=0)


def _keys_values(store: dict, name: str, attn, inputs: tuple, _kwargs: dict) -> None:
    store[name] = attn.to_k(inputs[0]), attn.to_v(inputs[0])


@torch.no_grad()
def test_without_a_reference_the_unet_is_what_it_was(pipeline: Zero123PlusPipeline):
    unet, generator = pipeline.unet, torch.Generator().manual_seed(2)
    sample, text = torch.randn(1, 4, 12, 8, generator=generator), torch.randn(1, 77, 32, generator=generator)
    prepared = unet(sample, 5, text, return_dict=False)[0]
    unet.set_attn_processor(AttnProcessor2_0())
    torch.testing.assert_close(unet(sample, 5, text, return_dict=False)[0], prepared, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("as_users_run_it")
@torch.no_grad()
def test_xformers_is_given_its_own_layout(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    """By a stand-in that computes what xformers documents: (batch, tokens, heads, channels) in and out."""
    seen = []

    def memory_efficient_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen.append(query.shape)
        weights = softmax(torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5, dim=-1)
        return torch.einsum("bhqk,bkhd->bqhd", weights, value)

    sample, text = golden["step.sample"], golden["step.encoder_hidden_states"]
    predict = partial(predict_with_reference, pipeline.unet, sample, golden["step.timestep"][0], text, sample[..., :4])
    expected = predict()
    generator = Zero123PlusGenerator(pipeline)
    with pytest.raises(MissingBackendError, match="xformers"):
        generator.set_attention("xformers")
    ops = ModuleType("xformers.ops")
    monkeypatch.setattr(ops, "memory_efficient_attention", memory_efficient_attention, raising=False)
    monkeypatch.setitem(sys.modules, "xformers", ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    generator.set_attention("xformers")
    torch.testing.assert_close(predict(), expected, atol=1e-5, rtol=1e-5)
    assert seen
    generator.set_attention("sdpa")
    assert torch.equal(predict(), expected)
    with pytest.raises(InputError, match="sdpa, xformers"):
        generator.set_attention("flash")  # pyright: ignore[reportArgumentType]
