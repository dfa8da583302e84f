"""Sparse extraction against a dense twin and the released model's meshes; fields without a surface."""

import logging

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.evaluation.mesh_matching import match_vertices, same_mesh
from instantmesh.surface import extraction
from instantmesh.surface.extraction import SignedDistanceField, extract_flexicubes, grid_axis
from instantmesh.surface.flexicubes import DualMesh, flexicubes, normalise_weights
from instantmesh.surface.grid import cube_corners
from tests.paths import GOLDEN


class SmallField(nn.Module):
    """A lumpy ball with random deformation, weights and colours; it counts what it's asked for."""

    def __init__(self, seed: int, radius: float = 0.6) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.radius = radius
        self.sdf_net, self.deformation_net, self.color_net = (self._net(3, outputs) for outputs in (1, 3, 3))
        self.weight_net = self._net(24, 21)
        self.asked = {"points": 0, "cubes": 0}

    @staticmethod
    def _net(inputs: int, outputs: int) -> nn.Sequential:
        net = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))
        nn.init.normal_(net[2].weight, std=1.0)  # pyright: ignore[reportArgumentType]
        return net

    def sdf_on_grid(self, axis: Tensor) -> Tensor:
        points = torch.cartesian_prod(axis, axis, axis)
        lumps = 0.1 * self.sdf_net(3 * points).squeeze(1).tanh()
        return (points.norm(dim=1) - self.radius + lumps).view([len(axis)] * 3)

    def deformation(self, points: Tensor) -> Tensor:
        self.asked["points"] += len(points)
        return self.deformation_net(points)

    def cube_weights(self, points: Tensor, corners: Tensor) -> Tensor:
        self.asked["cubes"] += len(corners)
        return self.weight_net(points[corners].flatten(1))

    def colors(self, points: Tensor) -> Tensor:
        return 0.5 + self.color_net(points)


class Analytic(SmallField):
    """A given function of the points as SDF."""

    def __init__(self, function) -> None:
        super().__init__(0)
        self.function = function

    def sdf_on_grid(self, axis: Tensor) -> Tensor:
        return self.function(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1))


def dense_twin(field: SmallField, resolution: int, scale: float, training: bool) -> DualMesh:
    """As the released code does it: deformation at all points, weights of all cubes."""
    axis = (torch.arange(resolution + 1) / resolution - 0.5) * scale
    points = torch.cartesian_prod(axis, axis, axis)
    cubes = torch.cartesian_prod(*[torch.arange(resolution)] * 3)
    corners = cube_corners(cubes, (resolution + 1,) * 3)
    moved = points + torch.tanh(field.deformation(points)) / (resolution * 4)
    weights = normalise_weights(field.cube_weights(points, corners))
    return flexicubes(moved, field.sdf_on_grid(axis).flatten(), cubes, corners, weights, training=training)


@pytest.fixture(params=[None, 50], ids=["one chunk", "many chunks"])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(extraction, "_CPU_CHUNKS", (request.param, request.param))


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("seed", [0, 1])
def test_sparse_is_dense(seed: int):
    field = SmallField(seed)
    assert isinstance(field, SignedDistanceField)
    surface = extract_flexicubes(field, 14, 2.1)
    twin = dense_twin(field, 14, 2.1, training=False)
    assert same_mesh(surface.vertices, surface.faces, twin.vertices, twin.faces, atol=1e-5) < 1e-5
    torch.testing.assert_close(surface.l_dev, twin.l_dev, rtol=0, atol=1e-6)
    assert surface.colors is not None
    torch.testing.assert_close(surface.colors, field.colors(surface.vertices).clamp(0, 1))
    assert surface.sdf_grid.shape == (15, 15, 15)
    assert not any(t.requires_grad for t in (surface.vertices, surface.l_dev, surface.raw_weights, surface.colors))


