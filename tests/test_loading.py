"""Official checkpoint files end to end: a pickle in a folder becomes a model with the released code's numbers."""

import json

import pytest
import torch
from safetensors.torch import load_file

from instantmesh import CheckpointError, MissingFileError, Pipeline, hub, loading
from instantmesh.config import InstantMeshConfig, TriplaneConfig, ViTConfig

CPU = torch.device("cpu")


@pytest.fixture
def folder(golden_folder, tmp_path, monkeypatch):
    """A folder with an official checkpoint's layout at the references' small sizes."""
    sizes = json.loads((golden_folder / "instant_tiny.config.json").read_text())
    lrm = sizes["lrm"]
    config = InstantMeshConfig(
        representation="mesh",
        encoder=ViTConfig(hidden_size=32, layers=2, heads=2, mlp_size=128),
        triplane=TriplaneConfig(dim=lrm["transformer_dim"], layers=2, heads=4, low_res=8, channels=lrm["triplane_dim"]),
        grid_resolution=sizes["grid_res"],
    )
    monkeypatch.setattr(loading, "_official_config", lambda variant: config)
    monkeypatch.setattr(hub, "identify", lambda tensors: "instant-mesh-base")
    state = load_file(golden_folder / "instant_mesh_tiny.weights.safetensors")
    state |= {"lrm_generator.synthesizer.source_camera": torch.zeros(3), "lpips.net": torch.zeros(2)}
    torch.save({"state_dict": state}, tmp_path / "instant_mesh_base.ckpt")
    return tmp_path


def load(folder):
    return loading.load_reconstruction(str(folder), CPU, torch.float32, None, True)


def test_a_checkpoint_gives_the_released_numbers(folder, golden_folder):
    expected = load_file(golden_folder / "instant_mesh_tiny.expected.safetensors")
    model = load(folder)
    with torch.no_grad():
        planes = model(expected["images"].float() / 255, expected["cameras"])
    torch.testing.assert_close(planes, expected["planes"], atol=1e-4, rtol=0)
    again = load(folder)  # from the converted file now
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_checkpoint_that_does_not_fit_is_listed(folder):
    state = torch.load(folder / "instant_mesh_base.ckpt", weights_only=True)["state_dict"]
    state.pop("lrm_generator.transformer.pos_embed")
    state["lrm_generator.transformer.deconv.bias"] = torch.zeros(9)
    torch.save({"state_dict": state}, folder / "instant_mesh_base.ckpt")
    with pytest.raises(CheckpointError, match=r"(?s)1 missing: transformer\.pos_embed.*deconv\.bias \(9,\)"):
        load(folder)


def test_a_folder_without_the_multiview_stage_says_what_it_needs(folder):
    with pytest.raises(MissingFileError, match=r"zero123plus-v1\.2"):
        Pipeline.from_pretrained(folder, device="cpu")
    assert Pipeline.from_pretrained(folder, device="cpu", multiview=False).multiview is None
