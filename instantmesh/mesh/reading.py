"""A mesh file as one mesh, with one texture.

Shapes: v vertices, f faces, n images.
"""

import math
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from instantmesh.files.asset_files import GREY, AssetPart, joined_triangles, read_asset
from instantmesh.files.colors import linear_to_srgb, srgb_to_linear
from instantmesh.files.texture_images import TextureFormat
from instantmesh.structures import Mesh, Texture

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]

_LARGEST_PX = 8192  # of a side of several textures together
_SWATCH_PX = 8  # side of the image that stands for a plain colour
_CELL_PX = 4  # side of the texels that hold the vertex colours of one face
_MOST_REPEATS = 16
_ALMOST = 1e-3  # of a texture's side, by which coordinates may pass its border without repeating it


def read_mesh(path: str | PathLike[str]) -> Mesh:
    """Read a model (.glb, .gltf, .obj, .ply, .stl, .off, .usdz; y up, front +z) into the world frame.

    All parts become one mesh. If any of them has a texture, the mesh has one, else it has the parts' vertex colours if
    there are any. Several textures are laid out in one image, shrunk where it would be larger than 8192 texels; in it
    a part without a texture gets its vertex colours as texels, and a part whose colours multiply its texture an image
    of its own, with their mean. A texture that repeats within one face is laid out as often as it repeats, up to 16
    times along each side.

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
    """(f, 3, 2) where a part's faces lie in its texture, laid out as often as it repeats (`texture_repeats`).

    In [0, 1], origin top left, v down.
    """
    columns, rows = texture_repeats(part)
    return (_within_tiles(part) / (columns, rows)).clip(0, 1)


def texture_repeats(part: AssetPart) -> tuple[int, int]:
    """How often a part's texture is needed beside and below itself, for faces that it repeats on."""
    if not len(part.faces):
        return 1, 1
    columns, rows = np.ceil(_within_tiles(part).max((0, 1)) - _ALMOST).clip(1, _MOST_REPEATS).astype(int)
    return int(columns), int(rows)


def _within_tiles(part: AssetPart) -> Array:
    """(f, 3, 2) texture coordinates, each face moved to the first tile of the texture that it touches."""
    assert part.uv is not None
    corners = part.uv[part.faces]
    return corners - np.floor(corners.min(1) + _ALMOST)[:, None]


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
    images: dict[tuple[Any, ...], Pixels] = {}
    keys, places = [], []
    for index, part in enumerate(parts):
        if part.texture is None and _is_varied(part):
            image, place = _vertex_color_image(part)
            keys.append((index,))
            images[keys[-1]] = image
        else:
            tint = _tint(part)
            repeats = (1, 1) if part.texture is None else texture_repeats(part)
            keys.append((id(part.texture), b"" if tint is None else tint.round(3).tobytes(), repeats))
            place = np.full((len(part.faces), 3, 2), 0.5) if part.texture is None else face_uv(part)
            if keys[-1] not in images:
                images[keys[-1]] = _repeated(_image(part.texture, tint), *repeats)
        places.append(place)
    if len(images) == 1:
        joint, uv = next(iter(images.values())), places
    else:
        joint, cells = _laid_out(list(images.values()))
        cell_of = dict(zip(images, cells, strict=True))
        side = (joint.shape[1], joint.shape[0])
        uv = [cell_of[key].place(place, side) for key, place in zip(keys, places, strict=True)]
    image = torch.from_numpy(joint.transpose(2, 0, 1) / np.float32(255))
    formats: set[TextureFormat] = {part.texture_format for part in parts if part.texture is not None}
    joint_format: TextureFormat = formats.pop() if len(formats) == 1 else "png"
    return Texture(image, torch.from_numpy(np.concatenate(uv).astype(np.float32)), joint_format)


def _is_varied(part: AssetPart) -> bool:
    return part.colors is not None and float(np.ptp(part.colors[np.unique(part.faces)], axis=0).max()) > 1e-3


def _vertex_color_image(part: AssetPart) -> tuple[Pixels, Array]:
    """An image with a cell of its own for each face, in which its corners' colours blend; and where the faces lie."""
    assert part.colors is not None
    columns = math.ceil(math.sqrt(len(part.faces)))
    rows = -(-len(part.faces) // columns)
    steps = np.linspace(0, 1, _CELL_PX)
    first, second, third = (part.colors[part.faces[:, corner], None, None] for corner in range(3))
    cells = first + steps[:, None] * (second - first) + steps[:, None, None] * (third - first)  # (f, y, x, 3)
    image = np.zeros((rows * columns, _CELL_PX, _CELL_PX, 3))
    image[: len(cells)] = cells.clip(0, 1)
    image = image.reshape(rows, columns, _CELL_PX, _CELL_PX, 3).swapaxes(1, 2)
    pixels = (image.reshape(rows * _CELL_PX, columns * _CELL_PX, 3) * 255).round().astype(np.uint8)
    index = np.arange(len(part.faces))
    corner = _CELL_PX * np.stack([index % columns, index // columns], axis=1)[:, None] + 0.5
    corners = corner + (_CELL_PX - 1) * np.array([[0, 0], [1, 0], [0, 1]])
    return pixels, corners / (columns * _CELL_PX, rows * _CELL_PX)


def _repeated(image: Pixels, columns: int, rows: int) -> Pixels:
    """An image beside and below itself, shrunk first where that would be too large."""
    limit = _LARGEST_PX // max(columns, rows)
    return np.tile(_shrunk(image, limit), (rows, columns, 1)) if columns * rows > 1 else image


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
