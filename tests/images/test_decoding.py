"""Image files of every kind that users have: what is decoded, how it is turned and coloured, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from instantmesh import ImageError, InputError, MissingBackendError
from instantmesh.images import open_image
from instantmesh.images.decoding import decode


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, (200, 30, 30))
    image.paste((20, 40, 180), (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM"])
def test_a_path_its_bytes_and_an_open_file_are_the_same(kind: str, tmp_path: Path):
    content = encoded(halves(), kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    path = tmp_path / "photo.png"  # whatever its name says: the content decides
    path.write_bytes(content)
    image = open_image(path)
    with path.open("rb") as file:
        assert torch.equal(open_image(file), image)
    assert torch.equal(open_image(content), image)
    assert image[:, 20, 10].tolist() == pytest.approx([200 / 255, 30 / 255, 30 / 255], abs=0.04)
    assert image[:, 20, 50].tolist() == pytest.approx([20 / 255, 40 / 255, 180 / 255], abs=0.04)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int):
    """As the EXIF standard has it: where the stored row 0 and column 0 are in the scene."""
    scene = np.zeros((40, 60, 3), np.uint8)
    scene[:20, :30] = 255  # white at the upper left
    turned = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: scene[::-1].transpose(1, 0, 2)[::-1, ::-1],
        7: scene[::-1, ::-1].transpose(1, 0, 2),
        8: scene[:, ::-1].transpose(1, 0, 2)[::-1, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(encoded(Image.fromarray(np.ascontiguousarray(turned)), "PNG", exif=exif))
    assert image.shape == (3, 40, 60)
    assert image[:, :20, :30].min() == 1
    assert image[:, 20:].max() == 0


def test_colour_profiles_become_srgb():
    """A profile with another gamma: the numbers change, what is seen doesn't. LAB's profile has known numbers."""
    lab = Image.new("LAB", (32, 32), (128, 128, 128))
    srgb = ImageCms.createProfile("sRGB")
    expected = np.asarray(ImageCms.profileToProfile(lab, ImageCms.createProfile("LAB"), srgb, outputMode="RGB"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = open_image(encoded(lab, "TIFF", icc_profile=profile))
    np.testing.assert_allclose(image[:, 0, 0], expected[0, 0] / 255, atol=2 / 255)
    assert image[:, 0, 0].std() < 0.02  # L = 128, a = b = 0 is a grey
    broken = open_image(encoded(halves(), "PNG", icc_profile=b"no profile at all"))
    assert torch.equal(broken, open_image(encoded(halves(), "PNG")))


def test_cmyk_and_deep_grey():
    image = open_image(encoded(halves("CMYK"), "JPEG", quality=95))
    assert image.shape[0] == 3
    assert image[0, 20, 10] > 0.6 > 0.3 > image[0, 20, 50]
    deep = Image.fromarray((np.linspace(0, 1, 64)[None].repeat(32, 0) * 65535).astype(np.uint16))
    grey = open_image(encoded(deep, "PNG"))
    assert len(torch.unique(grey[0])) == 64
    assert float(grey.max()) == 1


def test_large_photos_are_scaled_while_they_are_decoded():
    content = encoded(halves(size=(4000, 3000)), "JPEG", quality=90)
    array = decode(io.BytesIO(content), "photo", 500)
    assert array.shape == (375, 500, 3)
    assert array[187, 100].tolist() == pytest.approx([200, 30, 30], abs=6)
    with pytest.raises(InputError, match="at least 16"):
        open_image(content, max_side_px=8)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (40, 40), color) for color in ((255, 0, 0), (0, 0, 255))]
    image = open_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image[:, 5, 5].tolist() == [1, 0, 0]


def test_heic_needs_its_extra(monkeypatch: pytest.MonkeyPatch):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(halves(size=(64, 48))).save(file, quality=90)
    image = open_image(file.getvalue())
    assert image.shape == (3, 48, 64)
    assert image[0, 24, 10] > 0.6 > 0.3 > image[0, 24, 54]
    monkeypatch.setattr("instantmesh.backends.importlib.import_module", lambda name: __import__("no_such_package"))
    with pytest.raises(MissingBackendError, match=r"HEIC image.*instantmesh\[heic\]"):
        open_image(file.getvalue())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is SVG"),
        (b"<!DOCTYPE html><title>404</title>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "fetch the file itself"),
        (b"glTF\x02\x00\x00\x00", "it is a 3D model"),
        (b"\x89PNG\r\n\x1a\n and then nothing", "can't be read as an image"),
        (encoded(Image.new("L", (2000, 20)), "PNG"), "too long and thin"),
    ],
)
def test_what_is_no_photo_is_told_what_it_is(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        open_image(path)


def test_a_truncated_file_and_a_file_of_enormous_size():
    content = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)), "PNG")
    with pytest.raises(ImageError, match="can't be read as an image"):
        open_image(content[: len(content) // 2])
    header = bytearray(encoded(Image.new("L", (64, 64)), "BMP"))
    header[18:26] = (50_000).to_bytes(4, "little") + (50_000).to_bytes(4, "little")
    with pytest.raises(ImageError, match="50000 x 50000 pixels"):
        open_image(bytes(header))
