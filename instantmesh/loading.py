"""From a model's name or folder to the networks of its two stages.

A model folder, as `weights/tiny`, holds

    reconstruction/config.yaml, model.safetensors   (the official tensor names, without their prefix)
    multiview/                                      (the Zero123++ layout of diffusers)

and a folder with the official files works too: one `instant_*.ckpt`, `diffusion_pytorch_model.bin`, and the base
model's repository as `zero123plus-v1.2/`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instantmesh import hub
from instantmesh.config import InstantMeshConfig, read_config
from instantmesh.errors import CheckpointError, MissingFileError
from instantmesh.hub.download import CacheDir
from instantmesh.lrm.instantmesh import InstantMesh, from_official, to_official

if TYPE_CHECKING:  # diffusers and transformers take seconds to import
    from instantmesh.multiview.generator import Zero123PlusGenerator

WHITE_UNET_FILE = "diffusion_pytorch_model.bin"
BASE_DIFFUSION_FOLDER = "zero123plus-v1.2"


def load_reconstruction(
    name: str, device: torch.device, dtype: torch.dtype, cache_dir: CacheDir, local_files_only: bool
) -> InstantMesh:
    """The reconstruction network of a model name or folder.

    Raises:
        UnknownModelError, MissingFileError, CheckpointError: see `instantmesh.hub`.
    """
    folder = _folder(name)
    if folder is None:
        model = hub.resolve(name)
        hub.announce(model)
        part = model.part("reconstruction")
        checkpoint = hub.fetch_part(part, cache_dir, local_files_only) / part.files[0].path
        return _build(_official_config(name), hub.load_official(checkpoint, cache_dir), device, dtype)
    if (folder / "reconstruction").is_dir():
        config = read_config(folder / "reconstruction" / "config.yaml", InstantMeshConfig)
        return _build(config, hub.read_checkpoint(folder / "reconstruction" / "model.safetensors"), device, dtype)
    checkpoint = _single_checkpoint(folder)
    tensors = hub.load_official(checkpoint, cache_dir)
    variant = hub.identify(tensors)
    if variant is None:
        raise CheckpointError(f"{checkpoint} isn't one of the known variants")
    return _build(_official_config(variant), tensors, device, dtype)


def load_multiview(
    name: str, device: torch.device, dtype: torch.dtype, cache_dir: CacheDir, local_files_only: bool
) -> "Zero123PlusGenerator":
    """The multiview stage of a model name or folder. Errors as in `load_reconstruction`."""
    from instantmesh.multiview.generator import Zero123PlusGenerator
    from instantmesh.multiview.zero123plus import Zero123PlusPipeline

    folder = _folder(name)
    unet_file = None
    if folder is None:
        model = hub.resolve(name)
        hub.announce(model)
        unet = model.part("unet")
        unet_file = hub.fetch_part(unet, cache_dir, local_files_only) / unet.files[0].path
        base = hub.fetch_part(model.part("diffusion"), cache_dir, local_files_only)
    elif (folder / "multiview").is_dir():
        base = folder / "multiview"
    else:
        base, unet_file = folder / BASE_DIFFUSION_FOLDER, folder / WHITE_UNET_FILE
        missing = [str(path) for path in (base, unet_file) if not path.exists()]
        if missing:
            raise MissingFileError(f"the multiview stage needs {' and '.join(missing)}")
    pipeline = Zero123PlusPipeline.from_pretrained(base, torch_dtype=dtype, white_background_unet=unet_file)
    return Zero123PlusGenerator(pipeline.to(device))


def _folder(name: str) -> Path | None:
    """The model folder that `name` means, or None for a model whose files come from the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name in hub.MODELS and any(part.role == "embedded" for part in hub.MODELS[name].parts):
        return hub.asset_folder("weights") / name
    return None


def _official_config(variant: str) -> InstantMeshConfig:
    return read_config(hub.asset_folder("configs") / "model" / f"{variant}.yaml", InstantMeshConfig)


def _single_checkpoint(folder: Path) -> Path:
    found = sorted(folder.glob("instant_*.ckpt")) + sorted(folder.glob("instant_*.safetensors"))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise MissingFileError(
            f"{folder} is no model folder: it needs reconstruction/ and multiview/, or one instant_*.ckpt"
            f" (found {listed})"
        )
    return found[0]


def _build(
    config: InstantMeshConfig, official: dict[str, Tensor], device: torch.device, dtype: torch.dtype
) -> InstantMesh:
    """The network with these tensors; nothing is initialised or copied that the file already holds."""
    with torch.device("meta"):
        model = InstantMesh(config)
    hub.check_state_dict(official, {name: tuple(x.shape) for name, x in to_official(model.state_dict()).items()})
    state = {name: x.to(device, dtype) for name, x in from_official(official, model).items()}
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()
