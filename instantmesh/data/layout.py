"""An object's views as files: the layout of rendered data, in folders and in shards alike.

    000.png          colour, RGBA with straight alpha, square
    000_normal.png   world-space normals, (n + 1) / 2, RGB; black outside
    000_depth.png    8-bit grey, value / 255 * 6 = depth; 0 outside
    cameras.npz      cam_poses (n, 3, 4) float32: world-to-camera, OpenGL axes (x right, y up, z backward)
                     intrinsics (n, 3, 3) float32, normalised; may be absent

A file without `intrinsics` (the layout that others write) has a field of view of 50 degrees, or of 30 where there are
seven views: those of diffusion data. Depth has steps of 0.024 and ends at 6; what is farther is written as 6. Pixels on
the silhouette hold the object's own normal and depth; the mask weighs them.
"""

import io
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from instantmesh.cameras import SIX_VIEW_FOV_DEG, intrinsics_from_fov
from instantmesh.data.rigs import RANDOM_FOV_DEG
from instantmesh.data.views import ObjectViews
from instantmesh.errors import CameraError, InputError
from instantmesh.files.atomic import new_folder
from instantmesh.structures import Cameras

Members = Callable[[str], bytes]  # the bytes of a file by its name; LookupError or OSError where there is none

CAMERAS = "cameras.npz"
DEPTH_RANGE = 6.0
DIFFUSION_VIEWS = 7
_WHITE = 250 / 255
_NAME = re.compile(r"[^./\\\s][^./\\]*")


def color_name(view: int) -> str:
    """The file of a view's colours."""
    return f"{view:03d}.png"


def normal_name(view: int) -> str:
    """The file of a view's normals."""
    return f"{view:03d}_normal.png"


def depth_name(view: int) -> str:
    """The file of a view's depth."""
    return f"{view:03d}_depth.png"


def member_names(view_count: int) -> list[str]:
    """All files of an object, in the order in which they are written."""
    views = range(view_count)
    return [CAMERAS, *(name(view) for view in views for name in (color_name, normal_name, depth_name))]


def count_views(members: Members) -> int:
    """How many views an object has colours of."""
    view = 0
    while True:
        try:
            members(color_name(view))
        except (LookupError, OSError):
            return view
        view += 1


def check_object_name(name: str) -> str:
    """The name, if folders and shards can both bear it.

    Raises:
        InputError: it is empty, begins with a space, or holds a dot (shards end the name there) or a slash.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} can't name an object: no dots, no slashes, no space in front")
    return name


def encode(views: ObjectViews) -> dict[str, bytes]:
    """The files of an object, in the order of `member_names`."""
    inside = (views.mask > 0).float()
    normal = (torch.nn.functional.normalize(views.normal, dim=1) + 1) / 2 * inside
    color = torch.cat([views.straight_colors, views.mask], 1)
    depth = views.depth / DEPTH_RANGE * inside
    files = {CAMERAS: _encode_cameras(views.cameras)}
    for view in range(len(views)):
        files[color_name(view)] = _encode_png(color[view])
        files[normal_name(view)] = _encode_png(normal[view])
        files[depth_name(view)] = _encode_png(depth[view])
    return files


def decode(members: Members, views: Sequence[int], object_name: str) -> ObjectViews:
    """Read views of an object, in this order. Only their files are touched.

    Colours are composited on white; normals are of unit length times the mask; depth is 0 outside.

    Raises:
        InputError: a file is missing, damaged, or not as the module says; names the object and the file.
    """
    cameras = decode_cameras(members, object_name)
    if not views or not all(0 <= view < len(cameras) for view in views):
        raise InputError(f"{object_name} has views 0 to {len(cameras) - 1}, not {list(views)}")
    color = _decode_images(members, [color_name(view) for view in views], object_name, "RGBA")
    normal = _decode_images(members, [normal_name(view) for view in views], object_name, "RGB")
    depth = _decode_images(members, [depth_name(view) for view in views], object_name, "L")
    if not color.shape[2:] == normal.shape[2:] == depth.shape[2:]:
        raise InputError(f"{object_name}: colour, normals and depth differ in size")
    color, mask = color.split([3, 1], dim=1)
    return ObjectViews(
        images=color * mask + 1 - mask,
        mask=mask,
        depth=depth * DEPTH_RANGE * (mask > 0),
        normal=torch.nn.functional.normalize(normal * 2 - 1, dim=1) * mask,
        cameras=cameras[list(views)],
    )


def decode_on_white(
    members: Members, views: Sequence[int], object_name: str
) -> tuple[Float[Tensor, "n 3 s s"], Float[Tensor, "n 1 s s"]]:
    """Images on white, and masks, without asking for cameras, depth and normals: all that diffusion data need have.

    Images without alpha are taken to be on white already; what isn't white is the object.

    Raises:
        InputError: an image is missing, damaged, or not square and of one size; names the object and the file.
    """
    images = []
    for name in map(color_name, views):
        content = _member(members, name, object_name)
        has_alpha = _has_alpha(_open_image(content, f"{object_name}: {name}"))
        image = _decode_images(lambda _: content, [name], object_name, "RGBA" if has_alpha else "RGB")  # noqa: B023
        if not has_alpha:
            image = torch.cat([image, (image.amin(1, keepdim=True) < _WHITE).float()], 1)
        images.append(image)
    if len({image.shape for image in images}) > 1:
        raise InputError(f"{object_name}: an object's images are of one size")
    color, mask = torch.cat(images).split([3, 1], dim=1)
    return color * mask + 1 - mask, mask


def decode_masks(members: Members, object_name: str) -> tuple[Float[Tensor, "n 1 s s"], Cameras]:
    """The masks of all views of an object, in [0, 1], and their cameras; errors as in `decode`."""
    cameras = decode_cameras(members, object_name)
    names = [color_name(view) for view in range(len(cameras))]
    return _decode_images(members, names, object_name, "RGBA")[:, 3:], cameras


def decode_cameras(members: Members, object_name: str) -> Cameras:
    """The cameras of all views of an object.

    Raises:
        InputError: `cameras.npz` is missing, damaged, or holds no rigid poses.
    """
    arrays = _load_arrays(_member(members, CAMERAS, object_name), f"{object_name}: {CAMERAS}")
    if "cam_poses" not in arrays:
        raise InputError(f"{object_name}: {CAMERAS} has no cam_poses")
    poses = arrays["cam_poses"]
    if poses.ndim != 3 or poses.shape[1:] != (3, 4) or not len(poses):
        raise InputError(f"{object_name}: {CAMERAS} must hold cam_poses (n, 3, 4), got {poses.shape}")
    world_to_camera = torch.from_numpy(poses).double()
    camera_to_world = torch.eye(4).repeat(len(poses), 1, 1)
    rotation = world_to_camera[:, :, :3].mT
    camera_to_world[:, :3, :3] = rotation
    camera_to_world[:, :3, 3:] = -rotation @ world_to_camera[:, :, 3:]
    if "intrinsics" in arrays:
        intrinsics = torch.from_numpy(arrays["intrinsics"]).float()
    else:
        fov_deg = SIX_VIEW_FOV_DEG if len(poses) == DIFFUSION_VIEWS else RANDOM_FOV_DEG
        intrinsics = intrinsics_from_fov(fov_deg, len(poses))
    try:
        return Cameras(camera_to_world, intrinsics)
    except CameraError as error:
        raise InputError(f"{object_name}: {CAMERAS}: {error}") from error


def write_object(folder: str | PathLike[str], views: ObjectViews) -> Path:
    """Write an object's files. The folder appears complete or not at all.

    Raises:
        InputError: the folder's name can't name an object.
        OutputError: the folder exists, or its place can't be written.
    """
    folder = Path(folder)
    check_object_name(folder.name)
    with new_folder(folder) as temporary:
        for name, content in encode(views).items():
            (temporary / name).write_bytes(content)
    return folder


def read_object(folder: str | PathLike[str], views: Sequence[int]) -> ObjectViews:
    """Read views of the object in a folder; errors as in `decode`."""
    return decode(folder_members(folder), views, Path(folder).name)


def folder_members(folder: str | PathLike[str]) -> Members:
    """The files of an object's folder by name."""
    return lambda name: Path(folder, name).read_bytes()


