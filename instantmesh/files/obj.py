"""Wavefront OBJ: with its material and its texture beside it, or with vertex colours.

Written here because OBJ's corners have texture places of their own, so that vertices needn't be split at seams: the
surface stays in one piece. trimesh splits them, and names the files itself.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.atomic import replacing, write_bytes
from instantmesh.files.mesh_arrays import MeshArrays
from instantmesh.files.texture_images import texture_bytes

_MATERIAL = "newmtl texture\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {image}\n"


def companions(path: Path) -> tuple[Path, Path]:
    """The material and the texture that are written beside a textured `.obj`."""
    return path.with_suffix(".mtl"), path.with_name(f"{path.stem}_texture.png")


def write_obj(path: Path, mesh: MeshArrays, *, overwrite: bool) -> None:
    """Write the file; a textured mesh has two more beside it, and the `.obj` appears when they are there.

    Raises:
        OutputError: the folder isn't writable, or one of the files exists and `overwrite` is False.
    """
    if mesh.texture is None:
        write_bytes(path, _geometry(mesh).encode(), overwrite=overwrite)
        return
    material, image = companions(path)
    with (
        replacing(path, overwrite=overwrite) as new_path,  # the last to get its name
        replacing(material, overwrite=overwrite) as new_material,
        replacing(image, overwrite=overwrite) as new_image,
    ):
        new_path.write_bytes(_geometry(mesh, material.name).encode())
        new_material.write_bytes(_MATERIAL.format(image=image.name).encode())
        new_image.write_bytes(texture_bytes(mesh.texture.image))


def _geometry(mesh: MeshArrays, material: str | None = None) -> str:
    vertices, corners = mesh.vertices, [mesh.faces + 1]  # OBJ counts from 1
    place = "v %.9g %.9g %.9g\n"
    head, texture_places = "", ""
    if mesh.texture is not None:
        _, faces, uv = mesh.split_at_seams()
        head = f"mtllib {material}\nusemtl texture\n"
        texture_places = _lines("vt %.7g %.7g\n", np.stack([uv[:, 0], 1 - uv[:, 1].astype(np.float64)], axis=1))
        corners.append(faces + 1)
    elif mesh.colors is not None:
        vertices, place = np.concatenate([vertices, mesh.colors], axis=1), "v %.9g %.9g %.9g %.5g %.5g %.5g\n"
    normals = ""
    if mesh.normals is not None:
        normals = _lines("vn %.6g %.6g %.6g\n", mesh.normals)
        corners.append(mesh.faces + 1)
    separator = "/" if len(corners) == 3 or mesh.normals is None else "//"
    corner = separator.join(["%d"] * len(corners))
    faces = _lines(f"f {corner} {corner} {corner}\n", np.stack(corners, axis=2).reshape(len(mesh.faces), -1))
    return head + _lines(place, vertices) + texture_places + normals + faces


def _lines(pattern: str, rows: NDArray) -> str:
    """One line for each row."""
    return (pattern * len(rows)) % tuple(rows.ravel().tolist())
