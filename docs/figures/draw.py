"""The drawings of docs/conventions.md, computed with `instantmesh.cameras` so that they can't disagree with the code.

    python docs/figures/draw.py

writes axes.svg, six-view-rig.svg, photo-camera.svg and camera-axes.svg to docs/images. A test draws them again and
compares.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from instantmesh.cameras import (
    SIX_VIEW_AZIMUTHS_DEG,
    SIX_VIEW_ELEVATIONS_DEG,
    photo_camera,
    project,
    six_view_cameras,
    spherical_cameras,
)
from instantmesh.structures import Cameras

IMAGES = Path(__file__).parents[1] / "images"
SIZE = 560
AXIS_COLORS = {"x": "#c62828", "y": "#2e7d32", "z": "#1565c0"}
CAMERA_COLOR, PHOTO_COLOR, CUBE_COLOR, TEXT_COLOR = "#6a4fa3", "#e07b00", "#888888", "#555555"

Points = Sequence[float] | Sequence[Sequence[float]] | Tensor


class Drawing:
    """Lines and words in world coordinates, seen by one camera, as SVG on a transparent ground."""

    def __init__(self, title: str, observer: Cameras) -> None:
        self._title = title
        self._observer = observer
        self._elements: list[str] = []

    def pixels(self, points: Points) -> list[tuple[float, float]]:
        uv, _ = project(torch.as_tensor(points, dtype=torch.float32).reshape(-1, 3), self._observer)
        return [(round(SIZE * u, 1), round(SIZE * v, 1)) for u, v in uv[0].tolist()]

    def line(self, points: Points, color: str, width: float = 1.5, dashes: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.pixels(points))
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._elements.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"'
            f' stroke-linejoin="round" stroke-linecap="round"{dashed}/>'
        )

    def arrow(self, start: Tensor, end: Tensor, color: str, label: str) -> None:
        """An arrow whose head has the same size in pixels wherever it points; its label stands beyond it."""
        self.line(torch.stack([start, end]), color, 2.5)
        (x0, y0), (x1, y1) = self.pixels(torch.stack([start, end]))
        angle = math.atan2(y1 - y0, x1 - x0)
        corners = [(x1, y1)] + [
            (x1 - 12 * math.cos(angle + side), y1 - 12 * math.sin(angle + side)) for side in (0.4, -0.4)
        ]
        head = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        self._elements.append(f'<polygon points="{head}" fill="{color}"/>')
        beyond = 15 + 4 * (len(label) - 1) * abs(math.cos(angle))
        self._text(x1 + beyond * math.cos(angle), y1 + beyond * math.sin(angle), label, color, "bold")

    def label(self, point: Points, text: str, color: str = TEXT_COLOR, shift: tuple[float, float] = (0, 0)) -> None:
        ((x, y),) = self.pixels(point)
        self._text(x + shift[0], y + shift[1], text, color)

    def _text(self, x: float, y: float, text: str, color: str, weight: str = "normal") -> None:
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-weight="{weight}" text-anchor="middle"'
            f' dy="0.35em">{text}</text>'
        )

    def svg(self) -> str:
        """The whole file."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}"'
                ' font-family="sans-serif" font-size="15" role="img">',
                f"<title>{self._title}</title>",
                *self._elements,
                "</svg>\n",
            ]
        )


def draw_cube(drawing: Drawing) -> None:
    """The edges of [-1, 1]^3."""
    for axis in range(3):
        for a in (-1.0, 1.0):
            for b in (-1.0, 1.0):
                ends = [[a, b], [a, b]]
                for end, value in zip(ends, (-1.0, 1.0), strict=True):
                    end.insert(axis, value)
                drawing.line(ends, CUBE_COLOR, 1, "4 4")


def draw_axes(drawing: Drawing, origin: Tensor, directions: Tensor, length: float, labels: Sequence[str]) -> None:
    """Three axes in the usual colours. `directions`: (3, 3), one a column."""
    for column, (axis, label) in enumerate(zip("xyz", labels, strict=True)):
        drawing.arrow(origin, origin + length * directions[:, column], AXIS_COLORS[axis], label)


def image_corners(camera: Cameras, depth: float) -> Tensor:
    """The corners (4, 3) of the image of one camera, `depth` in front of it, clockwise from the upper left."""
    k, pose = camera.intrinsics[0], camera.camera_to_world[0]
    corners = []
    for u, v in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)):
        corners.append([(u - float(k[0, 2])) / float(k[0, 0]), -(v - float(k[1, 2])) / float(k[1, 1]), -1.0])
    return torch.tensor(corners) * depth @ pose[:3, :3].T + pose[:3, 3]


