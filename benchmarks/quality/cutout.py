"""How well objects are cut out of photos with a background, against reference masks.

    python -m benchmarks.quality.cutout --images FOLDER --masks FOLDER --out benchmarks/results/cutout.json

For every mask (<name>.png, white on the object) and its photo (<name>.*): intersection over union and mean absolute
error of alpha, the method and its doubts, and seconds.
"""

import argparse
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from benchmarks.results_file import write_results
from instantmesh.errors import InstantMeshError, MissingFileError
from instantmesh.images.cutout import Background, find_object
from instantmesh.images.reading import open_image


def measure(photo: Path, mask: Path, background: Background) -> dict[str, Any]:
    """The figures of one photo."""
    image = open_image(photo)
    start = time.perf_counter()
    found = find_object(image, background)
    seconds = time.perf_counter() - start
    alpha, true = found.rgba[3].numpy(), np.asarray(Image.open(mask).convert("L"), np.float32) / 255
    inside, truly = alpha > 0.5, true > 0.5
    return {
        "photo": photo.name,
        "method": found.method,
        "doubts": list(found.doubts),
        "iou": float((inside & truly).sum() / (inside | truly).sum()),
        "alpha_error": float(np.abs(alpha - true).mean()),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--background", choices=get_args(Background), default="auto")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    try:
        for mask in sorted(arguments.masks.glob("*.png")):
            photos = sorted(arguments.images.glob(f"{mask.stem}.*"))
            if not photos:
                raise MissingFileError(f"{arguments.images} has no photo of the mask {mask.name}")
            row = measure(photos[0], mask, arguments.background)
            rows.append(row)
            print(f"{photos[0].name:24} {row['method']:8} IoU {row['iou']:.3f}  {row['seconds']:.1f} s")
        if not rows:
            raise MissingFileError(f"{arguments.masks} has no masks")
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error
    found = [row["iou"] for row in rows]
    print(f"mean {np.mean(found):.3f}, worst {min(found):.3f}")
    if arguments.out:
        write_results(arguments.out, photos=rows)


if __name__ == "__main__":
    main()
