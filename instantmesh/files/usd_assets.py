"""The parts of a USDZ file, by usd-core.

What is read: meshes in their places, face subsets with materials of their own, normals, and UsdPreviewSurface's base
colour: texture, number, or `displayColor`. Nothing outside the file is opened.
"""

import logging
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh import backends
from instantmesh.errors import InputError
from instantmesh.files.asset_images import AssetImage, decode_image
from instantmesh.files.asset_part import AssetPart, unit_normals
from instantmesh.files.colors import linear_to_srgb
from instantmesh.files.frame import gltf_to_world

_log = logging.getLogger(__name__)

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

_Z_UP_TO_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_LAYERS = (".usd", ".usda", ".usdc")


def read_usd(path: Path) -> list[AssetPart]:
    """The triangles that a .usdz file shows, in the world frame.

    What is lost (curves, point instances, ...) is told as a warning.

    Raises:
        MissingBackendError: usd-core isn't installed.
        InputError: the file isn't USD, needs a file that isn't in it, or has a texture that can't be read.
    """
    backends.load("pxr.UsdUtils")  # with it come the other modules used here
    pxr = backends.load("pxr")
    _check_package(pxr, path)
    try:
        stage = pxr.Usd.Stage.Open(str(path))
    except pxr.Tf.ErrorException as error:
        raise InputError(f"{path} can't be read as USD ({str(error).strip().splitlines()[-1].strip()})") from error
    to_y_up = _Z_UP_TO_Y_UP if pxr.UsdGeom.GetStageUpAxis(stage) == pxr.UsdGeom.Tokens.z else np.eye(4)
    places, images = pxr.UsdGeom.XformCache(), dict[str, AssetImage]()
    parts, lost = [], set()
    for prim in stage.Traverse(pxr.Usd.TraverseInstanceProxies()):
        if prim.IsA(pxr.UsdGeom.Mesh):
            if _is_shown(pxr, prim):
                place = to_y_up @ np.array(places.GetLocalToWorldTransform(prim)).T  # USD multiplies rows by matrices
                parts += _parts(pxr, path, prim, place, images)
        elif prim.IsA(pxr.UsdGeom.PointInstancer):
            lost.add("point instances")
        elif prim.IsA(pxr.UsdGeom.Gprim) and not prim.IsA(pxr.UsdGeom.Mesh):
            lost.add(f"{prim.GetTypeName()} shapes")
        elif prim.GetTypeName() == "SkelRoot":
            lost.add("skeletons")
    if lost:
        _log.warning("%s: read without its %s", path, ", ".join(sorted(lost)))
    return parts


def _check_package(pxr: Any, path: Path) -> None:
    """Raises InputError if a layer in the package asks for a file that isn't in it."""
    try:
        with zipfile.ZipFile(path) as package:
            entries = {posixpath.normpath(name) for name in package.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} can't be read as USD ({error})") from error
    for layer in sorted(entry for entry in entries if entry.lower().endswith(_LAYERS)):
        try:
            assets = pxr.UsdUtils.ExtractExternalReferences(f"{path}[{layer}]")
        except pxr.Tf.ErrorException as error:
            raise InputError(f"{path} can't be read as USD ({layer} is damaged)") from error
        for asset in (asset for kind in assets for asset in kind):
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(layer), asset))
            if beside not in entries and posixpath.normpath(asset) not in entries:
                raise InputError(f"{path} needs the file {asset}, which is missing from it")


def _is_shown(pxr: Any, prim: Any) -> bool:
    imageable = pxr.UsdGeom.Imageable(prim)
    tokens = pxr.UsdGeom.Tokens
    visible = imageable.ComputeVisibility() != tokens.invisible
    return visible and imageable.ComputePurpose() in (tokens.default_, tokens.render)


@dataclass(frozen=True)
class _Polygons:
    """A mesh's polygons: c corners of p polygons.

    Attributes:
        points: (v, 3).
        vertex: (c,) index of the point of each corner.
        count: (p,) corners of each.
        face: (c,) polygon of each corner.
    """

    points: Array
    vertex: Indices
    count: Indices
    face: Indices

    def at_corners(self, values: Array, interpolation: str) -> Array:
        """Values of corners, whatever they were given for."""
        if interpolation == "faceVarying":
            return values
        return values[{"constant": np.zeros_like(self.vertex), "uniform": self.face}.get(interpolation, self.vertex)]

    def triangles(self, chosen: NDArray[np.bool_]) -> Indices:
        """(f, 3) corners of the triangles of some of the polygons, as fans."""
        start = np.cumsum(self.count) - self.count
        fans = [
            np.stack([start, start + second, start + second + 1], axis=1)[chosen & (self.count > second + 1)]
            for second in range(1, max(self.count, default=0) - 1)
        ]
        return np.concatenate([np.empty((0, 3), np.int64), *fans])


