"""nvdiffrast against Embree: the same faces, the same images, the same gradients."""

import pytest
import torch
import trimesh

from instantmesh import backends
from instantmesh.cameras import six_view_cameras
from instantmesh.render import embree, nvdiffrast
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
needs_nvdiffrast = pytest.mark.skipif(not backends.available("nvdiffrast.torch"), reason="needs nvdiffrast")


def _mesh() -> Mesh:
    """A torus around a ball, turned: occlusion, holes and both kinds of silhouettes."""
    torus, ball = trimesh.creation.torus(0.6, 0.15), trimesh.creation.icosphere(4, 0.35)
    joined = trimesh.util.concatenate([torus, ball])
    vertices = torch.tensor(joined.vertices, dtype=torch.float32)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    return Mesh(vertices @ turn.T, torch.tensor(joined.faces), vertices / 2 + 0.5)


@needs_nvdiffrast
@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 37), (320, 320)])
def test_visibility_agrees(height: int, width: int) -> None:
    mesh, cameras = _mesh().to("cuda"), six_view_cameras().to("cuda")
    faces = [
        backend.visible_faces(mesh.vertices, mesh.faces, cameras, height, width) for backend in (embree, nvdiffrast)
    ]
    assert float((faces[0] == faces[1]).float().mean()) > 0.999  # they may differ where a centre is on an edge
    assert float(((faces[0] < 0) == (faces[1] < 0)).float().mean()) > 0.9995


def test_images_and_gradients_agree_with_the_cpu() -> None:
    """With nvdiffrast, or with Embree's visibility for tensors on CUDA."""
    mesh, cameras = _mesh(), six_view_cameras()
    images, gradients = [], []
    for device in ("cpu", "cuda"):
        vertices = mesh.vertices.to(device).requires_grad_()
        seen = render_mesh(Mesh(vertices, mesh.faces.to(device), mesh.to(device).vertex_colors), cameras, 64)
        weight = torch.linspace(0, 1, 64, device=device)
        ((seen.color + seen.mask) * weight).sum().backward()
        assert vertices.grad is not None
        images.append(torch.cat([seen.color, seen.mask, seen.normal], 1).detach().cpu())
        gradients.append(vertices.grad.cpu())
    assert float((images[0] - images[1]).abs().mean()) < 1e-4
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.02
