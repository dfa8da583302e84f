"""Is a data set on disk what training takes it for? What `instantmesh data check` does.

Every object must have as many views of the same size as the others, cameras that look at it, and images, depth and
normals that agree. The limits lie between sound data and mistakes. Of 106 sound objects (unions, LRM-Zero's shapes,
scanned and modelled meshes) at 32 to 512 pixels, no view had more than 7.5 % of its points contradicted or 5 % of its
normals facing away, or normals and slopes that agreed to less than 0.85. Depth that is wrong by a tenth has 16 % of its
points contradicted, or more.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from tqdm import tqdm

from instantmesh.data import consistency
from instantmesh.data.layout import CAMERAS
from instantmesh.data.stored_objects import INDEX, OBJECTS, ObjectFolder, ObjectShards, StoredObjects, read_names
from instantmesh.data.views import ObjectViews
from instantmesh.data.worker_pool import WorkerDied, run_in_processes
from instantmesh.errors import InputError
from instantmesh.views.checks import see_origin

MAX_UNKNOWN_DEPTH = 0.5
MAX_OUTSIDE = 0.01
MAX_FACING_AWAY = 0.1
MIN_NORMAL_AGREEMENT = 0.6
MAX_CONTRADICTED = 0.1


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with an object, or with one of its views."""

    name: str
    view: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.name}{'' if self.view is None else f', view {self.view}'}: {self.what}"


@dataclass(frozen=True)
class ObjectReport:
    """An object on its own: its number of views, their size, and what is wrong. 0 where it can't be read."""

    name: str
    view_count: int = 0
    size_px: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ValidationReport:
    """A data set: objects, the views and size that most have, and what is wrong, sorted by name."""

    objects: int
    view_count: int
    size_px: int
    findings: list[Finding] = field(default_factory=list)


def open_for_checking(root: Path) -> StoredObjects:
    """All objects that should be there: those that a list names, or else every folder, even where files are missing.

    Raises:
        InputError: there are none, or the list can't be read.
    """
    if (root / INDEX).is_file():
        return ObjectShards(root)
    if (root / OBJECTS).is_file():
        return ObjectFolder(root, read_names(root / OBJECTS))
    return ObjectFolder(root, sorted(path.name for path in root.glob("[!.]*/")))


def check(root: Path, workers: int) -> ValidationReport:
    """Check every object of a data set, in processes.

    Raises:
        InputError: there is no data set.
    """
    names = open_for_checking(root).names
    reports = []
    with tqdm(total=len(names), unit="object") as progress:
        for index, report in run_in_processes(partial(_check_numbered, root), range(len(names)), workers):
            reports.append(_unreadable(names[index], report.reason) if isinstance(report, WorkerDied) else report)
            progress.update()
    reports.sort(key=lambda report: report.name)
    readable = [report for report in reports if report.size_px]
    if not readable:
        return ValidationReport(len(reports), 0, 0, [finding for report in reports for finding in report.findings])
    view_count = Counter(report.view_count for report in readable).most_common(1)[0][0]
    size_px = Counter(report.size_px for report in readable).most_common(1)[0][0]
    findings = [finding for report in reports for finding in _compare(report, view_count, size_px)]
    return ValidationReport(len(reports), view_count, size_px, findings)


def check_object(source: StoredObjects, index: int) -> ObjectReport:
    """Check one object: which views can be read, and whether those fit together."""
    name = source.names[index]
    try:
        numbers = list(range(len(source.cameras(index))))
    except InputError as error:
        return _unreadable(name, str(error).removeprefix(f"{name}: "))
    findings, size_px = [], 0
    if isinstance(source, ObjectFolder):
        stray = _views_of_files(source.root / name) - set(numbers)
        findings += [Finding(name, view, "has images but no camera") for view in sorted(stray)]
    view_count, views = len(numbers), _try_read(source, index, numbers)
    if isinstance(views, str):
        mistakes = {view: _try_read(source, index, [view]) for view in numbers}
        findings += [Finding(name, view, what) for view, what in mistakes.items() if isinstance(what, str)]
        numbers = [view for view, what in mistakes.items() if not isinstance(what, str)]
        views = _try_read(source, index, numbers) if numbers else None
    if isinstance(views, str):
        findings.append(Finding(name, None, views))  # each view is sound on its own, but their sizes differ
    elif views is not None:
        size_px = views.images.shape[-1]
        findings += check_views(views, numbers, name)
    return ObjectReport(name, view_count, size_px, tuple(findings))


