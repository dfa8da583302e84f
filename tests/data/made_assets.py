"""Small model files whose every colour is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from instantmesh.files.frame import world_to_gltf

HALF = np.array([1.0, 0.6, 0.4])  # half sides of the box, world frame
CELL_PX = 16
# What each side of the box shows: normal, what is up in its image, four colours row by row.
SIDES = [
    ((1, 0, 0), (0, 0, 1), ((255, 0, 0), (120, 0, 0), (0, 60, 200), (10, 10, 10))),
    ((0, 1, 0), (0, 0, 1), ((0, 255, 0), (0, 120, 0), (200, 0, 60), (20, 20, 20))),
    ((-1, 0, 0), (0, 0, 1), ((0, 0, 255), (0, 0, 120), (200, 60, 0), (30, 30, 30))),
    ((0, -1, 0), (0, 0, 1), ((255, 255, 0), (120, 120, 0), (0, 200, 60), (40, 40, 40))),
    ((0, 0, 1), (-1, 0, 0), ((255, 0, 255), (120, 0, 120), (60, 200, 0), (50, 50, 50))),
    ((0, 0, -1), (1, 0, 0), ((0, 255, 255), (0, 120, 120), (60, 0, 200), (60, 60, 60))),
]


@dataclass(frozen=True)
class Patch:
    """A quarter of a side: its centre and normal in the world frame, and its colour, sRGB 0..255."""

    centre: NDArray
    normal: NDArray
    color: tuple[int, int, int]


def box_patches() -> list[Patch]:
    """All 24 quarters of the box."""
    patches = []
    for normal, up, colors in SIDES:
        n, u = np.array(normal, float), np.array(up, float)
        right = np.cross(u, n)  # of the side's image, seen from outside
        for (row, column), color in zip(np.ndindex(2, 2), colors, strict=True):
            centre = (n + (0.5 - row) * u + (column - 0.5) * right) * HALF
            patches.append(Patch(centre, n, color))
    return patches


def textured_box() -> trimesh.Trimesh:
    """A box, 2 x 1.2 x 0.8 in the world frame; its texture is a strip of the images of its sides."""
    strip = np.zeros((CELL_PX, CELL_PX * len(SIDES), 3), np.uint8)
    vertices, uv, faces = [], [], []
    for index, (normal, up, colors) in enumerate(SIDES):
        cell = np.array(colors, np.uint8).reshape(2, 2, 3).repeat(CELL_PX // 2, 0).repeat(CELL_PX // 2, 1)
        strip[:, index * CELL_PX : (index + 1) * CELL_PX] = cell
        n, u = np.array(normal, float), np.array(up, float)
        right = np.cross(u, n)
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):  # counter-clockwise seen from outside
            vertices.append((n + x * right + y * u) * HALF)
            uv.append(((index + (x + 1) / 2) / len(SIDES), (y + 1) / 2))
        faces += [(4 * index, 4 * index + 1, 4 * index + 2), (4 * index, 4 * index + 2, 4 * index + 3)]
    paint = PBRMaterial(baseColorTexture=Image.fromarray(strip), metallicFactor=0.0, roughnessFactor=1.0)
    visual = TextureVisuals(uv=np.array(uv), material=paint)
    return trimesh.Trimesh(world_to_gltf(np.array(vertices)), faces, visual=visual, process=False)


def write_box(path: Path, scale: float = 1.0) -> Path:
    box = textured_box()
    box.apply_scale(scale)
    box.apply_translation((5, 0, -3))
    box.export(path)
    return path


def write_plain(path: Path, sides: tuple[float, float, float] = (1, 2, 3)) -> Path:
    """A box without colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents=sides).export(path)
    return path
