"""Reports: exact numbers of known shapes, words for what is wrong, text, JSON, and the command."""

import json
import sys

import numpy as np
import PIL.Image
import pytest
import torch
import trimesh

from instantmesh import InputError, Mesh, Texture, cli, report
from instantmesh.errors import MissingFileError
from instantmesh.mesh.report import report_file
from tests.files.lettered import textured_letter
from tests.mesh.shapes import cube, joined, ring, sphere, with_faces


def test_a_cube_in_numbers():
    found = report(cube(2.0, centre=(1.0, 0, 0)))
    assert (found.faces, found.vertices, found.components, found.euler_number) == (12, 8, 1, 2)
    assert found.watertight
    assert (found.area, found.volume) == (pytest.approx(24), pytest.approx(8))
    assert found.bounding_box == ((0, -1, -1), (2, 1, 1))
    assert found.colors == "vertex colours"
    assert found.warnings == ()


def test_a_torus_and_two_spheres():
    assert report(ring()).euler_number == 0
    two = report(joined(sphere(), sphere(centre=(3.0, 0, 0))))
    assert (two.components, two.euler_number, two.watertight) == (2, 4, True)
    assert "2 components" in two.warnings[0]


def test_defects_are_counted_and_said_in_words():
    mesh = cube()
    found = report(with_faces(mesh, mesh.faces[1:]))
    assert (found.boundary_edges, found.watertight, found.volume) == (3, False, None)
    assert "open (3 edges)" in found.warnings[0]
    turned = report(with_faces(mesh, torch.cat([mesh.faces[:1].flip(1), mesh.faces[1:]])))
    assert (turned.inconsistent_edges, turned.boundary_edges, turned.watertight) == (3, 0, False)
    assert "disagree about outside" in turned.warnings[0]
    inside_out = report(with_faces(mesh, mesh.faces.flip(1)))
    assert inside_out.volume == pytest.approx(-1)
    assert "inside out" in inside_out.warnings[0]
    doubled = report(with_faces(mesh, torch.cat([mesh.faces, mesh.faces[:2], mesh.faces[:1, [0, 0, 1]]])))
    assert (doubled.duplicate_faces, doubled.degenerate_faces, doubled.non_manifold_edges) == (2, 1, 5)
    plain = report(Mesh(mesh.vertices, mesh.faces))
    assert plain.colors == "none"
    assert "no colours" in plain.warnings[0]


def test_an_object_cut_off_by_the_grid_is_recognised():
    mesh = sphere(subdivisions=4)
    flat = Mesh(mesh.vertices.clamp(max=0.7), mesh.faces, mesh.vertex_colors)
    cut = with_faces(flat, mesh.faces[(flat.vertices[mesh.faces][..., 2] < 0.7).any(1)])
    (warning,) = (text for text in report(cut).warnings if "scale" in text)
    assert warning == (
        "the surface is cut off flat at +z; if by the edge of the reconstruction's grid, pass camera_distance_scale=0.8"
    )
    inner = with_faces(
        mesh, mesh.faces[mesh.vertices[mesh.faces].mean(1)[:, 2].abs() > 0.3]
    )  # open, but not at the end
    assert not any("scale" in text for text in report(inner).warnings)


def test_text_and_json():
    found = report(sphere())
    text = str(found)
    assert "faces               1,280" in text
    assert "bounding box        2 x 2 x 2 (front x, left y, up z), from (-1, -1, -1) to (1, 1, 1)" in text
    told = json.loads(found.to_json())
    assert told["volume"] == found.volume
    assert told["bounding_box"][1] == [1, 1, 1]
    assert told["warnings"] == []


@pytest.mark.parametrize("name", ["m.glb", "m.obj", "m.ply", "m.stl"])
def test_files_of_every_kind_report_what_was_written(name, tmp_path):
    mesh = sphere(subdivisions=2)
    found, kept = report_file(mesh.save(tmp_path / name, size_m=None, origin=None)), report(mesh)
    assert (found.faces, found.euler_number, found.watertight, found.components) == (320, 2, True, 1)
    assert found.volume == pytest.approx(kept.volume, rel=1e-4)
    np.testing.assert_allclose(found.bounding_box, kept.bounding_box, atol=1e-6)
    assert found.colors == ("none" if name == "m.stl" else "vertex colours")


