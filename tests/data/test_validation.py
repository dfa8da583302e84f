"""A good data set passes; each kind of damage is found, where it is and nowhere else."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from instantmesh.cameras import look_at_origin
from instantmesh.cli.data_commands import data
from instantmesh.data import layout
from instantmesh.data.assets import load_asset
from instantmesh.data.consistency import likely_mistake, share_contradicted, unproject
from instantmesh.data.layout import write_object
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.data.rigs import diffusion_cameras
from instantmesh.data.shards import pack
from instantmesh.data.validation import Finding, check, check_object, check_views, open_for_checking
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError
from instantmesh.structures import Cameras
from instantmesh.views.checks import see_origin
from tests.data.made_assets import textured_box
from tests.data.made_views import made_views


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small images gain nothing from more, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small objects of six views."""
    root = tmp_path_factory.mktemp("check") / "good"
    for number, name in enumerate(("apple", "bench", "crate")):
        write_object(root / name, made_views(number, 6, 48))
    return root


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """Objects that a test may spoil."""
    return shutil.copytree(good, tmp_path / "copy")


def findings(root: Path) -> list[Finding]:
    source = open_for_checking(root)
    return [finding for index in range(len(source)) for finding in check_object(source, index).findings]


def rewrite(folder: Path, **changes: object) -> None:
    """Put changed views in the place of an object's."""
    views = layout.read_object(folder, range(6))
    shutil.rmtree(folder)
    write_object(folder, replace(views, **changes))


def poses_of(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the stored poses, made (n, 4, 4)."""
    with np.load(folder / "cameras.npz") as file:
        poses, intrinsics = file["cam_poses"], file["intrinsics"]
    square = np.concatenate([poses, np.tile(np.array([[[0, 0, 0, 1]]], np.float32), (len(poses), 1, 1))], 1)
    np.savez(folder / "cameras.npz", cam_poses=change(square)[:, :3].astype(np.float32), intrinsics=intrinsics)


def run(*arguments: object) -> tuple[list[str], Exception | None]:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments])
    error = result.exception
    assert error is None or isinstance(error, InputError), result.output
    return result.stdout.splitlines(), error


def test_good_data_passes(good: Path, tmp_path: Path):
    assert findings(good) == []
    pack(good, tmp_path / "shards")
    assert findings(tmp_path / "shards") == []


def test_good_diffusion_data_passes(tmp_path: Path):
    """The query view may stand so far away that some of its depth is beyond the layout's range."""
    renderer = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED)))
    for seed in range(3):
        write_object(tmp_path / f"object{seed}", renderer.views(diffusion_cameras(np.random.default_rng(seed)), 48))
    assert findings(tmp_path) == []


def test_a_model_with_flat_sides_passes(tmp_path: Path):
    textured_box().export(tmp_path / "box.glb")
    renderer = ObjectRenderer(load_asset(tmp_path / "box.glb"))
    write_object(tmp_path / "set" / "box", renderer.views(made_views(0, 6, 48).cameras, 48))
    assert findings(tmp_path / "set") == []


def test_swapped_poses_are_found_and_named(copy: Path):
    poses_of(copy / "bench", np.linalg.inv)
    found = findings(copy)
    assert {finding.name for finding in found} == {"bench"}
    blind = [finding for finding in found if "doesn't see the object's centre" in finding.what]
    assert blind
    assert all("camera-to-world poses; they must be world-to-camera" in finding.what for finding in blind)
    outside = [finding for finding in found if "lie outside" in finding.what]
    assert [finding.view for finding in outside] == list(range(6))


def test_axes_of_opencv_are_found_and_named(copy: Path):
    poses_of(copy / "bench", lambda poses: np.diag([1, -1, -1, 1]) @ poses)
    blind = [finding for finding in findings(copy) if "doesn't see the object's centre" in finding.what]
    assert [(finding.name, finding.view) for finding in blind] == [("bench", view) for view in range(6)]
    assert all("y must be up and z backward" in finding.what for finding in blind)


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_flipped_normals_are_found(copy: Path, axes: str):
    views = layout.read_object(copy / "apple", range(6))
    rotation = views.cameras.camera_to_world[:, :3, :3] if axes == "camera" else torch.eye(3).repeat(6, 1, 1)
    flip = rotation @ torch.diag(torch.tensor([1.0, -1.0, 1.0])) @ rotation.mT
    rewrite(copy / "apple", normal=torch.einsum("nij,njhw->nihw", flip, views.normal))
    found = findings(copy)
    assert {finding.name for finding in found} == {"apple"}
    assert all("normals" in finding.what for finding in found)
    assert len({finding.view for finding in found if "slopes disagree" in finding.what}) >= 2


