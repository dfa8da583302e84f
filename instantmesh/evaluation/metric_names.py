"""The metrics' names, titles and sense, for tables; everywhere else a metric goes by its name."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricName:
    """How a metric is printed.

    Attributes:
        title: of its column.
        digits: after the point.
        lower_is_better: which end is good; None where neither is.
    """

    title: str
    digits: int
    lower_is_better: bool | None


_IMAGE_METRICS = {
    "psnr_db": MetricName("PSNR", 2, False),
    "ssim": MetricName("SSIM", 3, False),
    "lpips_alex": MetricName("LPIPS alex", 3, True),
    "lpips_vgg": MetricName("LPIPS vgg", 3, True),
    "clip_similarity": MetricName("CLIP", 3, False),
}
_SURFACE_METRICS = {
    "chamfer": MetricName("CD", 4, True),
    "f_score_005": MetricName("F@0.05", 3, False),
    "f_score_01": MetricName("F@0.1", 3, False),
    "f_score_02": MetricName("F@0.2", 3, False),
    "f_score_05": MetricName("F@0.5", 3, False),
    "normal_consistency": MetricName("NC", 3, False),
}


def _prefixed(prefix: str, title: str, names: dict[str, MetricName]) -> dict[str, MetricName]:
    return {
        f"{prefix}_{name}": MetricName(f"{m.title} {title}", m.digits, m.lower_is_better) for name, m in names.items()
    }


METRIC_NAMES: dict[str, MetricName] = {
    **_SURFACE_METRICS,
    "volume_iou": MetricName("IoU", 3, False),
    **_IMAGE_METRICS,
    **_prefixed("photo", "photo", _IMAGE_METRICS),
    "photo_mask_iou": MetricName("mask IoU photo", 3, False),
    "photo_depth_error": MetricName("depth error photo", 4, True),
    **_prefixed("visible", "visible", _SURFACE_METRICS),
    "generation_s": MetricName("s", 2, True),
}
"""All of them, in the order of tables. `visible_`: of what is seen from outside. `photo_`: at the photo's own view."""

MAIN_METRICS = (
    "chamfer",
    "f_score_01",
    "f_score_02",
    "f_score_05",
    "normal_consistency",
    "volume_iou",
    "psnr_db",
    "ssim",
    "lpips_alex",
    "photo_psnr_db",
    "generation_s",
)
"""The columns of short tables."""


def known(names: Iterable[str]) -> list[str]:
    """Those of the names that are metrics, in the order of tables."""
    present = set(names)
    return [name for name in METRIC_NAMES if name in present]