def _parts(pxr: Any, path: Path, prim: Any, place: Array, images: dict[str, AssetImage]) -> Iterator[AssetPart]:
    """One for each of the mesh's materials."""
    geometry = pxr.UsdGeom.Mesh(prim)
    points = np.array(geometry.GetPointsAttr().Get() or [], np.float64).reshape(-1, 3)
    vertex = np.array(geometry.GetFaceVertexIndicesAttr().Get() or [], np.int64)
    count = np.array(geometry.GetFaceVertexCountsAttr().Get() or [], np.int64)
    if len(vertex) != count.sum() or (len(vertex) and not 0 <= vertex.min() <= vertex.max() < len(points)):
        raise InputError(f"{path} can't be read as USD: {prim.GetPath()} has faces with vertices that aren't there")
    polygons = _Polygons(points, vertex, count, np.repeat(np.arange(len(count)), count))
    rest = np.ones(len(count), bool)
    for subset in pxr.UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets():
        indices = np.array(subset.GetIndicesAttr().Get() or [], np.int64)
        chosen = np.zeros(len(count), bool)
        chosen[indices[(indices >= 0) & (indices < len(count))]] = True
        rest &= ~chosen
        yield from _part(pxr, path, subset.GetPrim(), geometry, polygons, chosen, place, images)
    yield from _part(pxr, path, prim, geometry, polygons, rest, place, images)


def _part(
    pxr: Any,
    path: Path,
    bound: Any,
    geometry: Any,
    polygons: _Polygons,
    chosen: NDArray[np.bool_],
    place: Array,
    images: dict[str, AssetImage],
) -> Iterator[AssetPart]:
    """Some of a mesh's polygons, with the material of the prim `bound`, if there are any.

    Its vertices each have one colour, one normal and one place in the texture.
    """
    triangles = polygons.triangles(chosen)
    if not len(triangles):
        return
    factor, texture, uv_name = _base_color(pxr, path, bound, images)
    prim = geometry.GetPrim()
    found = {
        "normals": (geometry.GetNormalsAttr().Get(), geometry.GetNormalsInterpolation()),
        "uv": _primvar(pxr, prim, uv_name),
        "color": _primvar(pxr, prim, "displayColor") if factor is None and texture is None else (None, ""),
    }
    at_corners = {
        name: polygons.at_corners(np.array(values, np.float64).reshape(len(values), -1), interpolation)
        for name, (values, interpolation) in found.items()
        if values is not None and len(values)
    }
    corners, of_triangles = np.unique(triangles, return_inverse=True)
    table = np.column_stack([polygons.vertex, *at_corners.values()])[corners]
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    corner = corners[first]
    values = {name: array[corner] for name, array in at_corners.items()}
    faces = group.ravel()[of_triangles.reshape(-1, 3)]
    left_handed = geometry.GetOrientationAttr().Get() == pxr.UsdGeom.Tokens.leftHanded
    linear = place[:3, :3]
    if left_handed != (np.linalg.det(linear) < 0):
        faces = faces[:, ::-1]
    colors = values.get("color") if factor is None else np.tile(factor, (len(corner), 1))
    is_textured = texture is not None and "uv" in values
    normals = values.get("normals")
    yield AssetPart(
        gltf_to_world(polygons.points[polygons.vertex[corner]] @ linear.T + place[:3, 3]),
        faces,
        np.nan_to_num(values["uv"][:, :2]) * (1, -1) + (0, 1) if is_textured else None,
        texture.pixels if texture is not None and is_textured else None,
        None if colors is None else linear_to_srgb(np.nan_to_num(colors[:, :3]).clip(0, 1)),
        None if normals is None else gltf_to_world(unit_normals(normals @ np.linalg.pinv(linear))),
        texture.format if texture is not None and is_textured else "png",
    )


def _primvar(pxr: Any, prim: Any, name: str) -> tuple[Any, str]:
    primvar = pxr.UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(name)
    return (primvar.ComputeFlattened(), primvar.GetInterpolation()) if primvar else (None, "")


def _base_color(
    pxr: Any, path: Path, bound: Any, images: dict[str, AssetImage]
) -> tuple[Array | None, AssetImage | None, str]:
    """The bound material's linear colour, or its texture, and the name of its texture coordinates."""
    material, _ = pxr.UsdShade.MaterialBindingAPI(bound).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0] if material else None
    diffuse = surface.GetInput("diffuseColor") if surface else None
    if not diffuse:
        return None, None, "st"
    node = _source(pxr, diffuse)
    if node is None:
        color = diffuse.Get()
        return None if color is None else np.array(color, np.float64), None, "st"
    if node.GetIdAttr().Get() != "UsdUVTexture":
        return None, None, "st"
    file = node.GetInput("file").Get()
    places = _source(pxr, node.GetInput("st"))
    name = places.GetInput("varname").Get() if places else "st"
    return None, _texture(pxr, path, file, images), str(name or "st")


def _texture(pxr: Any, path: Path, file: Any, images: dict[str, AssetImage]) -> AssetImage:
    """An image of the package, decoded once."""
    name, place = ("", "") if file is None else (file.path, file.resolvedPath)
    if place not in images:
        asset = pxr.Ar.GetResolver().OpenAsset(pxr.Ar.ResolvedPath(place)) if place else None
        if asset is None:
            raise InputError(f"{path}: the texture {name} is missing")
        try:
            images[place] = decode_image(bytes(asset.GetBuffer()))
        except InputError as error:
            raise InputError(f"{path}: the texture {name} can't be read ({error})") from error
    return images[place]


def _source(pxr: Any, shader_input: Any) -> Any:
    """The shader that the input is connected to, or None."""
    sources = shader_input.GetConnectedSources()[0] if shader_input else []
    return pxr.UsdShade.Shader(sources[0].source.GetPrim()) if sources else None
