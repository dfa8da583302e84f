"""Objects as files: what is written comes back, other people's files are read, damage is named."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from instantmesh.cameras import intrinsics_from_fov
from instantmesh.data.layout import (
    check_object_name,
    decode,
    decode_cameras,
    encode,
    folder_members,
    member_names,
    read_object,
    write_object,
)
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError, OutputError
from instantmesh.structures import Cameras
from tests.data.made_views import made_views


def round_trip(views: ObjectViews) -> ObjectViews:
    return decode(encode(views).__getitem__, range(len(views)), "thing")


def arrays_of(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content)) as file:
        return dict(file)


def cameras_file(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_views_come_back_as_exactly_as_8_bits_can_say():
    views = made_views()
    read = round_trip(views)
    mask, solid = views.mask, views.mask == 1
    assert float((read.mask - mask).abs().max()) < 0.5 / 255 + 1e-6
    assert float((read.images - views.images).abs().max()) < 1.1 / 255
    inside = mask > 0
    assert float(((read.depth - views.depth) * inside).abs().max()) <= 3 / 255 + 1e-5  # half a step
    assert float((read.depth * ~inside).abs().max()) == 0
    normal = torch.nn.functional.normalize(views.normal, dim=1)
    sine = torch.linalg.cross(read.normal, normal, dim=1).norm(dim=1, keepdim=True)[solid]
    assert float(torch.rad2deg(sine.asin()).max()) < 0.5
    torch.testing.assert_close(read.normal.norm(dim=1, keepdim=True), read.mask, atol=1e-5, rtol=0)
    torch.testing.assert_close(read.cameras.camera_to_world, views.cameras.camera_to_world, atol=1e-5, rtol=0)
    torch.testing.assert_close(read.cameras.intrinsics, views.cameras.intrinsics)


def test_writing_what_was_read_gives_the_same_files():
    files = encode(made_views())
    again = encode(round_trip(made_views()))
    assert list(files) == list(again) == member_names(4)
    for name in member_names(4)[1:]:
        if name.endswith("_normal.png"):  # making their length 1 moves a few by one step
            first, second = (np.asarray(Image.open(io.BytesIO(f[name]))).astype(int) for f in (files, again))
            assert np.abs(first - second).max() <= 1
        else:
            assert files[name] == again[name], name
    assert encode(made_views()) == files


def test_the_files_are_what_the_layout_says():
    views, files = made_views(), encode(made_views())
    poses = arrays_of(files["cameras.npz"])["cam_poses"]
    assert poses.shape == (4, 3, 4)
    assert poses.dtype == np.float32
    radii = views.cameras.camera_to_world[:, :3, 3].norm(dim=1)
    np.testing.assert_allclose(poses[:, :2, 3], 0, atol=1e-5)  # the origin lies straight ahead
    np.testing.assert_allclose(poses[:, 2, 3], -radii, rtol=1e-6)  # along -z
    row, column = (int(i) for i in torch.nonzero(views.mask[1, 0] == 1)[40])
    depth = np.asarray(Image.open(io.BytesIO(files["001_depth.png"])))
    assert depth.dtype == np.uint8
    assert depth[row, column] / 255 * 6 == pytest.approx(float(views.depth[1, 0, row, column]), abs=0.012)
    normal = np.asarray(Image.open(io.BytesIO(files["001_normal.png"])))
    true_normal = torch.nn.functional.normalize(views.normal[1, :, row, column], dim=0)
    np.testing.assert_allclose(normal[row, column] / 255 * 2 - 1, true_normal, atol=0.005)
    outside = views.mask[1, 0].numpy() == 0
    assert not normal[outside].any()
    assert not depth[outside].any()
    color = Image.open(io.BytesIO(files["001.png"]))
    assert color.mode == "RGBA"


def test_views_are_read_in_the_order_asked_for_and_nothing_else_is():
    files = encode(made_views())
    wanted: list[str] = []

    def member(name: str) -> bytes:
        wanted.append(name)
        return files[name]

    some, whole = decode(member, [3, 1], "thing"), round_trip(made_views())
    assert torch.equal(some.images, whole.images[[3, 1]])
    assert torch.equal(some.cameras.camera_to_world, whole.cameras.camera_to_world[[3, 1]])
    assert sorted(wanted) == sorted(
        ["cameras.npz"] + [f"00{v}{kind}.png" for v in (1, 3) for kind in ("", "_normal", "_depth")]
    )


@pytest.mark.parametrize(("count", "fov_deg"), [(32, 50.0), (7, 30.0)])
def test_cameras_without_intrinsics_have_the_layouts_field_of_view(count, fov_deg):
    poses = np.tile(np.eye(3, 4, dtype=np.float64), (count, 1, 1))
    cameras = decode_cameras({"cameras.npz": cameras_file(cam_poses=poses)}.__getitem__, "thing")
    torch.testing.assert_close(cameras.intrinsics, intrinsics_from_fov(fov_deg, count))


def test_depth_saved_with_colour_channels_is_read():
    files = encode(made_views())
    grey = Image.open(io.BytesIO(files["000_depth.png"]))
    buffer = io.BytesIO()
    grey.convert("RGB").save(buffer, "PNG")
    colored = {**files, "000_depth.png": buffer.getvalue()}
    assert torch.equal(decode(colored.__getitem__, [0], "thing").depth, decode(files.__getitem__, [0], "thing").depth)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


SHEARED = np.tile(np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4]], np.float32), (4, 1, 1))


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("001.png", None, "thing: 001.png is missing"),
        ("cameras.npz", None, "thing: cameras.npz is missing"),
        ("001_normal.png", b"not an image", "thing: 001_normal.png is damaged"),
        ("001_depth.png", encode(made_views())["001_depth.png"][:60], "thing: 001_depth.png is damaged"),
        ("cameras.npz", b"PK nonsense", "thing: cameras.npz is damaged"),
        ("cameras.npz", cameras_file(poses=SHEARED), "no cam_poses"),
        ("cameras.npz", cameras_file(cam_poses=np.eye(4)), r"cam_poses \(n, 3, 4\)"),
        ("cameras.npz", cameras_file(cam_poses=SHEARED), "proper rotations"),
        ("001.png", png(np.zeros((32, 32, 3), np.uint8)), "no alpha"),
        ("001.png", png(np.zeros((16, 16, 4), np.uint8)), "001.png is 16 x 16"),
        ("001_depth.png", png(np.zeros((32, 32), np.uint16)), "8 bits"),
    ],
)
def test_what_is_wrong_is_named(member, content, said):
    files = encode(made_views())
    files = {name: data for name, data in files.items() if name != member}
    if content is not None:
        files[member] = content
    with pytest.raises(InputError, match=said):
        decode(files.__getitem__, range(4), "thing")


def test_views_that_are_not_there():
    for views in ([4], [-1], []):
        with pytest.raises(InputError, match="views 0 to 3"):
            decode(encode(made_views()).__getitem__, views, "thing")


def test_an_object_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_object(tmp_path / "set" / "thing", made_views())
    assert sorted(path.name for path in folder.iterdir()) == sorted(member_names(4))
    assert torch.equal(read_object(folder, [2]).images, round_trip(made_views())[[2]].images)
    with pytest.raises(OutputError, match="exists"):
        write_object(folder, made_views())

    def fails(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OutputError, match="No space left"):
        write_object(tmp_path / "set" / "other", made_views())
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thing"]


def test_names_that_folders_and_shards_can_bear(tmp_path: Path):
    assert check_object_name("0a1b_chair-2") == "0a1b_chair-2"
    for name in ("", "a.b", ".hidden", "a/b", " a", "..", "a\\b"):
        with pytest.raises(InputError, match="can't name an object"):
            check_object_name(name)
    with pytest.raises(InputError, match="can't name an object"):
        write_object(tmp_path / "a.b", made_views())


def test_a_folder_that_lacks_a_file(tmp_path: Path):
    folder = write_object(tmp_path / "thing", made_views())
    (folder / "002_normal.png").unlink()
    with pytest.raises(InputError, match=r"thing: 002_normal\.png is missing"):
        decode(folder_members(folder), [2], "thing")


def test_cameras_are_turned_back_exactly():
    """World-to-camera of a known pose: a camera at (0, -4, 0) that looks along +y."""
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]])
    views = made_views()[:1]
    one = ObjectViews(views.images, views.mask, views.depth, views.normal, Cameras(pose, views.cameras.intrinsics))
    stored = arrays_of(encode(one)["cameras.npz"])["cam_poses"]
    np.testing.assert_allclose(stored[0], [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, -4]], atol=1e-7)
    assert torch.equal(round_trip(one).cameras.camera_to_world, pose)
