"""Meshes from four photos whose cameras aren't known: with cameras as the labels say, as found, and as they were.

    python -m benchmarks.quality.photo_sets MESHES [SCANS ...] --out benchmarks/results/photo-sets-tiny.json

True meshes are photographed from the front, the left, the back and the right, from elevations between 0 and 30 degrees
and at sizes that nobody tells (with --azimuth-error also from wrong sides, all but the front). The reconstruction gets
the cut-outs, each cropped by itself. Chamfer distance and F-score after InstantMesh's protocol (each mesh scaled into
[-1, 1]^3 by its own box), and errors of the cameras.
"""

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.quality.quality import cut_out, mesh_files
from benchmarks.results_file import write_results
from instantmesh.cameras import elevations_deg, spherical_cameras
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.fitting.photo_set import SIDES_DEG, PhotoSet, SidePhoto, first_guess, pose_photos
from instantmesh.images.photo import prepare_photo
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.structures import Mesh

SIDES = ("front", "left", "back", "right")
HIGHEST_DEG = 30.0
RADIUS = (3.9, 6.0)  # nearer, the object would be cut off
PHOTO_SIZE_PX = 320


def measure(pipe: Pipeline, true: Mesh, azimuth_error_deg: float, rng: np.random.Generator) -> dict[str, Any]:
    """Scores of one object's meshes, and how far its cameras are from the true ones."""
    model, photos, exact = pipe.reconstructor.model, [], []
    for side in SIDES:
        elevation, radius = float(rng.uniform(0, HIGHEST_DEG)), float(rng.uniform(*RADIUS))
        azimuth = SIDES_DEG[side] + (0 if side == "front" else float(rng.uniform(-1, 1)) * azimuth_error_deg)
        views, masks = true_views(true, spherical_cameras([azimuth], [elevation], radius, 30.0), PHOTO_SIZE_PX)
        photo = prepare_photo(cut_out(views, masks))
        assert photo.mask is not None
        guess = float(elevations_deg(model.photo_view(photo.image).known_cameras))
        photos.append(SidePhoto(side, SIDES_DEG[side], guess, photo.image, photo.mask))
        exact.append((azimuth, elevation))
    azimuths, elevations = zip(*exact, strict=True)
    usual = spherical_cameras(azimuths, elevations, 4.0, 30.0)
    start = time.perf_counter()
    found = pose_photos(photos, pipe.reconstructor)
    seconds = time.perf_counter() - start
    first = first_guess(photos, pipe.reconstructor)
    meshes = {
        "labels": pipe.reconstructor(first.views),
        "found": pipe.reconstructor(found.views),
        "exact": pipe.reconstructor(true_views(true, usual, PHOTO_SIZE_PX)[0]),
    }
    row: dict[str, Any] = {"seconds": seconds, **_errors("labels", first, exact), **_errors("found", found, exact)}
    for name, mesh in meshes.items():
        scores = geometry_scores(mesh, true)
        row |= {f"{name}_chamfer": scores.chamfer, f"{name}_f_score_01": scores.f_score_01}
    return row


def _errors(name: str, found: PhotoSet, exact: list[tuple[float, float]]) -> dict[str, float]:
    """Mean errors of azimuth and elevation, and the outlines' agreement."""
    pairs = list(zip(found.cameras, exact, strict=True))
    azimuths = [abs((camera.azimuth_deg - azimuth + 180) % 360 - 180) for camera, (azimuth, _) in pairs]
    elevations = [abs(camera.elevation_deg - elevation) for camera, (_, elevation) in pairs]
    return {
        f"{name}_azimuth_error_deg": float(np.mean(azimuths)),
        f"{name}_elevation_error_deg": float(np.mean(elevations)),
        f"{name}_iou": found.iou,
    }


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of mesh files, y up")
    parser.add_argument("--model", default="tiny", help="a model that takes several views")
    parser.add_argument("--azimuth-error", type=float, default=0.0, help="largest of the labels, in degrees")
    parser.add_argument("--seed", type=int, default=0, help="of elevations and distances")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    arguments = parser.parse_args()
    try:
        pipe = Pipeline.from_pretrained(arguments.model, multiview=False)
        rng, groups = np.random.default_rng(arguments.seed), {}
        for folder in arguments.folders:
            rows = []
            for path in tqdm(mesh_files(folder)):
                numbers = measure(pipe, load_mesh_in_world(path), arguments.azimuth_error, rng)
                rows.append({"object": path.stem, **numbers})
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "object"}
            groups[folder.name] = {"means": means, "objects": rows}
            print(folder.name, *(f"{key} {value:.3f}" for key, value in means.items()), sep="\n    ")
        settings = {name: getattr(arguments, name) for name in ("model", "seed", "azimuth_error")}
        write_results(arguments.out, settings=settings, groups=groups)
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
