"""Solvers of the denoising equation, all of diffusers, for a model's own noise schedule.

"euler-ancestral" adds fresh noise at every step; the released systems use it, with 75 steps. "dpm++" (DPM-Solver++,
arXiv 2211.01095) and "unipc" (arXiv 2302.04867) add none and are of second order: 20 to 28 steps are enough for them.
They give other images of the same seed.
"""

from typing import Any, Literal

from diffusers import DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, UniPCMultistepScheduler

from instantmesh.errors import InputError

Solver = Literal["euler-ancestral", "dpm++", "unipc"]

_CLASSES: dict[str, Any] = {
    "euler-ancestral": EulerAncestralDiscreteScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}


def make_scheduler(solver: Solver, scheduler: Any) -> Any:
    """A new scheduler of this kind, with another one's noise schedule and kind of prediction.

    Raises:
        InputError: no solver goes by that name.
    """
    if solver not in _CLASSES:
        raise InputError(f"solver must be one of {', '.join(_CLASSES)}, got {solver!r}")
    # the official file says otherwise, but the model was trained for trailing timesteps
    return _CLASSES[solver].from_config(scheduler.config, timestep_spacing="trailing")
