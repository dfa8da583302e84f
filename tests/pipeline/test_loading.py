"""Official checkpoint files end to end: a pickle in a folder becomes a model with the released code's numbers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from instantmesh import CheckpointError, InputError, MissingFileError, Pipeline, Views, hub
from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.errors import ConfigError
from instantmesh.images import prepare
from instantmesh.pipeline import loading
from instantmesh.systems import openlrm, triposr
from instantmesh.systems.instantmesh import InstantMeshConfig
from instantmesh.systems.openlrm import openlrm_config
from instantmesh.systems.triposr import triposr_config
from tests.pipeline.plain import PLAIN, PLAIN_MESH

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
    monkeypatch.setattr(loading, "named_config", lambda variant: config)
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


def test_loading_draws_nothing_and_leaves_torchs_compiler_alone():
    """It takes seconds to import, and drawing or joining tensors on the meta device imports it."""
    code = (
        "import sys, torch; from instantmesh import Pipeline; state = torch.get_rng_state();"
        "Pipeline.from_pretrained('tiny', 'cpu', multiview=False);"
        "print('torch._dynamo' in sys.modules, torch.equal(state, torch.get_rng_state()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]


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


def plain(vit: ViTConfig, **values) -> ViTConfig:
    return vit.model_copy(update={"layers": 2, **values})


@pytest.fixture
def triposr_folder(golden_folder, tmp_path, monkeypatch):
    """TripoSR's own file names at the references' small sizes."""
    config = json.loads((golden_folder / "triposr_tiny.config.json").read_text())["cfg"]
    encoder = plain(triposr._DINO["facebook/dino-vitb16"], hidden_size=32, heads=2, mlp_size=128)
    monkeypatch.setitem(triposr._DINO, "facebook/dino-vitb16", encoder)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(load_file(golden_folder / "triposr_tiny.weights.safetensors"), tmp_path / "model.ckpt")
    return tmp_path


@pytest.fixture
def openlrm_folder(golden_folder, tmp_path, monkeypatch):
    """OpenLRM's own file names at the references' small sizes."""
    config = json.loads((golden_folder / "openlrm_tiny.config.json").read_text())["cfg"]
    small = openlrm._DINOV2["dinov2_vits14_reg"]
    encoder = plain(small, hidden_size=48, heads=3, mlp_size=192)
    monkeypatch.setitem(openlrm._DINOV2, config["encoder_model_name"], encoder)
    monkeypatch.setitem(openlrm._OPENLRM_IMAGE_SIZE_PX, config["transformer_dim"], 224)
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(golden_folder / "openlrm_tiny.weights.safetensors", tmp_path / "model.safetensors")
    return tmp_path


def test_triposrs_files_give_the_released_numbers(triposr_folder, golden_folder):
    expected = load_file(golden_folder / "triposr_tiny.expected.safetensors")
    model = load(triposr_folder)
    image = expected["image"].permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(model(model.resize(image)[None], None), expected["scene_codes"], atol=1e-4, rtol=0)


def test_openlrms_files_give_the_released_numbers(openlrm_folder, golden_folder):
    expected = load_file(golden_folder / "openlrm_tiny.expected.safetensors")
    model = load(openlrm_folder)
    with torch.no_grad():
        planes = model(expected["image"].float()[:, None] / 255, expected["camera"][:, None])
    torch.testing.assert_close(planes, expected["planes"], atol=1e-4, rtol=0)


def test_a_folder_called_like_a_model_does_not_hide_it(tmp_path, monkeypatch, caplog):
    """As `instantmesh generate photo.png -o tiny --model tiny` leaves one behind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert isinstance(Pipeline.from_pretrained("tiny", device="cpu"), Pipeline)
    assert "for the folder write ./tiny" in caplog.text
    for named in ("./tiny", Path("tiny"), tmp_path / "tiny"):
        with pytest.raises(MissingFileError, match="is no model folder"):
            Pipeline.from_pretrained(named, device="cpu")


