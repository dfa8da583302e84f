"""USDZ, by usd-core: one mesh with its material, all of it in one file; and USD files read as trimesh scenes."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh import backends
from instantmesh.files.colors import srgb_to_linear
from instantmesh.files.mesh_arrays import MeshArrays
from instantmesh.files.texture_images import texture_bytes


def usdz_bytes(mesh: MeshArrays) -> bytes:
    """The file's content; `mesh` is +y up already, its units are metres.

    Raises:
        MissingBackendError: usd-core isn't installed.
    """
    pxr = _pxr()
    with tempfile.TemporaryDirectory() as folder:
        stage = pxr.Usd.Stage.CreateNew(f"{folder}/mesh.usdc")
        pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
        pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = pxr.UsdGeom.Xform.Define(stage, "/Object").GetPrim()
        pxr.Usd.ModelAPI(root).SetKind(pxr.Kind.Tokens.component)
        stage.SetDefaultPrim(root)
        geometry = _geometry(pxr, stage, mesh)
        material = _material(pxr, stage, mesh)
        pxr.UsdShade.MaterialBindingAPI.Apply(geometry).Bind(material)
        if mesh.texture is not None:
            Path(folder, "texture.png").write_bytes(texture_bytes(mesh.texture.image))
        stage.GetRootLayer().Save()
        package = Path(folder, "mesh.usdz")
        pxr.UsdUtils.CreateNewUsdzPackage(f"{folder}/mesh.usdc", str(package))
        return package.read_bytes()


def _pxr() -> Any:
    backends.load("pxr.UsdUtils")  # with it come the other modules used here
    return backends.load("pxr")


def _geometry(pxr: Any, stage: Any, mesh: MeshArrays) -> Any:
    geometry = pxr.UsdGeom.Mesh.Define(stage, "/Object/Mesh")
    vertices = mesh.vertices.astype(np.float32)
    geometry.CreatePointsAttr(_vectors(pxr, vertices))
    geometry.CreateExtentAttr(_vectors(pxr, np.stack([vertices.min(0), vertices.max(0)])))
    geometry.CreateFaceVertexCountsAttr(pxr.Vt.IntArray(len(mesh.faces), 3))
    geometry.CreateFaceVertexIndicesAttr(pxr.Vt.IntArray.FromNumpy(mesh.faces.ravel().astype(np.int32)))
    geometry.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    geometry.CreateOrientationAttr(pxr.UsdGeom.Tokens.rightHanded)
    geometry.CreateDoubleSidedAttr(False)
    if mesh.normals is not None:
        geometry.CreateNormalsAttr(_vectors(pxr, mesh.normals))
        geometry.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    types, primvars = pxr.Sdf.ValueTypeNames, pxr.UsdGeom.PrimvarsAPI(geometry)
    if mesh.texture is not None:
        u, v = mesh.texture.uv.reshape(-1, 2).T
        places = pxr.Vt.Vec2fArray.FromNumpy(np.stack([u, 1 - v], axis=1).astype(np.float32))  # USD's v runs up
        primvars.CreatePrimvar("st", types.TexCoord2fArray, pxr.UsdGeom.Tokens.faceVarying).Set(places)
    elif mesh.colors is not None:
        colors = srgb_to_linear(mesh.colors.astype(np.float64).clip(0, 1))
        primvars.CreatePrimvar("displayColor", types.Color3fArray, pxr.UsdGeom.Tokens.vertex).Set(_vectors(pxr, colors))
    return geometry.GetPrim()


def _material(pxr: Any, stage: Any, mesh: MeshArrays) -> Any:
    """A dull material in the colours of the texture or of the vertices, by UsdPreviewSurface's nodes."""
    types = pxr.Sdf.ValueTypeNames
    material = pxr.UsdShade.Material.Define(stage, "/Object/Material")

    def node(name: str, kind: str, **inputs: tuple[Any, Any]) -> Any:
        shader = pxr.UsdShade.Shader.Define(stage, f"/Object/Material/{name}")
        shader.CreateIdAttr(kind)
        for key, (value_type, value) in inputs.items():
            shader.CreateInput(key, value_type).Set(value)
        return shader

    surface = node("Surface", "UsdPreviewSurface", metallic=(types.Float, 0.0), roughness=(types.Float, 1.0))
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    diffuse = surface.CreateInput("diffuseColor", types.Color3f)
    if mesh.texture is not None:
        places = node("Places", "UsdPrimvarReader_float2", varname=(types.String, "st"))
        image = node(
            "Image",
            "UsdUVTexture",
            file=(types.Asset, "./texture.png"),
            sourceColorSpace=(types.Token, "sRGB"),
            wrapS=(types.Token, "clamp"),
            wrapT=(types.Token, "clamp"),
        )
        at = image.CreateInput("st", types.Float2)
        at.ConnectToSource(places.CreateOutput("result", types.Float2))
        diffuse.ConnectToSource(image.CreateOutput("rgb", types.Float3))
    elif mesh.colors is not None:
        colors = node("Colors", "UsdPrimvarReader_float3", varname=(types.String, "displayColor"))
        diffuse.ConnectToSource(colors.CreateOutput("result", types.Float3))
    else:
        diffuse.Set((0.6, 0.6, 0.6))  # linear: the light grey that meshes without colours are drawn in
    return material


def _vectors(pxr: Any, array: NDArray[np.floating]) -> Any:
    return pxr.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(array, np.float32))
