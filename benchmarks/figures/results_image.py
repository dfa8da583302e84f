"""The README's first image: photos, and the meshes that a model makes of them.

    python -m benchmarks.figures.results_image examples/*.png --out docs/images/results.png

One row a photo: the photo as it is prepared, and its textured mesh from the front, the left, behind and the right.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instantmesh import Pipeline
from instantmesh.errors import InstantMeshError
from instantmesh.files.image_files import write_image
from instantmesh.render.preview import preview_sheet

TILE_PX, TEXTURE_PX = 200, 1024


def row(pipeline: Pipeline, photo: Path, seed: int) -> Tensor:
    """(3, h, w): the photo, and beside it its mesh from four sides in colours."""
    result = pipeline(photo, seed=seed, texture_size=TEXTURE_PX)
    shown = interpolate(result.photo[None].cpu(), (TILE_PX, TILE_PX), mode="bicubic", antialias=True)[0].clamp(0, 1)
    return torch.cat([shown, preview_sheet(result.mesh, TILE_PX)[:, :TILE_PX]], dim=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="images, one object each")
    parser.add_argument("--model", default="tiny", help="name or folder (default tiny)")
    parser.add_argument("--seed", type=int, default=0, help="of models that draw at random")
    parser.add_argument("--out", type=Path, required=True, help="the image to write")
    arguments = parser.parse_args()
    try:
        pipeline = Pipeline.from_pretrained(arguments.model)
        rows = [row(pipeline, photo, arguments.seed) for photo in arguments.photos]
        write_image(arguments.out, torch.cat(rows, dim=1))
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
