"""What the images' own colours do for a mesh: blended over its field's, or not, against true views.

    python -m benchmarks.quality.texture_views --meshes FOLDER --out benchmarks/results/texture-views.json

For the mesh files (y up, front +z) of a folder, the surface's colours are read at the vertices of a fine mesh, once
from the field alone and once with the images blended in where they see the surface well (`texture.view_colors`), and
four other views are compared with the true ones. The cases:
    320 px, 64 px   a model's mesh and field from six true views; the images that are blended in have that side
    generated       the whole chain from one image, with the views that it generated itself; the mesh is brought to the
                    true bounding box's centre and size before its images are taken
    true shape      the true mesh, its colours blurred: nothing but the blending
PSNR and SSIM are of whole images at 160 pixels; `inside` is the PSNR of the pixels that both meshes cover, which the
shape's outline has no part in.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from trimesh.remesh import subdivide

from benchmarks.quality.quality import PHOTO_SIZE_PX, cut_out, mesh_files
from benchmarks.results_file import write_results
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.image_metrics import psnr, ssim
from instantmesh.evaluation.protocol import held_out_cameras, match_box, query_camera, true_views
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.files.image_files import write_image
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.render.texture_lookup import sample_texture
from instantmesh.structures import Mesh, Views
from instantmesh.texture.view_colors import blend

COMPARED_SIZE_PX = 160
FINE_FACES = 120_000
BLUR = 0.04  # standard deviation, world units: about what tiny's fields show
NEIGHBOURS = 64
SITES = 20_000
CASES = ("320 px", "64 px", "generated", "true shape")
METRICS = ("psnr", "ssim", "inside")


def fine(mesh: Mesh) -> Mesh:
    """The same surface in so many faces that its vertices can carry an image, or its own texture."""
    arrays = (mesh.vertices.numpy(), mesh.faces.numpy())
    if mesh.texture is not None:  # each corner gets a vertex of its own; `subdivide` takes attributes of vertices only
        arrays = (mesh.vertices[mesh.faces].flatten(0, 1).numpy(), np.arange(mesh.faces.numel()).reshape(-1, 3))
        attributes = {"values": mesh.texture.uv.flatten(0, 1).numpy()}
    else:
        assert mesh.vertex_colors is not None
        attributes = {"values": mesh.vertex_colors.numpy()}
    while len(arrays[1]) < FINE_FACES:
        made: Any = subdivide(*arrays, vertex_attributes=attributes)
        arrays, attributes = made[:2], made[2]
    vertices, faces = arrays
    colors = attributes["values"]
    if mesh.texture is not None:
        colors = sample_texture(mesh.texture.image, torch.tensor(colors).float()).numpy()
        corners = np.unique(
            vertices, axis=0, return_index=True, return_inverse=True
        )  # smooth normals need shared vertices
        vertices, faces, colors = corners[0], corners[2].ravel()[faces], colors[corners[1]]
    return Mesh(torch.tensor(vertices).float(), torch.tensor(faces), torch.tensor(colors).float().clamp(0, 1))


def blurred(mesh: Mesh) -> Mesh:
    """The mesh with the Gaussian mean of its colours."""
    assert mesh.vertex_colors is not None
    places, colors = mesh.vertices.numpy(), mesh.vertex_colors.numpy()
    sites = np.random.default_rng(0).permutation(len(places))[:SITES]
    distance, nearest = KDTree(places[sites]).query(places, k=NEIGHBOURS)
    weight = np.exp(-(np.asarray(distance) ** 2) / (2 * BLUR**2))[..., None]
    mean = (weight * colors[sites][nearest]).sum(1) / weight.sum(1)
    return replace(mesh, vertex_colors=torch.from_numpy(mean).float())


def cases(pipeline: Pipeline, true: Mesh, steps: int, seed: int) -> Iterator[tuple[str, Mesh, Views]]:
    """Case, fine mesh in the field's colours, and the images."""
    for size_px in (320, 64):
        views, _ = true_views(true, six_view_cameras(), size_px)
        finished = pipeline.reconstruct(views)
        yield f"{size_px} px", in_field_colors(finished, pipeline.reconstructor.encode(views)), views
    query, mask = true_views(true, query_camera(), PHOTO_SIZE_PX)
    views = pipeline.generate_views(pipeline.prepare(cut_out(query, mask)), seed=seed, steps=steps)
    finished = pipeline.reconstruct(views, blend_views=False)
    yield "generated", in_field_colors(finished, pipeline.reconstructor.encode(views)), views
    yield "true shape", blurred(fine(true)), true_views(true, six_view_cameras(), 320)[0]


