r"""How well the warning that views disagree tells true views from wrong ones.

    python -m benchmarks.quality.view_agreement --meshes FOLDER --photos examples \
        --out benchmarks/results/view-agreement.json

Six true views at 64 pixels of the mesh files (y up, front +z) of a folder and of six held-out procedural objects are
reconstructed as they are, and with wrong ones among them: two exchanged, one mirrored, one a quarter too small, one of
another object. Then the photos of a folder are sampled from several seeds. For each kind stand how many objects there
are, how many were warned of, and the largest distance of outlines.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate, pad

from benchmarks.results_file import write_results
from instantmesh.cameras import six_view_cameras
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS, load_mesh_in_world
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.render.agreement import ViewAgreement, view_agreement
from instantmesh.structures import Views

SIZE_PX = 64
PROCEDURAL_OBJECTS = 6
WRONG_VIEW = 2
SEEDS = range(4)


def true_images(folder: Path) -> list[torch.Tensor]:
    """Six views (6, 3, h, w) of each object."""
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in TRUE_MESH_ENDINGS)
    if not files:
        raise InputError(f"{folder} is no folder with meshes ({', '.join(TRUE_MESH_ENDINGS)})")
    surfaces = [ProceduralSurface(random_object(HELD_OUT_SEED + index)) for index in range(PROCEDURAL_OBJECTS)]
    return [true_views(load_mesh_in_world(path), six_view_cameras(), SIZE_PX)[0].images for path in files] + [
        ObjectRenderer(surface).views(six_view_cameras(), SIZE_PX).images.clamp(0, 1) for surface in surfaces
    ]


def tampered(images: torch.Tensor, other: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The views as they are, and with each kind of wrong ones."""
    yield "true", images
    yield "two exchanged", images[[0, 1, 4, 3, 2, 5]]
    margin = SIZE_PX // 8
    small = interpolate(images, SIZE_PX - 2 * margin, mode="bilinear", antialias=True)
    for kind, wrong in (
        ("one mirrored", images.flip(-1)),
        ("one too small", pad(small, [margin] * 4, value=1.0)),
        ("one of another", other),
    ):
        changed = images.clone()
        changed[WRONG_VIEW] = wrong[WRONG_VIEW]
        yield kind, changed


def judged(arguments: argparse.Namespace) -> Iterator[tuple[str, ViewAgreement]]:
    """The kind of each set of views, and how they agree."""
    pipeline = Pipeline.from_pretrained(arguments.model, multiview=True)
    objects = true_images(arguments.meshes)
    for index, images in enumerate(objects):
        for kind, changed in tampered(images, objects[(index + 3) % len(objects)]):
            views = Views(changed.clamp(0, 1), six_view_cameras())
            yield kind, view_agreement(pipeline.reconstruct(views), views)
    for photo in sorted(arguments.photos.glob("*.png")):
        for seed in SEEDS:
            views = pipeline.generate_views(pipeline.prepare(photo), seed=seed, steps=arguments.steps)
            yield "generated", view_agreement(pipeline.reconstruct(views), views)


def run(arguments: argparse.Namespace) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for kind, found in judged(arguments):
        row = rows.setdefault(kind, {"objects": 0, "warned": 0, "largest_outline_distance": 0.0})
        row["objects"] += 1
        row["warned"] += bool(found.warnings)
        row["largest_outline_distance"] = max(row["largest_outline_distance"], *found.outline_distance)
    for kind, row in rows.items():
        print(f"{kind:<16}" + "  ".join(f"{name} {value}" for name, value in row.items()))
    if arguments.out:
        settings = {"model": arguments.model, "steps": arguments.steps, "size_px": SIZE_PX}
        write_results(arguments.out, settings=settings, rows=rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, required=True, help="folder of mesh files, y up")
    parser.add_argument("--photos", type=Path, required=True, help="folder of PNG images")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (default 20)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
