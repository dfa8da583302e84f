"""An evaluation from end to end: other systems' meshes, baselines, the small model; stopped, resumed, spread."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from instantmesh import backends
from instantmesh.cli import app
from instantmesh.errors import InputError, MissingFileError, OutputError
from instantmesh.evaluation import run
from instantmesh.evaluation.alignment import AlignmentMethod
from instantmesh.evaluation.inputs import PhotoPose, photo_inputs, read_rig
from instantmesh.evaluation.records import EvaluationRecord, RecordsFile
from instantmesh.evaluation.reporting.files import read_evaluation, write_reports
from instantmesh.evaluation.run import EvaluationEngine, evaluate, items_of
from instantmesh.evaluation.scoring import ScoringProtocol
from instantmesh.evaluation.settings import EvaluationSettings, GivenInputs, ObjectSelection
from instantmesh.evaluation.systems import ResultFiles, SilhouetteBall
from instantmesh.evaluation.view_sets import omni_views
from instantmesh.structures import Mesh

from .shapes import cuboid, sphere

PROTOCOL = ScoringProtocol(points=1000, views="held-out4", size_px=32, perceptual=())
TRUE = {"ball": sphere(1.0, 3), "box": cuboid(1.0, 0.7, 0.4), "plate": cuboid(1.0, 1.0, 0.2)}


def colored(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, ((mesh.vertices + 1) / 2).clamp(0, 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, mesh in TRUE.items():
        colored(mesh).save(tmp_path / "data" / f"{name}.glb", size_m=None, origin=None)
    return tmp_path / "data"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Of another system: z up, front x, of another size, one of them missing, one without faces."""
    for name in ("ball", "plate"):
        colored(TRUE[name]).save(tmp_path / "theirs" / f"{name}.ply", up="z", size_m=0.3)
    return tmp_path / "theirs"


def settings_of(data: Path, **changes: object) -> EvaluationSettings:
    return replace(
        EvaluationSettings(ObjectSelection(str(data)), protocol=PROTOCOL, model="silhouette-ball"), **changes
    )


def of_results(data: Path, results: Path, **changes: object) -> EvaluationSettings:
    return settings_of(data, model=None, results=str(results), results_up="z", **changes)


def test_another_systems_meshes(data, results, tmp_path):
    found = evaluate(of_results(data, results), tmp_path / "out")
    ball, box, plate = found.records
    assert [record.status for record in found.records] == ["scored", "failed", "scored"]
    assert "no result" in box.reason
    for record in (ball, plate):
        assert record.numbers["chamfer"] == pytest.approx(record.noise_floor, rel=0.2)
        assert record.numbers["volume_iou"] == pytest.approx(1, abs=0.02)
        assert record.numbers["psnr_db"] > 30
        assert record.generation_s is None
    assert box.numbers["f_score_01"] == 0
    assert box.numbers["chamfer"] > 0.3


def test_failures_count_unless_left_out(data, results, tmp_path):
    counted = evaluate(of_results(data, results), tmp_path / "a")
    left_out = evaluate(of_results(data, results, leave_out_failures=True), tmp_path / "b")
    for found, out in ((counted, "a"), (left_out, "b")):
        write_reports(found, tmp_path / out)
    means = [json.loads((tmp_path / out / "report.json").read_text())["means"]["f_score_01"] for out in "ab"]
    assert means[0]["objects"] == 3
    assert means[1]["objects"] == 2
    assert means[0]["mean"] == pytest.approx(2 / 3 * means[1]["mean"])


def test_a_killed_run_goes_on(data, tmp_path, monkeypatch):
    """Nothing is lost, nothing is made twice; a line that was cut off is dropped."""
    out, made = tmp_path / "out", []
    settings = settings_of(data)
    make_ball = SilhouetteBall.reconstruct

    def counting(self, given, seed):
        made.append(1)
        if len(made) == 2:
            raise KeyboardInterrupt
        return make_ball(self, given, seed)

    monkeypatch.setattr(SilhouetteBall, "reconstruct", counting)
    run._system.cache_clear()
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, out)
    with (out / "records.jsonl").open("a") as file:
        file.write('{"key": "box", "obj')  # killed while it wrote
    found = evaluate(settings, out)
    assert len(made) == 4  # ball, box twice, plate
    assert [record.key for record in found.records] == ["ball", "box", "plate"]
    assert len((out / "records.jsonl").read_text().splitlines()) == 3
    whole = evaluate(settings, tmp_path / "whole")
    for a, b in zip(found.records, whole.records, strict=True):
        assert a.numbers == pytest.approx(b.numbers, rel=1e-3)
    with pytest.raises(InputError, match="other settings"):
        evaluate(replace(settings, protocol=replace(PROTOCOL, seed=1)), out)
    assert evaluate(settings, out) == found


