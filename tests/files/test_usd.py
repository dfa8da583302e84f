"""USDZ by usd-core: its validators, files of others, and what is said without it."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instantmesh import cli
from instantmesh.errors import InputError, MissingBackendError
from instantmesh.files.asset_files import read_asset
from instantmesh.structures import Mesh

from .lettered import colored_letter, textured_letter
from .small import asymmetric_mesh


@pytest.fixture
def pxr() -> Any:
    """USD's package, with the modules that are used here."""
    for name in ("UsdUtils", "UsdValidation"):
        pytest.importorskip(f"pxr.{name}", reason="needs usd-core")
    return pytest.importorskip("pxr")


@pytest.mark.parametrize("mesh", [textured_letter(), colored_letter(1), asymmetric_mesh(colored=False)])
def test_usdz_passes_usd_s_validators(pxr: Any, tmp_path: Path, mesh: Mesh):
    stage = pxr.Usd.Stage.Open(str(mesh.save(tmp_path / "a.usdz", origin="bottom")))
    validators = pxr.UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    check = pxr.UsdValidation.ValidationContext(validators).Validate
    assert [error.GetMessage() for error in check(stage)] == []
    assert pxr.UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert pxr.UsdGeom.GetStageUpAxis(stage) == "Y"
    low, high = (np.array(p) for p in pxr.UsdGeom.Mesh(stage.GetPrimAtPath("/Object/Mesh")).GetExtentAttr().Get())
    assert (high - low).max() == pytest.approx(1)
    assert low[1] == pytest.approx(0, abs=1e-6)
    stage.SetEditTarget(stage.GetSessionLayer())
    stage.GetPrimAtPath("/Object/Material/Surface").GetAttribute("info:id").Set("NoSuchShader")
    stage.ClearMetadata("upAxis")
    assert check(stage)  # they would have seen it


def test_usd_of_others(pxr: Any, tmp_path: Path):
    """Up along z, a quad and a triangle, stretched, left-handed, coloured by face."""
    stage = pxr.Usd.Stage.CreateNew(str(tmp_path / "a.usdc"))
    pxr.UsdGeom.SetStageUpAxis(stage, "Z")
    parent = pxr.UsdGeom.Xform.Define(stage, "/Up")
    parent.AddTranslateOp().Set((0, 0, 5))
    mesh = pxr.UsdGeom.Mesh.Define(stage, "/Up/Mesh")
    mesh.AddScaleOp().Set(pxr.Gf.Vec3f(2, 1, 1))
    mesh.CreatePointsAttr([(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0), (3, 0, 0)])
    mesh.CreateFaceVertexCountsAttr([4, 3])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 3, 3, 2, 4])
    mesh.CreateOrientationAttr("leftHanded")
    primvar = pxr.UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "displayColor", pxr.Sdf.ValueTypeNames.Color3fArray, "uniform"
    )
    primvar.Set([(1, 0, 0), (0, 0.2140, 1)])
    stage.GetRootLayer().Save()
    pxr.UsdUtils.CreateNewUsdzPackage(str(tmp_path / "a.usdc"), str(tmp_path / "a.usdz"))
    (part,) = read_asset(tmp_path / "a.usdz")
    # Blender's and USD's z-up has the front at -y: x right, z up; so the world's y is USD's x, its x USD's -y
    assert part.colors is not None
    corners = part.vertices[part.faces]
    found = np.unique(corners.reshape(-1, 3), axis=0)
    np.testing.assert_allclose(found, [(-1, 0, 5), (-1, 2, 5), (0, 0, 5), (0, 2, 5), (0, 6, 5)])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_allclose(normals, [(0, 0, 2), (0, 0, 4), (0, 0, 2)])
    np.testing.assert_allclose(part.colors[part.faces[1]], [(0, 0.5, 1)] * 3, atol=1e-3)
    np.testing.assert_allclose(part.colors[part.faces[0]], [(1, 0, 0)] * 3)


