"""How alike two images look to networks: LPIPS and CLIP, where their weights can be had. Nothing stands in for them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh import backends
from instantmesh.errors import MissingFileError

Metric = Callable[[Tensor, Tensor], Tensor]
"""images and true images (n, 3, h, w) in [0, 1] -> one number for each, (n,)"""

PERCEPTUAL_METRICS = ("lpips_alex", "lpips_vgg", "clip_similarity")
_CLIP = "openai/clip-vit-base-patch32"
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_CLIP_SIZE_PX = 224


@cache
def perceptual_metric(name: str) -> tuple[Metric | None, str]:
    """A metric, or why it isn't to be had here; loaded once in a process.

    `lpips_alex` and `lpips_vgg` (Zhang et al. 2018) are torchmetrics'; torchvision downloads their networks
    once. `clip_similarity` is the cosine between the image embeddings of CLIP ViT-B/32, if it is in the cache.
    """
    try:
        return (_Clip() if name == "clip_similarity" else _Lpips(name.removeprefix("lpips_"))), ""
    except (ImportError, OSError) as error:
        return None, str(error).splitlines()[0]


def perceptual_scores(
    images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"], names: Sequence[str]
) -> dict[str, float | None]:
    """Means over the images; None for a metric that isn't to be had here."""
    scores: dict[str, float | None] = {}
    for name in names:
        metric, _ = perceptual_metric(name)
        scores[name] = None if metric is None else float(metric(images, true).mean())
    return scores


class _Lpips:
    def __init__(self, network: str) -> None:
        backends.load("torchvision")
        metrics = backends.load("torchmetrics.image.lpip")
        try:
            metric = metrics.LearnedPerceptualImagePatchSimilarity(net_type=network)
        except OSError as error:
            raise MissingFileError(f"the weights of {network} can't be had ({error})") from error
        self._net: Any = metric.net.requires_grad_(False).eval()

    def __call__(self, images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        return self._net(2 * images - 1, 2 * true - 1).flatten()


class _Clip:
    def __init__(self) -> None:
        from huggingface_hub import try_to_load_from_cache

        if not isinstance(try_to_load_from_cache(_CLIP, "config.json"), str):  # before Transformers' slow import
            raise MissingFileError(f"{_CLIP} isn't in the cache of downloaded models")
        from transformers import CLIPVisionModelWithProjection

        network = CLIPVisionModelWithProjection.from_pretrained(_CLIP, local_files_only=True)
        self._net: Any = network.requires_grad_(False).eval()

    def __call__(self, images: Float[Tensor, "n 3 h w"], true: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        return torch.nn.functional.cosine_similarity(self._embedding(images), self._embedding(true))

    def _embedding(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        sized = torch.nn.functional.interpolate(
            images, size=(_CLIP_SIZE_PX, _CLIP_SIZE_PX), mode="bicubic", antialias=True, align_corners=False
        )
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (_CLIP_MEAN, _CLIP_STD))
        return self._net(pixel_values=(sized.clamp(0, 1) - mean) / std).image_embeds
