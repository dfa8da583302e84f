"""The volume renderer against closed forms and the released code's numbers."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import softplus

from instantmesh.cameras import rays, six_view_cameras, spherical_cameras
from instantmesh.errors import InputError
from instantmesh.lrm.heads import RadianceField, RadianceHead
from instantmesh.lrm.triplane import LRM_PLANE_AXES
from instantmesh.render import volume
from instantmesh.render.volume import (
    box_limits,
    composite,
    importance,
    interval_weights,
    render_field,
    render_rays,
    stratified,
    transmitted_weights,
)
from instantmesh.structures import Cameras


def _raw(density: float) -> float:
    """The raw density that stands for an activated one: the inverse of softplus(raw - 1)."""
    return float(torch.tensor(density, dtype=torch.float64).expm1().log()) + 1


def _fog(density: float, color: tuple[float, float, float] = (0.2, 0.4, 0.6)) -> volume.PointField:
    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        return points.new_tensor(color).expand(len(points), 3), points.new_full((len(points), 1), _raw(density))

    return field


def _ball(points: Tensor) -> tuple[Tensor, Tensor]:
    """An opaque ball of radius 0.5."""
    return torch.zeros_like(points), torch.where(points.norm(dim=1, keepdim=True) < 0.5, 400.0, -50.0)


def test_box_limits() -> None:
    origins = torch.tensor([[4.0, 0, 0], [4.0, 0, 0], [0.0, 0, 0], [3.0, 3, 0], [0.0, 2.0, 0], [4.0, 0, 0]])
    directions = torch.tensor(
        [[-1.0, 0, 0], [1.0, 0, 0], [0.0, 0, 1], [-(0.5**0.5), -(0.5**0.5), 0], [1.0, 0, 0], [-0.6, 0.8, 0]]
    )
    near, far = box_limits(origins, directions)
    hit = near < far
    assert hit.tolist() == [True, False, True, True, False, False]
    torch.testing.assert_close(near[hit], torch.tensor([3.0, 0, 2 * 2**0.5]))
    torch.testing.assert_close(far[hit], torch.tensor([5.0, 1, 4 * 2**0.5]))
    near, far = box_limits(origins[:1], directions[:1], half_side=0.87)
    torch.testing.assert_close(torch.stack([near, far]), torch.tensor([[3.13], [4.87]]))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_stratified_samples_have_one_stratum_each(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    near = torch.rand(5, generator=generator)
    far = near + 0.1 + torch.rand(5, generator=generator)
    depths = stratified(near, far, torch.rand(5, 9, generator=generator))
    starts = stratified(near, far, torch.zeros(5, 9))
    torch.testing.assert_close(starts[:, [0, -1]], torch.stack([near, far], 1))
    step = (far - near)[:, None] / 8
    assert bool(((depths >= starts - 1e-6) & (depths <= starts + step + 1e-6)).all())


def test_importance_samples_follow_the_weights() -> None:
    """Evenly spaced noise land where the weight is; without weight they spread evenly."""
    depths = torch.linspace(0, 1, 33)[None]
    weights = torch.zeros(1, 32)
    noise = torch.linspace(0, 1, 200)[None]
    even = importance(depths, weights, noise)
    torch.testing.assert_close(even[0], torch.linspace(1 / 64, 61 / 64, 200), atol=1e-4, rtol=0)
    weights[0, 20] = 1.0  # between depths 20 / 32 and 21 / 32
    near_it = (importance(depths, weights, noise) - 20.5 / 32).abs() < 1.6 / 32
    assert float(near_it.float().mean()) > 0.75
    assert bool((importance(depths, weights, noise).diff(dim=1) >= 0).all())


def test_importance_against_a_plain_loop() -> None:
    """The inverse of the piecewise linear cumulative distribution, one draw at a time."""
    generator = torch.Generator().manual_seed(0)
    depths = torch.rand(3, 10, generator=generator).sort(1).values
    weights = torch.rand(3, 9, generator=generator)
    noise = torch.rand(3, 7, generator=generator)
    result = importance(depths, weights, noise)
    for ray in range(3):
        w = weights[ray].tolist()
        largest = [w[0]] + [max(a, b) for a, b in pairwise(w)] + [w[-1]]
        blurred = [(a + b) / 2 + 0.01 + 1e-5 for a, b in pairwise(largest)][1:-1]
        middle = ((depths[ray, 1:] + depths[ray, :-1]) / 2).tolist()
        for draw, depth in zip(noise[ray].tolist(), result[ray].tolist(), strict=True):
            rest, index = draw * sum(blurred), 0
            while rest > blurred[index]:
                rest, index = rest - blurred[index], index + 1
            expected = middle[index] + rest / blurred[index] * (middle[index + 1] - middle[index])
            assert depth == pytest.approx(expected, abs=1e-5)


def test_weights_are_shares_of_the_light() -> None:
    alpha = torch.tensor([[0.5, 0.5, 0.0, 1.0, 0.7]])
    torch.testing.assert_close(transmitted_weights(alpha), torch.tensor([[0.5, 0.25, 0, 0.25, 0]]), atol=1e-6, rtol=0)


def test_composite_by_hand() -> None:
    depths = torch.tensor([[1.0, 2.0, 4.0]])
    colors = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]])
    raw = torch.tensor([[0.5, 1.5, 0.5]])
    alpha = 1 - torch.exp(-softplus(torch.tensor(0.0)) * torch.tensor([1.0, 2.0]))
    first, second = alpha[0], (1 - alpha[0]) * alpha[1]
    seen = composite(depths, colors, raw)
    torch.testing.assert_close(seen.weight[0, 0], first + second)
    torch.testing.assert_close(seen.depth[0, 0], 1.5 * first + 3 * second)
    color = torch.stack([first / 2, (first + second) / 2, second / 2]) + 1 - first - second
    torch.testing.assert_close(seen.color[0], color)
    torch.testing.assert_close(interval_weights(depths, raw)[0], torch.stack([first, second]))


@pytest.mark.parametrize("density", [0.1, 1.0, 3.0])
def test_fog_lets_through_what_it_should(density: float) -> None:
    """Constant density in the cube: transmittance exp(-density * length), up to half-empty intervals at the ends."""
    origins, directions = (ray[0] for ray in rays(six_view_cameras()[[0]], 24, 24))
    near, far = box_limits(origins, directions)
    long = far - near > 0.3
    seen = render_rays(_fog(density), origins, directions, samples=256)
    expected = 1 - torch.exp(-density * (far - near).clamp(min=0))
    torch.testing.assert_close(seen.weight[long, 0], expected[long], atol=0.02 * density, rtol=0)
    color = 1 + seen.weight * (torch.tensor([0.2, 0.4, 0.6]) - 1)
    torch.testing.assert_close(seen.color[long], color[long], atol=1e-5, rtol=0)
    assert bool((seen.color[near >= far] == 1).all())
    assert bool((seen.weight[near >= far] == 0).all())


def test_opaque_ball_has_its_depth() -> None:
    camera = spherical_cameras([10.0], [30.0], 3.0, 30.0)
    origins, directions = (ray[0] for ray in rays(camera, 20, 20))
    b = (origins * directions).sum(1)
    discriminant = b**2 - (origins**2).sum(1) + 0.25
    seen = render_rays(_ball, origins, directions, samples=256)
    inner = discriminant > 0.02
    torch.testing.assert_close(seen.depth[inner, 0], (-b - discriminant.clamp(min=0).sqrt())[inner], atol=0.02, rtol=0)
    assert float(seen.weight[inner].min()) > 0.999
    assert float(seen.weight[discriminant < -0.05].max()) < 1e-6


def test_gradients_reach_the_field() -> None:
    """d weight / d density of fog is length * transmittance."""
    density = torch.tensor(0.7, requires_grad=True)

    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        raw = density.expm1().log() + 1
        return torch.full_like(points, 0.5), raw.expand(len(points), 1)

    origins, directions = torch.tensor([[3.0, 0.1, 0.2]]), torch.tensor([[-1.0, 0.0, 0.0]])
    (gradient,) = torch.autograd.grad(render_rays(field, origins, directions, 256).weight.sum(), density)
    assert float(gradient) == pytest.approx(2 * float(torch.exp(torch.tensor(-1.4))), rel=0.02)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render_field(_ball, six_view_cameras(), 12, 10, 16)
    monkeypatch.setattr(volume, "_RAYS_PER_CHUNK", 37)
    torch.testing.assert_close(render_field(_ball, six_view_cameras(), 12, 10, 16).color, whole.color)


def test_draws_come_from_the_generator() -> None:
    first, same, other = (
        render_field(_ball, six_view_cameras(), 8, 8, 16, generator=torch.Generator().manual_seed(seed)).depth
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_field_is_asked_inside_the_cube_only() -> None:
    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        assert float(points.abs().max()) <= 1
        return points, points[:, :1]

    render_field(field, six_view_cameras(2.0), 10, 10, 16)
    away = render_rays(field, torch.full((4, 3), 5.0), torch.eye(3)[[0, 1, 2, 0]], 16)
    assert bool((away.color == 1).all())


def test_errors() -> None:
    with pytest.raises(InputError, match="even number"):
        render_field(_ball, six_view_cameras(), 8, 8, 15)
    with pytest.raises(InputError, match="crop"):
        render_field(_ball, six_view_cameras(), 8, 8, 16, crop=(0, 4, 4, 5))


@pytest.fixture
def golden(golden_folder: Path) -> dict[str, Tensor]:
    return load_file(golden_folder / "instant_nerf_tiny.expected.safetensors")


@pytest.fixture
def golden_field(golden: dict[str, Tensor], golden_folder: Path) -> RadianceField:
    prefix = "lrm_generator.synthesizer.decoder."
    weights = load_file(golden_folder / "instant_nerf_tiny.weights.safetensors")
    head = RadianceHead(golden["planes"].shape[2])
    head.load_state_dict({n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)})
    return RadianceField(golden["planes"][0], head.requires_grad_(False), LRM_PLANE_AXES)


def test_golden_images(golden: dict[str, Tensor], golden_field: RadianceField) -> None:
    cameras = Cameras(golden["render_c2w"], golden["render_K"])
    images = render_field(golden_field, cameras, 20, 20, samples=16)
    torch.testing.assert_close(images.color, golden["render_rgb"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(images.weight, golden["render_weight"][0], atol=1e-5, rtol=0)
    # The released code also clamps depth to the range of all samples of the call, which lifts what is nearly empty.
    near, far = (limit.clone() for limit in box_limits(*(r.flatten(0, 1) for r in rays(cameras, 20, 20))))
    hit = near < far
    nearest = float(stratified(near[hit], far[hit], torch.full((int(hit.sum()), 8), 0.5)).min())
    torch.testing.assert_close(images.depth.clamp(min=nearest), golden["render_depth"][0], atol=1e-5, rtol=0)


def test_golden_crop(golden: dict[str, Tensor], golden_field: RadianceField) -> None:
    cameras = Cameras(golden["render_c2w"], golden["render_K"])
    part = render_field(golden_field, cameras, 20, 20, samples=16, crop=(3, 5, 9, 9))
    torch.testing.assert_close(part.color, golden["render_rgb_crop_3_5_9_9"][0], atol=1e-5, rtol=0)
    whole = render_field(golden_field, cameras, 20, 20, samples=16)
    torch.testing.assert_close(part.depth, whole.depth[:, :, 3:12, 5:14], atol=1e-6, rtol=0)
