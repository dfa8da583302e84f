"""Files: images, and writing whole or not at all."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from instantmesh.errors import InputError, InstantMeshError, MissingFileError, OutputError
from instantmesh.files import image_files
from instantmesh.files.atomic import replacing, write_bytes


def test_a_failure_midway_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_our_own_errors_pass_unchanged(tmp_path):
    with pytest.raises(InstantMeshError) as caught, replacing(tmp_path / "a.bin"):
        raise MissingFileError("that file")
    assert type(caught.value) is MissingFileError
    assert str(caught.value) == "that file"


def test_existing_files_are_kept_when_asked(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(OutputError, match="exists"):
        write_bytes(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_folders_are_made_and_what_is_no_folder_is_named(tmp_path):
    path = write_bytes(tmp_path / "a/b/c.bin", b"x")
    assert path.read_bytes() == b"x"
    with pytest.raises(OutputError, match="can't write into"):
        write_bytes(path / "d.bin", b"x")
    with pytest.raises(OutputError, match="is a folder"):
        write_bytes(tmp_path / "a", b"x")


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_files_get_the_usual_mode(tmp_path):
    mask = os.umask(0o027)
    try:
        path = write_bytes(tmp_path / "a.bin", b"x")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_untile_undoes_tile(rows, columns, c, h, w):
    images = torch.arange(rows * columns * c * h * w).float().reshape(rows * columns, c, h, w)
    tiled = image_files.tile(images, columns)
    assert tiled.shape == (c, rows * h, columns * w)
    assert torch.equal(image_files.untile(tiled, rows, columns), images)


def test_tiles_are_row_major_and_padded_with_white():
    tiled = image_files.tile(torch.tensor([0.1, 0.2, 0.3])[:, None, None, None].expand(3, 1, 1, 1), columns=2)
    torch.testing.assert_close(tiled[0], torch.tensor([[0.1, 0.2], [0.3, 1.0]]))
    with pytest.raises(InputError, match="doesn't divide"):
        image_files.untile(torch.zeros(3, 10, 9), 3, 2)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_rounded_not_cut(tmp_path, channels):
    image = torch.full((channels, 5, 7), 0.5)  # 127.5 rounds to the even 128, truncation would give 127
    path = image_files.write_image(tmp_path / "a.png", image)
    with Image.open(path) as written:
        assert written.size == (7, 5)
        assert written.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.asarray(written).flatten().tolist() == [128] * (35 * channels)


def test_image_endings(tmp_path):
    with pytest.raises(OutputError, match="unknown image ending"):
        image_files.write_image(tmp_path / "a.xyz", torch.zeros(3, 4, 4))
    with pytest.raises(OutputError, match="JPEG"):  # has no alpha
        image_files.write_image(tmp_path / "a.jpg", torch.zeros(4, 4, 4))
    assert list(tmp_path.iterdir()) == []
