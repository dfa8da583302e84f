"""The small multiview stage trains, goes on where it was interrupted, and becomes a folder that loads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from instantmesh.config import read_config
from instantmesh.multiview.latent_space import decode_painted, decode_raw, encode_painted, posterior
from instantmesh.training.multiview import (
    LatentCache,
    MultiviewTrainingConfig,
    draw_batch,
    multiview_loss,
    train_multiview,
)
from instantmesh.training.schedule import OptimiserConfig
from instantmesh.training.small_zero123plus import SmallModelConfig, SmallZero123Plus
from instantmesh.training.vae import (
    VaeTrainingConfig,
    foreground_latents,
    on_white,
    small_vae,
    standardise_latents,
    tile_six,
    train_vae,
    vae_losses,
)

pytestmark = [
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
SIZE = 32
CONFIGS = Path(__file__).parents[2] / "configs" / "train"
VAE_CHANNELS = (8, 8, 16, 16)
MODEL = SmallModelConfig(
    tile_size_px=SIZE, block_out_channels=(16, 32), head_channels=16, embedding_channels=32, prompt_tokens=8
)


def pictures(n: int = 12) -> np.ndarray:
    """Coloured discs, the same in all seven pictures of an object."""
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


def vae_config(steps: int) -> VaeTrainingConfig:
    return VaeTrainingConfig(optimiser=optimiser(steps), block_out_channels=VAE_CHANNELS)


def multiview_config(steps: int) -> MultiviewTrainingConfig:
    return MultiviewTrainingConfig(model=MODEL, optimiser=optimiser(steps), batch_size=4)


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    train_vae(vae_config(3), pictures(), folder)
    return folder / "vae"


def test_shipped_configurations_are_read():
    read_config(CONFIGS / "tiny-vae.yaml", VaeTrainingConfig)
    read_config(CONFIGS / "tiny-multiview.yaml", MultiviewTrainingConfig)


def test_six_tiles_are_laid_out_row_by_row():
    views = torch.arange(6.0)[None, :, None, None, None].expand(1, 6, 1, 2, 2)
    assert tile_six(views)[0, 0, ::2, ::2].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_pictures_are_composited_on_white_and_their_objects_found():
    rgba = torch.zeros(16, 16, 4, dtype=torch.uint8)
    rgba[0, 15] = torch.tensor([255, 0, 0, 255])
    picture, mask = on_white(rgba)
    assert picture[:, 0, 15].tolist() == [1, 0, 0]
    assert picture[:, 1, 0].tolist() == [1, 1, 1]
    assert foreground_latents(mask[None])[0, 0].tolist() == [[0, 1], [0, 0]]


def test_vae_loss_falls():
    torch.manual_seed(0)
    vae, config = small_vae(VAE_CHANNELS), vae_config(1)
    picture, mask = on_white(torch.from_numpy(pictures()[:4, 0]))
    adam = torch.optim.Adam(vae.parameters(), 2e-3)
    totals = []
    for _ in range(25):
        total = torch.stack(
            list(vae_losses(vae, picture, mask, config, torch.Generator().manual_seed(0)).values())
        ).sum()
        adam.zero_grad()
        total.backward()
        adam.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.7 * totals[0]


@torch.no_grad()
def test_standardised_latents_have_unit_moments_and_decode_as_before():
    torch.manual_seed(0)
    vae, data = small_vae(VAE_CHANNELS).eval(), pictures()
    rgb, mask = on_white(torch.from_numpy(data[:, 1:]))
    painted = tile_six(rgb)
    code = posterior(vae, painted)
    before, noise_to_signal = (
        decode_raw(vae, code.mean),
        code.std / code.mean.std((0, 2, 3))[:, None, None],
    )
    standardise_latents(vae, data)
    latents, weight = encode_painted(vae, painted), foreground_latents(tile_six(mask))
    mean = (latents * weight).sum((0, 2, 3)) / weight.sum()
    variance = ((latents - mean[:, None, None]).square() * weight).sum((0, 2, 3)) / weight.sum()
    torch.testing.assert_close(mean, torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(decode_painted(vae, latents), before.clamp(0, 1), atol=1e-4, rtol=0)
    code = posterior(vae, painted)
    after = code.std / code.mean.std((0, 2, 3))[:, None, None]
    torch.testing.assert_close(after, noise_to_signal, atol=1e-4, rtol=1e-3)


def test_cached_latents_are_those_of_the_vae_and_survive_reopening(vae_folder: Path, tmp_path: Path):
    from diffusers import AutoencoderKL

    vae, data, rows = AutoencoderKL.from_pretrained(vae_folder).eval(), pictures(), np.array([1, 5])
    target, condition = LatentCache(vae, data, tmp_path)(rows)
    with torch.no_grad():
        views, _ = on_white(torch.from_numpy(data[rows]))
        torch.testing.assert_close(target, encode_painted(vae, tile_six(views[:, 1:])), atol=5e-3, rtol=5e-3)
        raw = posterior(vae, views[:, 0]).mode()
    torch.testing.assert_close(condition, raw, atol=2e-2, rtol=5e-3)
    reopened = LatentCache(vae, data, tmp_path)
    assert reopened.done.tolist() == [i in rows for i in range(len(data))]
    assert torch.equal(reopened(rows)[0], target)


def test_batches_follow_the_schedule_and_the_seed(vae_folder: Path, tmp_path: Path):
    from diffusers import AutoencoderKL

    cache = LatentCache(AutoencoderKL.from_pretrained(vae_folder).eval(), pictures(), tmp_path)
    config = multiview_config(1).model_copy(update={"batch_size": 12, "drop_probability": 0.5})
    batch, again = (draw_batch(cache, config, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(batch.noised, again.noised)
    assert torch.equal(batch.noised_condition, again.noised_condition)
    kept = torch.cumprod(1 - torch.linspace(0.00085, 0.012, 1000), 0)[batch.timestep][:, None, None, None]
    clean = kept.sqrt() * batch.noised - (1 - kept).sqrt() * batch.v
    torch.testing.assert_close(clean, cache(np.arange(12))[0], atol=1e-3, rtol=1e-3)
    assert 0 < int(batch.conditioned.sum()) < 12
    assert float(batch.weight.mean()) == pytest.approx(1, abs=1e-5)
    assert float(batch.weight.max() / batch.weight.min()) == pytest.approx(10, rel=1e-4)


def test_multiview_loss_falls_and_trains_every_network(vae_folder: Path, tmp_path: Path):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    cache = LatentCache(AutoencoderKL.from_pretrained(vae_folder).eval(), pictures(), tmp_path)
    model, config = SmallZero123Plus(MODEL), multiview_config(1)
    adam = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for _ in range(20):
        loss = multiview_loss(model, draw_batch(cache, config, np.random.default_rng(0)))["v"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    for part in (model.unet, model.vision_encoder, model.text_encoder):
        assert any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in part.parameters())


def test_an_interrupted_run_ends_with_the_same_weights(vae_folder: Path, tmp_path: Path):
    through = train_multiview(multiview_config(4), pictures(), vae_folder, tmp_path / "through")
    train_multiview(multiview_config(2), pictures(), vae_folder, tmp_path / "resumed")
    resumed = train_multiview(multiview_config(4), pictures(), vae_folder, tmp_path / "resumed")
    for name, tensor in through.unet.state_dict().items():
        assert torch.equal(tensor, resumed.unet.state_dict()[name]), name
