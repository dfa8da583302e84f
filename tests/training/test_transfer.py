"""What the stages take over: OpenLRM's transformer, DINO's encoder, and the density as a signed distance."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.errors import CheckpointError, MissingFileError
from instantmesh.lrm.heads import RadianceField, SurfaceField, activate_density, raw_density
from instantmesh.lrm.official import dino_names, to_official
from instantmesh.surface.extraction import extract_flexicubes, grid_axis
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.systems.openlrm import OpenLRM, OpenLRMConfig
from instantmesh.training.export import export_reconstruction
from instantmesh.training.transfer import (
    start_from,
    take_dino,
    take_openlrm,
    take_radiance_field,
)

ENCODER = ViTConfig(hidden_size=48, layers=1, heads=2, mlp_size=64, patch_size=8, trained_grid=4)


def config(representation: str = "nerf", layers: int = 2, dim: int = 64, channels: int = 8) -> InstantMeshConfig:
    """The sizes of the golden OpenLRM's transformer."""
    return InstantMeshConfig(
        representation=representation,  # pyright: ignore[reportArgumentType]
        image_size_px=32,
        encoder=ENCODER,
        triplane=TriplaneConfig(dim=dim, layers=layers, heads=4, low_res=8, channels=channels),
        grid_resolution=24,
    )


@pytest.fixture
def dense_radiance() -> InstantMesh:
    """A stage 1 model whose density crosses 10 in the middle of what its field has."""
    torch.manual_seed(0)
    model = InstantMesh(config())
    with torch.no_grad():
        last = model.head.net[-1]
        assert isinstance(last, nn.Linear)
        axis = grid_axis(24, 2.1)
        points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        raw = radiance_field(model)(points)[1]
        stretch = 20 / (raw.max() - raw.min())
        last.weight[0] *= stretch
        last.bias[0] = (last.bias[0] - raw.median()) * stretch + 10.5
    return model


def planes(model: InstantMesh) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    images, cameras = torch.rand(1, 2, 3, 32, 32, generator=generator), torch.rand(1, 2, 16, generator=generator)
    with torch.no_grad():
        return model(images, cameras)[0]


def radiance_field(model: InstantMesh) -> RadianceField:
    field = model.field(planes(model))
    assert isinstance(field, RadianceField)
    return field


def surface_field(model: InstantMesh) -> SurfaceField:
    field = model.field(planes(model))
    assert isinstance(field, SurfaceField)
    return field


@pytest.mark.parametrize("density", [1e-3, 1.0, 10.0, 25.0])
def test_raw_density_is_the_inverse_of_the_activation(density: float):
    raw = torch.tensor(raw_density(density), dtype=torch.float64)
    assert float(activate_density(raw)) == pytest.approx(density, rel=1e-9)
    assert raw_density(10.0) == pytest.approx(11 + math.log1p(-math.exp(-10)))


