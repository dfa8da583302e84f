"""A mesh file as one mesh, with one texture.

Shapes: v vertices, f faces, n images.
"""

import math
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from instantmesh.files.asset_files import GREY, AssetPart, joined_triangles, read_asset
from instantmesh.files.colors import linear_to_srgb, srgb_to_linear
from instantmesh.structures import Mesh, Texture

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]

_LARGEST_PX = 8192  # of a side of several textures together
_SWATCH_PX = 8  # side of the image that stands for a plain colour


def read_mesh(path: str | PathLike[str]) -> Mesh:
    """Read a model (.glb, .gltf, .obj, .ply, .stl, .off, .usdz; y up, front +z) into the world frame.

    All parts become one mesh. If any of them has a texture, the mesh has one, else it has the parts' vertex colours if
    there are any. Several textures are laid out in one image, shrunk where it would be larger than 8192 texels; in it
    a part without a texture gets a spot of its mean colour, and a part whose colours multiply its texture an image of
    its own. A texture that repeats within one face is cut off at its border.

    Raises:
        MissingFileError: no such file.
        InputError: it can't be read or holds no triangles.
        MissingBackendError: USDZ without usd-core.

    Example:
        >>> mesh = instantmesh.read_mesh("chair.glb")
    """
    parts = read_asset(path)
    mesh = _joined_mesh(parts)
    return mesh if has_vertex_colors(parts) else replace(mesh, vertex_colors=None)


def _joined_mesh(parts: list[AssetPart]) -> Mesh:
    """All parts as one mesh: with a texture if any part has one, else with vertex colours (grey by default)."""
    vertices, faces = joined_triangles(parts)
    mesh = Mesh(torch.from_numpy(vertices.astype(np.float32)), torch.from_numpy(faces))
    if any(part.texture is not None for part in parts):
        return replace(mesh, texture=_joint_texture(parts))
    return replace(mesh, vertex_colors=_vertex_colors(parts))


def has_vertex_colors(parts: list[AssetPart]) -> bool:
    """Whether any vertex has a colour of its own. A part without any has been read as all of one grey."""
    return any(part.colors is not None and np.abs(part.colors - GREY).max() > 1e-3 for part in parts)


def face_uv(part: AssetPart) -> Array:
    """(f, 3, 2) where a part's faces lie in its texture: in [0, 1], origin top left, v down."""
    assert part.uv is not None
    corners = part.uv[part.faces]
    lowest = np.stack([corners[..., 0].min(1) + 1e-6, corners[..., 1].max(1) - 1 - 1e-6], axis=-1)
    first = np.stack([np.floor(lowest[:, 0]), np.ceil(lowest[:, 1])], axis=-1)  # of a texture that repeats
    return (corners - first[:, None]).clip(0, 1)


def _vertex_colors(parts: list[AssetPart]) -> torch.Tensor:
    colors = [np.ones_like(part.vertices) if part.colors is None else part.colors for part in parts]
    return torch.from_numpy(np.concatenate(colors).astype(np.float32).clip(0, 1))


@dataclass(frozen=True)
class _Cell:
    """Where an image lies in the joint one, in texels."""

    left: int
    top: int
    width: int
    height: int

    def place(self, uv: Array, side: tuple[int, int]) -> Array:
        """Where places in the image lie in the joint one, of width and height `side`; no lookup leaves the cell."""
        low = np.array([0.5 / self.width, 0.5 / self.height])
        return (uv.clip(low, 1 - low) * (self.width, self.height) + (self.left, self.top)) / side


def _joint_texture(parts: list[AssetPart]) -> Texture:
    images: dict[tuple[int, bytes], Pixels] = {}
    keys = []
    for part in parts:
        tint = _tint(part)
        keys.append((id(part.texture), b"" if tint is None else tint.round(3).tobytes()))
        if keys[-1] not in images:
            images[keys[-1]] = _image(part.texture, tint)
    if len(images) == 1:
        joint, uv = next(iter(images.values())), [face_uv(part) for part in parts]
    else:
        joint, cells = _laid_out(list(images.values()))
        cell_of = dict(zip(images, cells, strict=True))
        side = (joint.shape[1], joint.shape[0])
        uv = [
            cell_of[key].place(np.full((len(part.faces), 3, 2), 0.5) if part.uv is None else face_uv(part), side)
            for key, part in zip(keys, parts, strict=True)
        ]
    image = torch.from_numpy(joint.transpose(2, 0, 1) / np.float32(255))
    return Texture(image, torch.from_numpy(np.concatenate(uv).astype(np.float32)))


def _tint(part: AssetPart) -> Array | None:
    """(3,) linear, what the part's texture is multiplied with; None for white."""
    if part.colors is None:
        return None
    tint = srgb_to_linear(part.colors[np.unique(part.faces)].astype(np.float64)).mean(0)
    return None if part.texture is not None and bool((tint > 0.999).all()) else tint


def _image(texture: Pixels | None, tint: Array | None) -> Pixels:
    if texture is None:
        texture = np.full((_SWATCH_PX, _SWATCH_PX, 3), 255, np.uint8)
    if tint is None:
        return texture
    levels = linear_to_srgb(srgb_to_linear(np.arange(256) / 255)[:, None] * tint)  # what becomes of each 8-bit value
    table = (levels * 255).round().astype(np.uint8)
    return np.stack([table[texture[..., channel], channel] for channel in range(3)], axis=-1)


def _laid_out(images: list[Pixels]) -> tuple[Pixels, list[_Cell]]:
    """Images in one, row by row in a square of equal cells."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = -(-len(images) // columns)
    limit = _LARGEST_PX // columns
    fitted = [_shrunk(image, limit) for image in images]
    height, width = (max(image.shape[axis] for image in fitted) for axis in (0, 1))
    joint = np.full((rows * height, columns * width, 3), 255, np.uint8)
    cells = []
    for index, image in enumerate(fitted):
        cell = _Cell(index % columns * width, index // columns * height, image.shape[1], image.shape[0])
        joint[cell.top : cell.top + cell.height, cell.left : cell.left + cell.width] = image
        cells.append(cell)
    return joint, cells


def _shrunk(image: Pixels, limit: int) -> Pixels:
    """No side longer than `limit`."""
    if max(image.shape[:2]) <= limit:
        return image
    shrunk = Image.fromarray(image)
    shrunk.thumbnail((limit, limit), Image.Resampling.BOX)
    return np.asarray(shrunk)
