"""Training of a small multiview stage: first a VAE (`training.vae`), then UNet and encoders on its latents.

    python -m instantmesh.training.multiview {vae,unet} CONFIG --pictures FILE --out FOLDER [--vae FOLDER]

v-prediction on a linear schedule with timesteps drawn evenly; the condition is dropped now and then, for guidance;
the reference picture is noised at the sample's timestep (Zero123++, arXiv 2310.15110).
"""

import argparse
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d

from instantmesh.config import StrictModel, read_config
from instantmesh.multiview.latent_space import encode_painted, posterior
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.training.loop import train
from instantmesh.training.schedule import OptimiserConfig
from instantmesh.training.small_zero123plus import SCHEDULE, SmallModelConfig, SmallZero123Plus, small_pipeline
from instantmesh.training.vae import (
    Pictures,
    VaeTrainingConfig,
    foreground_latents,
    on_white,
    tile_six,
    train_vae,
)


class MultiviewTrainingConfig(StrictModel):
    """`configs/train/tiny-multiview.yaml`."""

    model: SmallModelConfig = SmallModelConfig()
    optimiser: OptimiserConfig
    batch_size: int = 16
    drop_probability: float = 0.1  # of the condition, for guidance
    background_weight: float = 0.1  # of latents away from the object: white tiles would dominate


