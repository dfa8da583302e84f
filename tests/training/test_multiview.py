"""The small multiview stage trains, goes on where it was interrupted, and becomes a folder that loads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from instantmesh.data.layout import write_object
from instantmesh.files.image_files import write_image
from instantmesh.multiview.latent_space import decode_raw, decode_views, encode_views, posterior
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.config import LoopConfig
from instantmesh.training.data import DataConfig, open_data
from instantmesh.training.embedded.multiview import MultiviewConfig, MultiviewStage
from instantmesh.training.embedded.small_networks import SmallModelConfig
from instantmesh.training.embedded.vae import VaeConfig, VaeSource, VaeStage, small_vae, standardise_latents, vae_losses
from instantmesh.training.multiview_batches import (
    MultiviewSource,
    foreground_latents,
    on_white,
    tile_six,
    views_of_images,
)
from instantmesh.training.schedule import OptimiserConfig
from instantmesh.training.stages import stage_kind
from instantmesh.training.stages.diffusion import DiffusionConfig, DiffusionStage

pytestmark = [
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
SIZE = 32
VAE_CHANNELS = (8, 8, 16, 16)
MODEL = SmallModelConfig(
    tile_size_px=SIZE, block_out_channels=(16, 32), head_channels=16, embedding_channels=32, prompt_tokens=8
)


def images(n: int = 12) -> np.ndarray:
    """Coloured discs, the same in all seven images of an object."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    out = np.zeros((n, 7, SIZE, SIZE, 4), np.uint8)
    for i in range(n):
        disc = (x - rng.uniform(0.3, 0.7)) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2 < rng.uniform(0.1, 0.3) ** 2
        out[i, :, ..., :3] = rng.integers(0, 255, 3)
        out[i, ..., 3] = 255 * disc
    return out


def optimiser(steps: int) -> OptimiserConfig:
    return OptimiserConfig(learning_rate=2e-3, steps=steps, warmup_steps=1)


def vae_config() -> VaeConfig:
    return VaeConfig(
        stage="vae",
        data={"folder": ""},
        optimiser=optimiser(3),
        loop=LoopConfig(batch_size=2),
        block_out_channels=VAE_CHANNELS,
    )


def multiview_config(vae: Path, **changes: object) -> MultiviewConfig:
    settings = {"condition_size_px": (SIZE, SIZE), "dropped_condition": "zero_image", "background_weight": 0.1}
    return MultiviewConfig(
        stage="multiview",
        model=MODEL,
        data={"folder": ""},
        vae=str(vae),
        optimiser=optimiser(3),
        loop=LoopConfig(batch_size=4),
        **{**settings, **changes},
    )


def source(sizes: tuple[int, int] = (SIZE, SIZE)) -> MultiviewSource:
    return MultiviewSource(views_of_images(images()), 12, 0, sizes, SIZE, background_weight=0.1)


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    torch.manual_seed(0)
    VaeStage(vae_config(), images()).export(folder)
    return folder / "vae"


def test_six_tiles_are_laid_out_row_by_row():
    views = torch.arange(6.0)[None, :, None, None, None].expand(1, 6, 1, 2, 2)
    assert tile_six(views)[0, 0, ::2, ::2].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_images_are_composited_on_white_and_their_objects_found():
    rgba = torch.zeros(16, 16, 4, dtype=torch.uint8)
    rgba[0, 15] = torch.tensor([255, 0, 0, 255])
    image, mask = on_white(rgba)
    assert image[:, 0, 15].tolist() == [1, 0, 0]
    assert image[:, 1, 0].tolist() == [1, 1, 1]
    assert foreground_latents(mask[None])[0, 0].tolist() == [[0, 1], [0, 0]]


def test_vae_loss_falls():
    torch.manual_seed(0)
    vae, config = small_vae(VAE_CHANNELS), vae_config()
    image, mask = on_white(torch.from_numpy(images()[:4, 0]))
    adam = torch.optim.Adam(vae.parameters(), 2e-3)
    totals = []
    for _ in range(25):
        torch.manual_seed(0)
        total = torch.stack(list(vae_losses(vae, image, mask, config).values())).sum()
        adam.zero_grad()
        total.backward()
        adam.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.7 * totals[0]


