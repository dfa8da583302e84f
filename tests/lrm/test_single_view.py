"""TripoSR and OpenLRM: official sizes, frames, what they refuse. Their numbers are compared in test_parity.py."""

import math

import pytest
import torch

from instantmesh import hub
from instantmesh.cameras import spherical_cameras
from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.errors import CameraError, InputError
from instantmesh.lrm.triplane import LRM_PLANE_AXES, sample_planes
from instantmesh.pipeline.loading import build, named_config
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.structures import Views
from instantmesh.systems.openlrm import DEFAULT_CAMERA, OpenLRM, OpenLRMConfig
from instantmesh.systems.triposr import TripoSR, TripoSRConfig

PLAIN_VIT = ViTConfig(
    hidden_size=16, layers=1, heads=2, mlp_size=32, patch_size=8, trained_grid=4, camera_modulation=False
)
PLANES = TriplaneConfig(dim=32, layers=1, heads=2, low_res=4, channels=5)


def small_triposr() -> TripoSR:
    torch.manual_seed(0)
    config = TripoSRConfig(
        image_size_px=32, encoder=PLAIN_VIT, triplane=PLANES, head_hidden=8, head_layers=3, grid_resolution=24
    )
    return TripoSR(config).requires_grad_(False).eval()


def small_openlrm() -> OpenLRM:
    torch.manual_seed(0)
    vit = PLAIN_VIT.model_copy(
        update={"register_tokens": 2, "layer_scale": True, "position_resizing": "dinov2", "imagenet_normalised": False}
    )
    config = OpenLRMConfig(image_size_px=32, encoder=vit, triplane=PLANES, camera_size=16, grid_resolution=24)
    return OpenLRM(config).requires_grad_(False).eval()


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(named_config(name)).parameters())


def test_triposr_has_the_published_parameters_but_for_the_unused_pooler():
    assert parameters("triposr") == 419_275_628 - (768 * 768 + 768)


@pytest.mark.parametrize("name", [name for name in hub.MODELS if name.startswith("openlrm")])
def test_openlrm_has_about_the_files_sizes(name):
    assert hub.resolve(name).part("reconstruction").size_bytes == pytest.approx(4 * parameters(name), rel=0.01)


@pytest.mark.parametrize("name", ["triposr", "openlrm-obj-small-1.1", "openlrm-obj-base-1.1", "openlrm-obj-large-1.1"])
def test_registry_tells_the_systems_files_apart(name):
    with torch.device("meta"):
        assert hub.identify(build(named_config(name)).official_state()) == name


@pytest.mark.parametrize("model", [small_triposr(), small_openlrm()], ids=["triposr", "openlrm"])
def test_official_names_round_trip(model):
    other = type(model)(model.config)
    other.load_official(model.official_state())
    assert model.official_shapes() == {name: tuple(x.shape) for name, x in model.official_state().items()}
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_one_width_keeps_cross_attention_in_one_tensor_as_torch_does():
    """OpenLRM's base models: by torch's own module, whose state dict the released ones are."""
    config = small_openlrm().config
    planes = config.triplane.model_copy(update={"dim": config.encoder.hidden_size})
    model = OpenLRM(config.model_copy(update={"triplane": planes})).requires_grad_(False)
    assert model.config.triplane.dim == model.config.encoder.hidden_size
    state = model.official_state()
    assert not any("cross_attn.q_proj" in name for name in state)
    width, heads = model.config.triplane.dim, model.config.triplane.heads
    theirs = torch.nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
    start = "transformer.layers.0.cross_attn."
    theirs.load_state_dict({name.removeprefix(start): x for name, x in state.items() if name.startswith(start)})
    query, context = torch.randn(2, 7, width), torch.randn(2, 5, width)
    expected, _ = theirs(query, context, context)
    torch.testing.assert_close(model.get_submodule("transformer.blocks.0.cross_attention")(query, context), expected)
    other = OpenLRM(model.config)
    other.load_official(state)
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in model.state_dict().items())
    with torch.device("meta"):
        shapes = {
            name: build(named_config(f"openlrm-obj-{name}-1.1")).official_shapes()
            for name in ("small", "base", "large")
        }
    assert shapes["base"]["transformer.layers.11.cross_attn.in_proj_weight"] == (3 * 768, 768)
    for name in ("small", "large"):
        assert "transformer.layers.0.cross_attn.q_proj_weight" in shapes[name]


def test_the_world_sees_openlrms_field_turned_by_a_quarter():
    """In its own frame the image looks from -y; in the world from +x."""
    model = small_openlrm()
    planes = torch.randn(3, 5, 8, 8)
    points = torch.rand(60, 3) * 2 - 1
    x, y, z = points.unbind(-1)
    own, _ = model.head(sample_planes(planes, torch.stack([y, -x, z], dim=-1), LRM_PLANE_AXES))
    torch.testing.assert_close(model.field(planes).colors(points), own, atol=1e-6, rtol=1e-5)


