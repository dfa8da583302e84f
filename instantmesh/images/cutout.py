"""The object without its background, by the best means at hand."""

import logging
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.errors import ImageError, InputError
from instantmesh.images import alpha_masks
from instantmesh.images.edges import follow_edges, foreground_colors
from instantmesh.images.framing import ALPHA_THRESHOLD
from instantmesh.images.keying import key_out
from instantmesh.images.matting import matte, matting_is_ready
from instantmesh.images.segmentation import DECISION_SIDE_PX, segment

Background = Literal["auto", "alpha", "key", "matting", "segment", "keep"]
CutOutMethod = Literal["alpha", "key", "matting", "segment", "keep"]

_TOUCHING_SHARE = 0.005  # of the border that may belong to an object without a word
_FEW_PIXELS = 0.01  # share of the picture below which something else may have been found
_AGREEMENT = 0.8  # of edges and colours, below which one of them has got it wrong
_FAINT = 0.04  # difference of colours along the outline, in the channel where it is largest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CutOut:
    """An object cut out of its picture.

    Attributes:
        rgba: (4, h, w) in [0, 1], straight alpha: 1 on the object, fractions along its outline.
        method: how the object was told from its background, see `cut_out`.
        doubts: what may be wrong with it, in words; empty where nothing seems to be.
    """

    rgba: Float[Tensor, "4 h w"]
    method: CutOutMethod
    doubts: tuple[str, ...] = ()


def cut_out(image: Float[Tensor, "c h w"], background: Background = "auto") -> Float[Tensor, "4 h w"]:
    """Give the image an alpha channel that is 1 on the object and 0 on its background.

    What is doubtful about the result is logged as a warning; `find_object` returns it.

    Args:
        image: (3 or 4, h, w) float in [0, 1], as `open_image` returns it.
        background: how the object is told from its background.
            "alpha": by the image's own alpha mask, as it is.
            "key": by the background's colour, which must be the same along most of the border.
            "matting": by the network of `rembg` (the extra `matting`).
            "segment": by edges and colours (`instantmesh.images.segmentation`): any background, nothing to download.
            "keep": not at all; the whole image is the object.
            "auto": the first that applies of alpha (where the mask is a cut-out; a veil of haze and stray pixels are
                taken away), key, matting (where its network is on disk) and segment.

    Raises:
        ImageError: nothing is left, or the image isn't of the kind that `background` names.
        MissingBackendError: "matting", and `rembg` isn't installed.
        MissingFileError: "matting", and its network is neither on disk nor to be downloaded.
        InputError: no such `background`.

    Example:
        >>> rgba = instantmesh.cut_out(instantmesh.images.open_image("photo.png"))
    """
    found = find_object(image, background)
    _log.info("cut out by %r", found.method)
    if found.doubts:
        _log.warning("the cut-out (by %r) is doubtful: %s", found.method, "; ".join(found.doubts))
    return found.rgba


def find_object(image: Float[Tensor, "c h w"], background: Background = "auto") -> CutOut:
    """As `cut_out`, with the method that was used and what is doubtful about the result.

    Example:
        >>> found = find_object(open_image("photo.jpg"))
        >>> found.method, found.doubts
        ('segment', ('18% of the border belongs to the object: it is cut off there, or has background with it',))
    """
    if background not in get_args(Background):
        raise InputError(f"background={background!r}: use one of {', '.join(get_args(Background))}")
    if background in ("auto", "alpha"):
        found = _by_alpha(image, as_it_is=background == "alpha")
        if found is not None:
            return _checked(found)
        if background == "alpha":
            raise ImageError("background='alpha': the image has no alpha mask (or it is opaque everywhere)")
    rgb, hidden = _without_alpha(image)
    if background == "keep":
        return CutOut(torch.cat([rgb, torch.ones_like(rgb[:1])]), "keep")
    found = _by_content(rgb, background)
    if hidden is None:
        return _checked(found)
    rgba = torch.cat([found.rgba[:3], torch.minimum(found.rgba[3:], 1 - hidden)])
    ignored = "the image's alpha mask cuts nothing out, so it was taken for a frame"
    return _checked(replace(found, rgba=rgba, doubts=(ignored, *found.doubts)))


