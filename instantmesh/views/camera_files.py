"""Cameras of a folder of images, in the formats of other programs.

- `cameras.json`: ours, see `instantmesh.views.files`;
- `transforms.json`: Blender's and instant-ngp's, camera-to-world with OpenGL axes;
- `images.txt` and `cameras.txt`: COLMAP's text export, world-to-camera with OpenCV axes.

Source: instant-ngp, "Tips for training NeRF models"; COLMAP's documentation, "Output Format".
"""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from instantmesh.cameras import Convention, Poses, cameras_from_matrices, intrinsics_from_fov
from instantmesh.errors import CameraError, InputError
from instantmesh.structures import Cameras

_log = logging.getLogger(__name__)

CAMERAS_FILE = "cameras.json"
TRANSFORMS_FILE = "transforms.json"
COLMAP_FILES = ("images.txt", "cameras.txt")

_LONGEST_JSON = 1 << 26
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
# How many of the parameters of COLMAP's models are focal lengths; the principal point follows, then distortion.
_FOCAL_LENGTHS = {
    "SIMPLE_PINHOLE": 1, "PINHOLE": 2, "SIMPLE_RADIAL": 1, "RADIAL": 1, "OPENCV": 2, "FULL_OPENCV": 2,
}  # fmt: skip
_DISTORTED = 1e-3  # below it an object moves by less than a pixel


@dataclass(frozen=True)
class CameraEntry:
    """The camera of an image.

    Attributes:
        file: the image's, relative to the folder.
        matrix: (3 or 4, 4).
        intrinsics: (3, 3), normalised, or in pixels.
        in_pixels: which.
        size_px: (width, height) that the intrinsics are for; None where that is the image's own size.
        fov_deg: instead of intrinsics, for a square image.
        source: the file and its entry, for messages.
    """

    file: str
    matrix: Tensor
    intrinsics: Tensor | None
    in_pixels: bool
    size_px: tuple[int, int] | None
    fov_deg: float | None
    source: str

    def camera(self, convention: Convention, poses: Poses, image_px: tuple[int, int]) -> Cameras:
        """The camera of the image, which has `image_px` (width, height).

        Raises:
            CameraError: it is none; the message names the entry.
        """
        try:
            intrinsics = self._intrinsics(image_px)
            size_px = (self.size_px or image_px) if self.in_pixels else None
            matrices = self.matrix[None]
            return cameras_from_matrices(matrices, intrinsics, convention=convention, poses=poses, size_px=size_px)
        except InputError as error:
            raise CameraError(f"{self.source}: {error}") from error

    def _intrinsics(self, image_px: tuple[int, int]) -> Tensor:
        if self.intrinsics is not None:
            return self.intrinsics[None]
        if image_px[0] != image_px[1]:
            raise CameraError('"fov_deg" is for square images; give "intrinsics"')
        return intrinsics_from_fov(float(self.fov_deg or 0), 1)


def read_camera_entries(folder: Path) -> tuple[list[CameraEntry], tuple[Convention, Poses], bool]:
    """The cameras of a folder, the convention that the format has, and whether its world is upright.

    Raises:
        CameraError: there are none, or they are malformed; the message names the entry.
    """
    if (folder / CAMERAS_FILE).is_file():
        return _cameras_json(folder / CAMERAS_FILE), ("opengl", "camera_to_world"), True
    if (folder / TRANSFORMS_FILE).is_file():
        return _transforms_json(folder / TRANSFORMS_FILE), ("opengl", "camera_to_world"), True
    if all((folder / name).is_file() for name in COLMAP_FILES):
        return _colmap(*(folder / name for name in COLMAP_FILES)), ("opencv", "world_to_camera"), False
    raise CameraError(
        f"there is no {folder / CAMERAS_FILE}: a folder of views needs one (its format: instantmesh.views.files), or a"
        f" {TRANSFORMS_FILE}, or COLMAP's {' and '.join(COLMAP_FILES)}"
    )


