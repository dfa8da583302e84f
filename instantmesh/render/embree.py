"""Which face each pixel sees, by rays that Embree casts on the CPU."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.cameras import rays
from instantmesh.geometry.rays import RayScene
from instantmesh.structures import Cameras


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
        hits = scene.first_hits(origin.numpy(), direction.numpy())
        seen[index] = torch.from_numpy(hits.face).reshape(height, width)
    return seen.to(vertices.device)
