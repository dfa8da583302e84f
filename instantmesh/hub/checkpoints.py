"""Checkpoints: read without running their code, converted once to safetensors, checked tensor by tensor."""

import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from instantmesh.errors import CheckpointError, MissingFileError, OutputError
from instantmesh.files.atomic import replacing
from instantmesh.hub.download import CacheDir, cache_folder
from instantmesh.hub.registry import MODELS

_log = logging.getLogger("instantmesh")

OFFICIAL_PREFIX = "lrm_generator."
_DROPPED = "source_camera"
_WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name
_LISTED = 10
_OTHER_FILES = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself (`git lfs pull`)",
    b"<!doctype": "a web page; the download went wrong",
    b"<html": "a web page; the download went wrong",
}


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict from `.safetensors` or, for every other ending, a pickle that holds nothing but tensors.

    Tensors are on the CPU and memory-mapped where the format allows it. A `state_dict` key around them is taken off.

    Raises:
        MissingFileError: no such file.
        CheckpointError: the file is damaged, holds code, or is no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no checkpoint {path}")
    _refuse_other_files(path)
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no state dict (names with tensors)")
    strange = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange:
        raise CheckpointError(f"{path} is no state dict; not tensors: {_listing(strange)}")
    return unwrapped(state)


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes that data-parallel and compiled models put before all their names."""
    for prefix in _WRAPPERS * 2:  # either may be outside
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): x for name, x in state.items()}
    return dict(state)


def _refuse_other_files(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    for magic, kind in _OTHER_FILES.items():
        if start.startswith(magic):
            raise CheckpointError(f"{path} is no checkpoint but {kind}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file  # here, so that importing the package stays fast

    try:
        return load_file(path)
    except Exception as error:  # safetensors has errors of its own, outside Python's hierarchy of OSErrors
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's hints for those who write such files
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} isn't read: it is damaged, or holds more than tensors, which could run code on this machine"
            f"{_named_global(str(error))}"
        ) from None  # torch's own message advises to switch safety off
    except Exception as error:  # whatever damaged bytes lead to
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _named_global(message: str) -> str:
    """What torch refused to run, out of its message."""
    found = re.search(r"(?:Unsupported global: GLOBAL|class) '?([\w.]+)", message)
    return f" ({found.group(1)})" if found else ""


def load_official(checkpoint: str | PathLike[str], cache_dir: CacheDir = None) -> dict[str, Tensor]:
    """The reconstruction model's tensors of an official checkpoint, memory-mapped.

    The pickle is converted once, to `<cache>/converted`; a changed file is converted again. Where the cache can't be
    written the pickle is read each time.

    Args:
        checkpoint: a pickle (`instant_*.ckpt`, TripoSR's `model.ckpt`), or a `.safetensors` file; the names in
            InstantMesh's files may have their prefix or not.
        cache_dir: where the converted file is kept; None is `cache_folder()`.

    Raises:
        MissingFileError, CheckpointError: see `read_checkpoint`.
    """
    path = Path(checkpoint)
    if path.suffix == ".safetensors":
        return official_tensors(read_checkpoint(path))
    try:
        return read_checkpoint(convert_official(path, cache_dir))
    except OutputError as error:
        _log.warning("%s is read without being converted: %s", path.name, error)
        return official_tensors(read_checkpoint(path))


def official_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reconstruction model's tensors.

    In InstantMesh's files those whose names start with `lrm_generator.`, without that prefix and without
    `source_camera` buffers; in other files all.
    """
    prefixed = {name.removeprefix(OFFICIAL_PREFIX): x for name, x in state.items() if name.startswith(OFFICIAL_PREFIX)}
    return {name: x for name, x in (prefixed or state).items() if _DROPPED not in name}


def convert_official(checkpoint: str | PathLike[str], cache_dir: CacheDir = None) -> Path:
    """Write the tensors of an official pickle to a safetensors file in the cache, once, and return its path.

    Raises:
        MissingFileError, CheckpointError: see `read_checkpoint`.
        OutputError: the cache can't be written.
    """
    path = Path(checkpoint).absolute()
    if not path.is_file():
        raise MissingFileError(f"there is no checkpoint {path}")
    root = Path(cache_dir if cache_dir is not None else cache_folder())
    place = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    target = root / "converted" / f"{path.stem}-{place}" / "model.safetensors"
    stat = path.stat()
    origin = {"format": "pt", "source_size": str(stat.st_size), "source_mtime_ns": str(stat.st_mtime_ns)}
    if _metadata(target) == origin:
        return target
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: x.contiguous() for name, x in official_tensors(read_checkpoint(path)).items()}
    with replacing(target) as temporary:
        try:
            save_file(tensors, temporary, metadata=origin)
        except SafetensorError as error:  # what a full disk is called there
            raise OutputError(f"can't write {target}: {error}") from error
    return target


def _metadata(path: Path) -> dict[str, str] | None:
    """A safetensors file's metadata; None where there is no such file or it is damaged."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata()
    except Exception:  # no file, or not a whole one: it is written anew
        return None


def identify(state: Mapping[str, Tensor]) -> str | None:
    """The name of the model in the registry whose reconstruction tensors these are, told by names and shapes."""
    for model in MODELS.values():
        marks = model.fingerprint.items()
        if marks and all(name in state and tuple(state[name].shape) == shape for name, shape in marks):
            return model.name
    return None


def check_state_dict(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that `state` has exactly the `expected` names and shapes.

    Raises:
        CheckpointError: it hasn't; the message lists what is missing, too much or of another shape, and says whose
            tensors these are where they are another known model's.
    """
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != tuple(shape)
    ]
    if not (missing or extra or misshapen):
        return
    owner = identify(state)
    lines = ["the checkpoint doesn't fit the model" + (f"; this is {owner}'s file" if owner else "")]
    for title, names in (("missing", missing), ("not expected", extra), ("of another shape", misshapen)):
        if names:
            lines.append(f"  {len(names)} {title}: {_listing(names)}")
    raise CheckpointError("\n".join(lines))


def _listing(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f", ... ({len(names)} in all)" if len(names) > _LISTED else "")
