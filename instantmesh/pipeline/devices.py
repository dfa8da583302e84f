"""Where networks compute, and in which precision."""

import torch

from instantmesh.errors import InputError


def choose_device(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one.

    Raises:
        InputError: it can't be used.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device!r} can't be used: {str(error).splitlines()[0]}") from error
    return chosen


def choose_dtypes(dtype: str | torch.dtype, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """The dtype of the multiview stage, and of the reconstruction's matrix products.

    Raises:
        InputError: none of float32, float16, bfloat16 and "auto".
    """
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32, torch.float32
        has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.float16, torch.bfloat16 if has_bf16 else torch.float32
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if chosen not in (torch.float16, torch.bfloat16, torch.float32):
        raise InputError(f"dtype {dtype!r} isn't one of auto, float32, float16, bfloat16")
    return chosen, chosen
