"""Assets from files as surfaces for the renderers: normalised, with their textures looked up at every hit of a ray.

Symbols: v vertices, f faces, p points.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.files.asset_files import AssetPart, joined_triangles, read_asset, soft_light
from instantmesh.files.colors import linear_to_srgb, sample_texture, srgb_to_linear
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.bounds import Bounds
from instantmesh.geometry.triangles import area_vectors, unit

Array = NDArray[np.floating]


@dataclass(frozen=True)
class AssetSurface:
    """An asset in the world frame, its bounding box centred at the origin and 2 long on its longest side.

    It is a `rendering.Surface`. Its colours are the base colours of its materials, without light; an asset all of one
    colour has a soft light baked in.

    Attributes:
        vertices: (v, 3) float32 in [-1, 1].
        faces: (f, 3).
        normals: (v, 3) float32 of unit length; zero where the file has none: there the face's own normal is taken.
        colors: (v, 3) float32 sRGB; they multiply the texture.
        uv: (v, 2) float32 texture coordinates, v down.
        textures: images (h, w, 3) uint8 sRGB.
        texture_index: (f,) into them, -1 for faces without.
        source: the file. centre, scale: vertices = (the file's in the world frame - centre) * scale.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    normals: NDArray[np.float32]
    colors: NDArray[np.float32]
    uv: NDArray[np.float32]
    textures: tuple[NDArray[np.uint8], ...]
    texture_index: NDArray[np.int64]
    source: Path
    centre: Array
    scale: float

    def inside_ball(self) -> "AssetSurface":
        """The asset, made smaller if need be so that no vertex lies beyond radius 1, where the six fixed views end."""
        radius = float(np.linalg.norm(self.vertices[self.faces.ravel()], axis=1).max())
        if radius <= 1:
            return self
        return replace(self, vertices=(self.vertices / radius).astype(np.float32), scale=self.scale / radius)

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        """Colours (p, 3), sRGB in [0, 1], and unit normals (p, 3) on the outer side of faces (p,) at `barycentric`."""
        corners = self.faces[face]
        colors = interpolate(self.colors, corners, barycentric)
        for index, texture in enumerate(self.textures):
            chosen = self.texture_index[face] == index
            texels = sample_texture(texture, interpolate(self.uv, corners[chosen], barycentric[chosen]))
            colors[chosen] = _times(texels, colors[chosen]) if self._tinted[index] else texels
        normals = self._normals(face, interpolate(self.normals, corners, barycentric))
        if self._is_plain:
            colors = colors * soft_light(normals)[:, None]
        return colors.clip(0, 1), normals

    @cached_property
    def _is_plain(self) -> bool:
        return not self.textures and bool(np.ptp(self.colors, axis=0).max() < 1e-3)

    @cached_property
    def _tinted(self) -> list[bool]:
        """Of every texture, whether colours are multiplied with it."""
        faces = [self.faces[self.texture_index == index] for index in range(len(self.textures))]
        return [bool((self.colors[corners] < 1).any()) for corners in faces]

    @cached_property
    def _flat_normals(self) -> Array:
        """(f, 3) of unit length; zero for faces without area."""
        return unit(area_vectors(self.vertices.astype(np.float64), self.faces)).astype(np.float32)

    def _normals(self, face: NDArray[np.integer], smooth: Array) -> Array:
        """Unit normals: `smooth`, turned to the side from which the face is counter-clockwise, or else the face's."""
        flat = self._flat_normals[face]
        away = np.einsum("pi,pi->p", smooth, flat) < 0
        smooth[away] *= -1
        missing = np.einsum("pi,pi->p", smooth, smooth) < 1e-6
        smooth[missing] = flat[missing]
        return unit(smooth)


def load_asset(path: str | PathLike[str]) -> AssetSurface:
    """Read an asset (y up, front +z) into the world frame, in [-1, 1]^3. See `files.asset_files.read_asset`.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file can't be read, holds no triangles, or all of them lie in one point.
    """
    parts = read_asset(path)
    vertices, faces = joined_triangles(parts)
    bounds = Bounds.of(vertices[faces.ravel()])
    if bounds.longest_side == 0:
        raise InputError("all vertices of the mesh lie in one point")
    centre, scale = bounds.center, 2 / bounds.longest_side
    textures, texture_index = _textures(parts)
    return AssetSurface(
        ((vertices - centre) * scale).astype(np.float32),
        faces,
        _joined([np.zeros_like(part.vertices) if part.normals is None else part.normals for part in parts]),
        _joined([np.ones_like(part.vertices) if part.colors is None else part.colors for part in parts]),
        _joined([np.zeros((len(part.vertices), 2)) if part.uv is None else part.uv for part in parts]),
        textures,
        texture_index,
        Path(path),
        centre,
        scale,
    )


def _textures(parts: list[AssetPart]) -> tuple[tuple[NDArray[np.uint8], ...], NDArray[np.int64]]:
    """The different textures of all parts, and for every face which of them it has."""
    textures = {id(part.texture): part.texture for part in parts if part.texture is not None}
    place = {key: index for index, key in enumerate(textures)}
    owner = [np.full(len(part.faces), place.get(id(part.texture), -1)) for part in parts]
    return tuple(textures.values()), np.concatenate(owner)


def _joined(arrays: list[Array]) -> NDArray[np.float32]:
    return np.concatenate(arrays).astype(np.float32)


def _times(texels: Array, factors: Array) -> Array:
    """Products of sRGB colours, in linear light as glTF has it."""
    return linear_to_srgb(srgb_to_linear(texels) * srgb_to_linear(factors))