def _encode_png(image: Float[Tensor, "c s s"]) -> bytes:
    array = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


def _encode_cameras(cameras: Cameras) -> bytes:
    pose = cameras.camera_to_world.double()
    rotation = pose[:, :3, :3].mT
    world_to_camera = torch.cat([rotation, -rotation @ pose[:, :3, 3:]], 2)
    buffer = io.BytesIO()
    np.savez(buffer, cam_poses=world_to_camera.float().numpy(), intrinsics=cameras.intrinsics.float().numpy())
    return buffer.getvalue()


def _member(members: Members, name: str, object_name: str) -> bytes:
    try:
        return members(name)
    except (LookupError, FileNotFoundError) as error:
        raise InputError(f"{object_name}: {name} is missing") from error
    except OSError as error:
        raise InputError(f"{object_name}: {name} can't be read: {error.strerror or error}") from error


def _load_arrays(content: bytes, name: str) -> dict[str, NDArray[np.floating]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key], np.float32) for key in ("cam_poses", "intrinsics") if key in file}
    except Exception as error:  # numpy's and zip's readers raise whatever they stumble over
        raise InputError(f"{name} is damaged: {error}") from error
    return arrays


def _decode_images(members: Members, names: list[str], object_name: str, mode: str) -> Float[Tensor, "n c s s"]:
    """8-bit images in [0, 1], all square and of one size."""
    images = [_decode_image(_member(members, name, object_name), mode, f"{object_name}: {name}") for name in names]
    size = images[0].shape[:2]
    for name, image in zip(names, images, strict=True):
        if image.shape[0] != image.shape[1] or image.shape[:2] != size:
            height, width = image.shape[:2]
            raise InputError(f"{object_name}: {name} is {width} x {height}; an object's images are one square size")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def _decode_image(content: bytes, mode: str, name: str) -> NDArray[np.uint8]:
    """(h, w, c). Depth that was saved with equal colour channels is read as grey."""
    image = _open_image(content, name)
    if mode == "RGBA" and not _has_alpha(image):
        raise InputError(f"{name} has no alpha channel; it must be RGBA")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(f"{name} must have 8 bits a channel, got mode {image.mode}")
    if mode == "L" and image.mode != "L":
        return np.asarray(image.convert("RGB"))[..., :1]
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array[..., None] if array.ndim == 2 else array


def _open_image(content: bytes, name: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise InputError(f"{name} is damaged: {error}") from error
    return image


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
