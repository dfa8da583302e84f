"""Solvers in few steps, and reference passes that serve several steps."""

import inspect

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from PIL import Image
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.multiview import zero123plus
from instantmesh.multiview.noise import NoiseSource
from instantmesh.multiview.solvers import make_scheduler
from instantmesh.multiview.zero123plus import Zero123PlusPipeline

pytestmark = pytest.mark.filterwarnings(
    # diffusers' schedulers turn tensors into arrays in a way that numpy 2 frowns upon
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def sample(pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], steps: int, **settings) -> Tensor:
    image = Image.fromarray(golden["pipe.image_rgba"].numpy())
    generator = torch.Generator().manual_seed(0)
    return torch.as_tensor(pipeline(image, steps, generator=generator, output_type="latent", **settings).images)


def test_the_default_is_euler_ancestral_with_a_reference_pass_a_step(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]
):
    default = sample(pipeline, golden, 3)
    assert torch.equal(sample(pipeline, golden, 3, solver="euler-ancestral", reference_every=1), default)
    assert not torch.allclose(sample(pipeline, golden, 3, reference_every=2), default, atol=1e-3)


class OneNoise(NoiseSource):
    """The same reference noise at every step, so that the denoising is a differential equation with one solution."""

    def reference(self, condition: Tensor) -> Tensor:
        return torch.randn(condition.shape, generator=torch.Generator().manual_seed(1))


def test_solvers_without_noise_meet_in_the_limit_of_many_steps(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zero123plus, "NoiseSource", OneNoise)

    def distance(steps: int) -> float:
        ours, other = (sample(pipeline, golden, steps, solver=solver) for solver in ("dpm++", "unipc"))
        return float((ours - other).abs().mean() / ours.abs().mean())

    few, many = distance(6), distance(24)
    assert many < few / 3
    assert many < 0.02


def test_a_scheduler_put_into_the_pipeline_is_taken_as_diffusers_does(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor]
):
    expected = sample(pipeline, golden, 4, solver="dpm++")
    config = pipeline.scheduler.config
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing")
    assert torch.equal(sample(pipeline, golden, 4), expected)


@pytest.mark.parametrize(("every", "passes"), [(1, 5), (2, 3), (4, 2), (9, 1)])
def test_reference_passes_serve_as_many_steps_as_they_should(
    pipeline: Zero123PlusPipeline, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, every: int, passes: int
):
    counted, reference = [], pipeline.reference
    monkeypatch.setattr(pipeline, "reference", lambda *given: (counted.append(float(given[2])), reference(*given))[1])
    sample(pipeline, golden, 5, reference_every=every)
    assert counted == [999, 799, 599, 399, 199][::every]
    assert len(counted) == passes


@pytest.mark.parametrize("solver", ["dpm++", "unipc"])
def test_every_solver_knows_the_models_schedule(pipeline: Zero123PlusPipeline, solver: str):
    scheduler = make_scheduler(solver, pipeline.scheduler)
    assert scheduler.config.prediction_type == "v_prediction"
    scheduler.set_timesteps(20)
    pipeline.scheduler.set_timesteps(20)
    assert scheduler.timesteps.tolist() == pipeline.scheduler.timesteps.tolist()
    torch.testing.assert_close(scheduler.sigmas, pipeline.scheduler.sigmas, atol=1e-3, rtol=1e-3)


def test_unknown_solvers_are_named(pipeline: Zero123PlusPipeline):
    with pytest.raises(InputError, match=r"euler-ancestral, dpm\+\+, unipc, got 'heun'"):
        inspect.unwrap(make_scheduler)("heun", pipeline.scheduler)  # without the tests' checks of annotations