@torch.no_grad()
def test_the_signed_distances_zero_level_is_the_density_thresholds(dense_radiance: InstantMesh):
    """Before the first step of stage 2: the same side at every grid point, and tau - raw density everywhere."""
    model = InstantMesh(config("mesh"))
    take_radiance_field(model, dense_radiance)
    field, radiance = surface_field(model), radiance_field(dense_radiance)
    axis = grid_axis(24, 2.1)
    sdf, density = field.sdf_on_grid(axis), radiance.density_on_grid(axis, axis, axis)
    decided = (density - 10).abs() > 1e-4
    assert torch.equal((sdf < 0)[decided], (density > 10)[decided])
    assert 0.2 < float((sdf < 0).float().mean()) < 0.8
    assert float(decided.float().mean()) > 0.999
    points = torch.rand(500, 3) * 2 - 1
    colors, raw = radiance(points)
    torch.testing.assert_close(field.sdf(points), raw_density(10.0) - raw[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(field.colors(points), colors, atol=1e-5, rtol=0)


@torch.no_grad()
def test_points_of_the_zero_level_have_the_thresholds_density(dense_radiance: InstantMesh):
    """Found by bisection along the grid's lines, so no interpolation stands between the two."""
    model = InstantMesh(config("mesh"))
    take_radiance_field(model, dense_radiance)
    field, radiance = surface_field(model), radiance_field(dense_radiance)
    low, high = torch.rand(400, 3) * 2 - 1, torch.rand(400, 3) * 2 - 1
    crossing = (field.sdf(low) < 0) != (field.sdf(high) < 0)
    low, high = low[crossing], high[crossing]
    assert len(low) > 50
    for _ in range(40):
        middle = (low + high) / 2
        same = ((field.sdf(middle) < 0) == (field.sdf(low) < 0))[:, None]
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    density = radiance.radiance(low)[1]
    torch.testing.assert_close(density, torch.full_like(density, 10.0), atol=1e-3, rtol=0)


def test_stage_two_starts_from_stage_ones_folder_with_the_undeformed_grid(dense_radiance: InstantMesh, tmp_path: Path):
    export_reconstruction(dense_radiance, tmp_path)
    model = InstantMesh(config("mesh"))
    start_from(model, str(tmp_path))
    torch.testing.assert_close(planes(model), planes(dense_radiance), atol=2e-2, rtol=2e-2)  # saved as float16
    surface = extract_flexicubes(surface_field(model), 24)
    assert len(surface.faces) > 100
    assert float(surface.raw_weights.detach().abs().max()) == 0
    again = InstantMesh(config("mesh"))
    export_reconstruction(model, tmp_path / "mesh")
    start_from(again, str(tmp_path / "mesh"))  # stage 2's own kind is taken whole
    torch.testing.assert_close(
        again.head.state_dict()["net_sdf.6.bias"], model.head.state_dict()["net_sdf.6.bias"].half().float()
    )


def test_openlrms_transformer_is_taken_over_by_name(golden_folder: Path):
    official = load_file(golden_folder / "openlrm_tiny.weights.safetensors")
    model = InstantMesh(config())
    transfer = take_openlrm(model, official)
    state = model.state_dict()
    for i, place in enumerate(("query", "key", "value")):
        ours = state[f"transformer.blocks.1.self_attention.{place}.weight"]
        theirs = official["transformer.layers.1.self_attn.in_proj_weight"][64 * i : 64 * (i + 1)]
        assert torch.equal(ours, theirs)
    for ours, theirs in {
        "transformer.position_embedding": "pos_embed",
        "transformer.blocks.0.norm2.norm.weight": "transformer.layers.0.norm2.norm.weight",
        "transformer.blocks.1.cross_attention.key.weight": "transformer.layers.1.cross_attn.k_proj_weight",
        "transformer.blocks.1.mlp.2.bias": "transformer.layers.1.mlp.3.bias",
        "transformer.norm.weight": "transformer.norm.weight",
        "upsampler.deconv.weight": "upsampler.weight",
        "head.net.6.bias": "synthesizer.decoder.net.6.bias",
    }.items():
        assert torch.equal(state[ours], official[theirs]), ours
    assert set(transfer.new) == {name for name in state if name.startswith("encoder.")}
    assert set(transfer.taken) | set(transfer.new) == set(state)


@torch.no_grad()
def test_an_unmodulated_openlrm_makes_the_same_planes():
    torch.manual_seed(0)
    sizes = config()
    teacher = OpenLRM(
        OpenLRMConfig(
            image_size_px=32,
            encoder=ENCODER.model_copy(update={"camera_modulation": False}),
            triplane=sizes.triplane,
            camera_size=32,
        )
    )
    for name, tensor in teacher.named_parameters():
        if ".modulation." in name:
            tensor.zero_()
    model = InstantMesh(sizes)
    take_openlrm(model, teacher.official_state())
    tokens, camera = torch.randn(1, 34, 48), torch.randn(1, 1, 16)
    # the two differ in a norm's epsilon
    torch.testing.assert_close(model.planes(tokens, None), teacher.planes(tokens, camera), atol=1e-3, rtol=1e-3)


def test_fewer_blocks_and_other_channels_take_what_fits(golden_folder: Path):
    official = load_file(golden_folder / "openlrm_tiny.weights.safetensors")
    transfer = take_openlrm(InstantMesh(config(layers=1, channels=6)), official)
    parts = {".".join(name.split(".")[:1]) for name in transfer.taken}
    assert parts == {"transformer"}
    assert not any(name.startswith("transformer.") for name in transfer.new)


def test_an_openlrm_of_another_width_is_refused(golden_folder: Path, tmp_path: Path):
    path = golden_folder / "openlrm_tiny.weights.safetensors"
    with pytest.raises(CheckpointError, match="of another shape"):
        start_from(InstantMesh(config(dim=32)), str(path))
    with pytest.raises(CheckpointError, match="missing"):
        start_from(InstantMesh(config(layers=3)), str(path))
    with pytest.raises(MissingFileError, match="no checkpoint to start from"):
        start_from(InstantMesh(config()), str(tmp_path / "nothing"))


def test_stage_one_starts_from_its_own_kind_whole(dense_radiance: InstantMesh, tmp_path: Path):
    save_file(
        {f"lrm_generator.{name}": x.contiguous() for name, x in dense_radiance.official_state().items()},
        tmp_path / "model.safetensors",
    )
    model = InstantMesh(config())
    start_from(model, str(tmp_path))
    for name, tensor in dense_radiance.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@torch.no_grad()
def test_the_encoder_starts_as_dino():
    torch.manual_seed(0)
    teacher, model = InstantMesh(config()), InstantMesh(config())
    encoder = {
        f"encoder.{name}": tensor
        for name, tensor in teacher.encoder.state_dict().items()
        if "modulation" not in name and not name.startswith("camera_embedding")
    }
    official = to_official(encoder, dino_names("")) | {"pooler.dense.weight": torch.zeros(48, 48)}
    assert "encoder.layer.0.attention.attention.query.weight" in official
    transfer = take_dino(model, official)
    images, cameras = torch.rand(1, 2, 3, 32, 32), torch.rand(1, 2, 16)
    torch.testing.assert_close(model.encoder(images, cameras), teacher.encoder(images, cameras))
    assert set(transfer.taken) == set(encoder)
    with pytest.raises(CheckpointError, match="missing"):
        take_dino(model, {"embeddings.cls_token": torch.zeros(1, 1, 48)})
