"""Zero123++ (arXiv 2310.15110): one picture of an object becomes six, painted as one 3 x 2 picture."""

from collections.abc import Sequence
from typing import Any

from diffusers import AutoencoderKL, DiffusionPipeline, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from instantmesh.multiview.reference_attention import install_reference_attention


class Zero123PlusPipeline(DiffusionPipeline):
    """The six views of Zero123++ with current diffusers and transformers."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: EulerAncestralDiscreteScheduler,
        vision_encoder: CLIPVisionModelWithProjection,
        feature_extractor_clip: Any,
        feature_extractor_vae: Any,
        ramping_coefficients: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            vision_encoder=vision_encoder,
            feature_extractor_clip=feature_extractor_clip,
            feature_extractor_vae=feature_extractor_vae,
        )
        self.register_to_config(ramping_coefficients=list(ramping_coefficients))
        install_reference_attention(unet)


def picture_processor(size_px: int, resample: str, mean: Sequence[float], std: Sequence[float]) -> Any:
    """A CLIPImageProcessor on PIL: shortest edge to `size_px`, centre crop, (x - mean) / std.

    Args:
        resample: "bilinear" or "bicubic".
    """
    return _processor_class()(
        size={"shortest_edge": size_px},
        crop_size={"height": size_px, "width": size_px},
        resample=Image.Resampling[resample.upper()],
        image_mean=list(mean),
        image_std=list(std),
    )


def _processor_class() -> Any:
    """transformers 5 calls the one that resizes with PIL, as the released code did, by a name of its own."""
    import transformers

    return getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