def test_a_texture_is_named(tmp_path):
    from PIL import Image

    visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), image=Image.new("RGB", (64, 32), "red"))
    trimesh.Trimesh(cube().vertices.numpy(), cube().faces.numpy(), visual=visual, process=False).export(
        tmp_path / "m.glb"
    )
    assert report_file(tmp_path / "m.glb").colors == "texture 64 x 32"


def test_how_a_texture_is_used():
    cube_uv = torch.tensor([[[0.0, 0], [0.5, 0], [0.5, 1]]] * 12)  # all faces on one quarter of the texture
    mesh = Mesh(cube().vertices, cube().faces, None, Texture(torch.rand(3, 16, 32), cube_uv))
    found = report(mesh)
    assert found.colors == "texture 32 x 16"
    assert found.texture_coverage == pytest.approx(0.25, abs=2e-3)
    assert found.texture_overlap == pytest.approx(11 / 12, abs=2e-3)
    assert "texture used        25.0%, overlapping by 91.7%" in str(found)
    assert "belong to several faces" in found.warnings[0]
    assert json.loads(found.to_json())["texture_coverage"] == found.texture_coverage
    assert report(cube()).texture_coverage is None
    assert "texture used" not in str(report(cube()))


def test_several_textures_count_by_their_texels(tmp_path):
    from PIL import Image
    from trimesh.visual.material import PBRMaterial

    def square(shift: float, size_px: int, share: float) -> trimesh.Trimesh:
        corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
        mesh = trimesh.Trimesh(np.pad(corners, ((0, 0), (0, 1))) + shift, [[0, 1, 2], [0, 2, 3]], process=False)
        image = Image.new("RGB", (size_px, size_px), (size_px, 0, 0))
        material = PBRMaterial(baseColorTexture=image)
        mesh.visual = trimesh.visual.TextureVisuals(uv=corners * [share, 1], material=material)
        return mesh

    trimesh.Scene([square(0, 64, 1.0), square(2, 32, 0.5)]).export(tmp_path / "m.glb")
    found = report_file(tmp_path / "m.glb")
    assert found.colors == "texture 64 x 64, 32 x 32"
    assert found.texture_coverage == pytest.approx((4 * 1 + 1 * 0.5) / 5, abs=2e-3)
    assert found.texture_overlap == pytest.approx(0, abs=2e-3)


def test_files_report_their_texture_as_the_mesh_does(tmp_path):
    mesh = textured_letter()
    kept = report(mesh)
    assert kept.texture_coverage is not None
    assert kept.texture_overlap is not None
    for name in ("m.glb", "m.obj"):
        found = report_file(mesh.save(tmp_path / name))
        assert found.colors == kept.colors == "texture 256 x 256"
        assert found.texture_coverage == pytest.approx(kept.texture_coverage, abs=1e-3)
        assert found.texture_overlap == pytest.approx(kept.texture_overlap, abs=5e-3)


def test_the_command(tmp_path, monkeypatch, capsys):
    path = cube().save(tmp_path / "cube.glb")
    assert "watertight          yes" in run(monkeypatch, capsys, "inspect", path)
    assert json.loads(run(monkeypatch, capsys, "inspect", path, "--json"))["faces"] == 12
    image = tmp_path / "cube.png"
    run(monkeypatch, capsys, "inspect", path, "--image", image)
    with PIL.Image.open(image) as sheet:
        assert sheet.size == (4 * 384, 2 * 384)
    assert "exists" in run(monkeypatch, capsys, "inspect", path, "--image", image, code=2)
    assert "no mesh file" in run(monkeypatch, capsys, "inspect", tmp_path / "nothing.glb", code=2)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="no faces"):
        report(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)))
    with pytest.raises(MissingFileError):
        report_file(tmp_path / "nothing.glb")
    point = report(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    assert (point.degenerate_faces, point.area) == (1, 0)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    monkeypatch.setattr(sys, "argv", ["instantmesh", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert int(stop.value.code or 0) == code
    printed = capsys.readouterr()
    return printed.out + printed.err