@pytest.mark.usefixtures("_chunks")
def test_gradients_of_sparse_and_dense_agree():
    field = SmallField(3)
    surface = extract_flexicubes(field, 12, 2.1, training=True)
    twin = dense_twin(field, 12, 2.1, training=True)
    same_mesh(surface.vertices, surface.faces, twin.vertices, twin.faces, atol=1e-5)
    assert surface.colors is None
    order = match_vertices(surface.vertices, twin.vertices, atol=1e-5)
    on_vertices, on_l_dev = torch.randn_like(twin.vertices), torch.randn_like(twin.l_dev)
    nets = [field.sdf_net, field.deformation_net, field.weight_net]
    parameters = [p for net in nets for p in net.parameters()]
    ours = torch.autograd.grad(
        (surface.vertices * on_vertices[order]).sum() + (surface.l_dev * on_l_dev).sum(), parameters
    )
    theirs = torch.autograd.grad((twin.vertices * on_vertices).sum() + (twin.l_dev * on_l_dev).sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        assert float(b.abs().max()) > 0
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_only_the_surface_is_evaluated():
    field = SmallField(0)
    surface = extract_flexicubes(field, 32, 2.1)
    assert field.asked["cubes"] == len(surface.raw_weights) < 0.1 * 32**3
    assert field.asked["points"] < 0.15 * 33**3


def test_inference_records_no_graph_and_training_respects_no_grad():
    with torch.no_grad():
        assert not extract_flexicubes(SmallField(0), 8, training=True).vertices.requires_grad
    assert extract_flexicubes(SmallField(0), 8, training=True).vertices.requires_grad
    assert torch.is_grad_enabled()


def test_vertices_stay_within_the_deformed_cubes():
    surface = extract_flexicubes(Analytic(lambda p: p.norm(dim=-1) - 0.7), 20, 2.0)
    distance = surface.vertices.norm(dim=1) - 0.7
    assert float(distance.abs().max()) < 3**0.5 * (2.0 / 20 + 2 / (4 * 20))


def test_axis_spans_the_scale():
    axis = grid_axis(128, 2.1)
    assert (len(axis), float(axis[0]), float(axis[64])) == (129, pytest.approx(-1.05), 0.0)
    torch.testing.assert_close(axis, -axis.flip(0))


def test_a_field_without_a_surface_says_which_side_it_is_on():
    with pytest.raises(EmptySurfaceError, match=r"SDF runs from 0\.5 to .* outside \(empty\)"):
        extract_flexicubes(Analytic(lambda p: p.norm(dim=-1) + 0.5), 8)
    with pytest.raises(EmptySurfaceError, match=r"inside \(full\)"):
        extract_flexicubes(Analytic(lambda p: p.norm(dim=-1) - 9), 8)


def test_a_broken_field_and_a_broken_grid_are_refused():
    with pytest.raises(InputError, match="finite"):
        extract_flexicubes(Analytic(lambda p: (p.norm(dim=-1) - 0.5).log()), 8)
    for resolution, scale in ((0, 2.1), (8, 0.0), (8, float("nan"))):
        with pytest.raises(InputError, match="positive"):
            extract_flexicubes(SmallField(0), resolution, scale)


def test_a_surface_that_leaves_the_grid_is_left_open_with_a_warning(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        extract_flexicubes(SmallField(0), 8)
        assert not caplog.records
        half_space = extract_flexicubes(Analytic(lambda p: p[..., 2] - 0.1), 8)
    assert "left open" in caplog.text
    a, b, c = half_space.vertices[half_space.faces].unbind(1)
    assert bool((torch.linalg.cross(b - a, c - a)[:, 2] > 0).all())  # up, out of the negative side


class ReleasedField:
    """The small released model's heads, read plainly."""

    def __init__(self) -> None:
        self.expected = load_file(GOLDEN / "instant_mesh_tiny.expected.safetensors")
        self.weights = load_file(GOLDEN / "instant_mesh_tiny.weights.safetensors")

    def _net(self, name: str, x: Tensor) -> Tensor:
        prefix = f"lrm_generator.synthesizer.decoder.{name}"
        for layer in (0, 2, 4, 6):
            x = x @ self.weights[f"{prefix}.{layer}.weight"].T + self.weights[f"{prefix}.{layer}.bias"]
            x = x if layer == 6 else x.relu()
        return x

    def _features(self, p: Tensor) -> Tensor:
        where = torch.stack([p[:, [0, 1]], p[:, [0, 2]], p[:, [2, 1]]])[:, None]
        planes = nn.functional.grid_sample(self.expected["planes"][0], where, align_corners=False)
        return planes[:, :, 0].permute(2, 0, 1).flatten(1)

    def sdf_on_grid(self, axis: Tensor) -> Tensor:
        return self._net("net_sdf", self._features(torch.cartesian_prod(axis, axis, axis))).view([len(axis)] * 3)

    def deformation(self, points: Tensor) -> Tensor:
        return self._net("net_deformation", self._features(points))

    def cube_weights(self, points: Tensor, corners: Tensor) -> Tensor:
        return 0.1 * self._net("net_weight", self._features(points)[corners].flatten(1))

    def colors(self, points: Tensor) -> Tensor:
        return 1.002 * self._net("net_rgb", self._features(points)).sigmoid() - 0.001


@pytest.mark.parametrize(("mode", "triangles_a_quad"), [("mesh", 2), ("train", 4)])
def test_released_model(mode: str, triangles_a_quad: int):
    field = ReleasedField()
    expected = field.expected
    surface = extract_flexicubes(field, 16, 2.1, training=mode == "train")
    # at one grid point the expected SDF is exactly zero, and the released code turns two quads over there
    same_mesh(
        surface.vertices,
        surface.faces,
        expected[f"{mode}_vertices"],
        expected[f"{mode}_faces"],
        atol=5e-5,
        reversed_faces=2 * triangles_a_quad,
    )
    assert float(surface.l_dev.mean()) == pytest.approx(float(expected["reg_surface"]), abs=1e-6)
    if surface.colors is not None:
        order = match_vertices(surface.vertices, expected["mesh_vertices"], atol=5e-5)
        levels = (surface.colors * 255).floor() - expected["mesh_colors"][order]
        assert float(levels.abs().max()) <= 1
