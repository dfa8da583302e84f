"""How good the meshes are: a model against baselines that need no learning, on objects it has never seen.

    python -m benchmarks.quality.quality --model tiny --meshes FOLDER --out benchmarks/results/quality.json

For held-out procedural objects, and for the mesh files (y up, front +z) of a folder, it makes meshes
    from six true views     by the reconstruction model, and by the visual hull of the same views,
    from one true image     by the pipeline (several seeds, all counted), and as a ball of the silhouette's size,
and prints Chamfer distance and F-scores (each mesh moved and scaled into [-1, 1]^3 by its own bounding box, 16,000
points on each, mean of both directions, not squared), PSNR and SSIM of four other views at 128 pixels, PSNR of the
photo's own view, and seconds. A photo's mesh is brought to the true bounding box's centre and size before its images
are taken: one image tells neither.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.quality.procedural_meshes import held_out_objects, procedural_mesh
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import EmptySurfaceError, InputError, InstantMeshError
from instantmesh.evaluation.baselines import silhouette_ball, visual_hull
from instantmesh.evaluation.protocol import evaluate_reconstruction, match_box, query_camera, true_views
from instantmesh.evaluation.report import Record, means_table, objects_table, write_report
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS, load_mesh_in_world
from instantmesh.files.image_files import to_pil, write_image
from instantmesh.render.preview import preview_sheet
from instantmesh.structures import Mesh, Views

PHOTO_SIZE_PX = 320
SHEET_SIZE_PX = 192


class Result(Protocol):
    @property
    def mesh(self) -> Mesh: ...


class Chain(Protocol):
    """What is measured: `instantmesh.Pipeline`, or anything that does the same."""

    def __call__(self, photo: Image.Image, *, seed: int) -> Result: ...

    def reconstruct(self, views: Views) -> Mesh: ...


def objects(count: int, folder: Path | None) -> Iterator[tuple[str, str, Mesh]]:
    """(group, name, true mesh) of `count` held-out procedural objects and of every mesh file in `folder`."""
    for name, seed in held_out_objects(count).items():
        yield "procedural", name, procedural_mesh(seed)
    for path in mesh_files(folder) if folder else []:
        yield "meshes", path.stem, load_mesh_in_world(path)


def mesh_files(folder: Path) -> list[Path]:
    """The mesh files of a folder, by name.

    Raises:
        InputError: no such folder, or no mesh in it.
    """
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in TRUE_MESH_ENDINGS)
    if not found:
        raise InputError(f"{folder} is no folder with meshes ({', '.join(TRUE_MESH_ENDINGS)})")
    return found


def cut_out(views: Views, masks: torch.Tensor) -> Image.Image:
    """The first view as a photograph whose background has been removed: RGBA, straight alpha."""
    image, mask = views.images[0], masks[0]
    color = torch.where(mask > 0, (image - (1 - mask)) / mask.clamp(min=1e-3), image)
    return to_pil(torch.cat([color, mask]))


def methods(chain: Chain | None, true: Mesh, size_px: int, seeds: range) -> list[tuple[str, str, Callable[[], Mesh]]]:
    """What is to be made: given, method, and what makes one mesh."""
    views, masks = true_views(true, six_view_cameras(), size_px)
    query, query_mask = true_views(true, query_camera(), PHOTO_SIZE_PX)
    photo = cut_out(query, query_mask)
    made: list[tuple[str, str, Callable[[], Mesh]]] = []
    if chain is not None:
        made.append(("six views", "reconstruction", lambda: chain.reconstruct(views)))
    made.append(("six views", "visual hull", lambda: visual_hull(views, masks)))
    if chain is not None:
        for seed in seeds:
            make = partial(lambda seed: match_box(chain(photo, seed=seed).mesh, true), seed)
            made.append(("one image", "photo to mesh", make))
    made.append(("one image", "ball", lambda: silhouette_ball(query.images[0], query_mask[0], query_camera())))
    return made


def measure(
    chain: Chain | None, group: str, name: str, true: Mesh, size_px: int, seeds: range
) -> tuple[list[Record], list[Mesh]]:
    """Records of one object, and the meshes that were made of it."""
    records, meshes = [], []
    for given, method, make in methods(chain, true, size_px, seeds):
        start = time.perf_counter()
        try:
            mesh = make()
        except EmptySurfaceError:
            mesh = None
        seconds = time.perf_counter() - start
        scores = None if mesh is None else evaluate_reconstruction(mesh.to("cpu"), true, seed=seeds.start)
        records.append(Record(group, name, given, method, scores, seconds))
        if mesh is not None:
            meshes.append(mesh.to("cpu"))
    return records, meshes


def write_sheet(path: Path, meshes: list[Mesh]) -> None:
    """Each mesh from four sides, in its colours and in grey, one below the other."""
    write_image(path, torch.cat([preview_sheet(mesh, SHEET_SIZE_PX) for mesh in meshes], dim=1))


def load_chain(model: str) -> Chain | None:
    """The pipeline of that name or folder; None for "none"."""
    if model == "none":
        return None
    from instantmesh.pipeline.pipeline import Pipeline

    return Pipeline.from_pretrained(model)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="name or folder; 'none' measures the baselines alone")
    parser.add_argument("--objects", type=int, default=32, help="held-out procedural objects (default 32)")
    parser.add_argument("--meshes", type=Path, help="folder of mesh files, y up")
    parser.add_argument("--size-px", type=int, default=96, help="side of the six true views (default 96)")
    parser.add_argument("--seed", type=int, default=0, help="the first of the chain's noise, and of the surface points")
    parser.add_argument("--seeds", type=int, default=3, help="the chain runs with this many seeds (default 3)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    parser.add_argument("--images", type=Path, help="folder for a sheet per object: truth, then each mesh in turn")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    if arguments.objects < 0 or arguments.size_px < 1 or (arguments.objects == 0 and arguments.meshes is None):
        raise InputError("nothing to measure: give --objects 1 or more, or --meshes FOLDER, and a positive --size-px")
    total = arguments.objects + (len(mesh_files(arguments.meshes)) if arguments.meshes else 0)
    if arguments.seeds < 1:
        raise InputError("--seeds must be 1 or more")
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    chain = load_chain(arguments.model)
    records: list[Record] = []
    for group, name, true in tqdm(objects(arguments.objects, arguments.meshes), total=total):
        new, meshes = measure(chain, group, name, true, arguments.size_px, seeds)
        records += new
        if arguments.images:
            write_sheet(arguments.images / f"{name}.png", [true, *meshes])
    if arguments.meshes:
        print(objects_table(record for record in records if record.group == "meshes"), end="\n\n")
    print(means_table(records))
    if arguments.out:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
        write_report(arguments.out, records, settings)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        run(parse_arguments())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