@torch.no_grad()
def test_standardised_latents_have_unit_moments_and_decode_as_before():
    torch.manual_seed(0)
    vae, data = small_vae(VAE_CHANNELS).eval(), images()
    rgb, mask = on_white(torch.from_numpy(data[:, 1:]))
    tiled = tile_six(rgb)
    code = posterior(vae, tiled)
    before, noise_to_signal = (
        decode_raw(vae, code.mean),
        code.std / code.mean.std((0, 2, 3))[:, None, None],
    )
    standardise_latents(vae, data)
    latents, weight = encode_views(vae, tiled), foreground_latents(tile_six(mask))
    mean = (latents * weight).sum((0, 2, 3)) / weight.sum()
    variance = ((latents - mean[:, None, None]).square() * weight).sum((0, 2, 3)) / weight.sum()
    torch.testing.assert_close(mean, torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(decode_views(vae, latents), before.clamp(0, 1), atol=1e-4, rtol=0)
    code = posterior(vae, tiled)
    after = code.std / code.mean.std((0, 2, 3))[:, None, None]
    torch.testing.assert_close(after, noise_to_signal, atol=1e-4, rtol=1e-3)


def test_vae_batches_show_three_query_views_for_each_tiled_image():
    batch = VaeSource(images(), vae_config()).batch(np.arange(2), np.random.default_rng(0))
    assert batch.tiled_views.shape == (2, 3, 3 * SIZE, 2 * SIZE)
    assert batch.query.shape == (6, 3, SIZE, SIZE)
    corner = batch.query[:, :, 0, 0]
    assert 0 < int((corner < 1).any(1).sum()) < 6  # some backgrounds are coloured


def test_batches_hold_the_images_and_weigh_their_background_less():
    batch = source().batch(np.arange(12), np.random.default_rng(3))
    again = source().batch(np.arange(12), np.random.default_rng(3))
    assert torch.equal(batch.tiled_views, again.tiled_views)
    views, _ = on_white(torch.from_numpy(images()))
    shown = {tuple(x.flatten().tolist()) for x in tile_six(views[:, 1:])}
    assert {tuple(x.flatten().tolist()) for x in batch.tiled_views} == shown  # an epoch shows every object
    assert float(batch.weight.mean()) == pytest.approx(1, abs=1e-5)
    assert float(batch.weight.max() / batch.weight.min()) == pytest.approx(10, rel=1e-4)


def test_conditions_have_random_sizes_and_the_vision_encoder_its_own():
    batches = [source((16, 48)).batch(np.arange(2), np.random.default_rng(seed)) for seed in range(30)]
    assert {batch.condition.shape[-1] for batch in batches} == {16, 24, 32, 40, 48}
    assert {batch.clip_pixels.shape[-1] for batch in batches} == {SIZE}


@torch.no_grad()
def test_the_loss_is_that_of_the_v_prediction(vae_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Networks that know the clean latents predict v exactly; timesteps, noise and schedule fit together."""
    stage = MultiviewStage(multiview_config(vae_folder, drop_probability=0.5))
    batch = source().batch(np.arange(12), np.random.default_rng(0))
    clean = encode_views(stage.vae, batch.tiled_views)
    kept = torch.cumprod(1 - torch.linspace(0.00085, 0.012, 1000), 0)
    seen = []

    def oracle(noised, timestep, clip_pixels, noised_condition, conditioned):
        alpha = kept[timestep][:, None, None, None]
        noise = (noised - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        seen.append((timestep, conditioned, noised_condition))
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

    monkeypatch.setattr(stage.networks, "forward", oracle)
    torch.manual_seed(0)
    assert float(stage(batch)["v"]) < 1e-6
    timestep, conditioned, noised_condition = seen[0]
    assert 0 < int(conditioned.sum()) < 12
    assert len(timestep.unique()) > 6
    assert noised_condition.shape == posterior(stage.vae, batch.condition).mode().shape


@torch.no_grad()
@pytest.mark.parametrize("dropped", ["zero_latents", "zero_image"])
def test_what_stands_for_no_condition(vae_folder: Path, dropped: str):
    stage = MultiviewStage(multiview_config(vae_folder, dropped_condition=dropped))
    nothing = stage._nothing(source().batch(np.arange(2), np.random.default_rng(0)).condition)
    assert (float(nothing.abs().max()) == 0) == (dropped == "zero_latents")


def test_multiview_loss_falls_and_trains_every_network_but_the_vae(vae_folder: Path):
    torch.manual_seed(0)
    stage = MultiviewStage(multiview_config(vae_folder)).train()
    assert not stage.vae.training
    adam = torch.optim.Adam([p for p in stage.parameters() if p.requires_grad], 2e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(0)
        loss = stage(source().batch(np.arange(4), np.random.default_rng(0)))["v"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    networks = stage.networks
    for part in (networks.unet, networks.vision_encoder, networks.text_encoder):
        assert any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in part.parameters())
    assert all(p.grad is None for p in stage.vae.parameters())


def test_fine_tuning_reads_rendered_objects_images_alone_and_procedural_ones(vae_folder: Path, tmp_path: Path):
    """The same batch from a rendered data set and from one that holds nothing but seven white images."""
    torch.manual_seed(0)
    MultiviewStage(multiview_config(vae_folder)).export(tmp_path)
    procedural = DataConfig(procedural="unions", objects=2, size_px=SIZE)
    views = [open_data(procedural, "diffusion").read(i, range(7)) for i in range(2)]
    for i, object_views in enumerate(views):
        write_object(tmp_path / "rendered" / f"object{i}", object_views)
        (tmp_path / "white" / f"object{i}").mkdir(parents=True)
        for k, image in enumerate(object_views.images):
            write_image(tmp_path / "white" / f"object{i}" / f"{k:03d}.png", image)
    batches = []
    for data in (procedural, DataConfig(folder=str(tmp_path / "rendered")), DataConfig(folder=str(tmp_path / "white"))):
        config = DiffusionConfig(
            stage="diffusion",
            start=str(tmp_path / "multiview"),
            data=data,
            tile_size_px=SIZE,
            condition_size_px=(16, 48),
            optimiser=optimiser(1),
            loop=LoopConfig(batch_size=2),
        )
        _, drawn = stage_kind("diffusion").build(config)
        batches.append(drawn.batch(np.arange(2), np.random.default_rng(0)))
    for batch in batches[1:]:
        torch.testing.assert_close(batch.tiled_views, batches[0].tiled_views, atol=6e-3, rtol=0)
        torch.testing.assert_close(batch.condition, batches[0].condition, atol=2e-2, rtol=0)
        torch.testing.assert_close(batch.weight, batches[0].weight)


def test_a_trained_model_is_exported_and_fine_tuned_in_its_unet_alone(vae_folder: Path, tmp_path: Path):
    torch.manual_seed(0)
    MultiviewStage(multiview_config(vae_folder)).export(tmp_path)
    config = DiffusionConfig(
        stage="diffusion",
        start=str(tmp_path / "multiview"),
        data=DataConfig(folder="unused"),
        tile_size_px=SIZE,
        condition_size_px=(16, 48),
        optimiser=optimiser(1),
        loop=LoopConfig(batch_size=2),
    )
    stage = DiffusionStage(config).train()
    batch = source((16, 48)).batch(np.arange(2), np.random.default_rng(1))
    stage(batch)["v"].backward()
    networks = stage.networks
    assert all(p.grad is not None for p in networks.unet.parameters())
    assert all(p.grad is None for part in (networks.vision_encoder, networks.text_encoder) for p in part.parameters())
    with torch.no_grad():
        shown = stage.preview(batch)
    assert {name: tuple(image.shape) for name, image in shown.items() if name != "query"} == {
        "target": (3, 3 * SIZE, 2 * SIZE),
        "prediction": (3, 3 * SIZE, 2 * SIZE),
    }
    stage.export(tmp_path / "tuned")
    loaded = Zero123PlusPipeline.from_pretrained(tmp_path / "tuned" / "multiview")
    for name, tensor in networks.unet.state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], tensor), name
