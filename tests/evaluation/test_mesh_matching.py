"""The comparison of meshes accepts what is equal as sets, and nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from instantmesh.evaluation.mesh_matching import match_vertices, same_mesh


def soup(seed: int, vertices: int = 40, faces: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(faces, vertices, generator=generator).argsort(1)[:, :3]
    return torch.rand(vertices, 3, generator=generator), corners


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_vertices_faces_and_corners_is_free(seed: int):
    vertices, faces = soup(seed)
    order, turn = torch.randperm(len(vertices)), torch.randint(0, 3, (len(faces), 1))
    shuffled = order.argsort()[faces][torch.randperm(len(faces))].gather(1, (turn + torch.arange(3)) % 3)
    noise = 1e-5 * torch.nn.functional.normalize(torch.randn(len(vertices), 3), dim=1)
    assert torch.equal(match_vertices(vertices[order], vertices, atol=1e-9), order)
    assert same_mesh((vertices + noise)[order], shuffled, vertices, faces) == pytest.approx(1e-5, rel=0.05)


def test_empty_meshes_are_the_same():
    nothing = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)
    assert same_mesh(*nothing, *nothing) == 0


def test_differences_are_found():
    vertices, faces = soup(0)
    with pytest.raises(AssertionError, match="39 vertices, expected 40"):
        match_vertices(vertices[:-1], vertices, atol=1e-5)
    moved = vertices.clone()
    moved[3, 1] += 1e-3
    with pytest.raises(AssertionError, match="1 of 40 vertices are off"):
        same_mesh(moved, faces, vertices, faces)
    with pytest.raises(AssertionError, match="finite"):
        same_mesh(vertices * float("nan"), faces, vertices, faces)
    doubled = vertices.clone()
    doubled[0] = doubled[1]
    with pytest.raises(AssertionError, match="no counterpart of their own"):
        match_vertices(doubled, torch.cat([doubled[1:], vertices[:1] + 2]), atol=5.0)
    with pytest.raises(AssertionError, match="0 triangles are new and 1 are missing"):
        same_mesh(vertices, faces[1:], vertices, faces)
    with pytest.raises(AssertionError, match="1 triangles are new and 0 are missing"):
        same_mesh(vertices, torch.cat([faces, faces[:1]]), vertices, faces)


def test_reversed_triangles_count_unless_allowed():
    vertices, faces = soup(1)
    turned = torch.cat([faces[:2].flip(1), faces[2:]])
    with pytest.raises(AssertionError, match="2 of 60 triangles are reversed"):
        same_mesh(vertices, turned, vertices, faces, reversed_faces=1)
    assert same_mesh(vertices, turned, vertices, faces, reversed_faces=2) == 0
