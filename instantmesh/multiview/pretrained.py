"""Components of a multiview stage from a folder in the layout of Zero123++.

The classes are fixed here, so whatever code a folder or repository names is never run, and weights are read strictly.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from instantmesh.errors import CheckpointError, MissingFileError
from instantmesh.hub import fetch_snapshot, read_checkpoint

Place = str | PathLike[str]

_NETWORKS = {
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "vision_encoder": CLIPVisionModelWithProjection,
    "unet": UNet2DConditionModel,
}
_FILES = (
    "model_index.json",
    *(f"{name}/config.json" for name in _NETWORKS),
    "tokenizer/tokenizer_config.json",
    "scheduler/scheduler_config.json",
    "feature_extractor_clip/preprocessor_config.json",
    "feature_extractor_vae/preprocessor_config.json",
)
_PATTERNS = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors")


def load_components(
    name: Place, dtype: torch.dtype, white_background_unet: Place | None, cache_dir: Place | None, offline: bool
) -> dict[str, Any]:
    """Arguments of `Zero123PlusPipeline`; see its `from_pretrained`."""
    folder = Path(name)
    if not folder.is_dir():
        skipped = ["unet/*.safetensors"] if white_background_unet is not None else []
        folder = fetch_snapshot(str(name), _PATTERNS, skipped, cache_dir, offline)
    missing = [file for file in _FILES if not (folder / file).is_file()]
    if missing:
        raise MissingFileError(
            f"{folder} lacks {', '.join(missing)}; a folder in the layout of sudo-ai/zero123plus-v1.2 is needed"
        )
    processor = processor_class()
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        components = {
            # the model was trained with an empty prompt padded by "!" (id 0), whatever the configuration pads with
            "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer", pad_token="!"),
            "scheduler": EulerAncestralDiscreteScheduler.from_pretrained(folder / "scheduler"),
            "feature_extractor_clip": processor.from_pretrained(folder / "feature_extractor_clip"),
            "feature_extractor_vae": processor.from_pretrained(folder / "feature_extractor_vae"),
            **{key: index[key] for key in ("ramping_coefficients", "tile_size_px") if key in index},
        }
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    if not components.get("ramping_coefficients"):
        raise CheckpointError(f"{folder / 'model_index.json'} has no ramping_coefficients")
    for part, kind in _NETWORKS.items():
        if part == "unet" and white_background_unet is not None:
            network: Any = load_white_background_unet(white_background_unet, folder / "unet")
        else:
            network = _load_network(kind, folder / part)
        components[part] = torch.nn.Module.to(network, dtype).eval()  # diffusers' own `to` warns of nothing here
    return components


def load_white_background_unet(path: Place, config_folder: Place) -> UNet2DConditionModel:
    """A UNet with the weights of InstantMesh's `diffusion_pytorch_model.bin`, which must fit name by name.

    Args:
        path: a pickled state dict; anything in it but tensors is refused.
        config_folder: the base model's `unet` folder, of which only `config.json` is read.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: damaged, unsafe, or names or shapes don't fit; they are listed.
    """
    with torch.device("meta"):
        config: Any = UNet2DConditionModel.load_config(config_folder)
        unet: Any = UNet2DConditionModel.from_config(config)
    state = read_checkpoint(path)
    try:
        unet.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} doesn't fit the UNet: {error}") from error
    return unet


def _load_network(kind: Any, folder: Path) -> Any:
    try:
        with _quiet():
            network, info = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    except MissingFileError:
        raise
    except Exception as error:  # each library has errors of its own for missing, damaged and misshapen weights
        raise CheckpointError(f"{folder} can't be loaded: {error}") from error
    if info["missing_keys"]:
        raise CheckpointError(f"{folder} lacks tensors: {', '.join(sorted(info['missing_keys']))}")
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars: weights are mapped, which takes no time."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def image_processor(size_px: int, resample: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """A CLIPImageProcessor on PIL: shortest edge to `size_px`, centre crop, (x - mean) / std.

    Args:
        size_px: side of the square.
        resample: "bilinear" or "bicubic".
        mean: of each channel.
        std: of each channel.
    """
    return processor_class()(
        size={"shortest_edge": size_px},
        crop_size={"height": size_px, "width": size_px},
        resample=Image.Resampling[resample.upper()],
        image_mean=list(mean),
        image_std=list(std),
    )


def processor_class() -> Any:
    """The CLIPImageProcessor that resizes with PIL, as the released code did, whether or not torchvision is there."""
    import transformers

    return getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
