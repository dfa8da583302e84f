"""An object whose place, side and colours can't be mistaken: a letter F that stands upright and looks to the front.

It is built of cubes. Its foot reaches towards the front (+x); its arms reach to the viewer's right (+y), the upper one
farther; it is thin from front to back. So no rotation or mirror image of it is like it.
"""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from instantmesh.structures import Mesh, Texture

_FRONT = ["####", "#...", "###.", "#...", "#..."]  # seen from the front, top row first
_CUBE = 0.2
SIZE_PX = 256  # of the texture: three columns and two rows of tiles
_TILES = {"FRONT": (0, 1), "BACK": (0, -1), "RIGHT": (1, 1), "LEFT": (1, -1), "TOP": (2, 1), "BOTTOM": (2, -1)}


def textured_letter() -> Mesh:
    """With its sides' names written on them, dark on pale shades that tell the sides apart."""
    vertices, quads, sides = _cubes()
    corners = vertices[quads]  # (q, 4, 3)
    low, high = vertices.min(0), vertices.max(0)
    relative = (corners - low) / (high - low)
    places = np.empty((len(quads), 4, 2))
    for index, (axis, sign) in enumerate(_TILES.values()):
        x, y, z = np.moveaxis(relative[sides == 2 * axis + (sign < 0)], 2, 0)
        # what is right and down in the image for someone who looks at that side; the top is read from the front
        right = {(0, 1): y, (0, -1): 1 - y, (1, 1): 1 - x, (1, -1): x, (2, 1): y, (2, -1): y}[axis, sign]
        down = 1 - z if axis < 2 else (x if sign > 0 else 1 - x)
        column, row = index % 3, index // 3
        tile = np.stack([(column + 0.02 + 0.96 * right) / 3, (row + 0.02 + 0.96 * down) / 2], axis=-1)
        places[sides == 2 * axis + (sign < 0)] = tile
    uv = places[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2)
    return Mesh(_tensor(vertices), _faces(quads), None, Texture(_image(), _tensor(uv)))


def colored_letter(subdivisions: int = 8) -> Mesh:
    """With vertex colours that follow the place: red to the front, green to the right, blue to the top."""
    vertices, quads, _ = _cubes(subdivisions)
    return Mesh(_tensor(vertices), _faces(quads), _tensor(0.6 + 0.5 * vertices))


def _cubes(subdivisions: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outside of the cubes as squares: vertices (v, 3), their corners (q, 4), counter-clockwise from outside, and
    their sides (q,): 2 * axis, plus one on the negative side."""
    solid = np.zeros((2, 4, 5), bool)
    for row, cells in enumerate(_FRONT):
        solid[0, :, 4 - row] = [cell == "#" for cell in cells]
    solid[1, 0, 0] = True  # the foot
    solid = solid.repeat(subdivisions, 0).repeat(subdivisions, 1).repeat(subdivisions, 2)
    squares, sides = [], []
    for axis in range(3):
        for negative in (0, 1):
            neighbour = np.roll(np.pad(solid, 1), 1 if negative else -1, axis)[1:-1, 1:-1, 1:-1]
            cell = np.argwhere(solid & ~neighbour)
            corner = np.zeros((4, 3), int)
            corner[[1, 2], (axis + 1) % 3] = 1
            corner[[2, 3], (axis + 2) % 3] = 1
            corner[:, axis] = 1 - negative
            squares.append(cell[:, None] + (corner[::-1] if negative else corner))
            sides.append(np.full(len(cell), 2 * axis + negative))
    corners, quads = np.unique(np.concatenate(squares).reshape(-1, 3), axis=0, return_inverse=True)
    vertices = corners * (_CUBE / subdivisions)
    return vertices - (vertices.min(0) + vertices.max(0)) / 2, quads.reshape(-1, 4), np.concatenate(sides)


def _image() -> Tensor:
    image = Image.new("RGB", (SIZE_PX, SIZE_PX))
    draw = ImageDraw.Draw(image)
    tile_width, tile_height = SIZE_PX / 3, SIZE_PX / 2
    shades = ["#f0d0c0", "#c0e8d0", "#c8d0f0", "#f0e8b0", "#e0c0e8", "#b8b8b8"]
    for index, (name, shade) in enumerate(zip(_TILES, shades, strict=True)):
        left, top = index % 3 * tile_width, index // 3 * tile_height
        draw.rectangle((left, top, left + tile_width, top + tile_height), fill=shade)
        for line in range(3):
            draw.text((left + 7, top + 6 + line * 50), name, "#203040", ImageFont.load_default(17))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


def _faces(quads: np.ndarray) -> Tensor:
    return torch.from_numpy(quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)).long()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).float()
