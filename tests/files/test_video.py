"""Films: read back by PyAV and Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from instantmesh import InputError, MissingBackendError, OutputError, backends
from instantmesh.files import video
from instantmesh.files.video import check_video, write_video

COUNT, FPS = 7, 30
av = backends.load("av")


def frame(index: int) -> np.ndarray:
    """A bar that moves to the right on a coloured ground."""
    image = np.full((48, 64, 3), (90, 140, 60), np.uint8)
    image[:, 8 * index : 8 * index + 8] = (200, 60, 40)
    return image


def frames_of(path: Path) -> list[np.ndarray]:
    if path.suffix == ".gif":
        with Image.open(path) as film:
            return [np.asarray(image.convert("RGB")) for image in ImageSequence.Iterator(film)]
    with av.open(str(path)) as film:
        return [image.to_ndarray(format="rgb24") for image in film.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "webm", "gif"])
def test_frames_come_back_in_order_with_their_colours(ending, tmp_path):
    told = []
    path = write_video(tmp_path / f"film.{ending}", frame, COUNT, FPS, callback=lambda *done: told.append(done))
    assert told == [(index + 1, COUNT) for index in range(COUNT)]
    found = frames_of(path)
    assert len(found) == COUNT
    for index, image in enumerate(found):
        flat = np.abs(image.astype(int) - frame(index))[:, 8 * index + 3 : 8 * index + 5]
        assert flat.max() <= 6
        assert np.abs(image[:, 58 if index < 6 else 2].astype(int) - (90, 140, 60)).max() <= 6


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_players_are_told_what_the_numbers_mean(ending, tmp_path):
    path = write_video(tmp_path / f"film.{ending}", frame, COUNT, FPS)
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        context = stream.codec_context
        assert (context.width, context.height, context.pix_fmt) == (64, 48, "yuv420p")
        assert stream.average_rate == FPS
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 13, 1)
        assert context.name == {"mp4": "h264", "webm": "vp9"}[ending]
    data = path.read_bytes()
    assert ending == "webm" or data.index(b"moov") < data.index(b"mdat")  # playable before all of it is there


@pytest.mark.parametrize("fps", [12, 30, 50])
def test_gifs_loop_and_last_as_long_as_they_should(fps, tmp_path):
    with Image.open(write_video(tmp_path / "film.gif", frame, COUNT, fps)) as film:
        assert film.info["loop"] == 0
        lengths_ms = [image.info["duration"] for image in ImageSequence.Iterator(film)]
    assert len(lengths_ms) == COUNT
    assert sum(lengths_ms) == pytest.approx(1000 * COUNT / fps, abs=10)
    assert min(lengths_ms) >= 20


def test_frames_are_made_one_by_one(tmp_path):
    """A film whose frames were all made first would need all their memory."""
    alive: list[int] = []
    seen = []

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive.pop()

    def counted(index: int) -> np.ndarray:
        alive.append(index)
        seen.append(len(alive))
        return frame(index).view(Counted)

    write_video(tmp_path / "film.mp4", counted, 40, FPS)
    assert max(seen) <= 3


def test_a_failure_leaves_nothing(tmp_path):
    def broken(index: int) -> np.ndarray:
        if index == 3:
            raise InputError("no more")
        return frame(index)

    for ending in ("mp4", "gif"):
        with pytest.raises(InputError, match="no more"):
            write_video(tmp_path / f"film.{ending}", broken, COUNT, FPS)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_stays(tmp_path):
    path = write_video(tmp_path / "film.gif", frame, 2, FPS)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_video(path, frame, COUNT, FPS, overwrite=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "fps", "size_px", "error", "word"),
    [
        ("film.avi", 30, 64, OutputError, "unknown video ending"),
        ("film", 30, 64, OutputError, "unknown video ending"),
        ("film.mp4", 0, 64, InputError, "fps"),
        ("film.gif", 60, 64, InputError, "at most 50"),
        ("film.mp4", 30, 65, InputError, "even"),
        ("film.webm", 30, 8, InputError, "16 or more"),
    ],
)
def test_what_cannot_be_is_refused_beforehand(name, fps, size_px, error, word):
    with pytest.raises(error, match=word):
        check_video(name, fps, size_px)


def test_without_pyav_only_gif(monkeypatch):
    def missing(name: str) -> None:
        raise MissingBackendError(f"{name} is needed: {backends._INSTALL[name]}")

    monkeypatch.setattr(video.backends, "load", missing)
    with pytest.raises(MissingBackendError, match=r"instantmesh\[video\]"):
        check_video("film.mp4", 30, 64)
    check_video("film.gif", 30, 65)
