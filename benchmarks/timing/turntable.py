"""Films and pages: how long they take, and how large they are.

    python -m benchmarks.timing.turntable --out benchmarks/results/turntable.json

The mesh is a ring of 20,000 faces with a texture of 1024 texels. Films are turntables of --frames frames at 512 pixels
in each format; beside them stands a frame with all of its background. A page is the viewer's, with the texture and with
vertex colours. Last comes a frame of volume rendering at 128 pixels, of a random field as large as instant-nerf-base's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from trimesh.creation import torus

from benchmarks.results_file import write_results
from instantmesh import Mesh
from instantmesh.cameras import orbit_cameras
from instantmesh.errors import InstantMeshError
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.lrm.heads import RadianceField, RadianceHead
from instantmesh.lrm.triplane import LRM_PLANE_AXES
from instantmesh.render.shading import render_shaded
from instantmesh.render.turntable import turntable
from instantmesh.render.volume import render_field
from instantmesh.texture.bake import bake
from instantmesh.viewer.page import viewer_html

SIZE_PX, TEXTURE_PX, FIELD_SIZE_PX = 512, 1024, 128
SAMPLED_FRAMES = 6


def timed(step: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `step` returns; its seconds, and the processors' together, which other work hardly changes."""
    start, start_busy = time.perf_counter(), time.process_time()
    result = step()
    seconds, busy = time.perf_counter() - start, time.process_time() - start_busy
    return result, {"seconds": round(seconds, 3), "processor_seconds": round(busy, 3)}


def textured_ring() -> Mesh:
    """A ring of 20,000 faces, striped in its texture."""
    made = torus(major_radius=0.7, minor_radius=0.25, major_sections=100, minor_sections=100)
    places = torch.tensor(made.vertices, dtype=torch.float32)
    mesh = Mesh(places, torch.tensor(made.faces), (places / 2 + 0.5).clamp(0, 1))
    return bake(mesh, mesh, TEXTURE_PX, color_field=lambda points: (20 * points).sin() / 2 + 0.5)[0]


def films(mesh: Mesh, frames: int) -> dict[str, dict[str, float]]:
    """Times and bytes of a film in each format."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("mp4", "webm", "gif"):
            write = partial(turntable, mesh, Path(folder) / f"film.{ending}", frames=frames, size_px=SIZE_PX)
            path, times = timed(write)
            rows[ending] = {**times, "bytes": path.stat().st_size}
    return rows


def whole_frame(mesh: Mesh) -> dict[str, float]:
    """Times of an image whose background is rendered too, as a film would need them without its crop."""
    placed, cameras = to_unit_sphere(mesh), orbit_cameras(SAMPLED_FRAMES)
    _, times = timed(
        lambda: [render_shaded(placed, cameras[i : i + 1], SIZE_PX, SIZE_PX).color() for i in range(SAMPLED_FRAMES)]
    )
    return {name: round(value / SAMPLED_FRAMES, 3) for name, value in times.items()}


def page(mesh: Mesh) -> dict[str, float]:
    """Times and bytes of the viewer's page."""
    text, times = timed(partial(viewer_html, mesh))
    return {**times, "bytes": len(text)}


@torch.no_grad()
def field_frame() -> dict[str, float]:
    """Times of one small frame of volume rendering."""
    torch.manual_seed(0)
    field = RadianceField(torch.randn(3, 40, 64, 64), RadianceHead(40), LRM_PLANE_AXES)
    size = (FIELD_SIZE_PX, FIELD_SIZE_PX)
    return timed(lambda: render_field(field, orbit_cameras(1), *size, samples=128))[1]


def run(arguments: argparse.Namespace) -> None:
    mesh = textured_ring()
    with tempfile.TemporaryDirectory() as folder:  # imports are no part of any time
        turntable(mesh, Path(folder) / "warm-up.mp4", frames=2, size_px=64)
    figures = {
        **films(mesh, arguments.frames),
        "whole frame": whole_frame(mesh),
        "page with texture": page(mesh),
        "page with vertex colours": page(Mesh(mesh.vertices, mesh.faces, mesh.vertex_colors)),
        "frame of a field": field_frame(),
    }
    for name, row in figures.items():
        print(f"{name:<26}" + "".join(f"{value:>12,} {unit.replace('_', ' ')}" for unit, value in row.items()))
    if arguments.out:
        settings = {
            "faces": len(mesh.faces),
            "frames": arguments.frames,
            "size_px": SIZE_PX,
            "texture_px": TEXTURE_PX,
            "field_size_px": FIELD_SIZE_PX,
        }
        write_results(arguments.out, settings=settings, figures=figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=120, help="of each film (default 120)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
