"""Perceptual losses. LPIPS itself needs torchvision and weights; here a stand-in shows how it is wired."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from instantmesh import backends
from instantmesh.errors import MissingBackendError, MissingFileError
from instantmesh.training.losses import image_gradient_loss
from instantmesh.training.perceptual import perceptual_loss


class StandIn(nn.Module):
    """In place of torchmetrics' LPIPS network: remembers what it was given, (n, 1, 1, 1) distances."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)
        self.given: tuple[Tensor, Tensor] | None = None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        self.given = (a, b)
        return (self.layer(a) - self.layer(b)).square().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    net = StandIn()

    def metric(net_type: str) -> SimpleNamespace:
        assert net_type == "vgg"
        return SimpleNamespace(net=net)

    modules = {
        "torchvision": SimpleNamespace(),
        "torchmetrics.image.lpip": SimpleNamespace(LearnedPerceptualImagePatchSimilarity=metric),
    }
    monkeypatch.setattr(backends, "load", modules.__getitem__)
    return net


def test_lpips_is_given_colors_between_minus_one_and_one_and_gives_gradients(stand_in: StandIn):
    loss = perceptual_loss("lpips-vgg")
    predicted, true = torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 3, 4, 4)
    value = loss(predicted, true)
    assert value.shape == ()
    assert stand_in.given is not None
    torch.testing.assert_close(stand_in.given[0], 2 * predicted - 1)
    torch.testing.assert_close(stand_in.given[1], 2 * true - 1)
    value.backward()
    assert predicted.grad is not None
    assert float(predicted.grad.abs().max()) > 0
    assert all(not p.requires_grad and p.grad is None for p in stand_in.parameters())
    assert not stand_in.training


def test_a_stage_does_not_own_the_networks_weights(stand_in: StandIn):
    stage = nn.Module()
    stage.loss = perceptual_loss("lpips-vgg")
    assert not list(stage.parameters())
    assert not stage.state_dict()


def test_without_packages_or_weights_the_error_names_the_replacement(monkeypatch: pytest.MonkeyPatch):
    real = backends.importlib.import_module

    def import_module(name: str) -> object:
        if name.startswith("torchvision"):
            raise ImportError("no module")
        return real(name)

    monkeypatch.setattr(backends.importlib, "import_module", import_module)
    with pytest.raises(MissingBackendError, match="image-gradients"):
        perceptual_loss("lpips-vgg")


def test_weights_that_cannot_be_had(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch):
    def offline(net_type: str) -> None:
        raise OSError("no route to host")

    modules = {"torchvision": None, "torchmetrics.image.lpip": SimpleNamespace()}
    modules["torchmetrics.image.lpip"].LearnedPerceptualImagePatchSimilarity = offline
    monkeypatch.setattr(backends, "load", modules.__getitem__)
    with pytest.raises(MissingFileError, match="image-gradients"):
        perceptual_loss("lpips-vgg")


def test_the_replacement_is_the_image_gradients_of_colors_between_minus_one_and_one():
    a, b = torch.rand(2, 3, 5, 5), torch.rand(2, 3, 5, 5)
    expected = image_gradient_loss(2 * a - 1, 2 * b - 1)
    torch.testing.assert_close(perceptual_loss("image-gradients")(a, b), expected)
