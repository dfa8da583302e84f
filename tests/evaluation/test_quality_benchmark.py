import argparse
import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.quality import procedural_meshes
from benchmarks.quality import quality as quality_benchmark
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.evaluation.baselines import visual_hull
from instantmesh.evaluation.protocol import true_views
from instantmesh.evaluation.true_meshes import read_in_world
from instantmesh.structures import Mesh, Views

from .shapes import cuboid, sphere


@pytest.fixture(scope="module")
def quality() -> Iterator[ModuleType]:
    small = {"SHEET_SIZE_PX": 48, "visual_hull": functools.partial(visual_hull, resolution=48)}
    with pytest.MonkeyPatch.context() as patch:  # the same, faster
        for name, value in small.items():
            patch.setattr(quality_benchmark, name, value)
        patch.setattr(procedural_meshes, "_GRID", 32)
        yield quality_benchmark


class PerfectChain:
    """Knows the object; what it makes from one image is larger and elsewhere. Keeps what it was given."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.photo: Image.Image | None = None
        self.views: Views | None = None
        self.seed: int | None = None

    def __call__(self, photo: Image.Image, *, seed: int) -> SimpleNamespace:
        self.photo, self.seed = photo, seed
        return SimpleNamespace(mesh=Mesh(self.mesh.vertices * 1.5 + 0.2, self.mesh.faces, self.mesh.vertex_colors))

    def reconstruct(self, views: Views) -> Mesh:
        self.views = views
        return self.mesh


class EmptyChain:
    def __call__(self, photo: Image.Image, *, seed: int) -> SimpleNamespace:
        raise EmptySurfaceError("nothing")

    def reconstruct(self, views: Views) -> Mesh:
        raise EmptySurfaceError("nothing")


def test_a_perfect_model_beats_the_baselines(quality: ModuleType):
    true = sphere(0.6, centre=(0.05, 0.0, 0.0))
    chain = PerfectChain(true)
    records, meshes = quality.measure(chain, "meshes", "ball", true, 32, range(5, 7))
    assert [(r.given, r.method) for r in records] == [
        ("six views", "reconstruction"),
        ("six views", "visual hull"),
        ("one image", "photo to mesh"),
        ("one image", "photo to mesh"),
        ("one image", "ball"),
    ]
    assert len(meshes) == 5
    reconstruction, hull, whole, _, ball = (r.scores for r in records)
    assert reconstruction.psnr_db > hull.psnr_db
    assert whole.psnr_db > max(40, ball.psnr_db)  # brought to the true box
    assert reconstruction.geometry.chamfer < hull.geometry.chamfer
    assert chain.seed == 6  # the last one's
    assert chain.views is not None
    assert chain.views.images.shape == (6, 3, 32, 32)


def test_the_photograph_is_cut_out(quality: ModuleType):
    dark = cuboid(0.8, 0.8, 0.8)
    dark = Mesh(dark.vertices, dark.faces, torch.full_like(dark.vertices, 0.2))
    views, masks = true_views(dark, six_view_cameras()[[0]], 33)
    photo = quality.cut_out(views, masks)
    assert photo.mode == "RGBA"
    rgba = torch.from_numpy(np.asarray(photo).copy()).float() / 255
    assert rgba[16, 16].tolist() == pytest.approx([0.2, 0.2, 0.2, 1], abs=0.01)
    assert float(rgba[0, 0, 3]) == 0
    touched = rgba[..., 3] > 0.1
    assert float((rgba[..., :3][touched] - 0.2).abs().max()) < 0.02  # no white rim


def test_no_surface_is_counted(quality: ModuleType):
    records, meshes = quality.measure(EmptyChain(), "meshes", "ball", sphere(0.6), 32, range(1))
    assert [r.scores is None for r in records] == [True, False, True, False]
    assert len(meshes) == 2


def test_procedural_objects_have_surface_and_colours(quality: ModuleType):
    seed = procedural_meshes.held_out_objects(1)["procedural-000"]
    mesh, again = (procedural_meshes.procedural_mesh(seed) for _ in range(2))
    assert torch.equal(mesh.vertices, again.vertices)
    assert mesh.vertex_colors is not None
    assert 0.7 < float(mesh.vertices.norm(dim=-1).max()) < 1.03


def test_procedural_objects_come_back_from_their_files(quality, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["", "--out", str(tmp_path), "--objects", "2"])
    procedural_meshes.main()
    files = sorted(tmp_path.glob("*.glb"))
    assert [file.stem for file in files] == ["procedural-000", "procedural-001"]
    true = procedural_meshes.procedural_mesh(procedural_meshes.held_out_objects(2)["procedural-001"])
    read = read_in_world(files[1])
    torch.testing.assert_close(read.vertices[read.faces], true.vertices[true.faces], atol=1e-6, rtol=0)


def test_the_whole_run(
    quality: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    sphere(0.5, subdivisions=2).save(meshes / "ball.ply")
    command = ["quality.py", "--model", "none", "--objects", "1", "--meshes", str(meshes), "--size-px", "24"]
    command += ["--out", str(tmp_path / "out.json"), "--images", str(tmp_path / "sheets")]
    monkeypatch.setattr(sys, "argv", command)
    quality.main()
    printed = capsys.readouterr().out
    assert "visual hull" in printed
    assert "procedural" in printed
    document = json.loads((tmp_path / "out.json").read_text())
    assert [entry["object"] for entry in document["objects"]] == ["procedural-000"] * 2 + ["ball"] * 2
    assert document["settings"]["size_px"] == 24
    with Image.open(tmp_path / "sheets" / "ball.png") as sheet:
        assert sheet.size == (4 * 48, 3 * 2 * 48)  # truth, hull, ball; colour and grey


def test_errors_are_told_in_one_line(quality: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["quality.py", "--model", "none", "--meshes", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        quality.main()
    arguments = argparse.Namespace(objects=0, meshes=None, size_px=96, model="none")
    with pytest.raises(InputError, match="nothing to measure"):
        quality.run(arguments)
