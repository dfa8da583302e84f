"""The README's image of finished meshes.

    python -m benchmarks.figures.textured_image --mesh spot.obj --out docs/images/textured.webp

A mesh file (y up, front +z) and a held-out procedural object are reconstructed from six true views, simplified and
textured. Each stands in its colours, in grey, in its normals and its triangles, from its front and its back; and its
texture, laid flat.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.quality.procedural_meshes import procedural_mesh
from instantmesh import Mesh, Pipeline
from instantmesh.cameras import six_view_cameras
from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.files.image_files import write_image
from instantmesh.render.inspection_sheet import inspection_sheet

VIEW_PX, TILE_PX, TEXTURE_PX, TARGET_FACES = 320, 200, 1024, 4000


def finished(pipeline: Pipeline, true: Mesh) -> Mesh:
    """What the model makes of six true views."""
    views, _ = true_views(true, six_view_cameras(), VIEW_PX)
    return pipeline.reconstruct(views, target_faces=TARGET_FACES, texture_size=TEXTURE_PX)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesh", type=Path, required=True, help="a mesh file, y up")
    parser.add_argument("--object", type=int, default=7, help="number of the procedural object (default 7)")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--out", type=Path, required=True, help="the image to write")
    arguments = parser.parse_args()
    try:
        pipeline = Pipeline.from_pretrained(arguments.model, multiview=False)
        true = [load_mesh_in_world(arguments.mesh), procedural_mesh(HELD_OUT_SEED + arguments.object)]
        sheets = [inspection_sheet(finished(pipeline, mesh), TILE_PX) for mesh in true]
        write_image(arguments.out, torch.cat(sheets, dim=1))
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
