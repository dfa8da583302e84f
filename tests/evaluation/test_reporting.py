"""Intervals and paired differences against scipy and analytic cases; tables; the page in a browser."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from instantmesh.errors import InputError
from instantmesh.evaluation.records import EvaluationRecord
from instantmesh.evaluation.reporting.document import document
from instantmesh.evaluation.reporting.markdown import comparison_report, markdown_report, means_table
from instantmesh.evaluation.reporting.page import page_html
from instantmesh.evaluation.reporting.published import published_table, published_tables, what_differs
from instantmesh.evaluation.reporting.statistics import differences, estimate, object_values
from instantmesh.evaluation.run import Evaluation
from instantmesh.evaluation.scoring import ScoringProtocol
from instantmesh.evaluation.settings import EvaluationSettings, ObjectSelection
from instantmesh.files.image_files import write_image
from tests.paths import ROOT

PACKAGES = ROOT / "tests" / "viewers" / "node_modules"
NODE, BROWSER = shutil.which("node"), shutil.which("chromium")


def record(name: str, chamfer: float, status: str = "scored", key: str | None = None, **changes) -> EvaluationRecord:
    base = EvaluationRecord(key or name, name, "", 0.0, 10.0, 0, status, numbers={"chamfer": chamfer, "psnr_db": None})
    return replace(base, **changes)


def evaluation(records: list[EvaluationRecord], model: str = "tiny") -> Evaluation:
    protocol = ScoringProtocol(perceptual=())
    settings = EvaluationSettings(ObjectSelection("GSO"), model=model, protocol=protocol)
    return Evaluation(settings, "gso", (("Gone", "no meshes/model.obj"),), tuple(records))


def test_intervals_against_scipy():
    values = np.random.default_rng(0).gamma(2.0, size=40)
    found = estimate(values.tolist())
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1))
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.03)
    assert estimate(values.tolist()) == found
    assert estimate([2.0]) == replace(found, mean=2.0, low=2.0, high=2.0, objects=1)
    with pytest.raises(InputError):
        estimate([])


def test_the_interval_holds_the_true_mean_in_about_95_of_100_cases():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        found = estimate(rng.normal(1.0, 1.0, 30).tolist())
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_objects_count_once_however_often_they_were_made():
    records = [record("a", 1.0, key="a0"), record("a", 3.0, key="a1"), record("b", 4.0)]
    assert object_values(records)["chamfer"] == {"a": 2.0, "b": 4.0}
    assert "psnr_db" not in object_values(records)
    assert estimate(list(object_values(records)["chamfer"].values())).mean == 3.0
    worse = [*records, record("c", 9.0, "failed"), record("d", 100.0, "damaged")]
    assert set(object_values(worse)["chamfer"]) == {"a", "b", "c"}
    assert set(object_values(worse, leave_out_failures=True)["chamfer"]) == {"a", "b"}
    symmetric = [*records, record("e", 5.0, alignment={"ambiguous": True})]
    assert set(object_values(symmetric, unambiguous=True)["chamfer"]) == {"a", "b"}


def test_paired_differences_see_what_means_do_not():
    """Objects differ by far more than systems; over pairs the difference is certain."""
    rng = np.random.default_rng(3)
    easy = {"chamfer": {str(k): float(v) for k, v in enumerate(rng.uniform(0.05, 0.5, 30))}}
    better = {"chamfer": {k: v - 0.01 + 0.002 * rng.normal() for k, v in easy["chamfer"].items()}}
    found = differences(easy, better)["chamfer"]
    assert found.is_certain
    assert found.difference.mean == pytest.approx(-0.01, abs=0.002)
    assert found.second_is_larger < 0.1
    assert not differences(easy, easy)["chamfer"].is_certain
    assert differences(easy, easy)["chamfer"].second_is_larger == 0.5
    with pytest.raises(InputError, match="no object in common"):
        differences(easy, {"chamfer": {"other": 1.0}})


def test_tables_say_what_counts():
    ours = evaluation([record("a", 0.1), record("b", 0.3), record("c", 1.0, "failed", reason="no result")])
    told = document(ours)
    assert told["counts"] == {
        "objects": 3, "items": 3, "failed": 1, "damaged": 0, "missing_objects": 1, "ambiguous": 0
    }  # fmt: skip
    json.dumps(told, allow_nan=False)
    report = markdown_report(ours, [published_table("triposr-gso")])
    for part in (
        "Failed: c (no result)",
        "Missing: Gone",
        "| TripoSR | 0.111 |",
        "**tiny (ours)** | 0.4667 |",
        "0.4667 [",
    ):
        assert part in report
    assert means_table([ours, evaluation([record("a", 0.2)], "other")]).count("\n") == 3
    assert "PSNR" not in means_table([ours])  # nobody has it


def test_a_comparison_says_who_is_better_and_warns():
    rng = np.random.default_rng(4)
    values = rng.uniform(0.1, 0.4, 20)
    first = evaluation([record(str(k), float(v)) for k, v in enumerate(values)], "first")
    second = evaluation([record(str(k), float(v) / 2) for k, v in enumerate(values)], "second")
    told = comparison_report(first, second)
    assert "| second |" in told.splitlines()[-1]
    assert "don't compare" not in told
    changed = replace(second, settings=replace(second.settings, protocol=ScoringProtocol(seed=7, perceptual=())))
    assert "The protocols differ (seed)" in comparison_report(first, changed)


def test_published_tables_are_whole():
    assert published_table("triposr-gso").rows["TripoSR"] == (0.111, 0.651, 0.871, 0.98)
    assert published_table("spar3d-gso").rows["InstantMesh"][0] == 0.135
    for table in published_tables().values():
        assert table.source
        assert all(len(values) == len(table.columns) for values in table.rows.values())
    with pytest.raises(InputError, match="triposr-gso"):
        published_table("triposr")
    told = what_differs(published_table("triposr-gso"), evaluation([record("a", 0.1)]))
    assert any("10,000; here 16,000" in line for line in told)


@pytest.mark.slow
@pytest.mark.skipif(
    NODE is None or BROWSER is None or not PACKAGES.is_dir(), reason="needs node, Chromium and the viewers' packages"
)
def test_the_page_sorts_without_network(tmp_path: Path):
    write_image(tmp_path / "sheets" / "b.jpg", torch.rand(3, 64, 256))
    records = [
        record("a", 0.1),
        record("b", 0.3),
        record("c", 0.2),
        record("d</script>", 0.25, "failed", reason="none"),
    ]
    (tmp_path / "page.html").write_text(page_html(evaluation(records), tmp_path / "sheets"))
    assert NODE is not None
    assert BROWSER is not None
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("look.mjs")), BROWSER, str(PACKAGES), str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["complaints"] == []
    assert seen["worst_first"] == ["b", "d</script>", "c", "a"]
    assert seen["best_first"] == ["a", "c", "d</script>", "b"]
    assert seen["histograms"] == 1