def _by_alpha(image: Tensor, *, as_it_is: bool) -> CutOut | None:
    """By the image's own mask; None where it has none, or one that is no cut-out."""
    if image.shape[0] == 3 or float(image[3].min()) >= 0.99:
        return None
    if as_it_is:
        return CutOut(image, "alpha")
    mask = image[3].numpy()
    if not alpha_masks.is_cut_out(mask):
        return None
    clean = alpha_masks.without_specks(alpha_masks.without_haze(mask))
    return CutOut(torch.cat([image[:3], torch.from_numpy(clean)[None]]), "alpha")


def _without_alpha(image: Tensor) -> tuple[Tensor, Tensor | None]:
    """The colours, those that alpha hides replaced by visible ones; and how far pixels are hidden, (1, h, w)."""
    if image.shape[0] == 3:
        return image, None
    mask = image[3].numpy()
    if float(mask.min()) >= alpha_masks.OPAQUE:
        return image[:3], None
    return _channels_first(alpha_masks.filled_where_transparent(_channels_last(image[:3]), mask)), 1 - image[3:]


def _by_content(rgb: Tensor, background: Background) -> CutOut:
    if background in ("auto", "key"):
        keyed = key_out(rgb)
        if keyed is not None:
            return CutOut(keyed, "key")
        if background == "key":
            raise ImageError("background='key': the border isn't of one colour; pass background='segment'")
    if background == "matting" or (background == "auto" and matting_is_ready()):
        return CutOut(matte(rgb), "matting")
    return _by_segmentation(_channels_last(rgb))


def _by_segmentation(picture: NDArray[np.float32]) -> CutOut:
    """Decided on a small picture; the outline follows the edges of the large one."""
    import cv2

    share = DECISION_SIDE_PX / max(picture.shape[:2])
    size = tuple(max(1, round(share * side)) for side in picture.shape[1::-1])
    small = picture
    if share < 1:
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    found = segment(small)
    alpha = follow_edges(picture, small, found.mask)
    rgba = np.concatenate([foreground_colors(picture, alpha), alpha[..., None]], axis=-1)
    doubts = []
    if found.agreement < _AGREEMENT:
        doubts.append(f"edges and colours agree on {found.agreement:.0%} of it only")
    if 0 < found.mask.mean() < _FEW_PIXELS:
        doubts.append(f"it covers {found.mask.mean():.1%} of the image only")
    if _contrast_along_outline(small, found.mask) < _FAINT:
        doubts.append("along its outline it has nearly the background's colours")
    return CutOut(_channels_first(rgba), "segment", tuple(doubts))


def _contrast_along_outline(picture: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """How far the mean colours just inside and just outside the outline differ, in the channel where it is most."""
    import cv2

    kernel = np.ones((7, 7), np.uint8)
    inside = mask & (cv2.erode(mask.astype(np.uint8), kernel) == 0)
    outside = ~mask & (cv2.dilate(mask.astype(np.uint8), kernel) > 0)
    if not inside.any() or not outside.any():
        return np.inf
    return float(np.abs(picture[inside].mean(0) - picture[outside].mean(0)).max())


def _checked(found: CutOut) -> CutOut:
    """With a word where the object touches the border.

    Raises:
        ImageError: nothing is left.
    """
    alpha = found.rgba[3]
    if not bool((alpha > ALPHA_THRESHOLD).any()):
        raise ImageError("the image has no foreground: nothing but background, or an empty alpha mask")
    border = torch.cat([alpha[0], alpha[-1], alpha[1:-1, 0], alpha[1:-1, -1]])
    share = float((border > 0.5).float().mean())
    if share <= _TOUCHING_SHARE:
        return found
    cut = f"{share:.0%} of the border belongs to the object: it is cut off there, or has background with it"
    return replace(found, doubts=(*found.doubts, cut))


def _channels_last(image: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy(), dtype=np.float32)


def _channels_first(picture: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32))
