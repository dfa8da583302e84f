"""Writes held-out procedural objects as files, for `instantmesh evaluate` and for other systems.

    python -m benchmarks.quality.procedural_meshes --out FOLDER
    instantmesh evaluate --data FOLDER --model tiny --out runs/procedural

Their seeds are kept for evaluation: no model of ours is trained on them.
"""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from instantmesh.data.procedural.thin_parts import object_of_seed
from instantmesh.data.procedural.unions import HELD_OUT_SEED
from instantmesh.errors import InstantMeshError
from instantmesh.structures import Mesh
from instantmesh.surface.marching_cubes import marching_cubes

_GRID = 128
_BOUND = 1.02  # the objects fill the unit sphere


def procedural_mesh(seed: int) -> Mesh:
    """The outer surface of a procedural object, with colours: the level 0 of its signed distances on a 128^3 grid.

    Walls thinner than a cell (0.016) are lost.
    """
    obj = object_of_seed(seed)
    axis = torch.linspace(-_BOUND, _BOUND, _GRID)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    inside = 1 - points.norm(dim=-1)  # right about the side beyond the unit sphere, which holds the object
    near = inside > -0.01
    distances = [torch.from_numpy(obj.distance(chunk.numpy())) for chunk in points[near].split(1 << 16)]
    inside[near] = -torch.cat(distances).float()
    vertices, faces = marching_cubes(inside.view((_GRID,) * 3), 0.0, (-_BOUND, _BOUND))
    colors = torch.from_numpy(obj.nearest(vertices.numpy())[2]).float()
    return Mesh(vertices, faces, colors.clamp(0, 1))


def held_out_objects(count: int) -> dict[str, int]:
    """Seeds of the first held-out objects by name."""
    return {f"procedural-{index:03d}": HELD_OUT_SEED + index for index in range(count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the GLB files")
    parser.add_argument("--objects", type=int, default=32, help="how many (default 32)")
    arguments = parser.parse_args()
    try:
        for name, seed in tqdm(held_out_objects(arguments.objects).items()):
            procedural_mesh(seed).save(arguments.out / f"{name}.glb", size_m=None, origin=None)
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