def test_a_folder_with_other_files_is_refused(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="other files"):
        evaluate(settings_of(data), tmp_path / "mine")


def test_damaged_objects_are_named_and_failures_tried_again(data, results, tmp_path):
    (data / "broken.obj").write_text("v 0 0 0\n")
    found = evaluate(of_results(data, results), tmp_path / "out")
    assert {record.key: record.status for record in found.records}["broken"] == "damaged"
    colored(TRUE["box"]).save(results / "box" / "mesh.ply", up="z")
    again = evaluate(of_results(data, results), tmp_path / "out")
    assert {record.key: record.status for record in again.records}["box"] == "scored"


def assert_same_numbers(found: list[EvaluationRecord], expected: list[EvaluationRecord]) -> None:
    """Other processes may have other numbers of threads, so that sums are added in another order."""
    for record, other in zip(found, expected, strict=True):
        assert record.key == other.key
        assert record.numbers == pytest.approx(other.numbers, rel=1e-3)


@pytest.mark.slow
def test_workers_find_the_same_numbers(data, tmp_path):
    settings = settings_of(data, model="visual-hull", inputs=GivenInputs("six-views"))
    alone, spread = evaluate(settings, tmp_path / "a"), evaluate(settings, tmp_path / "b", workers=2)
    assert_same_numbers(spread.records, alone.records)


@pytest.mark.slow
@pytest.mark.skipif(not backends.available("ray"), reason="needs ray")
def test_a_cluster_finds_the_same_numbers_though_a_worker_dies(data, tmp_path, monkeypatch):
    ray, cluster_utils = backends.load("ray"), importlib.import_module("ray.cluster_utils")

    settings = settings_of(data)
    alone = evaluate(settings, tmp_path / "a")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    append = RecordsFile.append

    def losing_a_node(self: RecordsFile, record: EvaluationRecord) -> None:
        if nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            nodes.clear()
        append(self, record)

    monkeypatch.setattr(RecordsFile, "append", losing_a_node)
    try:
        spread = evaluate(settings, tmp_path / "b", engine=EvaluationEngine.ray)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert_same_numbers(spread.records, alone.records)


def test_items_of_several_photos_and_seeds(data):
    settings = settings_of(data, inputs=GivenInputs(azimuths_deg=(0.0, 90.0), seeds=2))
    keys = [item.key for item in items_of(settings.selection.find(), settings)]
    assert len(keys) == len(set(keys)) == 12
    assert keys[0] == "ball_azimuth0_elevation10_seed0"
    with pytest.raises(InputError, match="2 azimuths but 3 elevations"):
        GivenInputs(azimuths_deg=(0.0, 1.0), elevations_deg=(0.0, 1.0, 2.0)).poses()


def test_settings_that_cannot_be(data, tmp_path):
    for changes, message in (
        ({"model": None}, "either a model or"),
        ({"results": "x"}, "either a model or"),
        ({"protocol": replace(PROTOCOL, views="orbit")}, "orbit21"),
        ({"inputs": GivenInputs("seven-views")}, "six-views"),
        ({"selection": ObjectSelection(str(data), objects=1, per_category=1)}, "one way"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(settings_of(data, **changes), tmp_path / "out")
    with pytest.raises(MissingFileError):
        evaluate(settings_of(data, model=None, results=str(tmp_path / "nowhere")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_survive_json(data):
    settings = settings_of(data, protocol=replace(PROTOCOL, alignment=AlignmentMethod.turn))
    assert EvaluationSettings.from_record(json.loads(json.dumps(settings.record()))) == settings
    with pytest.raises(InputError):
        EvaluationSettings.from_record({"system": "x"})


def test_a_photo_from_the_side_gives_a_result_in_the_objects_frame():
    """A ball of the silhouette stands at the origin; a system's front is turned back to where the photo was taken."""
    true = TRUE["box"]
    given = photo_inputs(true, PhotoPose(90.0, 0.0))
    photo = np.asarray(given.photo())
    assert photo.shape == (512, 512, 4)
    rows, columns = np.nonzero(photo[..., 3] > 127)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(1.0 / 0.4, rel=0.1)  # x runs across, z up
    assert given.views.known_cameras.camera_to_world[0, 1, 3] == pytest.approx(4)
    assert len(SilhouetteBall().reconstruct(given, 0).faces)


def test_rigs_from_json(tmp_path):
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"azimuths_deg": [0, 90], "elevations_deg": [0, 30], "radius": 3}))
    assert read_rig(path).cameras().camera_to_world[:, :3, 3].norm(dim=1).tolist() == pytest.approx([3, 3])
    for content, message in (('{"azimuths_deg": [0]}', "elevations_deg"), ("[", "JSON"), ("{}", "azimuths_deg")):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_rig(path)
    path.write_text('{"azimuths_deg": [0, 1], "elevations_deg": [0]}')
    with pytest.raises(InputError, match="2 azimuths but 1 elevations"):
        read_rig(path)


def test_omni_views_look_from_the_renderings_directions(tmp_path):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    frames = [{"transform_matrix": np.c_[np.eye(4)[:, :3], [*(2 * d), 1]].tolist()} for d in directions]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    positions = omni_views(tmp_path, "apple", 0).camera_to_world[:, :3, 3] / 4
    assert len(positions) == 16
    assert float(positions[:, 2].min()) > 0
    unit = torch.tensor(directions, dtype=torch.float32)
    assert float((positions @ unit.T).amax(1).min()) == pytest.approx(1, abs=1e-6)
    assert not torch.equal(positions, omni_views(tmp_path, "pear", 0).camera_to_world[:, :3, 3] / 4)
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames[:5]}))
    with pytest.raises(InputError, match="16 are needed"):
        omni_views(tmp_path, "apple", 0)
    with pytest.raises(InputError, match="blender_renders"):
        omni_views(None, "apple", 0)


