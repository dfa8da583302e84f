"""The compiled multiview stage samples what the plain one does."""

import inspect

import pytest
import torch
from PIL import Image
from torch import Tensor

from instantmesh.multiview import zero123plus
from instantmesh.multiview.zero123plus import Zero123PlusPipeline

pytestmark = [
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning"),  # torch's compiler itself
]


@pytest.mark.slow
def test_both_passes_compile_to_one_graph_each_and_sample_the_same(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    for name in ("remember", "recall"):  # the tests' checks of annotations can't be compiled
        monkeypatch.setattr(zero123plus, name, inspect.unwrap(getattr(zero123plus, name)))
    image, graphs = Image.fromarray(golden["pipe.image_rgba"].numpy()), []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]):
        graphs.append(graph)
        return graph.forward

    def sample() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.as_tensor(pipeline(image, 3, generator=generator, output_type="latent").images)

    plain = sample()
    torch._dynamo.reset()
    pipeline.compile(backend=backend, fullgraph=True)
    torch.testing.assert_close(sample(), plain, atol=1e-5, rtol=1e-5)
    assert len(graphs) == 2
