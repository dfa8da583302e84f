"""Finishing: the time of each step, and how good meshes are before and after it.

    python -m benchmarks.quality.finish --meshes FOLDER --out benchmarks/results/finish.json

For the mesh files (y up, front +z) of a folder, a model's meshes from six true views are finished: cleaned, simplified
to --target-faces, made solid, textured (--texture-size), written as GLB. Before it is the mesh as it was extracted,
coloured at its vertices. Beside the seconds of steps stand, before and after: Chamfer distance and F-score at 0.1 to
the true mesh (each scaled into [-1, 1]^3), PSNR in four other views, loose parts and open edges; and how far
simplification is off.

Then come, without any truth to compare with, the mesh of a model of official size with random weights (two thousand
loose parts, all of them kept), and a wavy ring of 204,800 faces with debris, a hole and faces turned over; all
simplified to 20,000 faces.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trimesh.creation import icosphere, torus

from benchmarks.results_file import write_results
from benchmarks.timing.speed import give_surface, random_model
from instantmesh import clean, make_watertight, report, simplify
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.evaluation.protocol import evaluate_reconstruction, true_views
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS, load_mesh_in_world
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.structures import ColorField, Mesh, Views
from instantmesh.texture.bake import bake

RING_SECTIONS = 320
MANY_FACES = 20_000
RANDOM_MODELS = ("instant-mesh-base",)
COLUMNS = (
    *("faces_before", "faces_after", "parts_before", "boundary_edges_before", "boundary_edges_after"),
    *("clean_s", "simplify_s", "watertight_s", "texture_s", "glb_s", "report_s", "mean_error", "max_error"),
    *("cd_before", "cd_after", "f01_before", "f01_after", "psnr_before", "psnr_after"),
)


def timed(step: Callable[[], Any]) -> tuple[Any, float]:
    """What `step` returns, and its seconds."""
    start = time.perf_counter()
    result = step()
    return result, round(time.perf_counter() - start, 3)


def closed_ring(sections: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a wrinkled ring, 2 sections^2 of them."""
    made = torus(major_radius=0.7, minor_radius=0.2, major_sections=sections, minor_sections=sections)
    x, y, z = made.vertices.T
    return made.vertices * (1 + 0.02 * np.sin(9 * np.arctan2(y, x)) * np.cos(20 * z))[:, None], made.faces


def wavy_ring() -> Mesh:
    """A ring of 204,800 faces with a hole, a tenth of its faces turned over, and 50 balls of debris."""
    places, faces = closed_ring(RING_SECTIONS)
    rng = np.random.default_rng(0)
    faces = np.where(rng.random(len(faces))[:, None] < 0.1, faces[:, ::-1], faces)[60:]
    ball = icosphere(subdivisions=2, radius=0.01)
    vertices = [places, *(ball.vertices + rng.uniform(-1, 1, 3) for _ in range(50))]
    starts = len(places) + len(ball.vertices) * np.arange(50)
    every = np.concatenate([faces, *(ball.faces + start for start in starts)])
    return colored(np.concatenate(vertices), every)


def colored(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """A mesh whose vertices have the colours of their places."""
    places = torch.tensor(vertices, dtype=torch.float32)
    return Mesh(places, torch.tensor(np.ascontiguousarray(faces)).long(), (places / 4 + 0.5).clamp(0, 1))


def measure(
    name: str,
    mesh: Mesh,
    target_faces: int,
    texture_size: int,
    color_field: ColorField | None = None,
    views: Views | None = None,
    min_component_area: float = 1.0,
) -> tuple[dict[str, Any], Mesh]:
    """One row of the table, and the finished mesh."""
    before, report_s = timed(lambda: report(mesh))
    (cleaned, _), clean_s = timed(lambda: clean(mesh, min_component_area=min_component_area))
    (small, simplified), simplify_s = timed(lambda: simplify(cleaned, target_faces, color_field=color_field))
    (solid, _), watertight_s = timed(lambda: make_watertight(small))
    (textured, baked), texture_s = timed(lambda: bake(solid, mesh, texture_size, color_field=color_field, views=views))
    with tempfile.TemporaryDirectory() as folder:
        _, glb_s = timed(lambda: textured.save(Path(folder) / "mesh.glb"))
    after = report(textured)
    row = {
        "mesh": name,
        "faces_before": before.faces,
        "faces_after": after.faces,
        "parts_before": before.components,
        "boundary_edges_before": before.boundary_edges,
        "boundary_edges_after": after.boundary_edges,
        "clean_s": clean_s,
        "simplify_s": simplify_s,
        "watertight_s": watertight_s,
        "texture_s": texture_s,
        "glb_s": glb_s,
        "report_s": report_s,
        "mean_error": round(simplified.mean_error, 5),
        "max_error": round(simplified.max_error, 5),
        "texture": str(baked),
    }
    return row, textured


def scores(mesh: Mesh, true: Mesh, when: str) -> dict[str, float]:
    """Of a mesh against the truth, under the table's names."""
    found = evaluate_reconstruction(mesh, true)
    return {
        f"cd_{when}": round(found.geometry.chamfer, 4),
        f"f01_{when}": round(found.geometry.f_score_01, 3),
        f"psnr_{when}": round(found.psnr_db, 2),
    }


def table_line(row: dict[str, Any]) -> str:
    return f"{row['mesh']:<28}" + "".join(f"{row.get(name, '-')!s:>{len(name) + 2}}" for name in COLUMNS)


@torch.no_grad()
def run(arguments: argparse.Namespace) -> None:
    files = sorted(p for p in arguments.meshes.glob("*") if p.suffix.lower() in TRUE_MESH_ENDINGS)
    if not files:
        raise InputError(f"{arguments.meshes} is no folder with meshes ({', '.join(TRUE_MESH_ENDINGS)})")
    reconstructor = Pipeline.from_pretrained(arguments.model, multiview=False).reconstructor
    rows: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        print(table_line(row), flush=True)

    warm_up = colored(np.eye(4, 3), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    measure("", warm_up, 4, 64)  # imports are no part of the first row's time
    print(table_line({"mesh": ""} | {name: name for name in COLUMNS}))
    for path in files:
        true = load_mesh_in_world(path)
        views, _ = true_views(true, six_view_cameras(), arguments.view_size)
        field = reconstructor.encode(views)
        mesh = reconstructor.extract(field).to("cpu")
        row, textured = measure(path.stem, mesh, arguments.target_faces, arguments.texture_size, field.colors, views)
        add(row | scores(mesh, true, "before") | scores(textured, true, "after"))
    for name in RANDOM_MODELS:
        model, images, cameras = random_model(name)
        field = model.field(model(images, cameras)[0])
        give_surface(model, field)
        mesh = Reconstructor(model).extract(field)
        add(
            measure(f"{name}, random", mesh, MANY_FACES, arguments.texture_size, field.colors, min_component_area=0.0)[
                0
            ]
        )
    add(measure("wavy ring", wavy_ring(), MANY_FACES, arguments.texture_size)[0])
    if arguments.out:
        names = ("model", "target_faces", "texture_size", "view_size")
        settings = {name: getattr(arguments, name) for name in names}
        write_results(arguments.out, settings=settings, rows=rows)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, required=True, help="folder of mesh files, y up")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--target-faces", type=int, default=4000, help="of the model's meshes (default 4000)")
    parser.add_argument("--texture-size", type=int, default=1024, help="side in texels (default 1024)")
    parser.add_argument("--view-size", type=int, default=320, help="side of the true views in pixels (default 320)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
