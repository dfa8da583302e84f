"""The assembled model: official names, exact sizes, invariances."""

import json

import pytest
import torch

from instantmesh.cameras import camera_vector, rotate_about_up, six_view_cameras, spherical_cameras
from instantmesh.config import TriplaneConfig, ViTConfig, read_config
from instantmesh.errors import InputError
from instantmesh.hub import asset_folder
from instantmesh.lrm.attention import Attention
from instantmesh.lrm.vit import ray_points
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from tests.paths import GOLDEN

KEYS = GOLDEN / "keys"
PARAMETERS = {
    "instant-nerf-base": 313_249_004,
    "instant-nerf-large": 378_477_332,
    "instant-mesh-base": 313_352_516,
    "instant-mesh-large": 378_657_644,
}
SMALL = InstantMeshConfig(
    representation="mesh",
    image_size_px=32,
    encoder=ViTConfig(hidden_size=16, layers=2, heads=2, mlp_size=32, patch_size=8, trained_grid=4, ray_octaves=2),
    triplane=TriplaneConfig(dim=16, layers=2, heads=2, low_res=4, channels=4),
)


@pytest.mark.parametrize("variant", PARAMETERS)
def test_official_variants_have_exactly_the_official_tensors(variant):
    config = read_config(asset_folder("configs") / "model" / f"{variant}.yaml", InstantMeshConfig)
    with torch.device("meta"):
        model = InstantMesh(config)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[variant]
    official = json.loads((KEYS / f"{variant}.json").read_text())
    ours = {f"lrm_generator.{name}": list(x.shape) for name, x in model.official_state().items()}
    assert ours == official


def test_official_names_round_trip():
    torch.manual_seed(0)
    model, other = InstantMesh(SMALL), InstantMesh(SMALL)
    other.load_official(model.official_state())
    assert model.official_shapes() == {name: tuple(x.shape) for name, x in model.official_state().items()}
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_attention_equals_the_formula():
    torch.manual_seed(0)
    layer = Attention(12, 3, context_dim=7, qkv_bias=True, out_bias=False)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 9, 7)
    q, k, v = layer.query(x), layer.key(context), layer.value(context)
    heads = []
    for h in range(3):
        part = slice(4 * h, 4 * h + 4)
        weights = (q[..., part] @ k[..., part].mT / 4**0.5).softmax(-1)
        heads.append(weights @ v[..., part])
    expected = layer.out(torch.cat(heads, -1))
    ours = layer(x, context)
    torch.testing.assert_close(ours, expected)
    cotangent = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad((ours * cotangent).sum(), list(layer.parameters()), retain_graph=True),
        torch.autograd.grad((expected * cotangent).sum(), list(layer.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_modulation_starts_as_the_plain_transformer():
    torch.manual_seed(0)
    config = SMALL.encoder.model_copy(update={"ray_octaves": 0})
    model = InstantMesh(SMALL.model_copy(update={"encoder": config}))
    images, cameras = torch.rand(1, 1, 3, 32, 32), torch.randn(1, 1, 16)
    assert torch.equal(model.encoder(images, cameras), model.encoder(images, 0 * cameras))


def test_views_are_a_set_and_any_number_works():
    torch.manual_seed(0)
    model = InstantMesh(SMALL).eval()
    images, cameras = torch.rand(1, 6, 3, 32, 32), camera_vector(six_view_cameras())[None]
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    with torch.no_grad():
        planes = model(images, cameras)
        torch.testing.assert_close(model(images[:, order], cameras[:, order]), planes, atol=1e-5, rtol=1e-4)
        assert model(images[:, :1], cameras[:, :1]).shape == planes.shape


def test_images_that_do_not_divide_into_patches_are_refused():
    with pytest.raises(InputError, match="patches of 8"):
        InstantMesh(SMALL).encoder(torch.rand(1, 1, 3, 30, 32), torch.randn(1, 1, 16))


def test_ray_points_lie_on_the_rays_and_turn_with_the_cameras():
    cameras = spherical_cameras([10.0, 200.0], [20.0, -30.0], radius=3.0, fov_deg=40.0)
    points = ray_points(camera_vector(cameras), 1, 1).reshape(2, 3, 3)
    torch.testing.assert_close(points[:, 1], torch.zeros(2, 3), atol=1e-5, rtol=0)  # the central ray meets the origin
    torch.testing.assert_close(points[:, 0].norm(dim=-1), torch.full((2,), 0.7), atol=1e-5, rtol=0)
    angle = torch.tensor([0.3, 1.1])
    turned = ray_points(camera_vector(rotate_about_up(cameras, angle)), 2, 3)
    still = ray_points(camera_vector(cameras), 2, 3)
    torch.testing.assert_close(turned[..., 2::3], still[..., 2::3], atol=1e-5, rtol=0)  # heights stay
