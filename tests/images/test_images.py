"""Images of every kind in, one square image of the object on white out."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from instantmesh import backends
from instantmesh.errors import ImageError, InputError, MissingBackendError, MissingFileError
from instantmesh.files.image_files import to_pil
from instantmesh.images import composite, crop_to_foreground, cut_out, open_image, prepare, resize
from instantmesh.images.cutout import find_object
from instantmesh.images.keying import key_out
from instantmesh.images.matting import matting_is_ready

RED, WHITE, GREY, GREEN = (200, 30, 40), (255, 255, 255), (128, 128, 128), (20, 200, 60)


def corner_image(mode: str = "RGB") -> Image.Image:
    """24 wide, 20 high, black but for its top left quarter, which is white."""
    image = Image.new("L", (24, 20), 0)
    image.paste(255, (0, 0, 12, 10))
    return image.convert(mode)


def drawing(background: tuple, draw, size: int = 160) -> tuple[Image.Image, torch.Tensor]:
    """An antialiased RGB drawing on `background` and its exact mask; `draw(canvas, colour_of)` draws at 4x."""
    big, mask = Image.new("RGB", (4 * size, 4 * size), background), Image.new("L", (4 * size, 4 * size), 0)
    draw(ImageDraw.Draw(big), lambda colour: colour)
    draw(ImageDraw.Draw(mask), lambda colour: 0 if colour == background else 255)
    box = Image.Resampling.BOX
    exact = torch.from_numpy(np.asarray(mask.resize((size, size), box)).astype(np.float32) / 255)
    return big.resize((size, size), box), exact


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data)


def disc(canvas, colour_of) -> None:
    canvas.ellipse((120, 160, 520, 500), fill=colour_of(RED))


def ring(background):
    def draw(canvas, colour_of) -> None:
        disc(canvas, colour_of)
        canvas.ellipse((240, 240, 400, 400), fill=colour_of(background))

    return draw


class TestOpening:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "F"])
    def test_modes_without_alpha(self, mode):
        source = corner_image()
        if mode in ("I", "I;16"):
            deep = np.asarray(source.convert("L")).astype(np.int32) * 257
            source = Image.fromarray(deep.astype(np.uint16)) if mode == "I;16" else Image.fromarray(deep)
        elif mode == "F":
            source = Image.fromarray(np.asarray(source.convert("L"), dtype=np.float32) / 255)
        elif mode == "LAB":
            source = Image.merge("LAB", [source.convert("L"), *[Image.new("L", source.size, 128)] * 2])
        else:
            source = source.convert(mode)
        assert source.mode == mode
        image = open_image(source)
        assert image.shape == (3, 20, 24)
        assert image.dtype == torch.float32
        assert image[:, :10, :12].min() > 0.99
        assert image[:, 10:].max() < 0.01

    @pytest.mark.parametrize("mode", ["LA", "RGBA", "RGBa", "La"])
    def test_modes_with_alpha(self, mode):
        source = corner_image("RGBA")
        source.putalpha(corner_image("L"))
        source = source.convert("LA" if mode == "La" else mode).convert(mode)
        assert source.mode == mode
        image = open_image(source)
        assert image.shape == (4, 20, 24)
        assert image[:, :10, :12].min() == 1
        assert image[3, 10:].max() == 0

    def test_palette_transparency(self, tmp_path):
        corner_image("P").save(tmp_path / "a.png", transparency=0)  # index 0 is black
        image = open_image(tmp_path / "a.png")
        assert image.shape == (4, 20, 24)
        assert image[3, :10, :12].min() == 1
        assert image[3, 10:].max() == 0

    def test_16_bits_are_kept(self, tmp_path):
        ramp = np.linspace(0, 65535, 16 * 32).round().astype(np.uint16).reshape(16, 32)
        Image.fromarray(ramp).save(tmp_path / "a.png")
        image = open_image(tmp_path / "a.png")
        np.testing.assert_allclose(image[0], ramp / 65535, atol=1e-6)

    def test_exif_orientation_is_applied(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
        corner_image().save(tmp_path / "a.png", exif=exif)
        image = open_image(tmp_path / "a.png")
        assert image.shape == (3, 24, 20)
        assert image[:, :12, 10:].min() == 1  # top left became top right
        assert image[:, :, :10].max() == 0

    def test_paths_arrays_and_tensors_agree(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / "a.png")
        expected = torch.from_numpy(array).permute(2, 0, 1) / 255
        for source in (
            str(tmp_path / "a.png"),
            tmp_path / "a.png",
            array,
            array / 255,
            array[::-1, ::-1][::-1, ::-1],
            torch.from_numpy(array).permute(2, 0, 1),
            expected.double().requires_grad_(),
        ):
            image = open_image(source)
            torch.testing.assert_close(image, expected, atol=1e-6, rtol=0)
            assert image.dtype == torch.float32
            assert not image.requires_grad
        grey = open_image(array[..., 0])
        assert torch.equal(grey[0], grey[2])
        assert open_image(np.zeros((16, 16, 4), np.float32)).shape == (4, 16, 16)

    def test_the_source_is_not_shared(self):
        array = np.zeros((16, 16, 3), np.float32)
        open_image(array).add_(1)
        assert array.max() == 0
        tensor = torch.zeros(3, 16, 16)
        open_image(tensor).add_(1)
        assert tensor.max() == 0

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("nowhere.png", "no file"),
            (np.zeros((3, 32, 32), np.uint8), "channels come last"),
            (np.zeros((32, 32, 2), np.uint8), "must be"),
            (np.zeros(32, np.uint8), "must be"),
            (np.zeros((32, 32, 3), np.int64), "uint8 or float"),
            (np.full((32, 32, 3), 255.0), "divide 8-bit"),
            (np.full((32, 32, 3), np.nan), "finite"),
            (torch.zeros(32, 32, 3), "a tensor must be"),
            (torch.zeros(1, 3, 32, 32), "a tensor must be"),
            (torch.zeros(3, 32, 32, dtype=torch.int64), "uint8 or float"),
            (torch.full((3, 32, 32), -0.5), r"\[0, 1\]"),
            (Image.new("RGB", (1, 1)), "1 x 1 pixels"),
            (Image.new("RGB", (300, 15)), "300 x 15 pixels"),
            (np.zeros((0, 0, 3), np.uint8), "0 x 0"),
            (Image.fromarray(np.full((32, 32), 200.0, np.float32)), r"\[0, 1\]"),
            (None, "NoneType"),
        ],
    )
    def test_bad_input(self, source, message):
        from instantmesh.images.reading import open_image as hooked

        unchecked = getattr(hooked, "__wrapped__", hooked)  # `None` is to be answered by us, not by the shape checker
        with pytest.raises(ImageError, match=message):
            unchecked(source)

    def test_bad_files(self, tmp_path):
        data = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(data, "PNG")
        for name, content, message in (
            ("empty.png", b"", "is empty"),
            ("text.png", b"no image at all", "can't be read"),
            ("cut.png", data.getvalue()[:3000], "can't be read"),
        ):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ImageError, match=message):
                open_image(tmp_path / name)
        with pytest.raises(ImageError, match="is a folder"):
            open_image(tmp_path)

    @pytest.mark.parametrize("side", [11_000, 60_000])
    def test_decompression_bombs(self, tmp_path, side):
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(ImageError, match="too large"):
            open_image(tmp_path / "a.png")


class TestCuttingOut:
    def test_an_alpha_mask_is_used_as_it_is(self):
        rgba = torch.rand(4, 20, 30, generator=torch.Generator().manual_seed(0))
        assert torch.equal(cut_out(rgba), rgba)
        assert torch.equal(cut_out(rgba, "alpha"), rgba)

    def test_an_opaque_alpha_is_no_mask(self):
        drawn, mask = drawing(WHITE, disc)
        rgba = torch.cat([open_image(drawn), torch.ones(1, 160, 160)])
        assert (cut_out(rgba)[3] - mask).abs().mean() < 0.01
        with pytest.raises(ImageError, match="no alpha mask"):
            cut_out(rgba, "alpha")

    @pytest.mark.parametrize("background", [WHITE, GREY, GREEN, (0, 0, 0)])
    def test_a_drawing_on_a_plain_background(self, background):
        drawn, mask = drawing(background, disc)
        rgba = cut_out(open_image(drawn))
        assert (rgba[3] - mask).abs().max() < 0.15  # antialiased edges included
        assert (rgba[3] - mask).abs().mean() < 0.002
        inside = rgba[3] > 0.2
        expected = torch.tensor(RED) / 255
        # edges lose the background's colour: no halo
        assert (rgba[:3, inside] - expected[:, None]).abs().max() < 0.12

    @pytest.mark.parametrize("quality", [60, 75, 95])
    @pytest.mark.parametrize("background", [WHITE, GREY])
    def test_jpeg_noise_leaves_no_specks(self, background, quality):
        drawn, mask = drawing(background, disc)
        rgba = cut_out(open_image(as_jpeg(drawn, quality)))
        far_outside = torch.nn.functional.max_pool2d(mask[None], 7, 1, 3)[0] == 0
        deep_inside = -torch.nn.functional.max_pool2d(-mask[None], 7, 1, 3)[0] == 1
        assert rgba[3, far_outside].max() == 0
        assert rgba[3, deep_inside].min() == 1

    def test_grain_in_the_background(self):
        drawn, mask = drawing((235, 235, 230), disc)
        grain = np.random.default_rng(0).normal(0, 4, (160, 160, 3))
        noisy = (np.asarray(drawn) + grain).clip(0, 255).astype(np.uint8)
        assert (cut_out(open_image(noisy))[3] - mask).abs().mean() < 0.01

    def test_white_parts_inside_the_object_stay(self):
        drawn, _ = drawing(WHITE, ring(WHITE))
        assert cut_out(open_image(drawn))[3, 80, 80] == 1

    def test_a_hole_shows_a_coloured_background(self):
        drawn, mask = drawing(GREEN, ring(GREEN))
        rgba = cut_out(open_image(drawn))
        assert rgba[3, 80, 80] == 0
        assert (rgba[3] - mask).abs().mean() < 0.01

    def test_an_object_cut_by_the_images_edge(self):
        drawn, mask = drawing(WHITE, lambda canvas, colour_of: canvas.rectangle((280, 200, 400, 640), colour_of(RED)))
        assert (cut_out(open_image(drawn))[3] - mask).abs().max() < 0.15

    def test_a_gradient_is_not_keyed(self):
        ramp = torch.linspace(0.3, 0.9, 64)[None, :, None].expand(3, 64, 64).clone()
        ramp[:, 20:40, 20:40] = 0
        assert key_out(ramp) is None
        with pytest.raises(ImageError, match="background='segment'"):
            cut_out(ramp, "key")

    def test_keep(self):
        image = torch.rand(3, 20, 30)
        assert torch.equal(cut_out(image, "keep"), torch.cat([image, torch.ones(1, 20, 30)]))

    def test_nothing_there(self):
        for image in (torch.ones(3, 32, 32), torch.zeros(4, 32, 32)):
            with pytest.raises(ImageError, match="no foreground"):
                cut_out(image)


class TestMatting:
    photo = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(0))

    def test_is_used_where_its_network_is_on_disk(self, monkeypatch, tmp_path):
        def remove(image: Image.Image) -> Image.Image:
            image.putalpha(Image.linear_gradient("L").resize(image.size))
            return image

        monkeypatch.setattr(backends, "load", lambda name: SimpleNamespace(remove=remove))
        monkeypatch.setattr(backends, "available", lambda name: True)
        monkeypatch.setenv("U2NET_HOME", str(tmp_path))
        assert not matting_is_ready()
        (tmp_path / "u2net.onnx").touch()
        found = find_object(self.photo)
        assert found.method == "matting"
        assert found.rgba.shape == (4, 32, 40)
        torch.testing.assert_close(found.rgba[:3], self.photo, atol=0.5 / 255 + 1e-6, rtol=0)
        assert found.rgba[3, 0].max() < 0.1 < 0.9 < found.rgba[3, -1].min()

    def test_missing_package(self, monkeypatch):
        def load(name: str):
            raise MissingBackendError(f"{name}: pip install 'instantmesh[matting]'")

        monkeypatch.setattr(backends, "load", load)
        with pytest.raises(MissingBackendError, match=r"instantmesh\[matting\].*background='segment'"):
            cut_out(self.photo, "matting")

    def test_missing_network_file(self, monkeypatch):
        def remove(image: Image.Image):
            raise ConnectionError("no route")

        monkeypatch.setattr(backends, "load", lambda name: SimpleNamespace(remove=remove))
        with pytest.raises(MissingFileError, match=r"no route.*u2net\.onnx.*background='segment'") as caught:
            cut_out(self.photo, "matting")
        assert isinstance(caught.value.__cause__, ConnectionError)


class TestFraming:
    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_crop_centres_the_object_at_its_share(self, data):
        height, width = data.draw(st.integers(16, 60)), data.draw(st.integers(16, 60))
        top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        h, w = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
        ratio = data.draw(st.floats(0.3, 1))
        rgba = torch.zeros(4, height, width)
        box = torch.rand(4, h, w, generator=torch.Generator().manual_seed(h * 64 + w)) * 0.5 + 0.5
        rgba[:, top : top + h, left : left + w] = box
        cropped = crop_to_foreground(rgba, ratio)
        side = cropped.shape[1]
        assert cropped.shape == (4, side, side)
        assert abs(side * ratio - max(h, w)) <= 0.5 * ratio + 1e-6
        rows, columns = cropped[3].any(1).nonzero(), cropped[3].any(0).nonzero()
        y, x = int(rows[0]), int(columns[0])
        assert torch.equal(cropped[:, y : y + h, x : x + w], box)  # nothing cut, nothing resampled
        assert torch.isclose(cropped.sum(), rgba.sum(), rtol=1e-4)
        assert abs(y - (side - h) / 2) <= 0.5
        assert abs(x - (side - w) / 2) <= 0.5

    def test_haze_does_not_widen_the_box(self):
        rgba = torch.full((4, 40, 40), 0.02)
        rgba[:, 10:27, 5:12] = 1
        assert crop_to_foreground(rgba).shape == (4, 20, 20)

    def test_composite(self):
        rgba = torch.tensor([0.2, 0.4, 0.6, 0.5])[:, None, None].expand(4, 2, 2)
        torch.testing.assert_close(composite(rgba)[:, 0, 0], torch.tensor([0.6, 0.7, 0.8]))
        torch.testing.assert_close(composite(rgba, 0.5)[:, 0, 0], torch.tensor([0.35, 0.45, 0.55]))

    def test_resize_is_antialiased_and_clamped(self):
        board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
        board = board.float().expand(3, 64, 64)
        inner = resize(board, 16)[:, 2:-2, 2:-2]
        torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.02, rtol=0)
        step = torch.cat([torch.zeros(3, 16, 8), torch.ones(3, 16, 8)], dim=2)
        larger = resize(step, 64)  # bicubic overshoots
        assert larger.shape == (3, 64, 64)
        assert (larger.min(), larger.max()) == (0, 1)
        assert torch.equal(resize(step, 16), step)

    def test_errors(self):
        with pytest.raises(ImageError, match="no foreground"):
            crop_to_foreground(torch.zeros(4, 20, 20))
        with pytest.raises(InputError, match="foreground_ratio"):
            crop_to_foreground(torch.ones(4, 20, 20), 1.5)
        with pytest.raises(InputError, match="size_px"):
            resize(torch.ones(3, 20, 20), 0)
        with pytest.raises(InputError, match="square"):
            resize(torch.ones(3, 20, 30), 10)


class TestPreparing:
    def test_the_same_object_in_three_forms(self, tmp_path):
        """An alpha mask, a white and a green background lead to nearly the same image."""
        on_white, mask = drawing(WHITE, disc)
        on_green, _ = drawing(GREEN, disc)
        masked = Image.new("RGB", (160, 160), RED)
        masked.putalpha(to_pil(mask[None]))
        images = [prepare(source, size_px=96) for source in (masked, on_white, on_green)]
        for image in images:
            assert image.shape == (3, 96, 96)
            # 0.85 of 96 pixels wide and on white
            columns = (image.min(0).values < 0.5).any(0).sum()
            assert abs(int(columns) - 0.85 * 96) <= 2
            assert image[:, :6].min() > 0.98
            assert (image - images[0]).abs().mean() < 0.01

    def test_keep_only_pads_to_a_square(self):
        image = torch.rand(3, 20, 30)
        prepared = prepare(image, background="keep")
        assert prepared.shape == (3, 30, 30)
        assert torch.equal(prepared[:, 5:25], image)
        assert prepared[:, :5].min() == 1
        assert prepared[:, 25:].min() == 1

    def test_without_a_size_pixels_stay_as_they_are(self):
        rgba = torch.zeros(4, 60, 50)
        rgba[:, 10:44, 20:30] = torch.rand(4, 34, 10) * 0.4 + 0.6
        rgba[3, 10:44, 20:30] = 1
        prepared = prepare(rgba)
        assert prepared.shape == (3, 40, 40)
        assert torch.equal(prepared[:, 3:37, 15:25], rgba[:3, 10:44, 20:30])