def test_openlrms_default_camera_is_the_worlds_front():
    model = small_openlrm()
    front = spherical_cameras([0.0], [0.0], radius=2.0, fov_deg=math.degrees(2 * math.atan(0.5 / 0.75)))
    torch.testing.assert_close(model.camera_conditioning(front), torch.tensor([DEFAULT_CAMERA]), atol=1e-6, rtol=0)
    assert torch.equal(model.camera_conditioning(None), torch.tensor([DEFAULT_CAMERA]))


def test_triposrs_planes_lie_as_documented():
    model = small_triposr()
    planes = torch.randn(3, 5, 8, 8)
    points = (torch.rand(60, 3) * 2 - 1) * 0.87
    own, raw = model.head(sample_planes(planes, points / 0.87, ((0, 1), (0, 2), (1, 2))))
    color, density = model.field(planes).radiance(points)
    torch.testing.assert_close(color, own)
    torch.testing.assert_close(density, torch.exp(raw - 1.0))


@pytest.mark.parametrize("model", [small_triposr(), small_openlrm()], ids=["triposr", "openlrm"])
def test_density_on_the_grid_is_density_at_points(model):
    field = model.field(torch.randn(3, 5, 8, 8))
    half_side = model.config.grid_scale / 2
    axis = torch.linspace(-half_side, half_side, 7)
    _, density = field.radiance(torch.cartesian_prod(axis, axis, axis))
    torch.testing.assert_close(field.density_on_grid(axis, axis, axis).flatten(), density[:, 0], atol=1e-4, rtol=1e-4)


def test_images_are_resampled_as_the_systems_do():
    image = torch.rand(1, 3, 48, 40)
    size = (32, 32)
    bilinear = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    assert torch.equal(small_triposr().resize(image), bilinear)
    bicubic = torch.nn.functional.interpolate(image, size, mode="bicubic", align_corners=True).clamp(0, 1)
    assert torch.equal(small_openlrm().resize(image), bicubic)


def test_what_single_view_systems_refuse():
    image, camera = torch.rand(1, 3, 32, 32), spherical_cameras([0.0], [0.0], 2.0, 60.0)
    with pytest.raises(InputError, match="TripoSR reconstructs from one view, got 2"):
        Reconstructor(small_triposr()).encode(Views(image.expand(2, -1, -1, -1)))
    with pytest.raises(CameraError, match="TripoSR uses no camera"):
        Reconstructor(small_triposr()).encode(Views(image, camera))
    with pytest.raises(InputError, match="OpenLRM reconstructs from one view, got 2"):
        Reconstructor(small_openlrm()).encode(Views(image.expand(2, -1, -1, -1)))
    assert Reconstructor(small_openlrm()).encode(Views(image, camera)) is not None


def test_registers_take_part_and_are_not_returned():
    model = small_openlrm()
    image = torch.rand(1, 1, 3, 32, 40)
    tokens = model.encoder(image)
    assert tokens.shape == (1, 1 + 4 * 5, 16)
    assert model.encoder.register_tokens is not None
    model.encoder.register_tokens.data += 1
    assert not torch.allclose(model.encoder(image), tokens)


def summing_head(channels: int) -> torch.nn.Sequential:
    """A net whose first output is the sum of the planes' first channels, and whose others are zero."""
    pick = torch.zeros(4, 3 * channels)
    pick[0, ::channels] = 1
    first, last = torch.nn.Linear(3 * channels, 4), torch.nn.Linear(4, 4)
    for layer, weight in ((first, pick), (last, torch.eye(4))):
        layer.weight.data, layer.bias.data = weight, torch.zeros(4)
    return torch.nn.Sequential(first, last)


@pytest.mark.parametrize(
    ("model", "axes", "own_place"),
    [
        (small_triposr(), ((0, 1), (0, 2), (1, 2)), lambda x, y, z: (x / 0.87, y / 0.87, z / 0.87)),
        (small_openlrm(), LRM_PLANE_AXES, lambda x, y, z: (y, -x, z)),
    ],
    ids=["triposr", "openlrm"],
)
def test_meshes_come_out_in_the_worlds_frame(model, axes, own_place):
    """A ball near the photographed side (+x), a little to one side and up."""
    place = (0.5, 0.2, -0.3)
    own = own_place(*place)
    centres = (torch.arange(16) + 0.5) / 8 - 1
    planes = torch.zeros(3, 5, 16, 16)
    for plane, (column, row) in zip(planes, axes, strict=True):
        squared = (centres[None, :] - own[column]) ** 2 + (centres[:, None] - own[row]) ** 2
        plane[0] = 10 * torch.exp(-squared / 0.05)
    model.head.net = summing_head(5)
    mesh = Reconstructor(model).extract(model.field(planes - 5))
    centre = (mesh.vertices.amax(0) + mesh.vertices.amin(0)) / 2
    torch.testing.assert_close(centre, torch.tensor(place), atol=0.06, rtol=0)
    assert float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) < 0.7
