"""Rays that meet triangles, cast by Embree on the CPU; which face each pixel sees."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.cameras import rays
from instantmesh.structures import Cameras

_RAYS_AT_ONCE = 1_000_000  # bounds the memory


class RayScene:
    """Triangles that rays are cast at: vertices (v, 3) and faces (f, 3), both sides of which are met."""

    def __init__(self, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._scene = EmbreeScene(robust=True)  # watertight: no ray slips through between two faces
        TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, dtype=np.float32),
            np.ascontiguousarray(faces, dtype=np.int32),
        )

    def first_hits(
        self, origins: NDArray[np.floating], directions: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For rays (r, 3): the first face that each meets, -1 for none, and how far away it is in terms of the
        direction's length, infinite for none."""
        face, distance = np.full(len(origins), -1, np.int64), np.full(len(origins), np.inf)
        for start in range(0, len(origins), _RAYS_AT_ONCE):
            part = slice(start, start + _RAYS_AT_ONCE)
            hits = self._scene.run(
                np.ascontiguousarray(origins[part], dtype=np.float32),
                np.ascontiguousarray(directions[part], dtype=np.float32),
                query="INTERSECT",
                output=True,
            )
            face[part] = hits["primID"].astype(np.int32)
            distance[part] = np.where(face[part] >= 0, hits["tfar"], np.inf)
        return face, distance


def visible_faces(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], cameras: Cameras, height: int, width: int
) -> Int[Tensor, "n height width"]:
    """The index of the nearest face behind every pixel's centre, from either side; -1 where there is none.

    Tensors of other devices are moved to the CPU and the answer back. Nothing is differentiated.
    """
    scene = RayScene(vertices.detach().cpu().numpy(), faces.cpu().numpy())
    seen = torch.empty(len(cameras), height, width, dtype=torch.int64)
    cameras = cameras.to("cpu")
    for index in range(len(cameras)):  # one camera at a time bounds the memory of the rays
        origin, direction = (ray[0].detach().float() for ray in rays(cameras[index : index + 1], height, width))
        hit, _ = scene.first_hits(origin.numpy(), direction.numpy())
        seen[index] = torch.from_numpy(hit).reshape(height, width)
    return seen.to(vertices.device)
