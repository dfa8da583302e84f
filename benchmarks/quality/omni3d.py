"""A model, or another system's meshes, on OmniObject3D: the first 5 objects of each category, orbit and own views.

    python -m benchmarks.quality.omni3d --data FOLDER --model tiny --out runs/omni-tiny

The data folder holds raw_scans/, and beside it blender_renders/ with the data set's own cameras. It calls
`instantmesh evaluate` twice: on the 21-view orbit, and then, into OUT-own-views, on 16 of its own directions,
with the meshes of the first time. Whatever else is given is passed on. (InstantMesh took 28 common categories, which it
doesn't name: a list of your own can be given with --list.)
"""

import sys
from pathlib import Path

from instantmesh.cli.commands import app
from instantmesh.errors import InstantMeshError
from instantmesh.evaluation.view_sets import OMNI_16

PER_CATEGORY = 5
CHOICES = ("--objects", "--list", "--per-category")
SYSTEM = ("--model", "-m", "--results", "--up", "--front", "--seeds")


def runs(given: list[str]) -> list[list[str]]:
    """The two commands' arguments."""
    chosen = any(argument.partition("=")[0] in CHOICES for argument in given)
    objects = [] if chosen else ["--per-category", str(PER_CATEGORY)]
    orbit = ["evaluate", *objects, "--beside", "instantmesh-omni-orbit", *given]
    out = Path(given[given.index("-o" if "-o" in given else "--out") + 1])
    made = "--results" not in given
    passed = _without(given, (*SYSTEM, "-o", "--out")) if made else _without(given, ("-o", "--out"))
    system = ["--results", str(out / "meshes"), "--up", "y", "--front", "z"] if made else []
    own = ["evaluate", *objects, "--beside", "instantmesh-omni-views", *passed, *system, "--views", OMNI_16]
    return [orbit, [*own, "--out", f"{out}-own-views"]]


def _without(given: list[str], options: tuple[str, ...]) -> list[str]:
    """Arguments less these options and their values."""
    kept, skip = [], False
    for argument in given:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        else:
            kept.append(argument)
    return kept


def main() -> None:
    given = sys.argv[1:]
    if not {"-o", "--out"} & set(given):
        raise SystemExit("error: name a folder for the evaluation (--out FOLDER)")
    try:
        for arguments in runs(given):
            app(arguments, standalone_mode=False)
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
