"""A mesh as the writers take it. Symbols: v vertices, f faces, n vertices after the split at seams."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.colors import sample_texture
from instantmesh.files.texture_images import TextureFormat


@dataclass(frozen=True)
class TextureArrays:
    """An image laid over a mesh.

    Attributes:
        image: (h, w, 3) uint8 sRGB.
        uv: (f, 3, 2) where each face's corners lie in it, (0, 0) upper left, v down.
        format: how a file keeps it where nothing else is asked for.
    """

    image: NDArray[np.uint8]
    uv: NDArray[np.floating]
    format: TextureFormat = "png"


@dataclass(frozen=True)
class MeshArrays:
    """Triangles with what is known of them.

    Attributes:
        vertices: (v, 3).
        faces: (f, 3), counter-clockwise seen from outside.
        normals: (v, 3) of unit length, or None. They are smooth: where a format wants vertices split at the texture's
            seams, the copies share one, and the seams don't show.
        colors: (v, 3) sRGB in [0, 1], or None.
        texture: or None; where there is one, it is what is written.
    """

    vertices: NDArray[np.floating]
    faces: NDArray[np.integer]
    normals: NDArray[np.floating] | None = None
    colors: NDArray[np.floating] | None = None
    texture: TextureArrays | None = None

    def split_at_seams(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Vertices that each have one place in the texture.

        Returns:
            source (n,): the vertex each of them comes from; faces (f, 3) of them; uv (n, 2), v down.

        Raises:
            ValueError: the mesh has no texture.
        """
        if self.texture is None:
            raise ValueError("no texture, no seams")
        vertex, uv = self.faces.ravel(), self.texture.uv.reshape(-1, 2).astype(np.float32) + 0  # -0 becomes 0
        order = np.lexsort((uv[:, 1], uv[:, 0], vertex))
        changes = (vertex[order][1:] != vertex[order][:-1]) | (uv[order][1:] != uv[order][:-1]).any(1)
        group = np.empty(len(vertex), np.int64)
        group[order] = np.concatenate([[0], np.cumsum(changes)])
        first = order[np.concatenate([[True], changes])]
        return vertex[first].astype(np.int64), group.reshape(-1, 3), uv[first]

    def is_open(self) -> bool:
        """Whether some edges have a face on one side only, so that insides can be seen: viewers must draw them too."""
        _, place = np.unique(self.vertices, axis=0, return_inverse=True)
        corners = place.ravel()[self.faces]
        edges = np.sort(corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        _, uses = np.unique(edges @ np.array([len(self.vertices), 1]), return_counts=True)
        return bool((uses == 1).any())

    def colors_at_vertices(self) -> NDArray[np.floating] | None:
        """(v, 3) sRGB: the texture's colours at the vertices (their mean where several corners meet), else `colors`."""
        if self.texture is None:
            return self.colors
        height, width, _ = self.texture.image.shape
        edge = 0.5 / np.array((width, height))  # beyond the outermost texels' centres their colours go on
        uv = self.texture.uv.reshape(-1, 2).astype(np.float64).clip(edge, 1 - edge)
        at_corners = sample_texture(self.texture.image, uv)
        corners = self.faces.ravel()
        count = np.bincount(corners, minlength=len(self.vertices)).clip(min=1)
        sums = [np.bincount(corners, channel, minlength=len(self.vertices)) for channel in at_corners.T]
        return np.stack(sums, axis=1) / count[:, None]
