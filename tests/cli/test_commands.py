"""The command line as a user meets it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from typer.testing import CliRunner

import instantmesh
from instantmesh import cli
from instantmesh.cameras import six_view_cameras, spherical_cameras
from instantmesh.cli import files
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.structures import Views
from instantmesh.views.files import write_views


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    camera = spherical_cameras([0.0], [15.0], radius=4.0, fov_deg=30.0)
    for index in (6, 8):
        image = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + index))).rgba_images(camera, 96)[0]
        Image.fromarray(image).save(folder / f"photo{index}.png")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and everything printed by `instantmesh ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["instantmesh", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out + printed.err


def test_generate_a_folder_with_one_bad_photo(photos, tmp_path, monkeypatch, capsys, caplog):
    (photos / "bad.png").write_bytes(b"not an image")
    out = tmp_path / "out"
    arguments = (
        "generate",
        photos,
        "-o",
        out,
        "--model",
        "tiny",
        "--seed",
        1,
        "--texture-size",
        256,
        "--device",
        "cpu",
    )
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "bad.png" in text
    assert "1 of 3 photos failed" in text
    assert caplog.text.count("textured: 256 x 256") == 2  # what finishing did to each mesh is said
    made = sorted(path.name for path in out.iterdir())
    assert made == sorted(f"photo{i}{end}" for i in (6, 8) for end in (".glb", "_views.png", "_preview.png"))
    (photos / "bad.png").unlink()
    before = (out / "photo6.glb").read_bytes()
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "--overwrite" in text
    (out / "photo6.glb").unlink()  # as a run that was stopped leaves it: images are written before
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "1 of 2 photos failed" in text
    assert (out / "photo6.glb").read_bytes() == before  # the same seed, the same file
    code, _ = run(monkeypatch, capsys, *arguments, "--overwrite")
    assert code == 0


def test_images_that_generate_made_are_no_photos(tmp_path):
    for name in ("a.png", "a_views.png", "a_preview.png", "b_views.png", "a.glb"):
        (tmp_path / name).touch()
    assert [path.name for path in files.find_photos([tmp_path, tmp_path / "a.png"])] == ["a.png", "b_views.png"]


def test_finish_keeps_size_and_place_unless_told(tmp_path, monkeypatch, capsys):
    box = trimesh.creation.box((2, 3, 4))
    box.apply_translation((5, 6, 7))
    box.export(tmp_path / "box.stl")
    for options, bounds in ((), [[4, 4.5, 5], [6, 7.5, 9]]), (("--size-m", 1), None):
        code, _ = run(
            monkeypatch, capsys, "finish", tmp_path / "box.stl", "-o", tmp_path / "o.stl", *options, "--overwrite"
        )
        assert code == 0
        found = trimesh.load(tmp_path / "o.stl")
        if bounds:
            assert found.bounds == pytest.approx(np.array(bounds), abs=1e-5)
        assert max(found.extents) == pytest.approx(4 if bounds else 1, abs=1e-5)


def test_reconstruct_an_image_and_a_folder(tmp_path, monkeypatch, capsys):
    images = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6))).views(six_view_cameras(), 64).images
    views = Views(images.clamp(0, 1), six_view_cameras())
    views.save(tmp_path / "views.png")
    write_views(views, tmp_path / "folder")
    for source in ("views.png", "folder"):
        code, _ = run(
            monkeypatch, capsys, "reconstruct", tmp_path / source, "-o", tmp_path / "out", "-m", "tiny",
            "--format", "obj", "--device", "cpu", "--texture-size", 0, "--target-faces", 0, "--open",
        )  # fmt: skip
        assert code == 0
    first, second = ((tmp_path / "out" / f"{stem}.obj").read_text() for stem in ("views", "folder"))
    assert first == second
    assert (tmp_path / "out" / "views_preview.png").is_file()
    code, _ = run(
        monkeypatch, capsys, "reconstruct", tmp_path / "views.png", "-o", tmp_path / "coarse", "-m", "tiny",
        "--format", "obj", "--device", "cpu", "--resolution", 24, "--texture-size", 0, "--target-faces", 0, "--open",
    )  # fmt: skip
    assert code == 0
    assert 0 < (tmp_path / "coarse" / "views.obj").stat().st_size < len(first) / 2
    code, _ = run(
        monkeypatch, capsys, "reconstruct", tmp_path / "views.png", "-o", tmp_path / "small", "-m", "tiny",
        "--format", "obj", "--device", "cpu", "--target-faces", 500, "--min-component-area", 0.1, "--watertight",
        "--texture-size", 0,
    )  # fmt: skip
    assert code == 0
    faces = [line for line in (tmp_path / "small" / "views.obj").read_text().splitlines() if line.startswith("f ")]
    assert 450 < len(faces) < 550


def test_a_textured_mesh_goes_through_the_commands(photos, tmp_path, monkeypatch, capsys):
    arguments = ("generate", photos / "photo6.png", "-o", tmp_path, "--model", "tiny", "--seed", 1, "--steps", 2)
    options = ("--texture-size", 128, "--target-faces", 1000, "--format", "obj", "--up", "z", "--size-m", 0.5)
    assert run(monkeypatch, capsys, *arguments, *options, "--origin", "bottom")[0] == 0
    with Image.open(tmp_path / "photo6_texture.png") as texture:
        assert texture.size == (128, 128)
    saved = trimesh.load(tmp_path / "photo6.obj", process=False)
    assert saved.extents.max() == pytest.approx(0.5, abs=1e-4)
    assert saved.bounds[0, 2] == pytest.approx(0, abs=1e-4)
    small = tmp_path / "small.glb"
    code, text = run(monkeypatch, capsys, "finish", tmp_path / "photo6.obj", "-o", small, "--target-faces", 400)
    assert code == 0
    assert "cleaned" in text
    assert "simplified" in text
    assert "textured: 128 x 128" in text  # as large as the one that was there
    scene = trimesh.load(small)
    assert len(scene.to_geometry().faces) <= 400
    code, text = run(monkeypatch, capsys, "finish", small, "-o", tmp_path / "other.glb", "--up", "z")
    assert (code, (tmp_path / "other.glb").exists()) == (2, False)
    assert "+y up by its standard" in text
    code, text = run(monkeypatch, capsys, "finish", tmp_path / "no file.glb", "-o", small)
    assert (code, "pass --overwrite" in text) == (2, True)  # before the file is looked for


def test_cutout_writes_the_object_alone(photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "cut.png"
    arguments = ("cutout", photos / "photo6.png", "-o", out)
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "cut out by 'alpha'" in text
    with Image.open(out) as cut, Image.open(photos / "photo6.png") as photo:
        assert np.array_equal(np.asarray(cut)[..., 3] > 0, np.asarray(photo)[..., 3] > 0)
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "--overwrite" in text
    code, text = run(monkeypatch, capsys, *arguments[:-1], tmp_path / "cut.jpg")
    assert code == 2
    assert "no alpha channel" in text


def test_compare_writes_one_image_and_refuses_to_overwrite_it(photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out" / "compared.png"
    arguments = ("compare", photos / "photo6.png", "--models", "nobody, nothing", "-o", out, "--local-files-only")
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "nobody: skipped, there is no model 'nobody'" in text
    with Image.open(out) as image:
        assert image.height > 900  # the photo and two rows
    code, text = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "--overwrite" in text


def test_models_lists_licences_and_sources():
    result = CliRunner().invoke(cli.app, ["models"])
    assert result.exit_code == 0
    for word in (
        "tiny",
        "instant-mesh-large",
        "CC BY-NC",
        "https://huggingface.co/",
        "not cached",
        "comes with the package",
    ):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("generate", "nowhere.png", "--model", "tiny"), "nowhere.png"),
        (("generate", "PHOTO", "--model", "tinny"), "did you mean tiny"),
        (("generate", "PHOTO", "--model", "instant-mesh-base", "--local-files-only"), "instant_mesh_base.ckpt"),
        (("generate", "EMPTY", "--model", "tiny"), "holds no images"),
        (("reconstruct", "PHOTO", "--model", "tiny"), "3 high"),
        (("generate", "PHOTO", "--model", "tiny", "--device", "quantum"), "device"),
        (("generate", "PHOTO", "--model", "tiny", "--format", "docx"), "docx"),
        (("generate", "PHOTO", "--model", "tiny", "--target-faces", 3), "4 faces"),
        (("generate", "PHOTO", "--model", "tiny", "--min-component-area", 7), "min-component-area"),
        (("compare", "nowhere.png", "--models", "tiny"), "nowhere.png"),
        (("compare", "PHOTO", "--models", " , "), "names no model"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(arguments, word, photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    places = {"PHOTO": photos / "photo6.png", "EMPTY": tmp_path / "empty"}
    out = tmp_path / ("out.png" if arguments[0] == "compare" else "out")
    code, text = run(monkeypatch, capsys, *(places.get(a, a) for a in arguments), "-o", out)
    assert code == 2
    assert word in text
    assert "Traceback" not in text


def test_an_output_folder_that_cannot_be_made(photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    code, text = run(
        monkeypatch, capsys, "generate", photos / "photo6.png", "-o", tmp_path / "file" / "out", "--model", "tiny"
    )
    assert code == 2
    assert "can't write" in text


def test_python_dash_m_and_the_quick_start():
    done = subprocess.run([sys.executable, "-m", "instantmesh", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("generate", "reconstruct", "inspect", "models"):
        assert command in done.stdout


def test_the_version_is_told(monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, "--version")
    assert (code, text.strip()) == (0, f"instantmesh {instantmesh.__version__}")


def test_a_missing_photo_is_named_once(tmp_path, monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, "generate", tmp_path / "x.png", "-o", tmp_path / "out", "--model", "tiny")
    assert code == 2
    assert text.count("x.png") == 1
