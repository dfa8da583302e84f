"""USD files read as trimesh scenes, by usd-core: what trimesh doesn't know how to read.

What is read: meshes in their places, normals, and UsdPreviewSurface's base colour: texture, number, or `displayColor`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instantmesh import backends
from instantmesh.errors import InputError

_Z_UP_TO_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def read_usd_scene(path: Path) -> Any:
    """A `trimesh.Scene`, y up; its colours are linear and its textures' v runs up, as trimesh reads glTF.

    Raises:
        MissingBackendError: usd-core isn't installed.
        InputError: the file isn't USD.
        FileNotFoundError: a texture is missing.
    """
    import trimesh  # here, so that importing the package stays fast

    backends.load("pxr.UsdUtils")  # with it come the other modules used here
    pxr = backends.load("pxr")
    try:
        stage = pxr.Usd.Stage.Open(str(path))
    except pxr.Tf.ErrorException as error:
        raise InputError(f"{path} can't be read as USD ({str(error).strip().splitlines()[-1].strip()})") from error
    to_y_up = _Z_UP_TO_Y_UP if pxr.UsdGeom.GetStageUpAxis(stage) == pxr.UsdGeom.Tokens.z else np.eye(4)
    places = pxr.UsdGeom.XformCache()
    scene = trimesh.Scene()
    for prim in stage.Traverse(pxr.Usd.TraverseInstanceProxies()):
        if prim.IsA(pxr.UsdGeom.Mesh):
            place = np.array(places.GetLocalToWorldTransform(prim)).T  # USD multiplies rows by matrices
            scene.add_geometry(_read_mesh(pxr, prim), node_name=str(prim.GetPath()), transform=to_y_up @ place)
    return scene


def _read_mesh(pxr: Any, prim: Any) -> Any:
    """A `trimesh.Trimesh` whose vertices each have one colour, one normal and one place in the texture."""
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    geometry = pxr.UsdGeom.Mesh(prim)
    points = np.array(geometry.GetPointsAttr().Get(), np.float64).reshape(-1, 3)
    vertex = np.array(geometry.GetFaceVertexIndicesAttr().Get(), np.int64)  # of every corner
    count = np.array(geometry.GetFaceVertexCountsAttr().Get(), np.int64)
    factor, image, uv_name = _base_color(pxr, prim)
    found = {
        "normals": (geometry.GetNormalsAttr().Get(), geometry.GetNormalsInterpolation()),
        "uv": _primvar(pxr, prim, uv_name),
        "color": _primvar(pxr, prim, "displayColor") if factor is None and image is None else (None, ""),
    }
    at_corners = {
        name: _at_corners(np.array(values, np.float64), interpolation, vertex, np.repeat(np.arange(len(count)), count))
        for name, (values, interpolation) in found.items()
        if values is not None
    }
    _, first, group = np.unique(
        np.column_stack([vertex, *at_corners.values()]), axis=0, return_index=True, return_inverse=True
    )
    faces = group.ravel()[_triangle_corners(count)]
    if geometry.GetOrientationAttr().Get() == pxr.UsdGeom.Tokens.leftHanded:
        faces = faces[:, ::-1]
    values = {name: array[first] for name, array in at_corners.items()}
    visual = TextureVisuals(
        uv=values.get("uv"), material=PBRMaterial(baseColorTexture=image, baseColorFactor=_opaque(factor))
    )
    if "color" in values:
        visual.vertex_attributes["color"] = values["color"]
    return trimesh.Trimesh(
        points[vertex[first]], faces, vertex_normals=values.get("normals"), visual=visual, process=False
    )


def _triangle_corners(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """(f, 3) corners of the triangles of faces with `count` corners each, as fans."""
    start = np.cumsum(count) - count
    triangles = [
        np.stack([start, start + second, start + second + 1], axis=1)[count > second + 1]
        for second in range(1, max(count, default=0) - 1)
    ]
    return np.concatenate([np.empty((0, 3), np.int64), *triangles])


def _primvar(pxr: Any, prim: Any, name: str) -> tuple[Any, str]:
    primvar = pxr.UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(name)
    return (primvar.ComputeFlattened(), primvar.GetInterpolation()) if primvar else (None, "")


def _at_corners(
    values: NDArray[np.floating], interpolation: str, vertex: NDArray[np.int64], face: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Values of corners, whatever they were given for."""
    if interpolation == "faceVarying":
        return values
    return values[{"constant": np.zeros_like(vertex), "uniform": face}.get(interpolation, vertex)]


def _base_color(pxr: Any, prim: Any) -> tuple[Any, Image.Image | None, str]:
    """The bound material's linear colour, or its texture and the name of its texture coordinates."""
    material, _ = pxr.UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0] if material else None
    diffuse = surface.GetInput("diffuseColor") if surface else None
    if not diffuse:
        return None, None, "st"
    node = _source(pxr, diffuse)
    if node is None:
        return diffuse.Get(), None, "st"
    if node.GetIdAttr().Get() != "UsdUVTexture":
        return None, None, "st"
    file = node.GetInput("file").Get()
    asset = pxr.Ar.GetResolver().OpenAsset(pxr.Ar.ResolvedPath(file.resolvedPath)) if file.resolvedPath else None
    if asset is None:
        raise FileNotFoundError(f"the texture {file.path} is missing")
    places = _source(pxr, node.GetInput("st"))
    name = places.GetInput("varname").Get() if places else "st"
    return None, Image.open(io.BytesIO(asset.GetBuffer())), name


def _source(pxr: Any, shader_input: Any) -> Any:
    """The shader that the input is connected to, or None."""
    sources = shader_input.GetConnectedSources()[0] if shader_input else []
    return pxr.UsdShade.Shader(sources[0].source.GetPrim()) if sources else None


def _opaque(factor: Any) -> NDArray[np.float64] | None:
    return None if factor is None else np.array([*factor, 1.0])
