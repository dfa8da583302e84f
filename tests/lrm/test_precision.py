"""Half precision where it is harmless, and compiled networks: against the plain ones."""

import copy
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from instantmesh import Pipeline, Views
from instantmesh.cameras import six_view_cameras
from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.geometry.nearest import NearestSurface
from instantmesh.geometry.triangles import Triangles
from instantmesh.lrm.precision import lower_products
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.rig import SIX_VIEW_RIG
from instantmesh.pipeline.loading import build
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.systems.instantmesh import InstantMeshConfig
from instantmesh.systems.openlrm import OpenLRMConfig
from instantmesh.systems.triposr import TripoSRConfig

VIT = ViTConfig(hidden_size=16, layers=2, heads=2, mlp_size=32, patch_size=8, trained_grid=4)
PLAIN_VIT = VIT.model_copy(update={"camera_modulation": False})
PLANES = TriplaneConfig(dim=32, layers=2, heads=2, low_res=4, channels=5)
CONFIGS = {
    "instantmesh": InstantMeshConfig(representation="mesh", image_size_px=32, encoder=VIT, triplane=PLANES),
    "triposr": TripoSRConfig(image_size_px=32, encoder=PLAIN_VIT, triplane=PLANES, head_hidden=8, head_layers=2),
    "openlrm": OpenLRMConfig(image_size_px=32, encoder=PLAIN_VIT, triplane=PLANES, camera_size=16),
}


@pytest.mark.parametrize("system", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_lowered_weights_compute_what_autocast_does(system: str, dtype: torch.dtype):
    torch.manual_seed(0)
    model = build(CONFIGS[system]).eval()
    lowered = copy.deepcopy(model)
    lower_products(lowered, dtype)
    images, cameras = torch.rand(1, 1, 3, 32, 32), torch.rand(1, 1, 16)
    kinds: list[torch.dtype] = []
    for block in (*lowered.encoder.blocks, *lowered.transformer.blocks):
        block.register_forward_hook(lambda _block, _inputs, output: kinds.append(output.dtype))
    exact = model(images, cameras)
    with torch.autocast("cpu", dtype):
        expected, ours = model(images, cameras), lowered(images, cameras)
    assert torch.equal(ours, expected)
    assert not torch.equal(ours.float(), exact)
    assert kinds == [torch.float32] * 4
    for part in (lowered.encoder, lowered.transformer):
        for layer in part.modules():
            if isinstance(layer, nn.Linear):
                assert layer.weight.dtype == dtype
            elif isinstance(layer, nn.LayerNorm | nn.GroupNorm):
                assert layer.weight.dtype == torch.float32
    assert all(x.dtype == torch.float32 for x in lowered.get_submodule("head").parameters())


def test_the_mesh_is_the_same_to_a_hundredth():
    plain = Pipeline.from_pretrained("tiny", "cpu", multiview=False)
    lowered = Pipeline.from_pretrained("tiny", "cpu", "bfloat16", multiview=False)
    assert plain.reconstructor.dtype == torch.float32
    assert lowered.reconstructor.dtype == torch.bfloat16
    images = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED))).views(six_view_cameras(), 96)
    views = Views(images.images.clamp(0, 1), six_view_cameras())
    expected, ours = plain.reconstructor(views), lowered.reconstructor(views)
    assert ours.vertices.dtype == torch.float32
    apart = NearestSurface(Triangles.of(expected))(Triangles.of(ours).vertices).distances
    assert 0 < apart.mean() < 0.002
    assert apart.max() < 0.05


@pytest.mark.slow
def test_pipelines_compile_to_one_graph_for_each_network_and_give_the_same():
    code = """
import torch
from instantmesh import Pipeline, Views
from instantmesh.cameras import six_view_cameras
graphs = []
def backend(graph, _inputs):
    graphs.append(graph)
    return graph.forward
pipeline = Pipeline.from_pretrained("tiny", "cpu", multiview=False)
views = Views(torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(0)), six_view_cameras())
points = torch.rand(50, 3) * 2 - 1
plain = pipeline.reconstructor.encode(views).sdf(points)
names = set(pipeline.reconstructor.model.state_dict())
pipeline.compile(backend=backend, fullgraph=True)
for _ in range(2):
    torch.testing.assert_close(pipeline.reconstructor.encode(views).sdf(points), plain, atol=1e-5, rtol=1e-5)
assert set(pipeline.reconstructor.model.state_dict()) == names
print(len(graphs))
"""  # in a process of its own: the tests' checks of annotations can't be compiled
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["2"], ran.stderr


def test_a_generator_of_your_own_needs_no_compile():
    class Generator(MultiviewGenerator):
        rig = SIX_VIEW_RIG

        def generate(self, images: Sequence[torch.Tensor], **_: object) -> list[Views]:
            raise NotImplementedError

    model = build(CONFIGS["instantmesh"])
    pipeline = Pipeline(Generator(), Reconstructor(model))
    pipeline.compile(backend="eager")
    assert model.encoder._compiled_call_impl is not None
    assert model.head._compiled_call_impl is None
