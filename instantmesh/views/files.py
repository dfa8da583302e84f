"""Views on disk: one 3 x 2 image of the six fixed views, or a folder of images with their cameras.

A folder holds a `cameras.json`, a list with one entry a view, in the order of the views:

    [{"file": "0.png", "camera_to_world": [[...], [...], [...], [...]], "fov_deg": 30.0},
     {"file": "1.png", "camera_to_world": [...], "intrinsics": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]}]

`camera_to_world` is 4 x 4 or 3 x 4, with OpenGL axes unless another convention is named, `intrinsics` 3 x 3 and
normalised by the image's size (docs/conventions.md), `intrinsics_px` in pixels; `fov_deg` stands for square images with
the principal point in the middle. Instead it may hold the files of other programs, see `camera_files`. Images with an
alpha mask are laid on white.
"""

import json
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import Convention, Poses, six_view_cameras
from instantmesh.errors import ImageError, OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.files.image_files import untile, write_image
from instantmesh.images import composite, open_image
from instantmesh.images.reading import ImageSource
from instantmesh.structures import Cameras, Views
from instantmesh.views.camera_files import CAMERAS_FILE, image_path, read_camera_entries
from instantmesh.views.checks import check_views
from instantmesh.views.normalization import normalize_views, upright_views


def read_views(
    source: ImageSource,
    *,
    convention: Convention | None = None,
    poses: Poses | None = None,
    normalize: bool = False,
) -> Views:
    """Read six fixed views from a 3 x 2 image, or any number with free cameras from a folder (see the module).

    Args:
        source: an image, or a folder.
        convention: of a folder's cameras, "opengl" or "opencv". None takes that of the files' format.
        poses: "camera_to_world" or "world_to_camera". None takes that of the files' format.
        normalize: move the cameras so that the object stands at the origin, 2 long. Cameras from COLMAP, whose world
            has no direction, are also turned upright, the first one in front; they need it.

    Raises:
        ImageError: an image is missing, unreadable, of another size than the first, or no 3 x 2 tiles.
        CameraError: the cameras are missing, malformed, or can't be those of the images; the message names the entry,
            or the convention that would fit.

    Example:
        >>> mesh = pipe.reconstruct(instantmesh.read_views("six_views.png"))
        >>> mesh = pipe.reconstruct(instantmesh.read_views("colmap_export", normalize=True))
    """
    if not (isinstance(source, str | PathLike) and Path(source).is_dir()):
        return Views(_untile_six(_open_on_white(source)), six_view_cameras())
    views, is_upright = _read_folder(Path(source), convention, poses)
    if normalize:
        views = normalize_views(views if is_upright else upright_views(views))
    check_views(views)
    return views


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


def _read_folder(folder: Path, convention: Convention | None, poses: Poses | None) -> tuple[Views, bool]:
    """The folder's views, and whether its cameras' world is upright."""
    entries, (usual_convention, usual_poses), is_upright = read_camera_entries(folder)
    images = [_open_on_white(image_path(folder, entry)) for entry in entries]
    for entry, image in zip(entries, images, strict=True):
        if image.shape != images[0].shape:
            sizes = " and ".join(f"{x.shape[2]} x {x.shape[1]}" for x in (images[0], image))
            raise ImageError(f"all views must have one size, {entries[0].file} and {entry.file} have {sizes} pixels")
    height, width = images[0].shape[1:]
    convention, poses = convention or usual_convention, poses or usual_poses
    cameras = [entry.camera(convention, poses, (width, height)) for entry in entries]
    pose = torch.cat([camera.camera_to_world for camera in cameras])
    intrinsics = torch.cat([camera.intrinsics for camera in cameras])
    return Views(torch.stack(images), Cameras(pose, intrinsics)), is_upright
