"""A model, or another system's meshes, on Google Scanned Objects, as papers take it: 300 objects, one image, 21 views.

    python -m benchmarks.quality.gso --data FOLDER --model tiny --out runs/gso-tiny
    python -m benchmarks.quality.gso --data FOLDER --results THEIRS --up y --front z --out runs/gso-theirs

It calls `instantmesh evaluate` with these settings; whatever stands behind is passed on. Which 300 objects the papers
drew isn't published: these are drawn by seed 0, or all where there are fewer.
"""

import sys
from pathlib import Path

from instantmesh.cli import main as command
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.datasets.objects import find_objects

DRAWN = 300
CHOICES = ("--objects", "--list", "--per-category")


def arguments(given: list[str]) -> list[str]:
    """The command's arguments, with the draw where objects aren't chosen otherwise and there are more than it."""
    chosen = any(argument.partition("=")[0] in CHOICES for argument in given)
    if chosen or "--data" not in given:
        return ["evaluate", "--beside", "spar3d-gso", *given]
    count = len(find_objects(Path(given[given.index("--data") + 1])).objects)
    return ["evaluate", "--beside", "spar3d-gso", *(["--objects", str(DRAWN)] if count > DRAWN else []), *given]


def main() -> None:
    try:
        sys.argv[1:] = arguments(sys.argv[1:])
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error
    command()


if __name__ == "__main__":
    main()
