"""Networks that take turns on a device: one group at a time, the same results, modes chosen by free memory."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from instantmesh import InputError, Pipeline
from instantmesh.pipeline import offloading
from instantmesh.pipeline.offload_hooks import OffloadedGroups
from instantmesh.pipeline.offloading import WORK_BYTES, choose, grouped, needed_bytes
from tests.paths import EXAMPLES
from tests.pipeline.plain import PLAIN
from tests.pipeline.two_stages import two_stages

PHOTO = EXAMPLES / "egg.png"


@pytest.fixture
def pipeline() -> Pipeline:
    return two_stages()


def stages_of(pipeline: Pipeline) -> list[list[nn.Module]]:
    return [pipeline.multiview.networks, pipeline.reconstructor.networks]


class Moves:
    """Records which networks are on the device; in truth none is moved."""

    device = torch.device("cpu", 0)

    def __init__(self, stages: list[list[nn.Module]]) -> None:
        self.names = {id(network): type(network).__name__ for stage in stages for network in stage}
        self.there: list[str] = []
        self.history: list[tuple[str, ...]] = []

    def __call__(self, network: nn.Module, place: torch.device | str) -> nn.Module:
        name = self.names[id(network)]
        if place == "cpu":
            self.there.remove(name)
        else:
            self.there.append(name)
            self.history.append(tuple(self.there))
        return network


@pytest.fixture
def sampled(pipeline: Pipeline) -> Tensor:
    return pipeline(PHOTO, seed=0, steps=2, resolution=24, **PLAIN).mesh.vertices


@pytest.mark.parametrize("mode", ["low", "minimal"])
def test_networks_take_turns_and_the_result_is_the_same(
    pipeline: Pipeline, sampled: Tensor, mode: str, monkeypatch: pytest.MonkeyPatch
):
    stages = stages_of(pipeline)
    moves = Moves(stages)
    OffloadedGroups(grouped(stages, mode), moves.device)
    monkeypatch.setattr(nn.Module, "to", moves)
    for _ in range(2):
        assert torch.equal(pipeline(PHOTO, seed=0, steps=2, resolution=24, **PLAIN).mesh.vertices, sampled)
    if mode == "minimal":
        assert {len(names) for names in moves.history} == {1}
        order = [names[0] for names in moves.history]
        once = [
            *("CLIPTextModel", "CLIPVisionModelWithProjection", "AutoencoderKL", "UNet2DConditionModel"),
            *("AutoencoderKL", "ViT", "LRMTransformer"),
        ]
        assert order == once * 2
    else:
        assert [len(names) for names in moves.history] == [1, 2, 3, 4, 1, 2] * 2


class Sized(nn.Module):
    def __init__(self, gigabytes: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(int(gigabytes * 1e9) // 2, dtype=torch.float16, device="meta"))


@pytest.mark.parametrize(
    ("free_gb", "mode"), [(None, "high"), (9.6, "high"), (9.4, "low"), (8.1, "low"), (7.9, "minimal"), (1, "minimal")]
)
def test_auto_takes_the_first_mode_that_fits(free_gb: float | None, mode: str):
    stages = [[Sized(1.7), Sized(2.3)], [Sized(1.1), Sized(0.4)]]
    assert choose(stages, None if free_gb is None else int(free_gb * 1e9)) == mode


def test_what_is_needed_is_the_largest_group_and_room_to_work():
    stages = [[Sized(1.7), Sized(2.3)], [Sized(1.1), Sized(0.4)]]
    needed = [(needed_bytes(stages, mode) - WORK_BYTES) / 1e9 for mode in ("high", "low", "minimal")]
    assert needed == pytest.approx([5.5, 4.0, 2.3])


def test_unknown_modes_are_refused():
    with pytest.raises(InputError, match="auto, high, low, minimal, got 'tiny'"):
        offloading.check_memory_mode("tiny")


# `RssAnon` counts what a process has written; mapped files aren't in it, the system takes them back when it needs to
SCRIPT = """
import sys, torch
from diffusers import UNet2DConditionModel
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
def written():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
before = written()
pipeline = Zero123PlusPipeline.from_pretrained(sys.argv[1])
networks = [part for part in pipeline.components.values() if hasattr(part, "parameters")]
weights = sum(p.nbytes for part in networks for p in part.parameters())
print(weights, written() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_on_cpus_weights_stay_in_their_files(pipeline: Pipeline, tmp_path):
    """Stored as they are used, they cost no memory that the system couldn't take back."""
    sampler = pipeline.multiview.pipeline
    wide = {**sampler.unet.config, "block_out_channels": (192, 256)}
    sampler.register_modules(unet=type(sampler.unet).from_config(wide))
    sampler.save_pretrained(tmp_path / "model")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    weights, written = (int(word) for word in done.stdout.split())
    assert weights > 80e6
    assert written < weights / 3


@pytest.fixture
def gpu_pipelines() -> dict[str, Pipeline]:
    return {mode: Pipeline.from_pretrained("tiny", device="cuda", memory=mode) for mode in ("high", "low", "minimal")}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_the_modes_agree_and_leave_what_waits_on_the_cpu(gpu_pipelines: dict[str, Pipeline]):
    results = {mode: p(PHOTO, seed=0, steps=2, resolution=24, **PLAIN) for mode, p in gpu_pipelines.items()}
    for mode in ("low", "minimal"):
        difference = (results[mode].views.images - results["high"].views.images).abs().max()
        assert float(difference) < 1e-2
        waiting = [next(n.parameters()).device.type for n in gpu_pipelines[mode].multiview.networks]
        assert waiting == ["cpu"] * 4
