"""Muon and which weights it gets."""

import pytest
import torch
from torch import nn

from instantmesh.training.muon import Muon, orthogonalised
from instantmesh.training.schedule import OptimiserConfig, optimisers


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (96, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    ours = orthogonalised(matrix)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    within = u.T @ ours @ vh.T  # diagonal where the singular vectors stayed
    values = within.diagonal()
    assert float((within - values.diag()).abs().max()) < 1e-3
    assert float(values[:-2].min()) > 0.6  # the very smallest need more iterations
    assert float(values.max()) < 1.25


def test_first_update_has_the_size_of_adamw():
    weight = nn.Parameter(torch.randn(32, 8, 3, 3))
    before = weight.detach().clone()
    stepper = Muon([weight], lr=0.01, weight_decay=0.1)
    weight.grad = torch.randn_like(weight)
    stepper.step()
    update = (weight.detach() - 0.999 * before) / 0.01
    assert float(update.square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)
    assert float((update * weight.grad).sum()) < 0  # downhill


def test_momentum_carries_a_direction_on():
    weight = nn.Parameter(torch.zeros(16, 16))
    stepper = Muon([weight], lr=1.0)
    first = torch.randn(16, 16)
    weight.grad = first
    stepper.step()
    before = weight.detach().clone()
    weight.grad = torch.zeros(16, 16)
    stepper.step()
    expected = -0.2 * 16**0.5 * orthogonalised(0.95 * (0.95 * first))
    torch.testing.assert_close(weight.detach() - before, expected, atol=1e-5, rtol=1e-4)


def test_layers_go_to_muon_and_the_rest_to_adamw():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Parameter(torch.randn(1, 64, 32))
            self.layer = nn.Linear(32, 64)
            self.kernel = nn.Conv2d(16, 32, 3)
            self.colors = nn.Linear(64, 3)
            self.table = nn.Embedding(40, 32)
            self.frozen = nn.Linear(32, 32).requires_grad_(False)

    model = Model()
    (alone,) = optimisers(OptimiserConfig(learning_rate=1e-3, steps=1), model)
    trained = sum(p.requires_grad for p in model.parameters())
    assert sum(len(group["params"]) for group in alone.param_groups) == trained
    muon, adamw = optimisers(OptimiserConfig(learning_rate=1e-3, steps=1, algorithm="muon"), model)
    (group,) = muon.param_groups
    assert [id(p) for p in group["params"]] == [id(model.layer.weight), id(model.kernel.weight)]
    decayed, plain = (group["params"] for group in adamw.param_groups)
    assert [id(p) for p in decayed] == [id(p) for p in (model.positions, model.colors.weight, model.table.weight)]
    assert [id(p) for p in plain] == [id(p) for p in (model.layer.bias, model.kernel.bias, model.colors.bias)]