@pytest.mark.parametrize("factor", [2.0, 0.5, 1.1])
def test_scaled_depth_is_found(copy: Path, factor: float):
    views = layout.read_object(copy / "crate", range(6))
    rewrite(copy / "crate", depth=views.depth * factor)
    found = findings(copy)
    assert {finding.name for finding in found} == {"crate"}
    assert {finding.view for finding in found} == set(range(6))


def test_the_images_of_another_view_are_found(copy: Path):
    for kind in ("", "_normal", "_depth"):
        shutil.copy(copy / "apple" / f"000{kind}.png", copy / "apple" / f"003{kind}.png")
    found = findings(copy)
    assert {finding.name for finding in found} == {"apple"}
    assert any(finding.view == 3 and "contradicted" in finding.what for finding in found)


def test_files_that_are_damaged_missing_or_too_many(copy: Path):
    content = (copy / "apple" / "002.png").read_bytes()
    (copy / "apple" / "002.png").write_bytes(content[: len(content) // 2])
    for kind in ("", "_normal", "_depth"):
        (copy / "bench" / f"004{kind}.png").unlink()
    shutil.copy(copy / "crate" / "000_depth.png", copy / "crate" / "006_depth.png")
    found = findings(copy)
    assert [(finding.name, finding.view) for finding in found] == [("apple", 2), ("bench", 4), ("crate", 6)]
    assert found[0].what.startswith("002.png is damaged")
    assert found[1].what == "004.png is missing"
    assert found[2].what == "has images but no camera"


def test_objects_unlike_the_others(copy: Path):
    for folder, views in {"bench": made_views(1, 6, 48)[:5], "crate": made_views(2, 6, 32)}.items():
        shutil.rmtree(copy / folder)
        write_object(copy / folder, views)
    write_object(copy / "dish", made_views(3, 6, 48))
    (copy / "empty").mkdir()
    (copy / "objects.json").write_text(json.dumps(["apple", "bench", "crate", "dish", "empty", "gone"]))
    report = check(copy, workers=1)
    assert (report.objects, report.view_count, report.size_px) == (6, 6, 48)
    assert [str(finding) for finding in report.findings] == [
        "bench: 5 views; most objects have 6",
        "crate: 32 pixels; most objects have 48",
        "empty: cameras.npz is missing",
        "gone: cameras.npz is missing",
    ]


def test_views_of_different_sizes(copy: Path):
    for path in (copy / "apple").glob("001*.png"):
        Image.open(path).resize((24, 24)).save(path)
    found = findings(copy)
    assert [(finding.name, finding.view) for finding in found] == [("apple", None)]
    assert "one square size" in found[0].what


def test_objects_out_of_the_image():
    views = made_views(0, 6, 48)
    mask = views.mask.clone()
    mask[0] = 0
    mask[1] = 1
    found = check_views(replace(views, mask=mask), [10, 11, 12, 13, 14, 15], "thing")
    framing = {(finding.view, finding.what) for finding in found}
    assert (10, "nothing is seen, the mask is empty") in framing
    assert (11, "the object is cut off at all four borders") in framing


def test_the_command_ends_with_an_error_and_draws_a_sheet(copy: Path, tmp_path: Path):
    (copy / "bench" / "cameras.npz").unlink()
    lines, error = run("check", copy, "--sheet", tmp_path / "sheet.png", "--workers", "1")
    assert lines == ["bench: cameras.npz is missing"]
    assert str(error) == "findings in 1 of 3 objects"
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * 110, 12 * 96, 3)
    assert (sheet[110 + 14 : 220] == 255).all()  # nothing to show of the bench
    assert (sheet[14 + 48, 96:192] < 250).any()
    with pytest.raises(InputError, match=r"holds no rendered objects|there is no folder"):
        check(tmp_path / "nowhere", 1)


def test_points_of_exact_depth_lie_on_the_surface():
    views = made_views(0, 6, 48)
    solid = views.mask[:, 0] == 1
    points = unproject(views.depth[:, 0], views.cameras)[solid]
    distance = np.abs(random_object(HELD_OUT_SEED).distance(points.numpy()))
    assert np.median(distance) < 2e-3  # depth is the mean of four rays
    assert float(share_contradicted(views).max()) < 0.02


def test_likely_mistakes():
    cameras = made_views(0, 6, 48).cameras
    assert see_origin(cameras).all()
    pose = look_at_origin(torch.tensor([[0.0, -4.0, 0.0]]))
    past = pose.clone()
    past[:, 0, 3] = 3.0
    aside = Cameras(past, cameras.intrinsics[:1])
    assert not see_origin(aside).any()
    assert likely_mistake(aside) is None


def test_contradictions_do_not_depend_on_how_an_object_is_turned():
    views = made_views(0, 6, 48)
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned: ObjectViews = replace(
        views, cameras=Cameras(turn @ views.cameras.camera_to_world, views.cameras.intrinsics)
    )
    torch.testing.assert_close(share_contradicted(turned), share_contradicted(views), atol=0.01, rtol=0)
