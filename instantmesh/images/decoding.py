"""Image files as upright 8-bit sRGB pixels, scaled down while they are decoded.

Only the formats named here are decoded: some decoders of the image library start other programs, and a user who gives
a file called .png never means PostScript. A photo of 48 megapixels isn't held whole where its format can be decoded at
a fraction of its size (JPEG: 1/2, 1/4, 1/8).
"""

import io
import logging
import warnings
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from instantmesh import backends
from instantmesh.errors import ImageError, MissingBackendError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF")
PHOTO_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".avif"),
    *(".heic", ".heif"),  # with the extra `heic`
)
MAX_PIXELS = 300_000_000  # that a file may declare; the largest phone cameras make 200 million
MAX_DECODED_PIXELS = 110_000_000  # that are held at once, 4 bytes each
MAX_ASPECT = 50  # longer strips hold no object

_TURNS = {  # EXIF orientation -> what turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_OTHER_FILES = {
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"8BPS": "Photoshop",
    b"glTF": "a 3D model",
    b"PK\x03\x04": "an archive",
    b"version https://git-lfs": "a pointer of large-file storage; fetch the file itself",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}


@runtime_checkable
class BinaryFile(Protocol):
    """An open file of bytes, or what reads like one."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; all of them by default."""
        ...


_logger = logging.getLogger(__name__)


def decode(source: Path | bytes | BinaryFile, name: str, max_side_px: int) -> NDArray:
    """The first frame of an image file.

    Args:
        source: a file's path, its content, or an open binary file.
        name: what error messages call it.
        max_side_px: a longer image is scaled down to this.

    Returns:
        (h, w, 3 or 4) uint8, or (h, w, 1) float32 in [0, 1] for grey of more than 8 bits.

    Raises:
        ImageError: no image, damaged, too large, or of a format that isn't decoded.
        MissingBackendError: a HEIC file, and the package that decodes it isn't installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about a file is no matter for its user, if it can be read
            with _opened(source) as file, _plugin(file, name) as image:
                _check_size(image, name)
                image.draft(image.mode, _scaled(image.size, max_side_px))
                return pixels_of(image, name, max_side_px)
    except (ImageError, MissingBackendError):
        raise
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory than there is") from error
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise ImageError(f"{name} can't be read as an image: {error}") from error


def pixels_of(image: Image.Image, name: str, max_side_px: int) -> NDArray:
    """A PIL image of any mode upright, in sRGB, at most `max_side_px` long. Returns and raises as `decode`."""
    _check_size(image, name)
    target = _scaled(image.size, max_side_px)
    if image.width * image.height > MAX_DECODED_PIXELS:
        raise ImageError(
            f"{name} is too large: {image.width} x {image.height} pixels"
            f" (at most {MAX_DECODED_PIXELS // 1_000_000} million, JPEG files {MAX_PIXELS // 1_000_000} million)"
        )
    image.load()
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    if image.mode == "F" or image.mode.startswith("I"):
        plain = _deep_grey(image)
        if target != plain.size:
            plain = plain.resize(target, Image.Resampling.BOX)
    else:
        plain = _plain_mode(image)
        if target != plain.size:
            plain = plain.resize(target, Image.Resampling.BICUBIC, reducing_gap=1.5)
        plain = _srgb(plain, profile, name)
    array = np.asarray(plain.transpose(_TURNS[orientation]) if orientation in _TURNS else plain)
    return array[..., None] if array.ndim == 2 else array


def _scaled(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    share = min(max_side_px / max(size), 1.0)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # metadata that can't be parsed is no reason to refuse an image
        return 1


def _opened(source: Path | bytes | BinaryFile) -> io.BufferedIOBase:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source if isinstance(source, bytes) else source.read())  # some open files can't seek


def _plugin(file: io.BufferedIOBase, name: str) -> Image.Image:
    """Open with the first of our decoders that knows the file's first bytes; `Image.open` would refuse large photos."""
    Image.init()
    start = file.read(32)
    if not start:
        raise ImageError(f"{name} is empty")
    file.seek(0)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        return _heif(file, name)
    for decoder in FORMATS:
        if decoder not in Image.OPEN:  # AVIF in some builds of the image library
            continue
        factory, accept = Image.OPEN[decoder]
        if accept is None or accept(start) is True:
            return factory(file, "")  # pyright: ignore[reportArgumentType]
    known = next((f": it is {kind}" for magic, kind in _OTHER_FILES.items() if start.lstrip().startswith(magic)), "")
    raise ImageError(f"{name} can't be read as an image{known} (these can: {', '.join(FORMATS)}, HEIC)")


def _heif(file: io.BufferedIOBase, name: str) -> Image.Image:
    try:
        heif = backends.load("pillow_heif")
    except MissingBackendError as error:
        raise MissingBackendError(f"{name} is a HEIC image, as some phones make them: {error}") from error
    return heif.open_heif(file, convert_hdr_to_8bit=True).to_pillow()  # turned upright by its decoder


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} is too large: {width} x {height} pixels (at most {MAX_PIXELS // 1_000_000} million)")
    if max(width, height) > MAX_ASPECT * max(min(width, height), 1):
        raise ImageError(f"{name} is {width} x {height} pixels: too long and thin for a photo")


def _plain_mode(image: Image.Image) -> Image.Image:
    """In one of the modes that are resized and colour-managed directly: L, RGB, RGBA, CMYK, LAB."""
    if image.mode == "La":  # premultiplied grey converts to nothing else
        image = image.convert("LA")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """RGB or RGBA in sRGB; a profile that can't be used is mentioned and ignored."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" in ImageCms.getProfileDescription(source).lower():
                return image.convert(mode)
            return _converted(image, source, mode)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            _logger.warning("%s: its colour profile can't be used and is ignored (%s)", name, error)
    return image.convert(mode)


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    """Through the profile; grey profiles are common in files whose pixels were made RGB, and the reverse."""
    space = source.profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
    fitting = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}.get(space)
    alpha = image.getchannel("A") if mode == "RGBA" else None
    if fitting is None or (fitting != image.mode and not (fitting == "RGB" and mode == "RGBA")):
        return image.convert(mode)
    colors = image.convert("RGB") if alpha else image
    rgb = ImageCms.profileToProfile(colors, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if rgb is None:
        return image.convert(mode)
    if alpha:
        rgb.putalpha(alpha)
    return rgb


def _deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as floats in [0, 1]; floats are taken as they are, whole numbers are 16-bit."""
    if image.mode == "F":
        return image
    return Image.fromarray(np.asarray(image).astype(np.float32) / 65535)
