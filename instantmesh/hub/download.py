"""Where a model's files are: in the package, in a folder, in the hub's cache, or fetched from the hub.

A person without a network puts the files by hand where they are looked for first:
`<folder>/<owner>/<repository>/<path in the repository>`, the folder being `cache_dir` where one is given, otherwise
`cache_folder()`.
"""

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from instantmesh.errors import MissingFileError
from instantmesh.hub.registry import Model, ModelPart

CacheDir = str | PathLike[str] | None


def cache_folder() -> Path:
    """This library's own cache: the environment's INSTANTMESH_CACHE, or ~/.cache/instantmesh."""
    return Path(os.environ.get("INSTANTMESH_CACHE") or "~/.cache/instantmesh").expanduser()


def asset_folder(kind: Literal["configs", "weights"]) -> Path:
    """The folder of shipped files: inside an installed package, or beside it in a source checkout.

    Raises:
        MissingFileError: neither is there, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_assets" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise MissingFileError(
        f"this installation lacks its {kind}; reinstall instantmesh (looked in {package / '_assets'})"
    )


def fetch_file(repo: str, filename: str, cache_dir: CacheDir = None, local_files_only: bool = False) -> Path:
    """The path of a hub repository's file, downloaded if need be (with a progress bar; interrupted downloads resume).

    Args:
        repo: "owner/name".
        filename: the file's path in the repository.
        cache_dir: where downloads are kept; None is Hugging Face's own cache (files put by hand: docs/models.md).
        local_files_only: look on this machine only.

    Raises:
        MissingFileError: not here and not to be had; the message says what to put where, the cause is chained.
    """
    return fetch_files(repo, [filename], cache_dir, local_files_only) / filename


def fetch_files(
    repo: str, filenames: Sequence[str], cache_dir: CacheDir = None, local_files_only: bool = False
) -> Path:
    """The folder that holds all `filenames` of a repository at one revision; see `fetch_file`."""
    by_hand = Path(cache_dir if cache_dir is not None else cache_folder()) / repo
    if _has_all(by_hand, filenames):
        return by_hand
    cause: Exception | None = None
    for offline in (True,) if local_files_only else (True, False):
        found, cause = _snapshot(repo, filenames, cache_dir, offline)
        if found is not None and _has_all(found, filenames):
            return found
    raise MissingFileError(_how_to_get(repo, filenames, by_hand, cause)) from cause


def fetch_part(part: ModelPart, cache_dir: CacheDir = None, local_files_only: bool = False) -> Path:
    """The folder with all files of a model's part that lies on the hub; see `fetch_file`."""
    if part.repo is None:
        raise ValueError("embedded parts aren't fetched: they lie in asset_folder('weights')")
    return fetch_files(part.repo, [file.path for file in part.files], cache_dir, local_files_only)


def fetch_snapshot(
    repo: str,
    patterns: Sequence[str],
    skipped: Sequence[str] = (),
    cache_dir: CacheDir = None,
    local_files_only: bool = False,
) -> Path:
    """The folder of a repository's files that match `patterns` and none of `skipped`, downloaded if need be.

    Raises:
        MissingFileError: not here and not to be had; the cause is chained.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repo,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                allow_patterns=list(patterns),
                ignore_patterns=list(skipped),
                local_files_only=local_files_only,
            )
        )
    except Exception as error:  # networks, proxies, gates and full disks fail each in their own way
        raise MissingFileError(f"{repo!r} is no local folder and can't be downloaded ({error})") from error


def is_cached(model: Model, cache_dir: CacheDir = None) -> bool:
    """Whether all files of `model` are on this machine, so that it loads without a network."""
    for part in model.parts:
        if part.repo is None:
            continue
        try:
            fetch_part(part, cache_dir, local_files_only=True)
        except MissingFileError:
            return False
    return True


def _snapshot(
    repo: str, filenames: Sequence[str], cache_dir: CacheDir, offline: bool
) -> tuple[Path | None, Exception | None]:
    """The hub client's folder for the repository, or why there is none."""
    from huggingface_hub import snapshot_download  # here, so that importing the package stays fast

    folder = None if cache_dir is None else Path(cache_dir)
    try:
        found = snapshot_download(repo, cache_dir=folder, allow_patterns=list(filenames), local_files_only=offline)
    except Exception as error:  # networks, proxies, gates and full disks fail each in their own way
        return None, error
    return Path(found), None


def _has_all(folder: Path, filenames: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in filenames)


def _how_to_get(repo: str, filenames: Sequence[str], folder: Path, cause: Exception | None) -> str:
    reason = f" ({type(cause).__name__}: {next(iter(str(cause).splitlines()), '')})" if cause else ""
    pairs = [(f"https://huggingface.co/{repo}/resolve/main/{name}", folder / name) for name in filenames]
    files = "\n".join(f"  {address}\n    -> {path}" for address, path in pairs if not path.is_file())
    return f"files of {repo} are neither here nor to be downloaded now{reason}. Put them here by hand:\n{files}"
