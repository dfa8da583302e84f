"""The Zero123++ pipeline: the released code's numbers, randomness, sizes, errors, folders."""

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from PIL import Image
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from instantmesh.errors import CheckpointError, InputError, MissingFileError
from instantmesh.multiview import zero123plus
from instantmesh.multiview.noise import NoiseSource
from instantmesh.multiview.pretrained import load_white_background_unet
from instantmesh.multiview.zero123plus import Zero123PlusPipeline, on_white

pytestmark = pytest.mark.filterwarnings(
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def photo(golden: dict[str, Tensor]) -> Image.Image:
    return Image.fromarray(golden["pipe.image_rgba"].numpy())


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(
    pipeline: Zero123PlusPipeline, image: Image.Image, seed: int | None = 0, steps: int = 2, **arguments
) -> Tensor:
    generator = None if seed is None else seeded(seed)
    out = pipeline(image, num_inference_steps=steps, generator=generator, output_type="pt", **arguments)
    assert isinstance(out.images, Tensor)
    return out.images


@torch.no_grad()
def test_encodings_meet_the_reference(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    shown = on_white(photo(golden))
    for name in ("clip", "vae"):
        processor = getattr(pipeline, f"feature_extractor_{name}")
        pixels = processor(shown, return_tensors="pt").pixel_values
        torch.testing.assert_close(pixels, golden[f"pipe.pixel_values_{name}"], atol=1e-5, rtol=0)
    prompt = pipeline.encode_prompt([shown])
    ramping = golden["pipe.ramping_coefficients"][:, None]
    torch.testing.assert_close(prompt[1] - prompt[0], golden["pipe.image_embeds"] * ramping, atol=1e-4, rtol=0)
    condition = pipeline.encode_condition([shown], FixedNoise(golden))
    expected = torch.cat([golden["pipe.negative_cond_lat"], golden["pipe.cond_lat"]])
    torch.testing.assert_close(condition, expected, atol=1e-4, rtol=0)


class FixedNoise(NoiseSource):
    """The reference's draws: the VAE's modes, given latents, the same reference noise at every step."""

    def __init__(self, golden: dict[str, Tensor]) -> None:
        super().__init__([None])
        self.golden = golden

    def from_posterior(self, posterior) -> Tensor:
        return posterior.mode()

    def initial(self, shape, device) -> Tensor:
        assert (1, *shape) == tuple(self.golden["pipe.latents"].shape)
        return self.golden["pipe.latents"]

    def reference(self, condition: Tensor) -> Tensor:
        return self.golden["step.cond_noise"]


def test_a_whole_sample_meets_the_reference(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zero123plus, "NoiseSource", lambda generators: FixedNoise(golden))
    # the reference's two text embeddings are random numbers, before the image's embedding is added
    image_prompt = golden["pipe.image_embeds"] * golden["pipe.ramping_coefficients"][:, None]
    prompt = torch.cat([golden["pipe.negative_prompt_embeds"], golden["pipe.prompt_embeds"] + image_prompt])
    monkeypatch.setattr(pipeline, "encode_prompt", lambda photos: prompt)
    monkeypatch.setattr(  # no ancestral noise
        scheduling_euler_ancestral_discrete, "randn_tensor", lambda shape, **_: torch.zeros(shape)
    )
    images = sample(pipeline, photo(golden), steps=4)
    torch.testing.assert_close(images, golden["pipe.images"], atol=1e-4, rtol=0)


def test_the_schedule_is_the_papers_even_where_the_folder_says_otherwise(pipeline: Zero123PlusPipeline):
    config = {**pipeline.scheduler.config, "timestep_spacing": "linspace"}
    components = {**pipeline.components, "scheduler": EulerAncestralDiscreteScheduler.from_config(config)}
    scheduler = Zero123PlusPipeline(**components).scheduler
    scheduler.set_timesteps(75)
    assert scheduler.timesteps[:4].tolist() == [999, 986, 972, 959]
    np.testing.assert_allclose(scheduler.sigmas[:4].numpy(), [25.146, 23.255, 21.400, 19.830], atol=6e-4)


def test_one_generator_fixes_every_draw(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    image, state = photo(golden), torch.get_rng_state()
    first = sample(pipeline, image)
    assert torch.equal(torch.get_rng_state(), state), "the global random state is left alone"
    torch.manual_seed(99)
    assert torch.equal(sample(pipeline, image), first)
    assert not torch.equal(sample(pipeline, image, seed=1), first)
    assert not torch.equal(sample(pipeline, image, seed=None), sample(pipeline, image, seed=None))


def test_every_kind_of_draw_comes_from_the_generator(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    """Two posterior samples, the start, and per step the reference's noise and the ancestral noise."""
    states: list[Tensor] = []

    class Watched(NoiseSource):
        def __getattribute__(self, name: str):
            if name in ("from_posterior", "initial", "reference", "step"):
                states.append(super().__getattribute__("generators")[0].get_state())
            return super().__getattribute__(name)

    monkeypatch.setattr(zero123plus, "NoiseSource", Watched)
    sample(pipeline, photo(golden), steps=3)
    assert len(states) == 2 + 1 + 2 * 3
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(states))


def test_sizes_outputs_and_callback(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    image, seen = photo(golden), []

    def callback(pipe, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append((pipe is pipeline, step, float(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 1 else tensors

    arguments = {"num_inference_steps": 2, "generator": seeded(0), "callback_on_step_end": callback}
    latents = pipeline(image, output_type="latent", **arguments).images
    assert seen == [(True, 0, 999.0), (True, 1, 499.0)]
    assert float(torch.as_tensor(latents).abs().max()) == 0, "latents that a callback returns are taken"
    assert pipeline(image, num_inference_steps=1).images[0].size == (32, 48)
    assert sample(pipeline, image, steps=1, width=24, height=60).shape == (1, 3, 60, 24)


def test_guidance_moves_from_negative_to_positive(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    pipeline.scheduler.set_timesteps(5)
    latents, timestep = golden["step.sample"][:1], pipeline.scheduler.timesteps[1]
    text, condition = golden["step.encoder_hidden_states"], golden["step.cond_lat"]

    def predict(scale: float) -> Tensor:
        with torch.no_grad():
            memory = pipeline.reference(pipeline.scheduler, condition, timestep, text, NoiseSource([seeded(0)]))
            return pipeline.predict(pipeline.scheduler, latents, timestep, text, memory, scale)

    negative, positive = predict(0.0), predict(1.0)
    torch.testing.assert_close(predict(4.0), negative + 4 * (positive - negative), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(negative, positive, atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_inference_steps": 0},
        {"reference_every": 0},
        {"width": 30, "height": 47},
        {"height": 0},
    ],
)
def test_bad_requests_are_refused(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], arguments: dict):
    with pytest.raises(InputError):
        pipeline(photo(golden), **arguments)


def test_low_precision_runs_and_stays_near(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    exact = sample(pipeline, photo(golden))
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(torch.bfloat16)
    rough = sample(pipeline, photo(golden))
    assert rough.dtype == torch.float32
    assert float((rough - exact).abs().mean()) < 0.05


def test_a_vae_that_overflows_in_float16_computes_in_float32(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    pipeline.vae.half()
    with torch.no_grad():
        condition = pipeline.encode_condition([on_white(photo(golden))], FixedNoise(golden))
    assert pipeline.vae.dtype == torch.float32
    torch.testing.assert_close(condition[1:], golden["pipe.cond_lat"], atol=2e-2, rtol=0)


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    assert list(np.array(on_white(image))[0].reshape(-1)) == [255, 255, 255, 10, 20, 30]


@pytest.fixture
def folder(pipeline: Zero123PlusPipeline, tmp_path: Path) -> Path:
    pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_folder_loads_and_samples_the_same(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], folder: Path
):
    expected = sample(pipeline, photo(golden))
    loaded = Zero123PlusPipeline.from_pretrained(folder)
    loaded.set_progress_bar_config(disable=True)
    torch.testing.assert_close(sample(loaded, photo(golden)), expected, atol=1e-4, rtol=0)
    assert {
        p.dtype for p in Zero123PlusPipeline.from_pretrained(folder, torch_dtype=torch.float16).unet.parameters()
    } == {torch.float16}


def test_the_empty_prompt_is_padded_with_id_0_whatever_the_folder_says(folder: Path):
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "vocab.json").write_text('{"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}')
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": 77}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Zero123PlusPipeline.from_pretrained(folder).tokenizer
    assert tokenizer("", padding="max_length", max_length=77).input_ids == [1, 2] + [0] * 75


def test_code_that_a_folder_names_is_not_run(folder: Path):
    index = folder / "model_index.json"
    text = index.read_text().replace('"Zero123PlusPipeline"', '["pipeline", "Zero123PlusPipeline"]', 1)
    index.write_text(text.replace('"UNet2DConditionModel"', '"NoSuchClass"'))
    (folder / "pipeline.py").write_text("raise SystemExit('remote code ran')")
    Zero123PlusPipeline.from_pretrained(folder)


def test_the_white_background_unet_replaces_the_folders(pipeline: Zero123PlusPipeline, folder: Path, tmp_path: Path):
    state = {name: x + 1 for name, x in pipeline.unet.state_dict().items()}
    torch.save(state, tmp_path / "white.bin")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    loaded = Zero123PlusPipeline.from_pretrained(folder, white_background_unet=tmp_path / "white.bin")
    assert all(torch.equal(x, state[name]) for name, x in loaded.unet.state_dict().items())


def test_a_wrong_or_unsafe_unet_file_is_refused(pipeline: Zero123PlusPipeline, folder: Path, tmp_path: Path):
    path = tmp_path / "white.bin"
    with pytest.raises(MissingFileError):
        load_white_background_unet(path, folder / "unet")
    state = pipeline.unet.state_dict()
    state["strange.weight"] = state.pop("conv_in.weight")
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"(?s)conv_in\.weight.*strange\.weight"):
        load_white_background_unet(path, folder / "unet")
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError):
        load_white_background_unet(path, folder / "unet")
    path.write_bytes(pickle.dumps({"x": Path.unlink}, protocol=2))
    with pytest.raises(CheckpointError):
        load_white_background_unet(path, folder / "unet")


def test_an_incomplete_or_damaged_folder_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"model_index\.json"):
        Zero123PlusPipeline.from_pretrained(tmp_path)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="vae"):
        Zero123PlusPipeline.from_pretrained(folder)


def test_an_unknown_repository_is_reported():
    with pytest.raises(MissingFileError, match="no/such-model"):
        Zero123PlusPipeline.from_pretrained("no/such-model", local_files_only=True)


def test_official_sizes_have_the_official_parameter_counts():
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            block_out_channels=(320, 640, 1280, 1280),
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
            use_linear_projection=True,
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
        vision = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=1280,
                intermediate_size=5120,
                num_hidden_layers=32,
                num_attention_heads=16,
                patch_size=14,
                projection_dim=1024,
                hidden_act="gelu",
            )
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=23,
                num_attention_heads=16,
                hidden_act="gelu",
            )
        )
    counts = [sum(p.numel() for p in network.parameters()) for network in (unet, vae, vision, text)]
    assert counts == [865_910_724, 83_653_863, 632_076_800, 340_387_840]
