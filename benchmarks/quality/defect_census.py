"""Our classes of defects beside those of the checker `3dqa`, which the census uses, on the same meshes.

    python -m benchmarks.quality.defect_census --checker VENV/bin/3dqa --meshes FOLDER --out census.json

`3dqa` (pip install 3dqa, into an environment of its own) may be used freely and isn't a part of this project: it is run
as a program, and only its codes are read.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from benchmarks.results_file import write_results
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.evaluation.metrics.defects import mesh_defects
from instantmesh.evaluation.true_meshes import TRUE_MESH_ENDINGS
from instantmesh.mesh.reading import read_mesh

CODES = {
    "not_watertight": ("UNCLOSED_HOLES",),
    "non_manifold": ("NON_MANIFOLD_EDGES", "MANIFOLD_NO_EDGES"),
    "inconsistent_normals": ("NORMALS_INCONSISTENT",),
    "inverted_normals": ("NORMALS_INVERTED",),
    "floating_debris": ("FLOATING_GEOMETRY",),
    "uv_missing": ("UV_MISSING",),
    "vertex_color_only": ("VERTEX_COLOR_ONLY",),
}


def codes_of(checker: str, path: Path) -> set[str]:
    """The codes that the checker names for a file."""
    with tempfile.TemporaryDirectory() as folder:  # it may write certificates where it is run
        done = subprocess.run([checker, "lint", str(path.resolve())], capture_output=True, text=True, cwd=folder)
    try:
        findings = json.loads(done.stdout)["findings"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{checker} says nothing usable about {path}: {done.stderr.strip()[-200:]}") from error
    return {finding["code"] for finding in findings if not finding["passed"]}


def run(checker: str, folder: Path, out: Path | None) -> None:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in TRUE_MESH_ENDINGS)
    if not files:
        raise InputError(f"{folder} holds no meshes")
    rows = []
    for path in files:
        theirs, ours = codes_of(checker, path), mesh_defects(read_mesh(path)).classes()
        rows.append({"mesh": path.name, "ours": list(ours), "theirs": sorted(theirs)})
    agreement = {}
    for name, codes in CODES.items():
        pairs = [(name in row["ours"], any(code in row["theirs"] for code in codes)) for row in rows]
        agreement[name] = {
            "both": sum(a and b for a, b in pairs),
            "ours_only": sum(a and not b for a, b in pairs),
            "theirs_only": sum(b and not a for a, b in pairs),
            "neither": sum(not a and not b for a, b in pairs),
        }
        print(f"{name:22} " + "  ".join(f"{key} {value}" for key, value in agreement[name].items()))
    write_results(out, agreement=agreement, meshes=rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checker", default="3dqa", help="the program (default 3dqa)")
    parser.add_argument("--meshes", type=Path, required=True, help="folder of mesh files")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    try:
        run(given.checker, given.meshes, given.out)
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
