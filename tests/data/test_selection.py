"""Filtering end to end: every criterion with its evidence, what is skipped without it, and the files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trimesh
from typer.testing import CliRunner

from instantmesh.cli.data_commands import data
from instantmesh.data.criteria import low_quality
from instantmesh.data.layout import write_object
from instantmesh.data.selection import Candidate, Evidence, find_evidence, look_at, read_captions, read_metadata
from instantmesh.data.stored_objects import ObjectFolder
from instantmesh.errors import InputError
from tests.data.made_assets import textured_box
from tests.data.made_views import made_views


def save_model(folder: Path, name: str, *meshes: trimesh.Trimesh) -> Path:
    folder.mkdir(exist_ok=True)
    trimesh.Scene(list(meshes)).export(folder / f"{name}.glb")
    return folder / f"{name}.glb"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("good", "tiny", "untold", "lowpoly", "absent"):
        save_model(folder, name, textured_box())
    save_model(folder, "bare", trimesh.creation.box())
    save_model(folder, "two", textured_box(), textured_box().apply_translation((5, 0, 0)))
    (folder / "broken.glb").write_bytes(b"glTF nonsense")
    return folder


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    views = made_views()
    for name in ("good", "untold", "lowpoly", "bare", "two", "broken", "unknown"):
        write_object(tmp_path / "rendered" / name, views)
    mask = views.mask.clone()
    mask[2] *= 0.3
    write_object(tmp_path / "rendered" / "tiny", replace(views, mask=mask))
    return tmp_path / "rendered"


def test_every_criterion(models: Path, rendered: Path, tmp_path: Path):
    captions = "".join(
        f'{name},"a box, with a caption"\n' for name in ["good", "tiny", "lowpoly", "absent", "bare", "two", "broken"]
    )
    (tmp_path / "captions.csv").write_text(captions)
    (tmp_path / "metadata.json").write_text(json.dumps({"lowpoly": {"tags": [{"name": "box"}, {"name": "Low_Poly"}]}}))
    out = rendered / "objects.json"
    arguments = ["filter", models, rendered, "-o", out, "--captions", tmp_path / "captions.csv"]
    arguments += ["--metadata", tmp_path / "metadata.json", "--workers", "1"]
    result = CliRunner().invoke(data, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    assert ObjectFolder(rendered).names == ["good"]
    dropped = [json.loads(line) for line in (rendered / "dropped.jsonl").read_text().splitlines()]
    reasons = {line["name"]: line["reasons"] for line in dropped}
    assert {name: sorted(why) for name, why in reasons.items()} == {
        "absent": ["coverage"],
        "bare": ["texture"],
        "broken": ["unreadable"],
        "lowpoly": ["quality"],
        "tiny": ["coverage"],
        "two": ["separate"],
        "unknown": ["caption", "unreadable"],
        "untold": ["caption"],
    }
    assert "in view 2" in reasons["tiny"]["coverage"]
    assert "broken.glb can't be read" in reasons["broken"]["unreadable"]
    assert reasons["two"]["separate"] == "2 separate objects"


def test_criteria_without_evidence_are_skipped(models: Path, rendered: Path):
    only_models = find_evidence([models], None, None)
    assert sorted(only_models.skipped()) == ["caption", "coverage", "quality"]
    only_images = find_evidence([rendered], None, None)
    assert sorted(only_images.skipped()) == ["caption", "quality", "separate", "texture"]
    assert only_images.folders is not None
    assert only_images.folders["good"] == rendered / "good"
    assert Evidence({}, {}, {}, {}).skipped() == {}


def test_looking_at_a_model_or_at_images(models: Path, rendered: Path):
    assert look_at(Candidate("bare", models / "bare.glb", None)) == {"texture": "no texture map"}
    assert look_at(Candidate("good", models / "good.glb", rendered / "good")) == {}
    (rendered / "good" / "001.png").write_bytes(b"no image")
    assert "good: 001.png is damaged" in look_at(Candidate("good", None, rendered / "good"))["unreadable"]


def test_sources_that_do_not_fit(rendered: Path, tmp_path: Path):
    write_object(tmp_path / "more" / "good", made_views())
    with pytest.raises(InputError, match="good is in"):
        find_evidence([rendered, tmp_path / "more"], None, None)
    (tmp_path / "more" / "index.json").touch()
    with pytest.raises(InputError, match="before it is packed"):
        find_evidence([tmp_path / "more"], None, None)


def test_tables_that_are_none(tmp_path: Path):
    table = tmp_path / "table"
    table.write_text("a,one\n\nb,two,three\n")
    assert read_captions(table) == {"a": "one", "b": "two"}
    table.write_text("a,one\nno comma\n")
    with pytest.raises(InputError, match="row 2"):
        read_captions(table)
    table.write_text('["a"]')
    with pytest.raises(InputError, match="must map names"):
        read_metadata(table)
    for read in (read_captions, read_metadata):
        with pytest.raises(InputError, match="can't be read"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "about", [{"name": 5}, {"description": ["a"]}, {"tags": "lowpoly"}, {"tags": [3]}, {"tags": [{"label": "lowpoly"}]}]
)
def test_annotations_of_another_kind_are_named(tmp_path, about):
    (tmp_path / "annotations.json").write_text(json.dumps({"chair": about}))
    with pytest.raises(InputError, match=r"annotations\.json, chair"):
        read_metadata(tmp_path / "annotations.json")


def test_tags_may_be_plain_texts(tmp_path):
    (tmp_path / "annotations.json").write_text(json.dumps({"chair": {"name": None, "tags": ["low-poly"]}}))
    assert low_quality("chair", read_metadata(tmp_path / "annotations.json")) is not None
