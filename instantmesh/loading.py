"""From a model's name or folder to the networks of its stages.

A model folder, as `weights/tiny`, holds

    reconstruction/config.yaml, model.safetensors   (the official tensor names, without their prefix)
    multiview/                                      (the Zero123++ layout of diffusers)

and a folder with the official files works too:

    InstantMesh   one `instant_*.ckpt`, `diffusion_pytorch_model.bin`, the base repository as `zero123plus-v1.2/`
    TripoSR       `config.yaml`, `model.ckpt`
    OpenLRM       `config.json`, `model.safetensors`
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instantmesh import hub
from instantmesh.config import InstantMeshConfig, OpenLRMConfig, ReconstructionConfig, TripoSRConfig, read_config
from instantmesh.errors import CheckpointError, MissingFileError
from instantmesh.hub.download import CacheDir
from instantmesh.lrm.instantmesh import InstantMesh
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.openlrm import OpenLRM
from instantmesh.lrm.triposr import TripoSR
from instantmesh.official_configs import openlrm_config, triposr_config

if TYPE_CHECKING:  # diffusers and transformers take seconds to import
    from instantmesh.multiview.generator import Zero123PlusGenerator

WHITE_UNET_FILE = "diffusion_pytorch_model.bin"
BASE_DIFFUSION_FOLDER = "zero123plus-v1.2"


def load_reconstruction(
    name: str, device: torch.device, dtype: torch.dtype, cache_dir: CacheDir, local_files_only: bool
) -> ReconstructionModel:
    """The reconstruction network of a model name or folder.

    Raises:
        UnknownModelError, MissingFileError, CheckpointError: see `instantmesh.hub`. ConfigError: a folder's
            configuration is unreadable or unknown.
    """
    checkpoint, config = find_reconstruction(name, cache_dir, local_files_only)
    official = hub.load_official(checkpoint, cache_dir)
    return _load(config or _identified_config(official, checkpoint), official, device, dtype)


def find_reconstruction(
    name: str, cache_dir: CacheDir = None, local_files_only: bool = False
) -> tuple[Path, ReconstructionConfig | None]:
    """The checkpoint of a model name or folder, downloaded if need be, and its configuration where one is stated.

    Raises:
        UnknownModelError, MissingFileError: see `instantmesh.hub`. ConfigError: the configuration can't be read.
    """
    folder = _folder(name)
    if folder is None:
        model = hub.resolve(name)
        hub.announce(model)
        part = model.part("reconstruction")
        return hub.fetch_part(part, cache_dir, local_files_only) / part.files[0].path, named_config(name)
    if (folder / "reconstruction").is_dir():
        config = read_config(folder / "reconstruction" / "config.yaml", InstantMeshConfig)
        return folder / "reconstruction" / "model.safetensors", config
    if (folder / "config.yaml").is_file() and (folder / "model.ckpt").is_file():
        return folder / "model.ckpt", triposr_config(folder / "config.yaml")
    if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        return folder / "model.safetensors", openlrm_config(folder / "config.json")
    return _single_checkpoint(folder), None


def named_config(name: str) -> ReconstructionConfig:
    """The configuration of a model in the registry whose files come from the hub."""
    kinds = {"instantmesh": InstantMeshConfig, "triposr": TripoSRConfig, "openlrm": OpenLRMConfig}
    return read_config(hub.asset_folder("configs") / "model" / f"{name}.yaml", kinds[hub.resolve(name).system])


def build(config: ReconstructionConfig) -> ReconstructionModel:
    """The network that a configuration describes, with random values."""
    if isinstance(config, InstantMeshConfig):
        return InstantMesh(config)
    if isinstance(config, TripoSRConfig):
        return TripoSR(config)
    assert isinstance(config, OpenLRMConfig)
    return OpenLRM(config)


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
    elif (folder / "reconstruction").is_dir():
        raise MissingFileError(
            f"{folder} holds a reconstruction model alone: it turns views into meshes (multiview=False; `instantmesh"
            f" reconstruct`). For photos, copy a multiview/ folder into it, as there is in"
            f" {hub.asset_folder('weights') / 'tiny'}"
        )
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
    if len(path.parts) > 1 or name.startswith("~"):
        raise MissingFileError(f"there is no folder {name}")
    if name in hub.MODELS and any(part.role == "embedded" for part in hub.MODELS[name].parts):
        return hub.asset_folder("weights") / name
    return None


def _identified_config(official: dict[str, Tensor], checkpoint: Path) -> ReconstructionConfig:
    """The configuration of the model in the registry whose tensors these are."""
    variant = hub.identify(official)
    if variant is None:
        raise CheckpointError(f"{checkpoint} isn't one of the known variants")
    return named_config(variant)


def _single_checkpoint(folder: Path) -> Path:
    found = sorted(folder.glob("instant_*.ckpt")) + sorted(folder.glob("instant_*.safetensors"))
    if len(found) != 1:
        if (folder / "checkpoint.pt").is_file():
            raise MissingFileError(f"the training run in {folder} isn't finished: run its command again")
        listed = ", ".join(path.name for path in found) or "none"
        raise MissingFileError(
            f"{folder} is no model folder: it needs reconstruction/ and multiview/, or one instant_*.ckpt (found"
            f" {listed}), or TripoSR's config.yaml and model.ckpt, or OpenLRM's config.json and model.safetensors"
        )
    return found[0]


def _load(
    config: ReconstructionConfig, official: dict[str, Tensor], device: torch.device, dtype: torch.dtype
) -> ReconstructionModel:
    """The network with these tensors, checked. Nothing is initialised, or copied but to another device or dtype."""
    with torch.device("meta"):
        model = build(config)
    used = {name: x for name, x in official.items() if not name.startswith(model.unused_official)}
    hub.check_state_dict(used, model.official_shapes())
    model.load_official({name: x.to(device, dtype) for name, x in used.items()})
    return model.requires_grad_(False).eval()
