"""What bfloat16 products in the reconstruction change of a mesh.

    python -m benchmarks.quality.precision --meshes FOLDER
    python -m benchmarks.quality.precision --random-weights instant-mesh-base

With --meshes `tiny` reconstructs six true views of each mesh file (y up, front +z) of a folder, in float32 and with
bfloat16 products. With --random-weights a model of official size does so with smooth random images; its surface is
that of `speed.py`, far rougher than an object's. Distances are of each mesh's vertices to the other's surface, exact,
in units of the cube [-1, 1]^3; their means, added for both ways, are the Chamfer distance that sampling estimates.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.results_file import document, write_results
from benchmarks.timing.speed import give_surface, random_model
from instantmesh.cameras import six_view_cameras
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS, load_mesh_in_world
from instantmesh.geometry.nearest import NearestSurface
from instantmesh.geometry.triangles import Triangles
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.structures import Mesh, Views

SIZE_PX = 64


def difference(a: Mesh, b: Mesh) -> dict[str, float]:
    """Chamfer distance, and the largest distance of a vertex."""
    first, second = Triangles.of(a), Triangles.of(b)
    ways = [NearestSurface(y)(x.vertices).distances for x, y in ((first, second), (second, first))]
    return {"chamfer": float(sum(way.mean() for way in ways)), "largest": float(max(way.max() for way in ways))}


def of_tiny(folder: Path) -> dict[str, float]:
    """Mean Chamfer distance and largest distance over the meshes of a folder."""
    plain, lowered = (
        Pipeline.from_pretrained("tiny", "cpu", dtype, multiview=False).reconstructor
        for dtype in ("float32", "bfloat16")
    )
    rows = []
    for path in sorted(x for x in folder.glob("*") if x.suffix.lower() in TRUE_MESH_ENDINGS):
        views, _ = true_views(load_mesh_in_world(path), six_view_cameras(), SIZE_PX)
        rows.append(difference(plain(views), lowered(views)))
    return {"chamfer": float(np.mean([r["chamfer"] for r in rows])), "largest": max(r["largest"] for r in rows)}


def of_random(name: str) -> dict[str, float]:
    """Of a model of official size with random weights."""
    model, images, _ = random_model(name)
    size, coarse = images.shape[-1], torch.rand(images.shape[1], 3, 5, 5)
    smooth = interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    views = Views(smooth, None if model.single_view else six_view_cameras())
    give_surface(model, Reconstructor(model).encode(views))
    expected = Reconstructor(model)(views)
    return difference(expected, Reconstructor(copy.deepcopy(model), torch.bfloat16)(views))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--meshes", type=Path, help="folder of mesh files, for tiny")
    what.add_argument("--random-weights", metavar="MODEL")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    found = of_tiny(arguments.meshes) if arguments.meshes else of_random(arguments.random_weights)
    rounded = {name: float(f"{value:.3g}") for name, value in found.items()}
    report = {"model": arguments.random_weights or "tiny", **rounded}
    print(document(**report))
    write_results(arguments.out, **report)


if __name__ == "__main__":
    main()
