"""`instantmesh sides`: photos of several sides in, one mesh out."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instantmesh import cli
from instantmesh.cameras import spherical_cameras
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.mesh.reading import read_mesh


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    renderer = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6)))
    for side, azimuth in (("front", 0.0), ("left", 90.0), ("back", 180.0)):
        cameras = spherical_cameras([azimuth], [10.0], radius=4.2, fov_deg=30.0)
        Image.fromarray(renderer.rgba_images(cameras, 96)[0]).save(folder / f"{side}.png")
    Image.fromarray(np.zeros((96, 96, 4), np.uint8)).save(folder / "empty.png")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["instantmesh", "sides", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out + printed.err


def test_three_photos_become_one_mesh(photos, tmp_path, monkeypatch, capsys):
    given = ("--front", photos / "front.png", "--left", photos / "left.png", "--at", f"180={photos / 'back.png'}")
    options = ("-o", tmp_path, "--model", "tiny", "--device", "cpu", "--texture-size", 128, "--resolution", 32)
    code, text = run(monkeypatch, capsys, *given, *options, "--elevation-deg", 10)
    assert code == 0, text
    told = [line for line in text.splitlines() if ": elevation " in line]
    assert [line.partition(":")[0] for line in told] == ["front", "left", "180.0"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["front.glb", "front_preview.png", "front_views.png"]
    assert len(read_mesh(tmp_path / "front.glb").faces) > 500
    before = (tmp_path / "front.glb").read_bytes()
    document = json.loads(before[20 : 20 + int.from_bytes(before[12:16], "little")])
    assert len(document["images"]) == 1
    code, text = run(monkeypatch, capsys, *given, *options)
    assert code == 2
    assert "--overwrite" in text
    assert (tmp_path / "front.glb").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--front", "front.png"), "two or more sides"),
        (("--front", "front.png", "--at", "left.png"), "--at 30=photo.png"),
        (("--front", "front.png", "--at", "x=left.png"), "--at 30=photo.png"),
        (("--at", "5=front.png", "--at", "5=left.png"), "two photos are said to be taken from 5 degrees"),
        (("--front", "front.png", "--at", "0=left.png"), "the same side"),
        (("--front", "front.png", "--left", "empty.png"), "empty"),
        (("--front", "front.png", "--left", "nowhere.png"), "nowhere.png"),
        (("--front", "front.png", "--left", "left.png", "--elevation-deg", "95"), "Invalid value"),
    ],
)
def test_mistakes_end_with_one_line(arguments, words, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    code, text = run(monkeypatch, capsys, *arguments, "-o", tmp_path / "out", "--model", "tiny", "--device", "cpu")
    assert code == 2
    assert words in text
    assert "Traceback" not in text
    assert not list((tmp_path / "out").glob("*.glb"))
