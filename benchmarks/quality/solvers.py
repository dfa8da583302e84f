"""Fewer denoising steps: how good are the views and the meshes, beside those of the exact mode?

    python -m benchmarks.quality.solvers --model tiny --out benchmarks/results/solvers-tiny.json

Solvers with noise and without give different images of the same seed, so they are judged by the truth, not by each
other: held-out procedural objects are photographed once, the six views are sampled in every mode with several seeds and
reconstructed. PSNR is that of the generated views against the object's true views; Chamfer distance and F-score at 0.1
are those of `quality.py`. Beside each mean stand its difference to the exact mode (the first row) and that difference's
standard error over objects; in the first row, the mean difference between two seeds of the same object.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.quality.procedural_meshes import procedural_mesh
from benchmarks.quality.quality import PHOTO_SIZE_PX, cut_out
from benchmarks.results_file import write_results
from instantmesh.cameras import six_view_cameras
from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.evaluation.image_metrics import psnr
from instantmesh.evaluation.protocol import evaluate_reconstruction, match_box, query_camera, true_views
from instantmesh.files.image_files import to_pil, untile
from instantmesh.images import prepare
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.structures import Views

MODES: dict[str, dict[str, Any]] = {
    "exact: euler-ancestral, 75 steps": {"num_inference_steps": 75},
    "euler-ancestral, 24": {"num_inference_steps": 24},
    "dpm++, 28": {"num_inference_steps": 28, "solver": "dpm++"},
    "dpm++, 20": {"num_inference_steps": 20, "solver": "dpm++"},
    "unipc, 20": {"num_inference_steps": 20, "solver": "unipc"},
    "dpm++, 20, reference every 2": {"num_inference_steps": 20, "solver": "dpm++", "reference_every": 2},
    "dpm++, 20, reference every 4": {"num_inference_steps": 20, "solver": "dpm++", "reference_every": 4},
}
QUANTITIES = {"psnr_db": "PSNR of views", "chamfer": "CD", "f_score_01": "F@0.1"}

Scores = dict[str, list[float]]
"""Of one object in one mode: by quantity, a number for each seed."""


def scored(pipeline: Pipeline, stage: Any, seed: int, seeds: int) -> Iterator[tuple[str, Scores]]:
    """(mode, scores) of a held-out object in every mode. Seconds are those of the views, of processor time."""
    true = procedural_mesh(seed)
    query, mask = true_views(true, query_camera(), PHOTO_SIZE_PX)
    photo = to_pil(prepare(cut_out(query, mask)))
    expected, _ = true_views(true, six_view_cameras(), stage.config["tile_size_px"])
    for mode, settings in MODES.items():
        scores: Scores = {name: [] for name in (*QUANTITIES, "seconds")}
        for k in range(seeds):
            start = time.process_time()
            sheet = stage(photo, generator=torch.Generator().manual_seed(k), output_type="pt", **settings).images[0]
            scores["seconds"].append(time.process_time() - start)
            views = Views(untile(sheet, rows=3, columns=2), six_view_cameras())
            geometry = evaluate_reconstruction(match_box(pipeline.reconstruct(views), true), true).geometry
            scores["psnr_db"].append(float(psnr(views.images, expected.images).mean()))
            scores["chamfer"].append(geometry.chamfer)
            scores["f_score_01"].append(geometry.f_score_01)
        yield mode, scores


def summary(objects: dict[str, list[Scores]]) -> list[dict[str, Any]]:
    """A row for each mode: means, differences to the first mode, their standard errors."""
    exact = next(iter(objects.values()))
    rows = []
    for mode, scores in objects.items():
        row: dict[str, Any] = {"mode": mode, "seconds": _rounded(_mean(x["seconds"] for x in scores))}
        for name in QUANTITIES:
            row[name] = _rounded(_mean(x[name] for x in scores))
            if scores is exact:
                pairs = [abs(a - b) for x in scores for a, b in itertools.combinations(x[name], 2)]
                row[f"{name}_between_seeds"] = _rounded(statistics.fmean(pairs))
                continue
            means = ([statistics.fmean(x[name]) for x in group] for group in (scores, exact))
            differences = [a - b for a, b in zip(*means, strict=True)]
            row[f"{name}_difference"] = _rounded(statistics.fmean(differences))
            row[f"{name}_error"] = _rounded(statistics.stdev(differences) / len(differences) ** 0.5)
        rows.append(row)
    return rows


def _mean(groups: Iterator[list[float]]) -> float:
    return statistics.fmean(number for group in groups for number in group)


def _rounded(number: float) -> float:
    return round(number, 4)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [f"| mode | seconds | {' | '.join(QUANTITIES.values())} |", "|---|---|" + "---|" * len(QUANTITIES)]
    for row in rows:
        cells = []
        for name in QUANTITIES:
            between = row.get(f"{name}_between_seeds")
            if between is None:
                note = f"{row[f'{name}_difference']:+.3f} ± {row[f'{name}_error']:.3f}"
            else:
                note = f"seeds differ by {between:.3f}"
            cells.append(f"{row[name]:.3f} ({note})")
        lines.append(f"| {row['mode']} | {row['seconds']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--objects", type=int, default=8, help="held-out procedural objects, 2 or more (default 8)")
    parser.add_argument("--seeds", type=int, default=2, help="of each object and mode, 2 or more (default 2)")
    parser.add_argument("--out", type=Path, help="write the rows there as JSON")
    arguments = parser.parse_args()
    if min(arguments.objects, arguments.seeds) < 2:
        parser.error("--objects and --seeds must be 2 or more")
    pipeline = Pipeline.from_pretrained(arguments.model, multiview=True)
    stage: Any = pipeline.multiview.pipeline  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    stage.set_progress_bar_config(disable=True)
    objects: dict[str, list[Scores]] = {mode: [] for mode in MODES}
    for index in tqdm(range(arguments.objects)):
        for mode, scores in scored(pipeline, stage, HELD_OUT_SEED + index, arguments.seeds):
            objects[mode].append(scores)
    rows = summary(objects)
    print(table(rows))
    settings = {"model": arguments.model, "objects": arguments.objects, "seeds": arguments.seeds}
    write_results(arguments.out, **settings, rows=rows)


if __name__ == "__main__":
    main()
