"""The multiview stage on a GPU: the same draws from a CPU generator, nearly the same images, in every precision."""

import pytest
import torch
from PIL import Image
from torch import Tensor

from instantmesh.multiview.zero123plus import Zero123PlusPipeline

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.float16, 0.03), (torch.bfloat16, 0.08)])
def test_cuda_samples_what_the_cpu_samples(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], dtype: torch.dtype, tolerance: float
):
    def sample() -> Tensor:
        image = Image.fromarray(golden["pipe.image_rgba"].numpy())
        generator = torch.Generator().manual_seed(0)
        return torch.as_tensor(pipeline(image, 4, generator=generator, output_type="pt").images).cpu()

    expected = sample()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            torch.nn.Module.to(part, "cuda", dtype)
    assert float((sample() - expected).abs().mean()) < tolerance


def test_a_generator_on_the_gpu_fixes_every_draw(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]):
    pipeline.to("cuda")
    image = Image.fromarray(golden["pipe.image_rgba"].numpy())
    first, second = (
        pipeline(image, 2, generator=torch.Generator("cuda").manual_seed(3), output_type="pt").images for _ in range(2)
    )
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
