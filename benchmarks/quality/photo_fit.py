"""What fitting a mesh to its photo gives and costs, on true meshes that are photographed.

    python -m benchmarks.quality.photo_fit FOLDER ... --model tiny --out benchmarks/results/photo-fit-tiny.json

For every mesh (y up, front +z) of the folders and every elevation: a photo is rendered, a mesh is made of it with and
without `fit_photo`, both finished by default. PSNR and intersection over union of the photo's own view, from the
camera that the pipeline has for it, at 256 pixels; Chamfer distance and F-score as in `quality.py`; PSNR of its four
held-out views; seconds.
"""

import argparse
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.nn.functional import interpolate
from tqdm import tqdm

from benchmarks.quality.quality import mesh_files
from benchmarks.results_file import write_results
from instantmesh import Mesh, Pipeline, Result
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.image_metrics import psnr
from instantmesh.evaluation.inputs import PhotoPose, photo_inputs
from instantmesh.evaluation.protocol import evaluate_reconstruction, match_box, true_views
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.fitting.camera_search import compare_from
from instantmesh.structures import Cameras

SIDE_PX = 256
COLUMNS = ("chamfer", "f_score_01", "psnr_others_db", "psnr_photo_db", "iou_photo", "seconds")


def measure(result: Result, camera: Cameras, true: Mesh, seconds: float) -> dict[str, float]:
    """The numbers of one result, with the photo's camera."""
    assert result.photo_mask is not None
    photo = interpolate(result.photo[None], (SIDE_PX, SIDE_PX), mode="area")
    seen = true_views(result.mesh, camera, SIDE_PX)[0].images
    scores = evaluate_reconstruction(match_box(result.mesh, true), true)
    return {
        "chamfer": scores.geometry.chamfer,
        "f_score_01": scores.geometry.f_score_01,
        "psnr_others_db": scores.psnr_db,
        "psnr_photo_db": float(psnr(seen, photo).mean()),
        "iou_photo": compare_from(camera, result.mesh, result.photo, result.photo_mask).iou,
        "seconds": seconds,
    }


def compare(pipeline: Pipeline, true: Mesh, elevation_deg: float, *, told: bool) -> dict[str, dict[str, float]]:
    """The numbers without and with fitting, with the elevation told or found."""
    photo = photo_inputs(true, PhotoPose(0.0, elevation_deg)).photo()
    results, seconds = {}, {}
    for name, fit in (("off", False), ("on", True)):
        start = time.perf_counter()
        results[name] = pipeline(photo, seed=0, fit_photo=fit, elevation_deg=elevation_deg if told else None)
        seconds[name] = time.perf_counter() - start
    found = results["on"].photo_camera
    assert found is not None
    return {name: measure(result, found.camera, true, seconds[name]) for name, result in results.items()}


def run(arguments: argparse.Namespace) -> None:
    pipeline = Pipeline.from_pretrained(arguments.model)
    pipeline.set_progress_bar_config(disable=True)
    if arguments.unbounded:
        model = pipeline.reconstructor.model
        model.config = model.config.model_copy(update={"depth_per_width": None})
    records: list[dict[str, Any]] = []
    for folder in arguments.folders:
        for path in tqdm(mesh_files(folder), desc=folder.name):
            true = load_mesh_in_world(path)
            for elevation in arguments.elevations:
                numbers = compare(pipeline, true, elevation, told=arguments.told)
                records.append({"group": folder.name, "object": path.stem, "elevation_deg": elevation, **numbers})
    print(f"{'group':12} {'elevation':>9} {'fit':>4} " + " ".join(f"{name:>14}" for name in COLUMNS))
    means = []
    for group, elevation in dict.fromkeys((record["group"], record["elevation_deg"]) for record in records):
        own = [record for record in records if (record["group"], record["elevation_deg"]) == (group, elevation)]
        for fit in ("off", "on"):
            numbers = {name: mean(record[fit][name] for record in own) for name in COLUMNS}
            means.append({"group": group, "elevation_deg": elevation, "fit": fit, "objects": len(own), **numbers})
            row = " ".join(f"{number:14.3f}" for number in numbers.values())
            print(f"{group:12} {elevation:9.0f} {fit:>4} {row}")
    if arguments.out:
        settings = {"unbounded": arguments.unbounded, "elevation_told": arguments.told}
        write_results(arguments.out, model=arguments.model, **settings, means=means, objects=records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of mesh files, y up")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--elevations", type=float, nargs="+", default=[10.0], help="of the photos, in degrees")
    parser.add_argument("--told", action="store_true", help="the pipeline is told the elevations (elevation_deg)")
    parser.add_argument("--unbounded", action="store_true", help="without the model's bound on depth per width")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        with torch.no_grad():
            run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
