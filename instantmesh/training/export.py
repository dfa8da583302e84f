"""A trained reconstruction model as a model folder's `reconstruction/`: official tensor names, float16."""

from os import PathLike
from pathlib import Path

import torch
import yaml
from safetensors.torch import save

from instantmesh.files.atomic import write_bytes
from instantmesh.systems.instantmesh import InstantMesh


def export_reconstruction(model: InstantMesh, folder: str | PathLike[str]) -> Path:
    """Write `config.yaml` and `model.safetensors` into `folder`/reconstruction.

    Raises:
        OutputError: the folder can't be written.
    """
    target = Path(folder) / "reconstruction"
    tensors = {name: x.detach().to("cpu", torch.float16).contiguous() for name, x in model.official_state().items()}
    write_bytes(target / "model.safetensors", save(tensors, {"format": "pt"}))
    write_bytes(target / "config.yaml", yaml.safe_dump(model.config.model_dump(), sort_keys=False).encode())
    return target
