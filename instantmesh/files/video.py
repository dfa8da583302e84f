"""Films on disk: MP4 (H.264), WebM (VP9) and GIF, encoded while their frames are made."""

from collections.abc import Callable, Iterator
from itertools import chain
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instantmesh import backends
from instantmesh.errors import InputError, OutputError
from instantmesh.files.atomic import replacing

VIDEO_ENDINGS = (".mp4", ".webm", ".gif")

VideoFrame = NDArray[np.uint8]
FrameSource = Callable[[int], VideoFrame]
"""The frame (h, w, 3), 8-bit sRGB, of a number from 0; asked in order, by GIF for a few more beforehand."""

# Constant quality, near what the eye tells apart. yuv420p is what every player knows.
_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "18", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}),
}
_BT709, _SRGB, _LIMITED_RANGE = 1, 13, 1  # ISO/IEC 23091-2, and AVCOL_RANGE_MPEG
_GIF_MAX_FPS = 50  # players slow faster ones down to 10
_PALETTE_FRAMES = 8


def check_video(path: str | PathLike[str], fps: int, size_px: int) -> None:
    """Find out before any frame is made whether a film can be written.

    Raises:
        OutputError: unknown ending.
        InputError: a rate or a size that the format can't have.
        MissingBackendError: MP4 or WebM without PyAV.
    """
    ending = Path(path).suffix.lower()
    if ending not in VIDEO_ENDINGS:
        raise OutputError(f"{Path(path).name}: unknown video ending; use one of {', '.join(VIDEO_ENDINGS)}")
    if fps < 1 or (ending == ".gif" and fps > _GIF_MAX_FPS):
        raise InputError(f"fps must be positive, and at most {_GIF_MAX_FPS} for GIF, got {fps}")
    if size_px < 16 or (ending != ".gif" and size_px % 2):
        raise InputError(f"size_px must be 16 or more, and even for {ending}, got {size_px}")
    if ending != ".gif":
        backends.load("av")


def write_video(
    path: str | PathLike[str],
    frame: FrameSource,
    count: int,
    fps: int,
    *,
    callback: Callable[[int, int], None] | None = None,
    overwrite: bool = True,
) -> Path:
    """Write `count` frames of equal size; the ending chooses the format. GIFs loop for ever.

    MP4 and WebM keep one frame at a time, GIF all of them in 8-bit colours from one palette, so that nothing flickers.

    Raises:
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        MissingBackendError: MP4 or WebM without PyAV.
    """
    path = Path(path)
    with replacing(path, overwrite=overwrite) as temporary:
        frames = _told(frame, count, callback)
        if path.suffix.lower() == ".gif":
            _write_gif(temporary, frames, fps, count, _palette(frame, count))
        else:
            _encode(temporary, frames, fps)
    return path


def _told(frame: FrameSource, count: int, callback: Callable[[int, int], None] | None) -> Iterator[VideoFrame]:
    for index in range(count):
        yield frame(index)
        if callback is not None:
            callback(index + 1, count)


def _encode(path: Path, frames: Iterator[VideoFrame], fps: int) -> None:
    av = backends.load("av")
    codec, options = _CODECS[path.suffix.lower()]
    first = next(frames)
    # "faststart" moves MP4's index to the front: players begin before they have it all.
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}) as film:
        stream = film.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width, _ = first.shape
        stream.pix_fmt = "yuv420p"
        # Told what the numbers mean, players needn't guess it from the image's size.
        context = stream.codec_context
        context.colorspace = context.color_primaries = _BT709
        context.color_trc, context.color_range = _SRGB, _LIMITED_RANGE
        for frame in chain([first], frames):
            rgb = av.VideoFrame.from_ndarray(frame, format="rgb24")
            yuv = rgb.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE)
            film.mux(stream.encode(yuv))
        film.mux(stream.encode(None))


def _write_gif(path: Path, frames: Iterator[VideoFrame], fps: int, count: int, palette: Image.Image) -> None:
    dithered = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames
    )
    ends = np.arange(count + 1) * 100 // fps  # GIF counts in hundredths of a second: rounded so that the sum is right
    lengths_ms = (np.diff(ends) * 10).tolist()
    next(dithered).save(path, save_all=True, append_images=dithered, duration=lengths_ms, loop=0, optimize=False)


def _palette(frame: FrameSource, count: int) -> Image.Image:
    """White, as backgrounds are, and the 255 colours that suit a few frames best, together.

    With one palette for all frames nothing flickers.
    """
    indices = sorted({count * k // _PALETTE_FRAMES for k in range(_PALETTE_FRAMES)})
    found = Image.fromarray(np.concatenate([frame(index) for index in indices])).quantize(255).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *found[: 3 * 255]])
    return palette
