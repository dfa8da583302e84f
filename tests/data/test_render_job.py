"""`instantmesh data render`: what stands in the folder, whatever happened on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from instantmesh import cli
from instantmesh.data import layout
from instantmesh.data.asset_names import NamedAsset, find_assets
from instantmesh.data.engines import Engine
from instantmesh.data.render_job import Layout, RenderSettings, object_names, render_assets, render_object
from instantmesh.errors import InputError, MissingBackendError, MissingFileError

from .made_assets import write_box, write_plain

SETTINGS = RenderSettings(Layout.reconstruction, views=6, size_px=64, seed=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[NamedAsset]:
    """Six models of different shapes."""
    folder = tmp_path_factory.mktemp("models")
    write_box(folder / "box.glb")
    for index in range(5):
        write_plain(folder / "plain" / f"plain{index}.stl", (1, 1 + index / 2, 2))
    return find_assets([folder])


@pytest.fixture(scope="module")
def expected(models: list[NamedAsset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models rendered one after another in this process."""
    out = tmp_path_factory.mktemp("expected")
    for model in models:
        assert render_object(model, out, SETTINGS) is None
    return out


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it isn't about processes, they need not be started."""
    monkeypatch.setattr(
        "instantmesh.data.render_job.run_in_processes", lambda work, models, workers: ((m, work(m)) for m in models)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of every object."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("[!.]*/*")}


@pytest.mark.slow
def test_processes_make_the_same_files_and_report_failures(models: list[NamedAsset], expected: Path, tmp_path: Path):
    broken = tmp_path / "broken.glb"
    broken.write_bytes(b"not a model")
    out = tmp_path / "out"
    objects, failures = render_assets([NamedAsset("broken", broken), *models], out, SETTINGS, workers=2)
    assert contents(out) == contents(expected)
    assert objects == sorted(model.name for model in models)
    assert [failure.name for failure in failures] == ["broken"]
    written = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert [line["name"] for line in written] == ["broken"]
    assert written[0]["path"] == str(broken)
    assert "can't be read" in written[0]["reason"]
    listed = json.loads((out / "objects.json").read_text())
    assert listed["objects"] == objects
    assert listed["count"] == 6


@pytest.mark.usefixtures("in_this_process")
def test_a_mended_model_is_tried_again_and_nothing_else(models: list[NamedAsset], tmp_path: Path):
    broken, out = tmp_path / "broken.stl", tmp_path / "out"
    broken.write_bytes(b"not a model")
    todo = [NamedAsset("broken", broken), *models[:1]]
    _, failures = render_assets(todo, out, SETTINGS, workers=1)
    assert [failure.name for failure in failures] == ["broken"]
    with pytest.raises(InputError, match="seed 3 and not 4"):
        render_assets(todo, out, replace(SETTINGS, seed=4), workers=1)
    made = (out / models[0].name).stat().st_mtime_ns
    write_plain(broken)
    objects, failures = render_assets(todo, out, SETTINGS, workers=1)
    assert objects == sorted(["broken", models[0].name])
    assert not failures
    assert not (out / "failures.jsonl").exists()
    assert (out / models[0].name).stat().st_mtime_ns == made


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_killed_run_is_completed(models: list[NamedAsset], expected: Path, tmp_path: Path):
    out, folder = tmp_path / "out", models[0].path.parent
    options = ["--views", "6", "--size-px", "64", "--seed", "3", "--workers", "1"]
    command = [sys.executable, "-m", "instantmesh", "data", "render", str(folder), str(out), *options]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not object_names(out):
        assert run.poll() is None
        time.sleep(0.002)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 20
    while _group_lives(run.pid):  # its processes end with it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 1 <= len(object_names(out)) < 6
    objects, _ = render_assets(models, out, SETTINGS, workers=1)
    assert len(objects) == 6
    assert contents(out) == contents(expected)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_is_written_is_what_the_cameras_see(models: list[NamedAsset], expected: Path):
    views = layout.read_object(expected / "box", range(6))
    again = SETTINGS.cameras("box")
    np.testing.assert_allclose(views.cameras.camera_to_world, again.camera_to_world, atol=1e-5)
    other = RenderSettings(Layout.reconstruction, views=6, size_px=64, seed=4)
    for differing in (SETTINGS.cameras("plain0"), other.cameras("box")):
        assert float((differing.camera_to_world - again.camera_to_world).abs().max()) > 0.1
    assert float(views.mask.mean((1, 2, 3)).min()) > 0.05


def test_the_diffusion_layout_sees_models_whole(models: list[NamedAsset], tmp_path: Path):
    settings = RenderSettings(Layout.diffusion, views=7, size_px=48, seed=0)
    for model in models:
        assert render_object(model, tmp_path, settings) is None
        mask = layout.read_object(tmp_path / model.name, range(7)).mask[:, 0]
        assert float(mask.mean()) > 0.05
        border = max(float(side.max()) for side in (mask[:, 0], mask[:, -1], mask[..., 0], mask[..., -1]))
        assert border == 0


def test_names_are_short_unique_and_fit_for_files(tmp_path: Path):
    for place in ("a/chair.glb", "b/chair.glb", "b/chair.obj", "table.v2.stl", "A_Chair.ply", "b/notes.txt"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    found = find_assets([tmp_path, tmp_path / "table.v2.stl"])
    names = {str(model.path.relative_to(tmp_path.resolve())): model.name for model in found}
    assert names == {
        "a/chair.glb": "a_chair_glb",
        "b/chair.glb": "b_chair_glb",
        "b/chair.obj": "b_chair_obj",
        "table.v2.stl": "table_v2",
        "A_Chair.ply": "A_Chair_ply",
    }
    for model in found:
        layout.check_object_name(model.name)
    with pytest.raises(MissingFileError):
        find_assets([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no assets"):
        find_assets([tmp_path / "empty"])


def test_engines_that_are_not_there_are_found_out_before_the_work(models, tmp_path, monkeypatch):
    monkeypatch.setattr("instantmesh.backends.available", lambda name: False)
    monkeypatch.setitem(sys.modules, "bpy", None)
    settings = RenderSettings(Layout.reconstruction, views=6, size_px=64, seed=3, engine=Engine.blender)
    with pytest.raises(MissingBackendError, match=r"instantmesh\[blender\]"):
        render_assets(models, tmp_path / "out", settings, workers=1)
    assert not (tmp_path / "out").exists()


def test_faults_that_are_not_the_model_s_are_not_held_against_it(models, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="can't write"):
        render_object(models[0], tmp_path / "file" / "out", SETTINGS)
    monkeypatch.setattr("instantmesh.data.render_job.load_asset", partial(_fail, ZeroDivisionError("chance")))
    assert render_object(models[0], tmp_path / "out", SETTINGS) == "ZeroDivisionError: chance"


def _fail(error: Exception, *_: object) -> None:
    raise error


def test_the_command_line_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    for arguments, message in (
        (["render", tmp_path / "nowhere", tmp_path / "out"], "no file or folder"),
        (["render", tmp_path, tmp_path / "out", "--layout", "diffusion", "--views", "3"], "always has seven"),
    ):
        monkeypatch.setattr(sys, "argv", ["instantmesh", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("in_this_process")
def test_the_command_ends_with_an_error_where_a_model_failed(tmp_path, monkeypatch, capsys):
    write_plain(tmp_path / "models" / "plain.obj")
    (tmp_path / "models" / "broken.ply").write_bytes(b"ply")
    command = ["data", "render", tmp_path / "models", tmp_path / "out", "--views", 2, "--size-px", 32]
    monkeypatch.setattr(sys, "argv", ["instantmesh", *map(str, command)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "1 of 2 assets failed" in printed
    assert "broken.ply" in printed
    assert object_names(tmp_path / "out") == ["plain"]
    assert sorted(path.name for path in (tmp_path / "out" / "plain").iterdir()) == sorted(layout.member_names(2))
