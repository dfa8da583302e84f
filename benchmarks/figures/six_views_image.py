"""An image of what a model makes of six true views: the true object from four sides, and its mesh.

    python -m benchmarks.figures.six_views_image teapot.obj spot.obj --out docs/images/six-views.webp

Of mesh files (y up, front +z) and of held-out procedural objects with thin parts.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.quality.procedural_meshes import procedural_mesh
from instantmesh import Mesh, Pipeline
from instantmesh.cameras import six_view_cameras
from instantmesh.data.procedural.thin_parts import THIN_PARTS_SEED
from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.files.image_files import write_image
from instantmesh.render.preview import preview_sheet

VIEW_PX, TILE_PX, PROCEDURAL_OBJECTS = 64, 150, 4


def row(pipeline: Pipeline, true: Mesh) -> torch.Tensor:
    """(3, h, w): the true object's colours above its grey shape, and beside them the mesh's."""
    views, _ = true_views(true, six_view_cameras(), VIEW_PX)
    return torch.cat([preview_sheet(mesh, TILE_PX) for mesh in (true, pipeline.reconstruct(views))], dim=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meshes", type=Path, nargs="*")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--out", type=Path, required=True, help="PNG or WebP")
    arguments = parser.parse_args()
    try:
        seeds = range(HELD_OUT_SEED + THIN_PARTS_SEED, HELD_OUT_SEED + THIN_PARTS_SEED + PROCEDURAL_OBJECTS)
        objects = [load_mesh_in_world(path) for path in arguments.meshes]
        objects += [procedural_mesh(seed) for seed in seeds]
        pipeline = Pipeline.from_pretrained(arguments.model, "cpu", multiview=False)
        write_image(arguments.out, torch.cat([row(pipeline, true) for true in objects], dim=1))
    except InstantMeshError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
