import json
from pathlib import Path

import pytest
import torch

from instantmesh.errors import OutputError
from instantmesh.evaluation.geometry_metrics import GeometryScores
from instantmesh.evaluation.protocol import ReconstructionScores
from instantmesh.evaluation.report import Record, means, means_table, objects_table, write_report


def record(name: str, method: str, chamfer: float | None) -> Record:
    scores = None if chamfer is None else ReconstructionScores(GeometryScores(chamfer, 0.5, 0.75), 20.0, 0.9, 25.0)
    return Record("meshes", name, "six views", method, scores, 2.0)


RECORDS = [record("cup", "model", 0.1), record("cup", "visual hull", 0.2), record("pan", "model", 0.3)]
RECORDS += [record("pan", "visual hull", None), record("lid", "model", None)]


def test_means_leave_out_what_has_no_surface_and_count_it():
    model, hull = means(RECORDS)
    assert (model["method"], hull["method"]) == ("model", "visual hull")
    assert model["chamfer"] == pytest.approx(0.2)
    assert (model["objects"], model["without_surface"]) == (2, 1)
    assert (hull["objects"], hull["without_surface"]) == (1, 1)
    assert "chamfer" not in means([record("lid", "model", None)])[0]


def test_tables_are_aligned():
    lines = means_table(RECORDS).splitlines()
    assert lines[0].split()[:4] == ["objects", "given", "method", "n"]
    assert " ".join(lines[2].split()) == "meshes six views model 2 0.2000 0.500 0.750 20.00 0.900 25.00 2.00 1"
    column = lines[0].index("CD") + len("CD")
    assert all(line[column - 1] != " " and line[column] == " " for line in lines)
    rows = objects_table(RECORDS).splitlines()
    assert len(rows) == 2 + len(RECORDS)
    assert " ".join(rows[5].split()) == "pan six views visual hull - - - - - - 2.00"


def test_the_report_names_machine_and_settings(tmp_path: Path):
    written = write_report(tmp_path / "new" / "report.json", RECORDS, {"model": "tiny"})
    document = json.loads(written.read_text())
    assert document["settings"] == {"model": "tiny"}
    assert document["machine"]["torch"] == torch.__version__
    assert document["machine"]["processor"]
    assert document["machine"]["cores"] >= 1
    assert document["objects"][0]["chamfer"] == 0.1
    assert document["objects"][4] == {
        "group": "meshes",
        "object": "lid",
        "given": "six views",
        "method": "model",
        "seconds": 2.0,
    }
    assert document["means"][0]["psnr_db"] == 20


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path):
    with pytest.raises(OutputError):
        write_report(tmp_path, RECORDS, {})
