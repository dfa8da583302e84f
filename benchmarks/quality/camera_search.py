"""How exactly a photo's camera is found against the true mesh.

    python -m benchmarks.quality.camera_search FOLDER ... --out benchmarks/results/camera-search.json

Every mesh (y up, front +z) of the folders is photographed from random elevations between -10 and 45 degrees; the photo
is cropped to the object as the pipeline does it, and `find_camera` looks for its camera. Counted are those within 2
degrees of elevation and 1 % of scale.
"""

import argparse
import random
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from tqdm import tqdm

from benchmarks.quality.quality import mesh_files
from benchmarks.results_file import write_results
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.inputs import PHOTO_SIZE_PX, PhotoPose, photo_inputs
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.fitting.camera_search import find_camera
from instantmesh.images import prepare_photo
from instantmesh.structures import Mesh

LOWEST_DEG, HIGHEST_DEG = -10.0, 45.0
NEAR_DEG, NEAR_SCALE = 2.0, 0.01
MEDIANS = ("elevation_error_deg", "azimuth_error_deg", "scale_error", "seconds")


def search(true: Mesh, elevation_deg: float) -> dict[str, float]:
    """The errors of one search."""
    photo = prepare_photo(photo_inputs(true, PhotoPose(0.0, elevation_deg)).photo(), background="alpha")
    assert photo.mask is not None
    start = time.perf_counter()
    found = find_camera(true, photo.image, photo.mask)
    return {
        "elevation_deg": elevation_deg,
        "elevation_error_deg": abs(found.elevation_deg - elevation_deg),
        "azimuth_error_deg": abs(found.azimuth_deg),
        "scale_error": abs(found.zoom * photo.image.shape[-1] / PHOTO_SIZE_PX - 1),
        "iou": found.iou,
        "seconds": time.perf_counter() - start,
    }


def run(arguments: argparse.Namespace) -> None:
    draws = random.Random(arguments.seed)
    records: list[dict[str, Any]] = []
    for path in tqdm([path for folder in arguments.folders for path in mesh_files(folder)]):
        true = load_mesh_in_world(path)
        elevations = [draws.uniform(LOWEST_DEG, HIGHEST_DEG) for _ in range(arguments.photos)]
        records += [{"object": path.stem, **search(true, elevation)} for elevation in elevations]
    near = [x["elevation_error_deg"] < NEAR_DEG and x["scale_error"] < NEAR_SCALE for x in records]
    summary = {
        "photos": len(records),
        "within_2_deg_and_1_percent": mean(near),
        **{f"median_{name}": median(x[name] for x in records) for name in MEDIANS},
    }
    for name, number in summary.items():
        print(f"{name:32} {number:.4g}")
    if arguments.out:
        write_results(arguments.out, summary=summary, photos=records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of mesh files, y up")
    parser.add_argument("--photos", type=int, default=2, help="of each mesh (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the elevations")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
