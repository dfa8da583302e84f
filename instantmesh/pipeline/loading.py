"""From a model's name or folder to the networks of its stages.

A model folder, as `weights/tiny`, holds

    reconstruction/config.yaml, model.safetensors   (the official tensor names; `system:` names the system, InstantMesh
                                                     where it is left out)
    multiview/                                      (a diffusers folder; `_class_name` in its model_index.json names the
                                                     generator, Zero123++ where it is left out)

and a folder with a system's official files works too, see each system's `find_checkpoint`. For InstantMesh's multiview
stage that is `diffusion_pytorch_model.bin` and the base repository as `zero123plus-v1.2/`.
"""

import json
import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import torch
from torch import Tensor

from instantmesh import hub
from instantmesh.config import ReconstructionConfig, parse_config, read_config, read_mapping
from instantmesh.errors import CheckpointError, ConfigError, MissingFileError
from instantmesh.hub.download import CacheDir
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.systems import FoundCheckpoint, known_systems, system_named, system_of

WHITE_UNET_FILE = "diffusion_pytorch_model.bin"
_log = logging.getLogger("instantmesh")

BASE_DIFFUSION_FOLDER = "zero123plus-v1.2"
GENERATOR_ENTRY_POINTS = "instantmesh.generators"
_DEFAULT_SYSTEM = "instantmesh"
_DEFAULT_GENERATOR = "Zero123PlusPipeline"

GeneratorLoader = Callable[[Path, torch.dtype], MultiviewGenerator]
"""Makes a generator of a `multiview/` folder, with networks of a dtype on the CPU."""


def load_reconstruction(
    name: str, device: torch.device, dtype: torch.dtype, cache_dir: CacheDir, local_files_only: bool
) -> ReconstructionModel:
    """The reconstruction network of a model name or folder.

    Raises:
        UnknownModelError, MissingFileError, CheckpointError: see `instantmesh.hub`.
        ConfigError: a folder's configuration is unreadable or unknown.
    """
    found = find_reconstruction(name, cache_dir, local_files_only)
    official = hub.load_official(found.path, cache_dir)
    config = found.config or _identified_config(official, found.path)
    with torch.device("meta"):  # nothing is initialised, or copied but to another device or dtype
        model = build(config)
    used = {key: x for key, x in official.items() if not key.startswith(model.unused_official)}
    hub.check_state_dict(used, model.official_shapes())
    model.load_official({key: x.to(device, dtype) for key, x in used.items()})
    return model.requires_grad_(False).eval()


def find_reconstruction(name: str, cache_dir: CacheDir = None, local_files_only: bool = False) -> FoundCheckpoint:
    """The checkpoint of a model name or folder, downloaded if need be, and its configuration where one is stated.

    Raises:
        UnknownModelError, MissingFileError: see `instantmesh.hub`.
        ConfigError: the configuration can't be read.
    """
    folder = _folder(name)
    if folder is None:
        model = hub.resolve(name)
        hub.announce(model)
        part = model.part("reconstruction")
        return FoundCheckpoint(
            hub.fetch_part(part, cache_dir, local_files_only) / part.files[0].path, named_config(name)
        )
    if (folder / "reconstruction").is_dir():
        return FoundCheckpoint(folder / "reconstruction" / "model.safetensors", _folder_config(folder))
    for system in known_systems().values():
        found = system.find_checkpoint(folder)
        if found is not None:
            return found
    if (folder / "checkpoint.pt").is_file():
        raise MissingFileError(f"the training run in {folder} isn't finished: run its command again")
    layouts = ", or ".join(system.folder_layout for system in known_systems().values())
    raise MissingFileError(f"{folder} is no model folder: it needs reconstruction/ and multiview/, or {layouts}")


def named_config(name: str) -> ReconstructionConfig:
    """The configuration of a model in the registry whose files come from the hub."""
    kind = system_named(hub.resolve(name).system).config
    return read_config(hub.asset_folder("configs") / "model" / f"{name}.yaml", kind)


def build(config: ReconstructionConfig) -> ReconstructionModel:
    """The network that a configuration describes, with random values.

    Raises:
        ConfigError: no known system has such configurations.
    """
    return system_of(config).model(config)


