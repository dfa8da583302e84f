"""Which objects are good enough to train on: what `instantmesh data filter` does.

A criterion of `criteria` is applied where there is something to judge by: asset files for the texture map and for
separate objects, rendered images for the coverage, Cap3D's table for captions, Objaverse's annotations for quality.
"""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instantmesh.data.asset_names import find_assets
from instantmesh.data.criteria import low_quality, several_objects, too_small, without_caption, without_texture
from instantmesh.data.layout import CAMERAS, decode_masks, folder_members
from instantmesh.data.stored_objects import INDEX
from instantmesh.data.worker_pool import WorkerDied, run_in_processes
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.files.asset_files import read_asset
from instantmesh.files.atomic import write_bytes

Reasons = dict[str, str]  # criterion -> why the object is dropped


@dataclass(frozen=True)
class Candidate:
    """An object and what it is judged by: its asset's file, the folder of its images, or both."""

    name: str
    asset: Path | None
    folder: Path | None


@dataclass(frozen=True)
class Evidence:
    """What objects are judged by; None where nothing was given.

    Attributes:
        assets, folders: asset files and folders of images by the objects' names.
        captions: by name.
        metadata: Objaverse's annotations by name.
    """

    assets: Mapping[str, Path] | None = None
    folders: Mapping[str, Path] | None = None
    captions: Mapping[str, str] | None = None
    metadata: Mapping[str, Mapping[str, Any]] | None = None

    def skipped(self) -> dict[str, str]:
        """The criteria that can't be applied, and what they need."""
        needs = {
            "texture": (self.assets, "asset files"),
            "separate": (self.assets, "asset files"),
            "coverage": (self.folders, "a rendered data set"),
            "caption": (self.captions, "--captions"),
            "quality": (self.metadata, "--metadata"),
        }
        return {criterion: need for criterion, (given, need) in needs.items() if given is None}


def find_evidence(sources: Sequence[Path], captions: Path | None, metadata: Path | None) -> Evidence:
    """Tell rendered data sets from assets, and read the tables.

    Raises:
        InputError: a source is neither, two data sets hold the same name, or a table can't be read.
        MissingFileError: a source doesn't exist.
    """
    folders: dict[str, Path] = {}
    asset_sources = []
    for source in sources:
        found = {path.parent.name: path.parent for path in source.glob(f"[!.]*/{CAMERAS}")}
        if (source / INDEX).is_file():
            raise InputError(f"{source} holds shards; filter the folder before it is packed")
        if twice := found.keys() & folders.keys():
            raise InputError(f"{min(twice)} is in {source} and in {folders[min(twice)].parent}")
        folders |= found
        if not found:
            asset_sources.append(source)
    return Evidence(
        {asset.name: asset.path for asset in find_assets(asset_sources)} if asset_sources else None,
        folders or None,
        read_captions(captions) if captions else None,
        read_metadata(metadata) if metadata else None,
    )


def judge(evidence: Evidence, workers: int) -> dict[str, Reasons]:
    """Every object, sorted by name, with the reasons for dropping it; none for a good one."""
    assets, folders = evidence.assets or {}, evidence.folders or {}
    candidates = [Candidate(name, assets.get(name), folders.get(name)) for name in sorted({*assets, *folders})]
    verdicts = {candidate.name: _by_tables(candidate, evidence) for candidate in candidates}
    with tqdm(total=len(candidates), unit="object") as progress:
        for candidate, reasons in run_in_processes(look_at, candidates, workers):
            verdicts[candidate.name] |= {"unreadable": reasons.reason} if isinstance(reasons, WorkerDied) else reasons
            progress.update()
    return verdicts


def look_at(candidate: Candidate) -> Reasons:
    """Judge an object by its asset and its images."""
    found: dict[str, str | None] = {}
    try:
        if candidate.asset is not None:
            parts = read_asset(candidate.asset)
            found |= {"texture": without_texture(parts), "separate": several_objects(parts)}
        if candidate.folder is not None:
            found["coverage"] = too_small(*decode_masks(folder_members(candidate.folder), candidate.name))
    except InstantMeshError as error:
        found["unreadable"] = str(error)
    return _only_reasons(found)


def write_verdicts(verdicts: Mapping[str, Reasons], path: Path) -> tuple[Path, Counter[str]]:
    """Write the lists of good and of dropped objects.

    The good ones go to `path`, a list that readers take as `objects.json`, and every dropped one with its reasons to
    `dropped.jsonl` beside it.

    Returns:
        The second file, and how many objects each criterion dropped.

    Raises:
        OutputError: the files can't be written.
    """
    good = [name for name, reasons in verdicts.items() if not reasons]
    dropped = [{"name": name, "reasons": reasons} for name, reasons in verdicts.items() if reasons]
    beside = path.with_name("dropped.jsonl")
    write_bytes(beside, "".join(json.dumps(line) + "\n" for line in dropped).encode())
    write_bytes(path, (json.dumps({"objects": good, "count": len(good)}, indent=1) + "\n").encode())
    return beside, Counter(criterion for reasons in verdicts.values() for criterion in reasons)


def read_captions(path: Path) -> dict[str, str]:
    """Cap3D's table, `uid,caption` in each line, as captions by name.

    Raises:
        InputError: it can't be read, or a line has no two columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise InputError(f"{path}: row {number} isn't uid,caption: {row[0][:60]!r}")
    return {row[0]: row[1] for row in rows}


def read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    """Objaverse's annotations: a JSON mapping from uid to a mapping with `tags`, `name` and `description`.

    Raises:
        InputError: it can't be read or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(about, dict) for about in content.values()):
        raise InputError(f"{path} must map names to mappings, as Objaverse's annotations do")
    for name, about in content.items():
        texts = [about.get("name"), about.get("description")]
        tags = about.get("tags") or []
        if not all(text is None or isinstance(text, str) for text in texts) or not isinstance(tags, list):
            raise InputError(f"{path}, {name}: name and description must be texts, tags a list")
        if not all(
            isinstance(tag, str) or (isinstance(tag, dict) and isinstance(tag.get("name"), str)) for tag in tags
        ):
            raise InputError(f'{path}, {name}: a tag is a text, or has one under "name"')
    return content


def _by_tables(candidate: Candidate, evidence: Evidence) -> Reasons:
    """Judge an object by what is known of its name. Whatever has no asset or no images, where others have, goes."""
    name = candidate.name
    found: dict[str, str | None] = {
        "unreadable": "no asset of that name was given" if evidence.assets and not candidate.asset else None,
        "coverage": "it wasn't rendered" if evidence.folders and not candidate.folder else None,
    }
    if evidence.captions is not None:
        found["caption"] = without_caption(name, evidence.captions)
    if evidence.metadata is not None:
        found["quality"] = low_quality(name, evidence.metadata)
    return _only_reasons(found)


def _only_reasons(found: Mapping[str, str | None]) -> Reasons:
    return {criterion: reason for criterion, reason in found.items() if reason is not None}