def image_path(folder: Path, entry: CameraEntry) -> Path:
    """The entry's image.

    Raises:
        CameraError: the name leads out of the folder.
    """
    name = PurePosixPath(entry.file.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in entry.file:
        raise CameraError(f"{entry.source}: the image {entry.file} isn't in the folder; copy it there")
    path = folder / name
    return path if path.suffix or path.is_file() else path.with_name(f"{path.name}.png")  # NeRF's leave the ending out


def _cameras_json(path: Path) -> list[CameraEntry]:
    entries = _json(path)
    if not isinstance(entries, list) or not entries:
        raise CameraError(f"{path} must hold a list with an entry for each view")
    return [_own_entry(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]


def _own_entry(entry: Any, source: str) -> CameraEntry:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        raise CameraError(f'{source}: needs a "file" with an image\'s name')
    source = f"{source} ({entry['file']})"
    given = [name for name in ("intrinsics", "intrinsics_px", "fov_deg") if name in entry]
    unknown = entry.keys() - {"file", "camera_to_world", *given}
    if unknown:
        raise CameraError(f"{source}: unknown keys {', '.join(sorted(unknown))}")
    if "camera_to_world" not in entry or len(given) != 1:
        raise CameraError(f'{source}: needs "camera_to_world" and one of "intrinsics", "intrinsics_px", "fov_deg"')
    in_pixels = given == ["intrinsics_px"]
    fov_deg = _number(entry["fov_deg"], source) if given == ["fov_deg"] else None
    intrinsics = None if fov_deg is not None else _matrix(entry[given[0]], source)
    return CameraEntry(
        entry["file"], _matrix(entry["camera_to_world"], source), intrinsics, in_pixels, None, fov_deg, source
    )


def _transforms_json(path: Path) -> list[CameraEntry]:
    content = _json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise CameraError(f'{path} must hold "frames" with an entry for each view')
    entries = []
    for number, frame in enumerate(frames):
        source = f"{path}, frame {number}"
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise CameraError(f'{source}: needs a "file_path"')
        values = {**content, **frame}
        _tell_distortion(source, [_number(values.get(name, 0.0), source) for name in _DISTORTION])
        intrinsics, size_px = _focal_lengths(values, source)
        fov_deg = None
        if intrinsics is None:
            fov_deg = math.degrees(_number(values.get("camera_angle_x"), source))
        entries.append(
            CameraEntry(
                frame["file_path"],
                _matrix(frame.get("transform_matrix"), source),
                intrinsics,
                intrinsics is not None,
                size_px,
                fov_deg,
                source,
            )
        )
    return entries


def _focal_lengths(values: dict[str, Any], source: str) -> tuple[Tensor | None, tuple[int, int] | None]:
    """Intrinsics in pixels and the size that they are for; None where only an angle is given for square images."""
    size = [_number(values[name], source) for name in ("w", "h") if name in values]
    if len(size) < 2:
        if "fl_x" in values:
            raise CameraError(f'{source}: "fl_x" needs "w" and "h"')
        return None, None
    width, height = size
    if "fl_x" in values:
        focal_x = _number(values["fl_x"], source)
    else:
        focal_x = 0.5 * width / math.tan(_number(values.get("camera_angle_x"), source) / 2)
    focal_y = _number(values.get("fl_y", focal_x), source)
    middle = [_number(values.get(name, side / 2), source) for name, side in (("cx", width), ("cy", height))]
    return _pinhole(focal_x, focal_y, *middle), (int(width), int(height))


def _colmap(images: Path, cameras: Path) -> list[CameraEntry]:
    intrinsics: dict[str, tuple[Tensor, tuple[int, int]]] = {}
    for number, line in enumerate(_lines(cameras)):
        source = f"{cameras}, line {number + 1}"
        words = line.split()
        if len(words) < 5 or words[1] not in _FOCAL_LENGTHS:
            raise CameraError(
                f"{source}: {' '.join(words[:2])} is no camera that is read here ({', '.join(_FOCAL_LENGTHS)});"
                " colmap image_undistorter makes such ones"
            )
        width, height, *parameters = (_number(word, source) for word in words[2:])
        count = _FOCAL_LENGTHS[words[1]]
        if len(parameters) < count + 2:
            raise CameraError(f"{source}: too few parameters")
        _tell_distortion(source, parameters[count + 2 :])
        k = _pinhole(parameters[0], parameters[count - 1], *parameters[count : count + 2])
        intrinsics[words[0]] = k, (int(width), int(height))
    entries = []
    for number, line in enumerate(_lines(images)[::2]):  # every second line holds the points
        source = f"{images}, image {number}"
        words = line.split(maxsplit=9)
        if len(words) != 10 or words[8] not in intrinsics:
            raise CameraError(f"{source}: needs id, rotation, translation, a camera of {cameras.name}, and a name")
        rotation = _rotation(torch.tensor([_number(word, source) for word in words[1:5]], dtype=torch.float64), source)
        translation = torch.tensor([_number(word, source) for word in words[5:8]], dtype=torch.float64)
        matrix = torch.cat([rotation, translation[:, None]], dim=1).float()
        k, size_px = intrinsics[words[8]]
        entries.append(CameraEntry(words[9].strip(), matrix, k, True, size_px, None, f"{source} ({words[9].strip()})"))
    if not entries:
        raise CameraError(f"{images} holds no images")
    return sorted(entries, key=lambda entry: entry.file)


def _rotation(quaternion: Tensor, source: str) -> Tensor:
    """(3, 3) of a quaternion (w, x, y, z)."""
    norm = float(quaternion.norm())
    if not norm > 1e-6:
        raise CameraError(f"{source}: the rotation is no quaternion")
    w, x, y, z = (quaternion / norm).tolist()
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(f"{path} can't be read: {error}") from error
    return [line for line in lines if not line.startswith("#")]


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LONGEST_JSON:
            raise CameraError(f"{path} has {path.stat().st_size:,} bytes: that is no list of cameras")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CameraError(f"{path} is no readable JSON: {error}") from error


def _matrix(value: Any, source: str) -> Tensor:
    try:
        return torch.tensor(value, dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise CameraError(f"{source}: {error}") from error


def _number(value: Any, source: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(f"{source}: {value!r} is no number") from error
    if not math.isfinite(number):
        raise CameraError(f"{source}: {value!r} isn't finite")
    return number


def _pinhole(focal_x: float, focal_y: float, middle_x: float, middle_y: float) -> Tensor:
    return torch.tensor([[focal_x, 0.0, middle_x], [0.0, focal_y, middle_y], [0.0, 0.0, 1.0]])


def _tell_distortion(source: str, coefficients: list[float]) -> None:
    if any(abs(value) > _DISTORTED for value in coefficients):
        _log.warning("%s: lens distortion isn't corrected; undistort the images first", source)
