"""Textures: how long cutting, packing and colouring take, beside xatlas alone.

    python -m benchmarks.quality.texture --out benchmarks/results/texture.json

Textures of 1,024 texels for closed, wrinkled rings of 20,000, 50,000 and 200,000 faces and, as the worst case, for the
mesh of a random radiance field as large as TripoSR's: 250,000 faces in thousands of loose parts, all of them kept. Each
line has, by the clock,
    cut_s, pack_s   laying the surface flat, and placing the charts in the image
    bake_s          all of it, by another run: cutting, packing, and the colours of all texels
    projected_s     the same where xatlas gets no time at all. Once its minute is up, what is left goes this way, so
                    meshes take about a minute and this at most
    plain_s         `xatlas.parametrize` of the whole mesh in one call, which most systems make, in a process of its
                    own; it ends after --plain-limit-s, and then plain_done is false
with the number of charts, the share of the image that shows surface, and how many faces were projected plainly.
"""

import argparse
import logging
import multiprocessing
import time
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.finish import closed_ring, colored, timed
from benchmarks.results_file import write_results
from benchmarks.timing.speed import give_surface, random_model
from instantmesh import Mesh, clean, report
from instantmesh.geometry.triangles import Triangles
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.texture.bake import bake
from instantmesh.texture.charts import flattened
from instantmesh.texture.packing import packed
from instantmesh.texture.unwrap import TIME_LIMIT_S

SIZE_PX = 1024
RING_SECTIONS = (100, 158, 316)
RANDOM_MODEL = "triposr"
COLUMNS = (
    *("faces", "parts", "cut_s", "pack_s", "bake_s", "charts", "coverage", "projected_faces"),
    *("projected_s", "plain_s", "plain_done"),
)


@torch.no_grad()
def loose_parts() -> Mesh:
    """The mesh of a random radiance field, cleaned."""
    model, images, cameras = random_model(RANDOM_MODEL)
    field = model.field(model(images, cameras)[0])
    give_surface(model, field)
    return clean(Reconstructor(model).extract(field), min_component_area=0.0)[0]


def parametrize(vertices: np.ndarray, faces: np.ndarray, seconds: "Queue[float]") -> None:
    """xatlas on its own, in its own process."""
    import xatlas

    start = time.perf_counter()
    xatlas.parametrize(vertices, faces)
    seconds.put(time.perf_counter() - start)


def plain_seconds(mesh: Mesh, limit_s: float) -> float | None:
    """Seconds that xatlas takes for the whole mesh at once; None where they are more than the limit."""
    spawn = multiprocessing.get_context("spawn")
    seconds: Queue[float] = spawn.Queue()
    arrays = mesh.vertices.numpy().astype(np.float32), mesh.faces.numpy().astype(np.uint32)
    process = spawn.Process(target=parametrize, args=(*arrays, seconds), daemon=True)
    process.start()
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        return None
    if process.exitcode:
        raise SystemExit("xatlas on its own failed")
    return seconds.get()


def measure(name: str, mesh: Mesh, plain_limit_s: float) -> dict[str, Any]:
    """One row of the table."""
    (flat, _), cut_s = timed(partial(flattened, Triangles.of(mesh), TIME_LIMIT_S))
    _, pack_s = timed(partial(packed, flat, SIZE_PX))
    (_, baked), bake_s = timed(partial(bake, mesh, mesh, SIZE_PX))
    _, projected_s = timed(partial(bake, mesh, mesh, SIZE_PX, time_limit_s=0.0))
    plain_s = plain_seconds(mesh, plain_limit_s)
    return {
        "mesh": name,
        "faces": len(mesh.faces),
        "parts": report(mesh).components,
        "cut_s": cut_s,
        "pack_s": pack_s,
        "bake_s": bake_s,
        "charts": baked.charts,
        "coverage": round(baked.coverage, 3),
        "projected_faces": baked.projected_faces,
        "projected_s": projected_s,
        "plain_s": round(plain_limit_s if plain_s is None else plain_s, 1),
        "plain_done": plain_s is not None,
    }


def table_line(row: dict[str, Any]) -> str:
    return f"{row['mesh']:<14}" + "".join(f"{row[name]!s:>{len(name) + 3}}" for name in COLUMNS)


def main() -> None:
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain-limit-s", type=float, default=300, help="for xatlas alone, a mesh (default 300)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    arguments = parser.parse_args()
    few = colored(*closed_ring(8))
    bake(few, few, 64)  # imports are no part of the first row's time
    meshes = {"wavy ring": [colored(*closed_ring(n)) for n in RING_SECTIONS], "loose parts": [loose_parts()]}
    print(table_line({"mesh": ""} | {name: name for name in COLUMNS}))
    rows: list[dict[str, Any]] = []
    for name, mesh in ((name, mesh) for name, group in meshes.items() for mesh in group):
        rows.append(measure(name, mesh, arguments.plain_limit_s))
        print(table_line(rows[-1]), flush=True)
    if arguments.out:
        settings = {"size_px": SIZE_PX, "time_limit_s": TIME_LIMIT_S, "plain_limit_s": arguments.plain_limit_s}
        write_results(arguments.out, settings=settings, rows=rows)


if __name__ == "__main__":
    main()
