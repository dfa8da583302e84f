"""Meshes on disk: GLB, OBJ, PLY, STL, USDZ from arrays, in the frame that is asked for."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np

from instantmesh import backends
from instantmesh.errors import InputError, OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.files.frame import Frame
from instantmesh.files.glb import glb_bytes
from instantmesh.files.mesh_arrays import MeshArrays
from instantmesh.files.obj import companions, write_obj
from instantmesh.files.texture_images import TextureFormat, check_texture_format
from instantmesh.files.usd import usdz_bytes

_log = logging.getLogger(__name__)

MESH_ENDINGS = (".glb", ".obj", ".ply", ".stl", ".usdz")
_Y_UP = (".glb", ".usdz")  # glTF says so, and Apple's viewers want it of USDZ


def write_mesh(
    path: str | PathLike[str],
    mesh: MeshArrays,
    frame: Frame,
    *,
    texture_format: TextureFormat | None = None,
    overwrite: bool = True,
) -> Path:
    """Write a mesh given in the world frame; the path's ending chooses the format. See `Mesh.save`.

    Raises:
        InputError: the mesh has no triangles (glTF forbids empty arrays), all its vertices lie in one point, or there
            is no such `texture_format`.
        OutputError: unknown ending, no such `up`, `unit` or `texture_format` for the format, folder not writable, or
            the file exists.
        MissingBackendError: USDZ without usd-core.
    """
    path = Path(path)
    if len(mesh.faces) == 0:
        raise InputError("the mesh has no triangles: there is nothing to write")
    check_ending(path)
    check_frame(path, frame)
    check_texture(path, texture_format)
    ending = path.suffix.lower()
    placed = _placed(mesh, frame)
    if ending == ".stl" and frame.unit == "m":
        _log.warning("%s is in metres; slicing programs read millimetres: unit='mm' (--unit mm)", path.name)
    if ending == ".obj":
        write_obj(path, placed, overwrite=overwrite)
        return path
    writers: dict[str, Callable[[MeshArrays], bytes]] = {
        ".glb": partial(glb_bytes, texture_format=texture_format),
        ".usdz": usdz_bytes,
        ".ply": _ply_bytes,
        ".stl": _stl_bytes,
    }
    return write_bytes(path, writers[ending](placed), overwrite=overwrite)


def check_frame(path: Path, frame: Frame) -> None:
    """Raises OutputError where the format of the path's ending can't have this frame."""
    ending = path.suffix.lower()
    if ending in _Y_UP and frame.up != "y":
        raise OutputError(f"up={frame.up!r} isn't possible: {ending} is +y up by its standard (front= is free)")
    if ending in _Y_UP and frame.unit != "m":
        raise OutputError(f"unit={frame.unit!r} isn't possible: {ending} is in metres by its standard")


def check_texture(path: Path, texture_format: str | None) -> None:
    """Refuse a texture's format that there isn't, or that the path's ending can't have.

    Raises:
        InputError: there is no such format.
        OutputError: only GLB has another one than PNG here.
    """
    if texture_format is None:
        return
    check_texture_format(texture_format)
    if texture_format != "png" and path.suffix.lower() != ".glb":
        raise OutputError(f"texture_format={texture_format!r} is for .glb files; {path.name} gets PNG")


def check_ending(path: Path) -> None:
    """Refuse a file that can't be written here, before there is a mesh.

    Raises:
        OutputError: unknown ending.
        MissingBackendError: USDZ without usd-core.
    """
    if path.suffix.lower() not in MESH_ENDINGS:
        raise OutputError(f"{path.name}: unknown mesh ending; use one of {', '.join(MESH_ENDINGS)}")
    if path.suffix.lower() == ".usdz":
        backends.load("pxr.UsdUtils")


def written_files(path: Path) -> tuple[Path, ...]:
    """Every file that `write_mesh` may write for `path`."""
    return (path, *companions(path)) if path.suffix.lower() == ".obj" else (path,)


def _placed(mesh: MeshArrays, frame: Frame) -> MeshArrays:
    vertices = frame.place(mesh.vertices, mesh.faces).astype(np.float32)
    if mesh.normals is None:
        return replace(mesh, vertices=vertices)
    normals = mesh.normals.astype(np.float64) @ frame.rotation().T
    flat = np.linalg.norm(normals, axis=1) < 0.5  # of vertices without area: formats want unit length all the same
    normals[flat] = frame.rotation()[:, 2]
    return replace(mesh, vertices=vertices, normals=normals.astype(np.float32))


def _ply_bytes(mesh: MeshArrays) -> bytes:
    import trimesh  # here, so that importing the package stays fast
    from trimesh.exchange.ply import export_ply

    colors = mesh.colors_at_vertices()
    rgb = None if colors is None else (colors * 255).round().clip(0, 255).astype(np.uint8)
    triangles = trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_normals=mesh.normals, vertex_colors=rgb, process=False
    )
    return export_ply(triangles, vertex_normal=mesh.normals is not None)


def _stl_bytes(mesh: MeshArrays) -> bytes:
    import trimesh
    from trimesh.exchange.stl import export_stl

    return export_stl(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
