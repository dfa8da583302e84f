"""Views on disk: one 3 x 2 image of the six fixed views, or a folder of images with their cameras.

A folder holds a `cameras.json`, a list with one entry a view, in the order of the views:

    [{"file": "0.png", "camera_to_world": [[...], [...], [...], [...]], "fov_deg": 30.0},
     {"file": "1.png", "camera_to_world": [...], "intrinsics": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]}]

`camera_to_world` is 4 x 4 with OpenGL axes, `intrinsics` 3 x 3 and normalised by the image's size
(docs/conventions.md); `fov_deg` stands for square images with the principal point in the middle. Images with an
alpha mask are laid on white.
"""

import json
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import intrinsics_from_fov, six_view_cameras
from instantmesh.errors import CameraError, ImageError, InputError, OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.files.image_files import untile, write_image
from instantmesh.images import composite, open_image
from instantmesh.images.reading import ImageSource
from instantmesh.structures import Cameras, Views

CAMERAS_FILE = "cameras.json"


def read_views(source: ImageSource) -> Views:
    """Read six fixed views from a 3 x 2 image, or any number with free cameras from a folder (see the module).

    Raises:
        ImageError: an image is missing, unreadable, of another size than the first, or no 3 x 2 tiles.
        CameraError: `cameras.json` is missing, malformed, or holds no proper cameras; the message names the entry.

    Example:
        >>> mesh = pipe.reconstruct(instantmesh.read_views("six_views.png"))
    """
    if isinstance(source, str | PathLike) and Path(source).is_dir():
        return _read_folder(Path(source))
    return Views(_untile_six(_open_on_white(source)), six_view_cameras())


def write_views(views: Views, folder: str | PathLike[str], *, overwrite: bool = True) -> Path:
    """Write `folder` with `0.png`, `1.png`, ... and `cameras.json`; `read_views` reads it back (colours to 8 bits).

    Raises:
        OutputError: the folder can't be written, or one of its files exists and `overwrite` is False.

    Example:
        >>> instantmesh.write_views(result.posed, "views")
    """
    folder = Path(folder)
    if (folder / CAMERAS_FILE).exists() and not overwrite:
        raise OutputError(f"{folder / CAMERAS_FILE} exists; allow overwriting it or choose another folder")
    entries = []
    for index, image in enumerate(views.images):
        write_image(folder / f"{index}.png", image, overwrite=overwrite)
        pose, k = views.known_cameras.camera_to_world[index], views.known_cameras.intrinsics[index]
        entries.append({"file": f"{index}.png", "camera_to_world": pose.tolist(), "intrinsics": k.tolist()})
    write_bytes(folder / CAMERAS_FILE, json.dumps(entries, indent=1).encode(), overwrite=overwrite)
    return folder


def _open_on_white(source: ImageSource) -> Float[Tensor, "3 h w"]:
    image = open_image(source)
    return composite(image) if image.shape[0] == 4 else image


def _untile_six(image: Float[Tensor, "3 height width"]) -> Float[Tensor, "6 3 h h"]:
    height, width = image.shape[1:]
    if 2 * height != 3 * width or width % 2:
        raise ImageError(
            f"six views in one image are 2 square tiles wide and 3 high (640 x 960, say), not {width} x {height};"
            f" views with other cameras go into a folder with a {CAMERAS_FILE}"
        )
    return untile(image, rows=3, columns=2)


def _read_folder(folder: Path) -> Views:
    entries = _read_entries(folder / CAMERAS_FILE)
    images = [_open_on_white(folder / entry["file"]) for entry in entries]
    for entry, image in zip(entries, images, strict=True):
        if image.shape != images[0].shape:
            sizes = " and ".join(f"{x.shape[2]} x {x.shape[1]}" for x in (images[0], image))
            raise ImageError(
                f"all views must have one size, {entries[0]['file']} and {entry['file']} have {sizes} pixels"
            )
    height, width = images[0].shape[1:]
    poses, intrinsics = [], []
    for number, entry in enumerate(entries):
        try:
            camera = _camera(entry, square=height == width)
        except (InputError, ValueError, TypeError, KeyError) as error:
            raise CameraError(f"{folder / CAMERAS_FILE}, entry {number} ({entry['file']}): {error}") from error
        poses.append(camera.camera_to_world)
        intrinsics.append(camera.intrinsics)
    return Views(torch.stack(images), Cameras(torch.cat(poses), torch.cat(intrinsics)))


def _read_entries(path: Path) -> list[dict]:
    if not path.is_file():
        raise CameraError(f"there is no {path}: a folder of views needs one (its format: instantmesh.view_files)")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CameraError(f"{path} is no readable JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise CameraError(f"{path} must hold a list with an entry for each view")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            raise CameraError(f'{path}, entry {number}: needs a "file" with an image\'s name')
    return entries


def _camera(entry: dict, *, square: bool) -> Cameras:
    """One camera of `cameras.json`; whatever is wrong with it raises, and the caller says where."""
    unknown = entry.keys() - {"file", "camera_to_world", "intrinsics", "fov_deg"}
    if unknown:
        raise CameraError(f"unknown keys {', '.join(sorted(unknown))}")
    if "camera_to_world" not in entry or ("intrinsics" in entry) == ("fov_deg" in entry):
        raise CameraError('needs "camera_to_world" and either "intrinsics" or "fov_deg"')
    if "fov_deg" in entry:
        if not square:
            raise CameraError('"fov_deg" is for square images; give "intrinsics"')
        intrinsics = intrinsics_from_fov(float(entry["fov_deg"]), 1)
    else:
        intrinsics = torch.tensor([entry["intrinsics"]], dtype=torch.float32)
    return Cameras(torch.tensor([entry["camera_to_world"]], dtype=torch.float32), intrinsics)
