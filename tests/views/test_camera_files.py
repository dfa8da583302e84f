"""Folders of views with the cameras of other programs."""

import json
import logging

import pytest
import torch

from instantmesh.cameras import orbit_cameras, six_view_cameras
from instantmesh.errors import CameraError
from instantmesh.files.image_files import write_image
from instantmesh.structures import Cameras, Views
from instantmesh.views.files import read_views

from .spheres import photographed

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))


def images(folder, views: Views) -> list[str]:
    (folder / "images").mkdir(parents=True)
    names = [f"images/{index:03}.png" for index in range(len(views.images))]
    for name, image in zip(names, views.images, strict=True):
        write_image(folder / name, image)
    return names


def same_cameras(found: Cameras, expected: Cameras) -> None:
    torch.testing.assert_close(found.camera_to_world, expected.camera_to_world, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.intrinsics, expected.intrinsics, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["angle", "lengths", "per frame"])
def test_transforms_json(tmp_path, kind):
    views = photographed(six_view_cameras())
    names = images(tmp_path, views)
    angle = torch.tensor(30.0).deg2rad().item()
    given = {
        "angle": {"camera_angle_x": angle},
        "lengths": {"fl_x": views.cameras.intrinsics[0, 0, 0].item() * 640, "w": 640, "h": 640, "cx": 320, "cy": 320},
        "per frame": {},
    }[kind]
    own = {"camera_angle_x": angle, "w": 64, "h": 64} if kind == "per frame" else {}
    frames = [
        {"file_path": f"./{name.removesuffix('.png')}", "transform_matrix": pose.tolist(), **own}
        for name, pose in zip(names, views.cameras.camera_to_world, strict=True)
    ]
    (tmp_path / "transforms.json").write_text(json.dumps({**given, "frames": frames}))
    found = read_views(tmp_path)
    same_cameras(found.cameras, views.cameras)
    torch.testing.assert_close(found.images, views.images, atol=0.003, rtol=0)


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE", "OPENCV"])
def test_colmap_text(tmp_path, model, caplog):
    cameras = orbit_cameras(8, elevation_deg=20.0)
    names = images(tmp_path, photographed(cameras))
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))
    world = torch.eye(4)
    world[:3, :3] = turned * torch.linalg.det(turned)
    world[:3, 3] = torch.tensor([5.0, 6.0, 7.0])
    focal = cameras.intrinsics[0, 0, 0].item() * 64
    parameters = {
        "SIMPLE_PINHOLE": f"{focal} 32 32",
        "PINHOLE": f"{focal} {focal} 32 32",
        "OPENCV": f"{focal} {focal} 32 32 0.1 0 0 0",
    }[model]
    (tmp_path / "cameras.txt").write_text(f"# made by hand\n1 {model} 64 64 {parameters}\n")
    lines = ["# every second line holds points"]
    for index, pose in enumerate(cameras.camera_to_world):
        matrix = torch.linalg.inv(world @ pose @ FLIP)
        numbers = [*quaternion(matrix[:3, :3]), *matrix[:3, 3].tolist()]
        lines += [f"{index + 1} {' '.join(map(str, numbers))} 1 {names[index]}", "1.0 2.0 -1"]
    (tmp_path / "images.txt").write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING):
        found = read_views(tmp_path, normalize=True).cameras
    assert ("distortion" in caplog.text) == (model == "OPENCV")
    # the middle of the object isn't quite that of the cameras' circle: only their directions are the same
    expected = cameras.camera_to_world[:, :3, :3]
    torch.testing.assert_close(found.camera_to_world[:, :3, :3], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.intrinsics, cameras.intrinsics, atol=1e-5, rtol=1e-5)
    with pytest.raises(CameraError, match="normalize"):
        read_views(tmp_path)


def quaternion(rotation: torch.Tensor) -> list[float]:
    """(w, x, y, z), from the eigenvector of Bar-Itzhack's matrix."""
    m = rotation.double()
    k = torch.zeros(4, 4, dtype=torch.float64)
    k[:3, :3] = m + m.T - torch.trace(m) * torch.eye(3)
    k[3, :3] = k[:3, 3] = torch.stack([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    k[3, 3] = torch.trace(m)
    vector = torch.linalg.eigh(k).eigenvectors[:, -1].tolist()
    return [vector[3], *vector[:3]]


def test_pixels_three_rows_and_a_stated_convention(tmp_path):
    views = photographed(six_view_cameras())
    names = images(tmp_path, views)
    k = (views.cameras.intrinsics[0] * torch.tensor([[64.0], [64.0], [1.0]])).tolist()
    matrices = torch.linalg.inv(views.cameras.camera_to_world @ FLIP)[:, :3].tolist()
    entries = [
        {"file": name, "camera_to_world": matrix, "intrinsics_px": k}
        for name, matrix in zip(names, matrices, strict=True)
    ]
    (tmp_path / "cameras.json").write_text(json.dumps(entries))
    same_cameras(read_views(tmp_path, convention="opencv", poses="world_to_camera").cameras, views.cameras)
    with pytest.raises(CameraError, match='pass convention="opencv", poses="world_to_camera"'):
        read_views(tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "C:\\a.png", "images/../../secret.png"])
def test_images_outside_the_folder_are_not_read(tmp_path, name):
    write_image(tmp_path / "secret.png", torch.zeros(3, 8, 8))
    folder = tmp_path / "views"
    folder.mkdir()
    entry = {"file": name, "camera_to_world": torch.eye(4).tolist(), "fov_deg": 30}
    (folder / "cameras.json").write_text(json.dumps([entry]))
    with pytest.raises(CameraError, match=r"entry 0 .*isn't in the folder"):
        read_views(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"transforms.json": "[]"}, '"frames"'),
        ({"transforms.json": '{"frames": [{}]}'}, 'frame 0: needs a "file_path"'),
        ({"transforms.json": '{"frames": [{"file_path": "a"}]}'}, "frame 0"),
        ({"transforms.json": '{"fl_x": 3, "frames": [{"file_path": "a"}]}'}, '"fl_x" needs'),
        ({"transforms.json": "[" * 100_000}, "no readable JSON"),
        ({"cameras.txt": "1 FOV 64 64 1", "images.txt": ""}, "1 FOV is no camera"),
        ({"cameras.txt": "1 PINHOLE 64 64 1 1", "images.txt": ""}, "too few"),
        ({"cameras.txt": "1 PINHOLE 64 x 1 1 1 1", "images.txt": ""}, "'x' is no number"),
        ({"cameras.txt": "1 PINHOLE 64 64 1 1 1 1", "images.txt": ""}, "holds no images"),
        ({"cameras.txt": "1 PINHOLE 64 64 1 1 1 1", "images.txt": "1 0 0 0 0 0 0 0 1 a"}, "no quaternion"),
        ({"cameras.txt": "1 PINHOLE 64 64 1 1 1 1", "images.txt": "1 1 0 0 0 0 0 0 2 a"}, "a camera of cameras.txt"),
    ],
)
def test_damaged_files_are_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CameraError, match=message):
        read_views(tmp_path)