@pytest.mark.parametrize("name", ["triposr_folder", "openlrm_folder"])
def test_a_single_view_pipeline_goes_from_photo_to_mesh(name, request):
    pipeline = Pipeline.from_pretrained(request.getfixturevalue(name), device="cpu")
    assert pipeline.multiview is None
    photo = torch.zeros(4, 40, 40)
    photo[0, 10:30, 12:28] = photo[3, 10:30, 12:28] = 1
    model = pipeline.reconstructor.model
    field = pipeline.reconstructor.encode(Views(prepare(photo, background_level=model.background)[None]))
    middle = field.density_on_grid(*[torch.linspace(-0.8, 0.8, 12)] * 3).median()
    object.__setattr__(model.config, "density_threshold", float(middle))  # random weights: wherever half is inside
    result = pipeline(photo, resolution=16, **PLAIN)
    assert len(result.views) == 1
    assert result.views.cameras is None
    assert float(result.photo[:, 0, 0].mean()) == pytest.approx(model.background)
    assert len(result.mesh.faces) > 0
    assert torch.equal(pipeline.reconstruct(result.views, resolution=16, **PLAIN_MESH).vertices, result.mesh.vertices)
    with pytest.raises(InputError, match="needs none"):
        pipeline.generate_views(pipeline.prepare(photo))
    with pytest.raises(InputError, match="scale"):
        pipeline(photo, camera_distance_scale=0.9)


def test_official_configurations_are_those_shipped(tmp_path):
    """What the released files say, translated, equals configs/model."""
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "cond_image_size": 512,
                "image_tokenizer": {"pretrained_model_name_or_path": "facebook/dino-vitb16"},
                "tokenizer": {"plane_size": 32, "num_channels": 1024},
                "backbone": {
                    "in_channels": 1024, "num_attention_heads": 16, "attention_head_dim": 64, "num_layers": 16,
                    "cross_attention_dim": 768,
                },
                "post_processor": {"in_channels": 1024, "out_channels": 40},
                "decoder": {"in_channels": 120, "n_neurons": 64, "n_hidden_layers": 9, "activation": "silu"},
                "renderer": {
                    "radius": 0.87, "feature_reduction": "concat", "density_activation": "exp", "density_bias": -1.0,
                    "num_samples_per_ray": 128,
                },
            }
        )
    )  # fmt: skip
    assert triposr_config(tmp_path / "config.yaml") == loading.named_config("triposr")
    sizes = {"small": ("s", 384, 512, 12, 8, 32, 96), "base": ("b", 768, 768, 12, 12, 48, 96),
             "large": ("b", 768, 1024, 16, 16, 80, 128)}  # fmt: skip
    for size, (letter, features, dim, layers, heads, channels, samples) in sizes.items():
        values = {
            "camera_embed_dim": 1024, "rendering_samples_per_ray": samples, "transformer_dim": dim,
            "transformer_layers": layers, "transformer_heads": heads, "triplane_low_res": 32, "triplane_high_res": 64,
            "triplane_dim": channels, "encoder_freeze": False, "encoder_type": "dinov2",
            "encoder_model_name": f"dinov2_vit{letter}14_reg", "encoder_feat_dim": features,
        }  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps(values))
        for data in ("obj", "mix"):
            assert openlrm_config(tmp_path / "config.json") == loading.named_config(f"openlrm-{data}-{size}-1.1")


def test_official_configurations_that_are_not_understood(triposr_folder):
    path = triposr_folder / "config.yaml"
    values = yaml.safe_load(path.read_text())
    for section, key, value, message in (
        ("decoder", "activation", "relu", "only 'silu' is known"),
        ("image_tokenizer", "pretrained_model_name_or_path", "other", "known are facebook/dino-vitb16"),
        ("backbone", "num_layers", None, "num_layers must be of type int, found None"),
    ):
        changed = json.loads(json.dumps(values))
        changed[section][key] = value
        path.write_text(yaml.safe_dump(changed))
        with pytest.raises(ConfigError, match=message):
            load(triposr_folder)
    path.write_text("[")
    with pytest.raises(ConfigError, match="can't read"):
        load(triposr_folder)
