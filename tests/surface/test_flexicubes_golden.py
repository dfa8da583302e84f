"""FlexiCubes against the released code's meshes, L_dev and gradients."""

import pytest
import torch
from safetensors.torch import load_file

from instantmesh.evaluation.mesh_matching import same_mesh
from instantmesh.surface.flexicubes import DualMesh, flexicubes, normalise_weights
from instantmesh.surface.grid import cube_corners, surface_cubes
from tests.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = load_file(GOLDEN_FOLDER / "flexicubes.safetensors")
FIELDS = ["noise", "blobs", "sphere", "fine"]


def extract(name: str, points: torch.Tensor, sdf: torch.Tensor, raw: torch.Tensor | None, training: bool) -> DualMesh:
    n = round(len(sdf) ** (1 / 3))
    positions = surface_cubes((sdf < 0).view(n, n, n))
    corners = cube_corners(positions, (n, n, n))
    x, y, z = positions.unbind(1)
    cubes = (x * (n - 1) + y) * (n - 1) + z
    assert torch.equal(corners, GOLDEN[f"{name}.cubes"][cubes])
    weights = None if raw is None else normalise_weights(raw[cubes])
    return flexicubes(points, sdf, positions, corners, weights, training=training)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_mesh_and_regulariser(name: str, mode: str):
    mesh = extract(name, GOLDEN[f"{name}.x"], GOLDEN[f"{name}.sdf"], GOLDEN[f"{name}.weight"], mode == "train")
    expected = f"{name}.{mode}"
    assert same_mesh(mesh.vertices, mesh.faces, GOLDEN[f"{expected}.vertices"], GOLDEN[f"{expected}.faces"]) < 1e-5
    torch.testing.assert_close(mesh.l_dev.sort()[0], GOLDEN[f"{expected}.L_dev"].sort()[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FIELDS)
def test_without_deformation_and_weights(name: str):
    sdf = GOLDEN[f"{name}.sdf"]
    n = round(len(sdf) ** (1 / 3))
    axis = (torch.arange(n) / (n - 1) - 0.5) * 2.1
    mesh = extract(name, torch.cartesian_prod(axis, axis, axis), sdf, None, training=False)
    # the released code rounds the grid's coordinates to five decimals
    same_mesh(mesh.vertices, mesh.faces, GOLDEN[f"{name}.plain.vertices"], GOLDEN[f"{name}.plain.faces"], atol=5e-5)


@pytest.mark.parametrize("name", FIELDS)
def test_gradients(name: str):
    inputs = [GOLDEN[f"{name}.{key}"].clone().requires_grad_() for key in ("x", "sdf", "weight")]
    mesh = extract(name, *inputs, training=True)
    (mesh.vertices.square().sum() + mesh.l_dev.sum()).backward()
    for tensor, key in zip(inputs, ("x", "sdf", "weight"), strict=True):
        expected = GOLDEN[f"{name}.grad_{key}"]
        assert tensor.grad is not None
        error = (tensor.grad - expected).abs()
        assert float((error / (1e-2 * expected.abs().max().clamp(max=1) + expected.abs())).max()) < 3e-4