class LatentCache:
    """Latents of all pictures under a VAE, computed where they are first asked for and kept on disk.

    `targets.npy` (n, c, h, w) float16, what the UNet paints; `conditions.npy` (n, c, k, l) float16, the query view's
    raw latents; `done.npy` (n,) bool. They lie in a folder named after the VAE's weights.
    """

    def __init__(self, vae: AutoencoderKL, pictures: Pictures, folder: Path) -> None:
        self.vae, self.pictures = vae, pictures
        self.zero_picture = self._condition(torch.full((1, 3, *pictures.shape[2:4]), 0.5, device=vae.device))
        folder = folder / f"latents-{_fingerprint(vae)}"
        new = not (folder / "done.npy").exists()
        folder.mkdir(parents=True, exist_ok=True)
        n, (c, h, w) = len(pictures), self.zero_picture.shape[1:]

        def array(name: str, dtype: type, *shape: int) -> np.ndarray:
            path = folder / f"{name}.npy"
            return np.lib.format.open_memmap(path, "w+" if new else "r+", dtype, None if not new else (n, *shape))

        self.targets = array("targets", np.float16, c, 3 * h, 2 * w)
        self.conditions = array("conditions", np.float16, c, h, w)
        self.done = array("done", np.bool_)

    def __call__(self, rows: np.ndarray) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c k l"]]:
        """Targets and conditions of these rows."""
        missing = rows[~self.done[rows]]
        if len(missing):
            pictures, _ = on_white(torch.from_numpy(self.pictures[missing]))
            pictures = pictures.to(self.vae.device)
            with torch.no_grad():
                self.targets[missing] = encode_painted(self.vae, tile_six(pictures[:, 1:])).cpu().numpy()
            self.conditions[missing] = self._condition(pictures[:, 0]).cpu().numpy()
            self.done[missing] = True
        arrays = (self.targets[rows], self.conditions[rows])
        target, condition = (torch.from_numpy(x.astype(np.float32)).to(self.vae.device) for x in arrays)
        return target, condition

    @torch.no_grad()
    def _condition(self, photos: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c k l"]:
        return posterior(self.vae, photos).mode()


def _fingerprint(vae: AutoencoderKL) -> str:
    digest = hashlib.sha256()
    for tensor in vae.state_dict().values():
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class MultiviewBatch:
    """b objects at random timesteps.

    Attributes:
        latents: clean. noised: at `timestep`. v: the target. noised_condition: the query view's latents, or the zero
            picture's where not `conditioned`, at `timestep`. photos: query views in [0, 1]. weight: of the loss, by
            latent position, mean 1.
    """

    noised: Float[Tensor, "b c h w"]
    v: Float[Tensor, "b c h w"]
    timestep: Int[Tensor, " b"]
    photos: Float[Tensor, "b 3 s s"]
    noised_condition: Float[Tensor, "b c k l"]
    conditioned: Bool[Tensor, " b"]
    weight: Float[Tensor, "b 1 h w"]


def draw_batch(cache: LatentCache, config: MultiviewTrainingConfig, rng: np.random.Generator) -> MultiviewBatch:
    """A random batch; all randomness comes from `rng`."""
    b, device = config.batch_size, cache.vae.device
    rows = np.sort(rng.choice(len(cache.pictures), b, replace=False))
    timestep = torch.from_numpy(rng.integers(0, SCHEDULE["num_train_timesteps"], b)).to(device)
    conditioned = torch.from_numpy(rng.random(b) >= config.drop_probability).to(device)
    latents, condition = cache(rows)

    def noise_like(x: Tensor) -> Tensor:
        return torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(device)

    noise, scheduler = noise_like(latents), DDPMScheduler(**SCHEDULE)
    condition = torch.where(conditioned[:, None, None, None], condition, cache.zero_picture)
    photos, _ = on_white(torch.from_numpy(cache.pictures[rows, 0]))
    return MultiviewBatch(
        noised=scheduler.add_noise(latents, noise, timestep),  # pyright: ignore[reportArgumentType]
        v=scheduler.get_velocity(latents, noise, timestep),  # pyright: ignore[reportArgumentType]
        timestep=timestep,
        photos=photos.to(device),
        noised_condition=scheduler.add_noise(condition, noise_like(condition), timestep),  # pyright: ignore[reportArgumentType]
        conditioned=conditioned,
        weight=_position_weights(cache.pictures[rows, 1:, ..., 3:], config.background_weight).to(device),
    )


def _position_weights(alpha: np.ndarray, background: float) -> Float[Tensor, "b 1 h w"]:
    """Weights of the loss at latent positions: 1 on the object and one position around it, else `background`."""
    b = len(alpha)
    mask = torch.from_numpy(alpha).movedim(-1, 2).float().flatten(0, 1)
    near = max_pool2d(foreground_latents(mask), 3, stride=1, padding=1).unflatten(0, (b, 6))
    weight = background + (1 - background) * tile_six(near)
    return weight / weight.mean()


def multiview_loss(model: SmallZero123Plus, batch: MultiviewBatch) -> dict[str, Tensor]:
    """Squared error of the v-prediction, weighted by position."""
    predicted = model(batch.noised, batch.timestep, batch.photos, batch.noised_condition, batch.conditioned)
    return {"v": (batch.weight * (predicted - batch.v).square()).mean()}


def train_multiview(
    config: MultiviewTrainingConfig,
    pictures: Pictures,
    vae_folder: str | Path,
    out: str | Path,
    minutes: float | None = None,
    device: torch.device | str = "cpu",
) -> Zero123PlusPipeline:
    """Train UNet and encoders, resuming from `out`; leaves the pipeline in `out/pipeline` (float16) and returns it."""
    vae = AutoencoderKL.from_pretrained(vae_folder).requires_grad_(False).eval()
    vae.register_to_config(_name_or_path="")  # or it would be saved where the folder lay on this machine
    vae.to(torch.device(device))  # pyright: ignore[reportArgumentType]
    cache = LatentCache(vae, pictures, Path(out))
    torch.manual_seed(0)
    model = SmallZero123Plus(config.model).to(device)
    train(
        model, lambda rng: multiview_loss(model, draw_batch(cache, config, rng)), config.optimiser, out, minutes=minutes
    )
    pipeline = small_pipeline(model.eval(), vae, config.model)
    for network in (vae, model):
        torch.nn.Module.to(network, torch.float16)
    pipeline.save_pretrained(Path(out) / "pipeline")
    return pipeline


def main() -> None:
    """Command line: train the VAE, or the UNet on its latents, resuming from --out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("part", choices=["vae", "unet"])
    parser.add_argument("config")
    parser.add_argument("--pictures", required=True, help="pictures.npy of a data set")
    parser.add_argument("--out", required=True)
    parser.add_argument("--vae", help="folder of the trained VAE, for the UNet")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pictures = np.load(arguments.pictures)  # in memory: random rows of a file are slow
    if arguments.part == "vae":
        config = read_config(arguments.config, VaeTrainingConfig)
        train_vae(config, pictures, arguments.out, arguments.minutes, arguments.device)
        return
    if arguments.vae is None:
        parser.error("training the UNet needs --vae")
    config = read_config(arguments.config, MultiviewTrainingConfig)
    train_multiview(config, pictures, arguments.vae, arguments.out, arguments.minutes, arguments.device)


if __name__ == "__main__":
    main()