def test_results_are_found(tmp_path):
    colored(TRUE["box"]).save(tmp_path / "a.glb")
    colored(TRUE["box"]).save(tmp_path / "b" / "whatever.obj")
    (tmp_path / "empty").mkdir()
    files = ResultFiles(tmp_path)
    assert files.find("a") == tmp_path / "a.glb"
    assert files.find("b") == tmp_path / "b" / "whatever.obj"
    assert files.find("c") is None
    colored(TRUE["box"]).save(tmp_path / "a.ply")
    with pytest.raises(InputError, match="several results for a"):
        files.find("a")
    with pytest.raises(InputError, match="no meshes"):
        ResultFiles(tmp_path / "empty")


def test_records_that_are_none(tmp_path):
    (tmp_path / "records.jsonl").write_text('{"no": "record"}\n')
    with pytest.raises(InputError, match="line 1"):
        RecordsFile(tmp_path / "records.jsonl")


def test_the_command(data, results, tmp_path):
    """One line scores a folder of another system's meshes; two evaluations are compared."""
    common = ["--data", str(data), "--views", "held-out4", "--size-px", "32", "--points", "1000"]
    of_theirs = ["--results", str(results), "--up", "z", "--name", "Theirs", "-o", str(tmp_path / "theirs_out")]
    theirs = CliRunner().invoke(app, ["evaluate", *common, *of_theirs])
    assert theirs.exit_code == 0, theirs.output
    assert "| Theirs | - |" in theirs.output
    ball = CliRunner().invoke(
        app, ["evaluate", *common, "-m", "silhouette-ball", "-o", str(tmp_path / "ball"), "--beside", "census"]
    )
    assert ball.exit_code == 0, ball.output
    assert "Beside Defects" in (tmp_path / "ball" / "report.md").read_text()
    assert "ball" in (tmp_path / "ball" / "report.html").read_text()
    assert read_evaluation(tmp_path / "ball").settings.model == "silhouette-ball"
    both = CliRunner().invoke(app, ["evaluate", "--compare", str(tmp_path / "theirs_out"), str(tmp_path / "ball")])
    assert both.exit_code == 0, both.output
    assert "silhouette-ball compared with Theirs" in both.output
    published = CliRunner().invoke(app, ["evaluate", "--published"])
    assert "| TripoSR | 0.111 | 0.651 |" in published.output
    for arguments, message in ((["--data", str(data)], "--out"), (["--compare", str(data), str(data)], "report.json")):
        refused = CliRunner().invoke(app, ["evaluate", *arguments])
        assert isinstance(refused.exception, (InputError, MissingFileError))
        assert message in str(refused.exception)


def test_the_small_model_from_a_photo(data, tmp_path):
    settings = settings_of(data, model="tiny", selection=ObjectSelection(str(data), objects=1))
    record = evaluate(settings, tmp_path / "out", device="cpu").records[0]
    assert record.status == "scored"
    chamfer = record.numbers["chamfer"]
    assert chamfer is not None
    assert 0 < chamfer < 1
    assert record.generation_s > 0
    rescored = evaluate(
        settings_of(
            data,
            model=None,
            results=str(tmp_path / "out" / "meshes"),
            selection=ObjectSelection(str(data), objects=1),
        ),
        tmp_path / "again",
    )
    assert rescored.records[0].numbers["chamfer"] == pytest.approx(record.numbers["chamfer"], rel=0.02)