def check_views(views: ObjectViews, numbers: Sequence[int], name: str) -> list[Finding]:
    """Check whether views, whose numbers are `numbers`, show an object and fit together."""
    findings = _check_framing(views, numbers, name)
    for share, limit, what in (
        (consistency.share_unknown_depth(views), MAX_UNKNOWN_DEPTH, "of the object has no depth"),
        (consistency.share_outside_cube(views), MAX_OUTSIDE, "of the points lie outside [-1.05, 1.05]"),
        (consistency.share_facing_away(views), MAX_FACING_AWAY, "of the normals face away from the camera"),
        (consistency.share_contradicted(views), MAX_CONTRADICTED, "of the points are contradicted by other views"),
    ):
        wrong = [(view, float(value)) for view, value in zip(numbers, share, strict=True) if float(value) > limit]
        findings += [Finding(name, view, f"{value:.1%} {what}") for view, value in wrong]
    for view, cosine in zip(numbers, consistency.normal_agreement(views).tolist(), strict=True):
        if cosine < MIN_NORMAL_AGREEMENT:
            what = f"normals and the depth's slopes disagree: the median cosine is {cosine:.2f}"
            findings.append(Finding(name, view, what))
    return findings


def _check_framing(views: ObjectViews, numbers: Sequence[int], name: str) -> list[Finding]:
    """Is the object in the image, and does the camera look at its centre?"""
    mask = views.mask[:, 0] > 0
    empty = ~mask.flatten(1).any(1)
    cut_off = mask[:, 0].any(1) & mask[:, -1].any(1) & mask[:, :, 0].any(1) & mask[:, :, -1].any(1)
    blind = ~see_origin(views.cameras)
    mistake = consistency.likely_mistake(views.cameras) if bool(blind.any()) else None
    hint = f" ({CAMERAS} seems to hold {mistake})" if mistake else ""
    return [
        Finding(name, view, what)
        for wrong, what in (
            (empty, "nothing is seen, the mask is empty"),
            (cut_off, "the object is cut off at all four borders"),
            (blind, "the camera doesn't see the object's centre" + hint),
        )
        for view, is_wrong in zip(numbers, wrong.tolist(), strict=True)
        if is_wrong
    ]


def _compare(report: ObjectReport, view_count: int, size_px: int) -> tuple[Finding, ...]:
    """An object's findings, and in what it differs from most."""
    findings = list(report.findings)
    if report.view_count not in (0, view_count):
        findings.append(Finding(report.name, None, f"{report.view_count} views; most objects have {view_count}"))
    if report.size_px not in (0, size_px):
        findings.append(Finding(report.name, None, f"{report.size_px} pixels; most objects have {size_px}"))
    return tuple(findings)


def _check_numbered(root: Path, index: int) -> ObjectReport:
    return check_object(_opened(root), index)


@lru_cache(maxsize=1)
def _opened(root: Path) -> StoredObjects:
    """In each process once."""
    return open_for_checking(root)


def _try_read(source: StoredObjects, index: int, views: Sequence[int]) -> ObjectViews | str:
    """These views, or why they can't be read."""
    try:
        return source.read(index, views)
    except InputError as error:
        return str(error).removeprefix(f"{source.names[index]}: ")


def _views_of_files(folder: Path) -> set[int]:
    """Numbers of the views that have a file of any kind."""
    names = (re.fullmatch(r"(\d{3,})(_normal|_depth)?\.png", path.name) for path in folder.iterdir())
    return {int(name[1]) for name in names if name}


def _unreadable(name: str, what: str) -> ObjectReport:
    return ObjectReport(name, findings=(Finding(name, None, what),))
