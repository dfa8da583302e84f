"""Finishing: the time of each step, and how good meshes are before and after it.

    python benchmarks/finish.py --meshes FOLDER --out benchmarks/results/finish.json

For the mesh files (y up, front +z) of a folder, a model's meshes from six true views are finished: cleaned, simplified
to --target-faces, made solid, and reported on. Beside each step's seconds stand Chamfer distance and F-score at 0.1
against the true mesh (each scaled into [-1, 1]^3), loose parts, open edges and how far simplification is off. The last
row is a wavy ring of 204,800 faces with debris, a hole and faces turned over, simplified to 20,000.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trimesh.creation import icosphere, torus

from instantmesh import clean, make_watertight, report, simplify
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.report import machine
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS, load_mesh_in_world
from instantmesh.files.atomic import write_bytes
from instantmesh.pipeline import Pipeline
from instantmesh.structures import Mesh

VIEW_SIZE_PX = 96
RING_SECTIONS = 320
COLUMNS = (
    *("faces_before", "faces_after", "parts_before", "open_before", "open_after"),
    *("clean_s", "simplify_s", "watertight_s", "report_s", "mean_error", "max_error"),
    *("cd_before", "cd_after", "f01_before", "f01_after"),
)


def timed(step: Callable[[], Any]) -> tuple[Any, float]:
    """What `step` returns, and its seconds."""
    start = time.perf_counter()
    result = step()
    return result, round(time.perf_counter() - start, 3)


def wavy_ring() -> tuple[Mesh, Mesh]:
    """A ring of 204,800 faces with a hole, a tenth of its faces turned over, and 50 balls of debris; and it without."""
    made = torus(major_radius=0.7, minor_radius=0.2, major_sections=RING_SECTIONS, minor_sections=RING_SECTIONS)
    x, y, z = made.vertices.T
    places = made.vertices * (1 + 0.02 * np.sin(9 * np.arctan2(y, x)) * np.cos(20 * z))[:, None]
    rng = np.random.default_rng(0)
    faces = np.where(rng.random(len(made.faces))[:, None] < 0.1, made.faces[:, ::-1], made.faces)[60:]
    ball = icosphere(subdivisions=2, radius=0.01)
    vertices = [places, *(ball.vertices + rng.uniform(-1, 1, 3) for _ in range(50))]
    starts = len(places) + len(ball.vertices) * np.arange(50)
    every = np.concatenate([faces, *(ball.faces + start for start in starts)])
    return _colored(np.concatenate(vertices), every), _colored(places, made.faces)


def _colored(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    places = torch.tensor(vertices, dtype=torch.float32)
    return Mesh(places, torch.tensor(np.ascontiguousarray(faces)).long(), (places / 4 + 0.5).clamp(0, 1))


def measure(name: str, mesh: Mesh, true: Mesh, target_faces: int) -> dict[str, Any]:
    """One row of the table."""
    before, report_s = timed(lambda: report(mesh))
    (cleaned, _), clean_s = timed(lambda: clean(mesh))
    (small, simplified), simplify_s = timed(lambda: simplify(cleaned, target_faces))
    (solid, _), watertight_s = timed(lambda: make_watertight(small))
    after = report(solid)
    scores, new_scores = geometry_scores(mesh, true), geometry_scores(solid, true)
    return {
        "mesh": name,
        "faces_before": before.faces,
        "faces_after": after.faces,
        "parts_before": before.components,
        "open_before": before.open_edges,
        "open_after": after.open_edges,
        "clean_s": clean_s,
        "simplify_s": simplify_s,
        "watertight_s": watertight_s,
        "report_s": report_s,
        "mean_error": round(simplified.mean_error, 5),
        "max_error": round(simplified.max_error, 5),
        "cd_before": round(scores.chamfer, 4),
        "cd_after": round(new_scores.chamfer, 4),
        "f01_before": round(scores.f_score_01, 3),
        "f01_after": round(new_scores.f_score_01, 3),
    }


def table_line(row: dict[str, Any]) -> str:
    return f"{row['mesh']:<12}" + "".join(f"{row[name]!s:>{len(name) + 2}}" for name in COLUMNS)


def run(arguments: argparse.Namespace) -> None:
    files = sorted(p for p in arguments.meshes.glob("*") if p.suffix.lower() in TRUE_MESH_ENDINGS)
    if not files:
        raise InputError(f"{arguments.meshes} is no folder with meshes ({', '.join(TRUE_MESH_ENDINGS)})")
    pipeline = Pipeline.from_pretrained(arguments.model, multiview=False)
    clean(_colored(np.eye(4, 3), np.array([[0, 1, 2], [0, 2, 3]])))  # imports are no part of the first row's time
    print(table_line({"mesh": ""} | {name: name for name in COLUMNS}))
    rows = []
    for path in files:
        true = load_mesh_in_world(path)
        mesh = pipeline.reconstructor(true_views(true, six_view_cameras(), VIEW_SIZE_PX)[0])
        rows.append(measure(path.stem, mesh.to("cpu"), true, arguments.target_faces))
        print(table_line(rows[-1]), flush=True)
    rows.append(measure("wavy ring", *wavy_ring(), target_faces=20_000))
    print(table_line(rows[-1]))
    if arguments.out:
        settings = {"model": arguments.model, "target_faces": arguments.target_faces}
        text = json.dumps({"machine": machine(), "settings": settings, "rows": rows}, indent=1)
        write_bytes(arguments.out, text.encode() + b"\n")


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, required=True, help="folder of mesh files, y up")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--target-faces", type=int, default=4000, help="of the model's meshes (default 4000)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