def test_usd_faces_with_materials_of_their_own(pxr: Any, tmp_path: Path):
    stage = pxr.Usd.Stage.CreateNew(str(tmp_path / "a.usdc"))
    mesh = pxr.UsdGeom.Mesh.Define(stage, "/Mesh")
    mesh.CreatePointsAttr([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 2, 0)])
    mesh.CreateFaceVertexCountsAttr([4, 3])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 3, 3, 2, 4])
    material = pxr.UsdShade.Material.Define(stage, "/Red")
    shader = pxr.UsdShade.Shader.Define(stage, "/Red/Surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", pxr.Sdf.ValueTypeNames.Color3f).Set((1, 0, 0))
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    subset = pxr.UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).CreateMaterialBindSubset("red", [1])
    pxr.UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
    hidden = pxr.UsdGeom.Mesh.Define(stage, "/Hidden")
    hidden.CreatePointsAttr([(9, 9, 9)] * 3)
    hidden.CreateFaceVertexCountsAttr([3])
    hidden.CreateFaceVertexIndicesAttr([0, 1, 2])
    hidden.MakeInvisible()
    stage.GetRootLayer().Save()
    pxr.UsdUtils.CreateNewUsdzPackage(str(tmp_path / "a.usdc"), str(tmp_path / "a.usdz"))
    triangle, quad = read_asset(tmp_path / "a.usdz")
    assert triangle.colors is not None
    assert quad.colors is not None
    np.testing.assert_allclose(triangle.colors, [(1, 0, 0)] * 3)
    np.testing.assert_allclose(quad.colors, [(0.8, 0.8, 0.8)] * 4)  # nothing is said of it


@pytest.mark.parametrize("kind", ["reference", "sublayer", "payload", "texture"])
def test_a_usd_package_opens_nothing_outside(pxr: Any, tmp_path: Path, kind: str):
    other = pxr.Usd.Stage.CreateNew(str(tmp_path / "other.usda"))
    pxr.UsdGeom.Cube.Define(other, "/Mesh")
    other.GetRootLayer().Save()
    stage = pxr.Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    prim = pxr.UsdGeom.Mesh.Define(stage, "/Mesh").GetPrim()
    place = str(tmp_path / "other.usda")
    if kind == "reference":
        prim.GetReferences().AddReference(place, "/Mesh")
    elif kind == "payload":
        prim.GetPayloads().AddPayload(place, "/Mesh")
    elif kind == "sublayer":
        stage.GetRootLayer().subLayerPaths.append(place)
    else:
        prim.CreateAttribute("inputs:file", pxr.Sdf.ValueTypeNames.Asset).Set(place)
    stage.GetRootLayer().Save()
    with zipfile.ZipFile(tmp_path / "a.usdz", "w") as package:
        package.write(tmp_path / "a.usda", "a.usda")
    with pytest.raises(InputError, match=r"needs the file .*other\.usda, which is missing from it"):
        read_asset(tmp_path / "a.usdz")


@pytest.mark.usefixtures("pxr")
def test_a_damaged_file(tmp_path: Path):
    (tmp_path / "a.usdz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="can't be read as USD"):
        read_asset(tmp_path / "a.usdz")


@pytest.mark.usefixtures("pxr")
def test_a_missing_texture_is_named(tmp_path: Path):
    path = textured_letter().save(tmp_path / "a.usdz")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "b.usdz", "w") as part:
        part.writestr("mesh.usdc", whole.read("mesh.usdc"))
    with pytest.raises(InputError, match=r"b\.usdz needs the file .*texture\.png"):
        read_asset(tmp_path / "b.usdz")


def test_without_usd_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "pxr.UsdUtils", None)
    with pytest.raises(MissingBackendError, match=r"instantmesh\[usd\]"):
        textured_letter().save(tmp_path / "a.usdz")
    assert list(tmp_path.iterdir()) == []
    # the command says so before any work: here not even the model exists
    command = ["generate", str(tmp_path / "photo.png"), "--out", str(tmp_path), "--format", "usdz", "--model", "tiny"]
    monkeypatch.setattr(sys, "argv", ["instantmesh", *command])
    with pytest.raises(SystemExit):
        cli.main()
    assert "instantmesh[usd]" in capsys.readouterr().err
