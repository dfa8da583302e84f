"""Whether results are usable as they come: the census's classes of defects, counted over many.

    python -m benchmarks.quality.finished_defects --photos FOLDER --meshes FOLDER ... --seeds 10 --out FILE

Results with default options: of every photo in a folder, of every mesh (y up) of other folders photographed, and from
views that the multiview stage paints of the first photo from several seeds. Printed are how many results have each
class of `evaluation.metrics.defects`, and seconds.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.quality.quality import mesh_files
from benchmarks.results_file import write_results
from instantmesh import Mesh, Pipeline
from instantmesh.cli.files import find_photos
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.inputs import PhotoPose, photo_inputs
from instantmesh.evaluation.metrics.defects import DEFECTS, mesh_defects
from instantmesh.evaluation.true_meshes import load_mesh_in_world

Made = tuple[str, Callable[[], Mesh]]


def results(pipeline: Pipeline, photos: list[Path], meshes: list[Path], seeds: int) -> Iterator[Made]:
    """(name, what makes the mesh) of every result."""
    for photo in photos:
        yield photo.stem, lambda photo=photo: pipeline(photo).mesh
    for path in meshes:
        image = photo_inputs(load_mesh_in_world(path), PhotoPose()).photo()
        yield path.stem, lambda image=image: pipeline(image).mesh
    for seed in range(seeds):
        yield f"seed {seed}", partial(painted, pipeline, photos[0], seed)


def painted(pipeline: Pipeline, photo: Path, seed: int) -> Mesh:
    """A mesh from painted views."""
    return pipeline.reconstruct(pipeline.generate_views(pipeline.prepare(photo), seed=seed, fast=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--photos", type=Path, required=True, help="folder of images")
    parser.add_argument("--meshes", type=Path, nargs="*", default=[], help="folders of mesh files, y up")
    parser.add_argument("--seeds", type=int, default=10, help="of painted views (default 10)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    arguments = parser.parse_args()
    try:
        pipeline = Pipeline.from_pretrained(arguments.model, multiview=True)
        pipeline.set_progress_bar_config(disable=True)
        meshes = [path for folder in arguments.meshes for path in mesh_files(folder)]
        records: list[dict[str, Any]] = []
        for name, make in tqdm(results(pipeline, find_photos([arguments.photos]), meshes, arguments.seeds)):
            start = time.perf_counter()
            found = mesh_defects(make())
            seconds = time.perf_counter() - start
            records.append({"result": name, "classes": found.classes(), "seconds": seconds, **vars(found)})
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error
    counts = Counter(name for record in records for name in record["classes"])
    for name in DEFECTS:
        print(f"{name:22} {counts[name]:3} of {len(records)}")
    print(f"median seconds         {median(record['seconds'] for record in records):.1f}")
    write_results(arguments.out, counts={name: counts[name] for name in DEFECTS}, results=records)


if __name__ == "__main__":
    main()
