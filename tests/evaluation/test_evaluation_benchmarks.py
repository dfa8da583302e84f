"""The benchmarks of published data sets: what they ask `instantmesh evaluate` for."""

import json
from pathlib import Path

import numpy as np

from benchmarks.quality import gso, omni3d
from instantmesh.cli import app
from instantmesh.evaluation.reporting.files import read_evaluation

from .shapes import cuboid

PROTOCOL = ["--size-px", "32", "--points", "500"]


def test_gso_draws_where_there_are_more(tmp_path: Path, monkeypatch):
    for name in "abc":
        cuboid(1, 1, 0.5).save(tmp_path / f"{name}.obj")
    given = ["--data", str(tmp_path), "--model", "tiny"]
    assert gso.arguments(given) == ["evaluate", "--beside", "spar3d-gso", *given]
    monkeypatch.setattr(gso, "DRAWN", 2)
    assert gso.arguments(given)[3:5] == ["--objects", "2"]
    assert "--objects" not in gso.arguments([*given, "--list=mine.txt"])


def test_omni3d_scores_orbit_and_own_views(tmp_path: Path, monkeypatch):
    """As downloaded: scans by category, renderings beside them; the second run scores the first one's meshes."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(40, 3))
    frames = [{"transform_matrix": np.c_[np.eye(4)[:, :3], [*d, 1]].tolist()} for d in directions]
    for name in ("apple_001", "apple_002"):
        cuboid(1, 0.8, 0.5).save(tmp_path / "omni/raw_scans/apple" / name / "Scan/Scan.obj")
        render = tmp_path / "omni/blender_renders/apple" / name / "render"
        render.mkdir(parents=True)
        (render / "transforms.json").write_text(json.dumps({"frames": frames}))
    out = tmp_path / "out"
    given = ["--data", str(tmp_path / "omni"), "-m", "silhouette-ball", "-o", str(out), *PROTOCOL]
    monkeypatch.setattr(omni3d, "PER_CATEGORY", 1)
    for arguments in omni3d.runs(given):
        app(arguments, standalone_mode=False)
    orbit, own = read_evaluation(out), read_evaluation(tmp_path / "out-own-views")
    assert [record.object for record in orbit.records] == [record.object for record in own.records] == ["apple_001"]
    assert orbit.settings.protocol.views == "orbit21"
    assert own.settings.protocol.views == "omni16"
    first, second = (found.records[0].numbers for found in (orbit, own))
    assert first["psnr_db"] != second["psnr_db"]
    assert abs((first["chamfer"] or 0) - (second["chamfer"] or 1)) < 0.01