@torch.no_grad()
def in_field_colors(mesh: Mesh, field: Any) -> Mesh:
    mesh = fine(mesh.to("cpu"))
    return replace(mesh, vertex_colors=field.colors(mesh.vertices).clamp(0, 1))


def with_views(mesh: Mesh, views: Views) -> Mesh:
    assert mesh.vertex_colors is not None
    return replace(
        mesh, vertex_colors=blend(mesh.vertices, mesh.vertex_normals(), mesh.vertex_colors, mesh, views).clamp(0, 1)
    )


def scores(mesh: Mesh, true: Mesh) -> dict[str, float]:
    """Likeness of the held-out views."""
    (views, mask), (true_images, true_mask) = (
        true_views(shown, held_out_cameras(), COMPARED_SIZE_PX) for shown in (mesh, true)
    )
    both = ((mask == 1) & (true_mask == 1)).expand_as(views.images)
    inside = -10 * (views.images - true_images.images)[both].square().mean().log10()
    whole, structure = psnr(views.images, true_images.images), ssim(views.images, true_images.images)
    return {"psnr": float(whole.mean()), "ssim": float(structure.mean()), "inside": float(inside)}


def measure(name: str, case: str, mesh: Mesh, blended: Mesh, true: Mesh) -> dict[str, Any]:
    if case == "generated":
        mesh, blended = match_box(mesh, true), match_box(blended, true)
    before, after = scores(mesh, true), scores(blended, true)
    row: dict[str, Any] = {"mesh": name, "case": case}
    for metric in METRICS:
        row |= {f"{metric}_before": round(before[metric], 4), f"{metric}_after": round(after[metric], 4)}
    return row


def sheet(meshes: list[Mesh]) -> torch.Tensor:
    """Each mesh from the four held-out views, one below the other."""
    return torch.cat([torch.cat(list(true_views(m, held_out_cameras(), 256)[0].images), dim=2) for m in meshes], dim=1)


def mean_row(case: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    ours = [row for row in rows if row["case"] == case]
    numbers = [key for key in ours[0] if key not in ("mesh", "case")]
    return {"mesh": "mean", "case": case} | {key: round(sum(r[key] for r in ours) / len(ours), 4) for key in numbers}


def table_line(row: dict[str, Any]) -> str:
    pairs = (f"{row[f'{metric}_before']:>9.3f} ->{row[f'{metric}_after']:>7.3f}" for metric in METRICS)
    return f"{row['mesh']:<12}{row['case']:<12}" + "".join(pairs)


def run(arguments: argparse.Namespace) -> None:
    pipeline = Pipeline.from_pretrained(arguments.model, device="cpu", multiview=True)
    print(f"{'':<24}" + "".join(f"{metric:>19}" for metric in METRICS))
    rows: list[dict[str, Any]] = []
    for path in mesh_files(arguments.meshes):
        true = load_mesh_in_world(path)
        for case, mesh, views in cases(pipeline, true, arguments.steps, arguments.seed):
            blended = with_views(mesh, views)
            rows.append(measure(path.stem, case, mesh, blended, true))
            print(table_line(rows[-1]), flush=True)
            if arguments.images:
                target = arguments.images / f"{path.stem}-{case.replace(' ', '-')}.png"
                write_image(target, sheet([mesh, blended, true]))
    means = [mean_row(case, rows) for case in CASES]
    print("\n".join(table_line(row) for row in means))
    if arguments.out:
        settings = {"model": arguments.model, "steps": arguments.steps, "seed": arguments.seed}
        write_results(arguments.out, settings=settings, rows=rows + means)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, required=True, help="folder of mesh files, y up")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--steps", type=int, default=75, help="denoising steps of the generated views (default 75)")
    parser.add_argument("--seed", type=int, default=0, help="of the generated views")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    parser.add_argument("--images", type=Path, help="folder for sheets: without views, with them, the truth")
    try:
        run(parser.parse_args())
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