def draw_camera(drawing: Drawing, camera: Cameras, color: str, depth: float = 0.8) -> None:
    """A pyramid from the camera's centre to its image; a triangle on the image's upper side says where up is."""
    centre, corners = camera.camera_to_world[0, :3, 3], image_corners(camera, depth)
    for corner in corners:
        drawing.line(torch.stack([centre, corner]), color, 1)
    drawing.line(torch.cat([corners, corners[:1]]), color, 2)
    upper_left, upper_right, _, lower_left = corners
    tip = (upper_left + upper_right) / 2 + 0.35 * (upper_left - lower_left)
    drawing.line(torch.stack([upper_left, tip, upper_right]), color, 2)


def draw_ground_circle(drawing: Drawing, radius: float) -> None:
    """A circle on the ground plane."""
    ring = [(radius * math.cos(t * math.pi / 36), radius * math.sin(t * math.pi / 36), 0.0) for t in range(73)]
    drawing.line(ring, CUBE_COLOR, 1)


def axes() -> str:
    """The world: axes, the cube that holds the object, the side that a photo shows."""
    drawing = Drawing("World axes", spherical_cameras((35.0,), (25.0,), 7.0, 32.0))
    draw_cube(drawing)
    draw_axes(drawing, torch.zeros(3), torch.eye(3), 1.45, ("x (front)", "y", "z (up)"))
    drawing.label([1.0, -1.0, -1.0], "(1, -1, -1)", shift=(-8, 16))
    drawing.label([1.0, 1.0, 1.0], "(1, 1, 1)", shift=(6, -14))
    return drawing.svg()


def six_views() -> str:
    """The six fixed cameras around the object."""
    drawing = Drawing("The six fixed views", spherical_cameras((-14.0,), (42.0,), 15.0, 50.0))
    cameras = six_view_cameras()
    draw_cube(drawing)
    draw_axes(drawing, torch.zeros(3), torch.eye(3), 2.2, ("x", "y", "z"))
    draw_ground_circle(drawing, 4.0)
    for index, (azimuth, elevation) in enumerate(zip(SIX_VIEW_AZIMUTHS_DEG, SIX_VIEW_ELEVATIONS_DEG, strict=True)):
        camera = cameras[index : index + 1]
        draw_camera(drawing, camera, CAMERA_COLOR)
        centre = camera.camera_to_world[:, :3, 3]
        ((x, y),) = drawing.pixels(centre)
        angle = math.atan2(y - SIZE / 2, x - SIZE / 2)  # labels stand outside, where there is room
        shift = (54 * math.cos(angle), 18 * math.sin(angle))
        drawing.label(centre, f"{index}: {azimuth:.0f}°, {elevation:.0f}°", CAMERA_COLOR, shift)
    return drawing.svg()


def photo() -> str:
    """The camera that a photo is given, beside the six fixed ones."""
    drawing = Drawing("The camera of the photo", spherical_cameras((-50.0,), (22.0,), 14.0, 42.0))
    draw_cube(drawing)
    draw_axes(drawing, torch.zeros(3), torch.eye(3), 2.2, ("x", "y", "z"))
    draw_ground_circle(drawing, 4.0)
    cameras = six_view_cameras()
    for index in range(len(cameras)):
        draw_camera(drawing, cameras[index : index + 1], "#b9aed4")
    camera = photo_camera()
    draw_camera(drawing, camera, PHOTO_COLOR)
    centre = camera.camera_to_world[0, :3, 3]
    drawing.line(torch.stack([centre, torch.zeros(3)]), PHOTO_COLOR, 1.5, "6 4")
    drawing.label(centre[None], "photo", PHOTO_COLOR, shift=(26, 20))
    return drawing.svg()


def camera_axes() -> str:
    """One camera with its own axes and its image, whose (u, v) starts at the upper left."""
    camera = spherical_cameras((0.0,), (10.0,), 4.0, 30.0)
    observer = spherical_cameras((-52.0,), (24.0,), 10.5, 38.0)
    between = observer.camera_to_world.clone()
    between[:, :3, 3] += torch.tensor([2.0, 0.0, 0.3])  # so that object and camera lie left and right of the middle
    drawing = Drawing("Camera axes and image coordinates", Cameras(between, observer.intrinsics))
    draw_cube(drawing)
    draw_camera(drawing, camera, CAMERA_COLOR, depth=1.6)
    pose = camera.camera_to_world[0]
    draw_axes(drawing, pose[:3, 3], pose[:3, :3], 0.9, ("x right", "y up", "z back"))
    upper_left, upper_right, _, lower_left = image_corners(camera, 1.6)
    drawing.label(((upper_left + upper_right) / 2)[None], "u →", TEXT_COLOR, shift=(34, -22))
    drawing.label(((upper_left + lower_left) / 2)[None], "v ↓", TEXT_COLOR, shift=(-18, 0))
    return drawing.svg()


DRAWINGS = {"axes": axes, "six-view-rig": six_views, "photo-camera": photo, "camera-axes": camera_axes}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (IMAGES / f"{name}.svg").write_text(draw(), encoding="utf-8")
