"""A file or a folder appears under its name only when it is complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from instantmesh.errors import InstantMeshError, OutputError


@contextmanager
def replacing(path: str | PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same ending); on success it takes `path`'s place, on failure it is removed.

    Raises:
        OutputError: the folder can't be made or written, or `path` exists and `overwrite` is False.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; allow overwriting it or choose another name")
    if path.is_dir():
        raise OutputError(f"{path} is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary_name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OutputError(f"can't write into {path.parent}: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(temporary_name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except InstantMeshError:  # some of them are OSErrors and already say what is wrong
        raise
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it gets its name, on failure it is removed with its files.

    Of several processes that make the same folder one succeeds.

    Raises:
        OutputError: `path` exists, or its place can't be written.
    """
    path = Path(path)
    if path.exists():
        raise OutputError(f"{path} exists")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise OutputError(f"can't write into {path.parent}: {error.strerror or error}") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.rename(path)  # fails where there is a folder with files by now
    except InstantMeshError:
        raise
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: str | PathLike[str], data: bytes, *, overwrite: bool = True) -> Path:
    """Write `data` to `path` atomically and return the path."""
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
    return Path(path)
