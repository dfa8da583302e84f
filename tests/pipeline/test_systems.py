"""A system and a multiview generator of another package, through `Pipeline` and the command line."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from instantmesh import Pipeline, Views, cli
from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.errors import ConfigError
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.rig import SIX_VIEW_RIG
from instantmesh.pipeline import loading
from instantmesh.systems import System, known_systems, register_system, system_named
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.systems.system import _registered
from tests.paths import EXAMPLES
from tests.pipeline.plain import PLAIN


class ToyConfig(InstantMeshConfig):
    """InstantMesh with a setting of its own."""

    bias: float = 0.0


class Toy(InstantMesh):
    """Everything is a ball of radius 0.5, whatever the views show."""

    system = "Toy"

    def field(self, planes: Tensor):
        field = super().field(planes)
        field.sdf_on_grid = lambda axis: torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) - 0.5
        return field


class Repeat(MultiviewGenerator):
    """The photo from all sides."""

    rig = SIX_VIEW_RIG

    def generate(self, images: Sequence[Tensor], **_: object) -> list[Views]:
        return [Views(image.expand(6, -1, -1, -1), self.rig.cameras()) for image in images]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder that names the toys, which are registered for this test."""
    monkeypatch.setitem(_registered, "toy", None)  # taken out again afterwards
    register_system(System("toy", ToyConfig, Toy, lambda folder: None, "nothing of its own"))
    monkeypatch.setitem(loading._generators, "Repeat", lambda folder, dtype: Repeat())
    config = ToyConfig(
        representation="mesh",
        image_size_px=16,
        encoder=ViTConfig(hidden_size=8, layers=1, heads=1, mlp_size=8, patch_size=8, trained_grid=2),
        triplane=TriplaneConfig(dim=8, layers=1, heads=1, low_res=2, channels=4),
        grid_resolution=12,
    )
    torch.manual_seed(0)
    state = {name: x.contiguous() for name, x in Toy(config).official_state().items()}
    (tmp_path / "reconstruction").mkdir()
    (tmp_path / "multiview").mkdir()
    save_file(state, tmp_path / "reconstruction" / "model.safetensors")
    values = {"system": "toy", **config.model_dump()}
    (tmp_path / "reconstruction" / "config.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "multiview" / "model_index.json").write_text(json.dumps({"_class_name": "Repeat"}))
    return tmp_path


def test_a_system_and_a_generator_of_another_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pipeline = Pipeline.from_pretrained(folder, device="cpu")
    assert (type(pipeline.reconstructor.model), type(pipeline.multiview)) == (Toy, Repeat)
    result = pipeline(EXAMPLES / "egg.png", **PLAIN)
    assert float(result.mesh.vertices.norm(dim=1).mean()) == pytest.approx(0.5, abs=0.05)
    out = tmp_path / "out"
    arguments = ["instantmesh", "generate", str(EXAMPLES / "egg.png"), "-o", str(out), "--model", str(folder)]
    monkeypatch.setattr("sys.argv", [*arguments, "--device", "cpu"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert (out / "egg.glb").is_file()


def test_unknown_systems_and_generators_are_named(folder: Path):
    assert list(known_systems())[:3] == ["instantmesh", "triposr", "openlrm"]
    with pytest.raises(ConfigError, match="no reconstruction system 'other'; known are instantmesh"):
        system_named("other")
    (folder / "multiview" / "model_index.json").write_text(json.dumps({"_class_name": "Other"}))
    with pytest.raises(ConfigError, match="no multiview generator 'Other'"):
        Pipeline.from_pretrained(folder, device="cpu")


def test_a_model_whose_only_view_is_the_photo_needs_no_generator(folder: Path):
    path = folder / "reconstruction" / "config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "photo": "only_view"}))
    pipeline = Pipeline.from_pretrained(folder, device="cpu")
    assert pipeline.multiview is None
    result = pipeline(EXAMPLES / "egg.png", **PLAIN)
    assert len(result.views) == 1
    assert float(result.views.known_cameras.camera_to_world[0, :3, 3].norm()) == pytest.approx(4.0)
    with_generator = Pipeline.from_pretrained(folder, device="cpu", multiview=True)
    assert len(with_generator.generate_views(with_generator.prepare(EXAMPLES / "egg.png"))) == 6
