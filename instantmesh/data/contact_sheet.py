"""A data set at a glance: a row of images for each of a few objects."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from instantmesh.data.stored_objects import StoredObjects
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError
from instantmesh.files.image_files import tile, to_pil

ROWS = 12
VIEWS = 4
_TILE_PX = 96
_LABEL_PX = 14


def contact_sheet(source: StoredObjects, shown: Sequence[int]) -> Float[Tensor, "3 height width"]:
    """Colour, normals and depth of a few views of the objects `shown`; what can't be read says so.

    Depth is bright near the camera and dark far away, between the nearest and the farthest point of each image.
    """
    row_px = _LABEL_PX + _TILE_PX
    sheet = Image.new("RGB", (3 * VIEWS * _TILE_PX, row_px * len(shown)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, index in enumerate(shown):
        label = source.names[index]
        try:
            views = np.linspace(0, len(source.cameras(index)) - 1, VIEWS).round().astype(int).tolist()
            tiles = _tiles(source.read(index, views))
            sheet.paste(to_pil(tile(tiles, columns=3 * VIEWS)), (0, row * row_px + _LABEL_PX))
            label += f": views {', '.join(map(str, views))}"
        except InputError as error:
            label = str(error)
        draw.text((2, row * row_px + 1), label, fill="black")
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1) / 255


def spread(count: int) -> list[int]:
    """At most `ROWS` numbers evenly spread over 0 .. count - 1."""
    return sorted(set(np.linspace(0, count - 1, min(count, ROWS)).round().astype(int).tolist()))


def _tiles(views: ObjectViews) -> Float[Tensor, "k 3 t t"]:
    """View after view: colour, normals, depth."""
    normal = (views.normal + views.mask) / 2  # (n + 1) / 2 on black
    stacked = torch.stack([views.images, normal, _depth_image(views).expand(-1, 3, -1, -1)], 1).flatten(0, 1)
    return interpolate(stacked, (_TILE_PX, _TILE_PX), mode="bilinear", antialias=True).clamp(0, 1)


def _depth_image(views: ObjectViews) -> Float[Tensor, "n 1 s s"]:
    inside = views.depth > 0
    near = views.depth.where(inside, torch.inf).amin((1, 2, 3), keepdim=True)
    far = views.depth.amax((1, 2, 3), keepdim=True)
    return (1 - 0.8 * (views.depth - near) / (far - near).clamp(min=1e-3)).where(inside, 0)
