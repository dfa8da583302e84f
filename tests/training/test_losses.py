"""Losses against plain loops, their masks and their gradients."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from instantmesh.training import losses


def images(channels: int, seed: int = 0) -> Tensor:
    return torch.rand(2, channels, 4, 5, generator=torch.Generator().manual_seed(seed))


def normals(seed: int) -> Tensor:
    return normalize(torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)), dim=1)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_sdf_loss_is_what_it_says():
    """Near the surface whatever is wrong counts in full; far from it, only what comes within 0.1."""
    predicted, true = torch.tensor([0.05, 0.5, -0.3, 0.02]), torch.tensor([0.0, 0.2, -0.05, 0.4])
    expected = (0.05 + 0.0 + 0.25 + 0.08) / 4 + 0.3 * (0.05 + 0.3 + 0.25 + 0.38) / 4
    assert float(losses.sdf_loss(predicted, true)) == pytest.approx(expected, abs=1e-6)


def test_slope_loss_is_what_it_says():
    predicted, true = torch.tensor([[1.0, 0, 0], [0, 2.0, 0]]), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    assert float(losses.slope_loss(predicted, true)) == pytest.approx((0 + 4 + 1) / 2)


def test_colors_are_compared_between_minus_one_and_one():
    a, b = images(3), images(3, 1)
    assert float(losses.color_loss(a, b)) == pytest.approx(float(((2 * a - 1) - (2 * b - 1)).square().mean()))
    assert float(losses.color_loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))) == 4
    assert float(losses.mask_loss(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5))) == 0.25


def test_normal_loss_against_a_loop():
    predicted, true, mask = 0.7 * normals(0), 0.4 * normals(1), images(1, 2)
    total = 0.0
    for n in range(2):
        for row in range(4):
            for column in range(5):
                a, b = predicted[n, :, row, column], true[n, :, row, column]
                total += (1 - float(a @ b / a.norm() / b.norm())) * float(mask[n, 0, row, column])
    assert float(losses.normal_loss(predicted, true, mask)) == pytest.approx(total / float(mask.sum()), rel=1e-5)


def test_normal_loss_is_signed():
    true, mask = normals(0), torch.ones(2, 1, 4, 5)
    assert float(losses.normal_loss(true, true, mask)) == pytest.approx(0, abs=1e-6)
    assert float(losses.normal_loss(-true, true, mask)) == pytest.approx(2)


def test_normals_that_are_not_there_cost_one_and_pull_nothing_apart():
    predicted = torch.zeros(2, 3, 4, 5, requires_grad=True)
    loss = losses.normal_loss(predicted, normals(0), torch.ones(2, 1, 4, 5))
    assert float(loss.detach()) == pytest.approx(1)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert bool(torch.isfinite(gradient).all())


def test_depth_counts_inside_the_mask_only():
    predicted, true, mask = images(1), images(1, 1), torch.zeros(2, 1, 4, 5)
    mask[0, 0, 1, 2], mask[1, 0, 3, 3] = 1.0, 0.5
    a, b = (abs(float(predicted[place] - true[place])) for place in ((0, 0, 1, 2), (1, 0, 3, 3)))
    assert float(losses.depth_loss(predicted, true, mask)) == pytest.approx((a + 0.5 * b) / 1.5)
    assert float(losses.depth_loss(predicted, true, torch.zeros_like(mask))) == 0


def test_sign_change_entropy_against_a_loop():
    sdf = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(0))
    terms = []
    for x in range(4):
        for y in range(4):
            for z in range(4):
                for end in ((x + 1, y, z), (x, y + 1, z), (x, y, z + 1)):
                    if max(end) == 4:
                        continue
                    a, b = float(sdf[x, y, z]), float(sdf[end])
                    if (a > 0) != (b > 0):  # -log sigmoid(x) = softplus(-x)
                        terms.append(softplus(-a if b > 0 else a) + softplus(-b if a > 0 else b))
    assert float(losses.sign_change_entropy(sdf)) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert float(losses.sign_change_entropy(sdf.abs() + 0.1)) == 0


def test_entropy_draws_the_ends_of_crossed_edges_together():
    sdf = torch.full((3, 3, 3), 2.0)
    sdf[1, 1, 1] = -1.0
    sdf.requires_grad_()
    (gradient,) = torch.autograd.grad(losses.sign_change_entropy(sdf), sdf)
    assert float(gradient[1, 1, 1]) < 0  # downhill is up: the floater goes
    assert float(gradient[0, 1, 1]) > 0
    assert float(gradient[0, 0, 0]) == 0


def test_sides_loss_pushes_signs_apart():
    before, behind = torch.tensor([-3.0, 0.0]), torch.tensor([2.0, -1.0])
    expected = (softplus(3) + softplus(0)) / 2 + (softplus(2) + softplus(-1)) / 2
    assert float(losses.sides_loss(before, behind)) == pytest.approx(expected, rel=1e-5)


def test_image_gradient_loss_sees_edges_and_no_brightness():
    a = images(3)
    assert float(losses.image_gradient_loss(a, a + 0.3)) == pytest.approx(0, abs=1e-6)
    step = torch.zeros(1, 1, 2, 4)
    step[..., 2:] = 1
    assert float(losses.image_gradient_loss(step, torch.zeros_like(step))) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["color", "mask", "normal", "depth", "entropy", "sides", "gradient"])
def test_gradients(name: str):
    """Against finite differences, in float64."""
    x = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    true, mask = torch.randn(2, 3, 3, 3).double(), torch.rand(2, 1, 3, 3).double()
    functions = {
        "color": lambda x: losses.color_loss(x, true),
        "mask": lambda x: losses.mask_loss(x[:, :1], mask),
        "normal": lambda x: losses.normal_loss(x, true, mask),
        "depth": lambda x: losses.depth_loss(x[:, :1], true[:, :1], mask),
        "entropy": lambda x: losses.sign_change_entropy(x[0]),
        "sides": lambda x: losses.sides_loss(x[0].flatten(), x[1].flatten()),
        "gradient": lambda x: losses.image_gradient_loss(x, true),
    }
    assert torch.autograd.gradcheck(functions[name], (x,))