def load_multiview(
    name: str, device: torch.device, dtype: torch.dtype, cache_dir: CacheDir, local_files_only: bool
) -> MultiviewGenerator:
    """The multiview stage of a model name or folder. Errors as in `load_reconstruction`."""
    folder = _folder(name)
    if folder is None:
        model = hub.resolve(name)
        if all(part.role != "unet" for part in model.parts):
            raise MissingFileError(f"{name} has no multiview stage: it reconstructs from the photo itself")
        hub.announce(model)
        unet = model.part("unet")
        unet_file = hub.fetch_part(unet, cache_dir, local_files_only) / unet.files[0].path
        base = hub.fetch_part(model.part("diffusion"), cache_dir, local_files_only)
        return _load_zero123plus(base, dtype, device, unet_file)
    if (folder / "multiview").is_dir():
        return _generator_loader(folder / "multiview")(folder / "multiview", dtype)
    if (folder / "reconstruction").is_dir():
        raise MissingFileError(
            f"{folder} holds a reconstruction model alone: it turns views into meshes (multiview=False; `instantmesh"
            f" reconstruct`). For photos, copy a multiview/ folder into it, as there is in"
            f" {hub.asset_folder('weights') / 'tiny'}"
        )
    base, unet_file = folder / BASE_DIFFUSION_FOLDER, folder / WHITE_UNET_FILE
    missing = [str(path) for path in (base, unet_file) if not path.exists()]
    if missing:
        raise MissingFileError(f"the multiview stage needs {' and '.join(missing)}")
    return _load_zero123plus(base, dtype, device, unet_file)


def _load_zero123plus(
    folder: Path, dtype: torch.dtype, device: torch.device | None = None, unet_file: Path | None = None
) -> MultiviewGenerator:
    from instantmesh.multiview.zero123plus import Zero123PlusPipeline
    from instantmesh.multiview.zero123plus_generator import Zero123PlusGenerator

    pipeline = Zero123PlusPipeline.from_pretrained(folder, torch_dtype=dtype, white_background_unet=unet_file)
    return Zero123PlusGenerator(pipeline if device is None else pipeline.to(device))


_generators: dict[str, GeneratorLoader] = {_DEFAULT_GENERATOR: _load_zero123plus}


def register_generator(class_name: str, loader: GeneratorLoader) -> None:
    """Make a multiview generator known by the `_class_name` of its folder's `model_index.json`.

    Packages can state it as an entry point of the group `instantmesh.generators` instead, named after the class.
    """
    _generators[class_name] = loader


def _generator_loader(folder: Path) -> GeneratorLoader:
    known = {**_from_entry_points(), **_generators}
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        name = index.get("_class_name", _DEFAULT_GENERATOR)
    except FileNotFoundError:
        name = _DEFAULT_GENERATOR  # which says what is missing
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    if name not in known:
        raise ConfigError(f"{folder}: there is no multiview generator {name!r}; known are {', '.join(known)}")
    return known[name]


@cache
def _from_entry_points() -> dict[str, GeneratorLoader]:
    return {point.name: point.load() for point in entry_points(group=GENERATOR_ENTRY_POINTS)}


def _folder(name: str) -> Path | None:
    """The model folder that `name` means, or None for a model whose files come from the hub.

    A model's bare name is the model, whatever folders there are: `instantmesh generate -o tiny --model tiny` makes one.
    """
    path = Path(name).expanduser()
    if name in hub.MODELS and path.is_dir():
        _log.warning("%s is taken for the model of that name; for the folder write ./%s", name, name)
    elif path.is_dir():
        return path
    if len(path.parts) > 1 or name.startswith(("~", ".")):
        raise MissingFileError(f"there is no folder {name}")
    if name in hub.MODELS and any(part.role == "embedded" for part in hub.MODELS[name].parts):
        return hub.asset_folder("weights") / name
    return None


def _folder_config(folder: Path) -> ReconstructionConfig:
    """The configuration in a model folder, of the system that it names."""
    path = folder / "reconstruction" / "config.yaml"
    values = read_mapping(path)
    system = system_named(str(values.pop("system", _DEFAULT_SYSTEM)))
    return parse_config(values, system.config, source=str(path))


def _identified_config(official: dict[str, Tensor], checkpoint: Path) -> ReconstructionConfig:
    """The configuration of the model in the registry whose tensors these are."""
    variant = hub.identify(official)
    if variant is None:
        raise CheckpointError(f"{checkpoint} isn't one of the known variants")
    return named_config(variant)
