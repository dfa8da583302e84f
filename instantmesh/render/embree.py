"""Which face each pixel sees, on the CPU: one ray through every pixel's centre, cast by Embree."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.cameras import rays
from instantmesh.structures import Cameras


def visible_faces(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], cameras: Cameras, height: int, width: int
) -> Int[Tensor, "n height width"]:
    """The index of the nearest face behind every pixel's centre, from either side; -1 where there is none.

    Tensors of other devices are moved to the CPU and the answer back. Nothing is differentiated.
    """
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene(robust=True)  # watertight: no ray slips through between two faces
    TriangleMesh(
        scene,
        np.ascontiguousarray(vertices.detach().cpu().numpy(), dtype=np.float32),
        np.ascontiguousarray(faces.cpu().numpy(), dtype=np.int32),
    )
    seen = torch.empty(len(cameras), height, width, dtype=torch.int64)
    cameras = cameras.to("cpu")
    for index in range(len(cameras)):  # one camera at a time bounds the memory of the rays
        origin, direction = (ray[0].detach().float() for ray in rays(cameras[index : index + 1], height, width))
        hit = scene.run(origin.contiguous().numpy(), direction.contiguous().numpy(), query="INTERSECT")
        seen[index] = torch.from_numpy(hit.astype(np.int64)).reshape(height, width)
    return seen.to(vertices.device)
