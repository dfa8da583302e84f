"""Textures of other people's models: of any depth and size, by named decoders only."""

import io

import numpy as np
import pytest
from PIL import Image

from instantmesh import InputError
from instantmesh.files import asset_images
from instantmesh.files.asset_images import GLTF_FORMATS, decode_image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize(("kind", "kept"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("BMP", "png")])
def test_formats(kind, kept):
    image = decode_image(encoded(Image.new("RGB", (4, 2), (200, 30, 30)), kind))
    assert image.format == kept
    assert image.pixels.shape == (2, 4, 3)
    assert np.abs(image.pixels.astype(int) - (200, 30, 30)).max() <= 4


def test_sixteen_bits_become_eight():
    grey = Image.fromarray(np.array([[0, 257 * 128, 65535]], np.uint16))
    assert decode_image(encoded(grey, "PNG")).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_transparency_is_noticed():
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert decode_image(encoded(clear, "PNG")).has_alpha
    assert not decode_image(encoded(Image.new("RGBA", (2, 2), (10, 20, 30, 255)), "PNG")).has_alpha


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_large_images_are_averaged_band_by_band(monkeypatch, mode):
    monkeypatch.setattr(asset_images, "LARGEST_SIDE_PX", 30)
    monkeypatch.setattr(asset_images, "_BAND_PX", 7)
    steps = np.linspace(0, 255, 90).astype(np.uint8)
    grey = np.broadcast_to(steps[:, None], (90, 60))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    found = decode_image(encoded(image, "PNG"))
    assert (found.pixels.shape, found.shrunk_from_px) == ((30, 20, 3), 90)
    expected = steps.reshape(30, 3).mean(1)
    np.testing.assert_allclose(found.pixels[:, 10, 0], expected, atol=4 if mode == "P" else 1)  # P: 216 web colours


def test_other_formats_and_damage_are_refused():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    for data in (postscript, b"", encoded(Image.new("RGB", (9, 9)), "PNG")[:40]):
        with pytest.raises(InputError):
            decode_image(data)
    with pytest.raises(InputError):
        decode_image(encoded(Image.new("RGB", (2, 2)), "BMP"), GLTF_FORMATS)
