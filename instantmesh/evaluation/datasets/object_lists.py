"""Which objects of a data set are evaluated on: lists in files, draws by seed, the first of each category.

A list is a text file with one object a line, `#` before comments. A number after a name is an angle in degrees by which
the object is turned clockwise, seen from above, as SyncDreamer's list has it. An object may go by the beginning of its
name, if no other begins so: papers shorten them.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from instantmesh.errors import InputError
from instantmesh.evaluation.datasets.objects import EvaluationObject, ObjectSet

PUBLISHED_LISTS = ("syncdreamer-30",)


def draw(found: ObjectSet, count: int, seed: int) -> ObjectSet:
    """`count` objects by seed: those whose SHA-256 of "<seed>/<name>" is smallest.

    So the draw depends on no library, and objects that are added or missing change only their own places.

    Raises:
        InputError: fewer objects than that.
    """
    if not 0 < count <= len(found.objects):
        raise InputError(f"can't draw {count} of {len(found.objects)} objects")

    def key(obj: EvaluationObject) -> str:
        return hashlib.sha256(f"{seed}/{obj.name}".encode()).hexdigest()

    drawn = sorted(found.objects, key=key)[:count]
    return replace(found, objects=_by_name(drawn), missing=())


def first_of_each_category(found: ObjectSet, count: int, categories: Iterable[str] | None = None) -> ObjectSet:
    """The first `count` objects of every category by name, or of those named.

    Raises:
        InputError: the data set has no categories, or not these.
    """
    present = {obj.category for obj in found.objects}
    if present <= {""}:
        raise InputError(f"objects of layout {found.layout} have no categories")
    wanted = present if categories is None else set(categories)
    if wanted - present:
        raise InputError(f"no objects of category {', '.join(sorted(wanted - present))}")
    chosen = [[obj for obj in found.objects if obj.category == category][:count] for category in sorted(wanted)]
    return replace(found, objects=_by_name(obj for group in chosen for obj in group), missing=())


def listed(found: ObjectSet, path: str | Path) -> ObjectSet:
    """The objects of a list: a file, or the name of a published list. Those that aren't there are named as missing.

    Raises:
        InputError: the file can't be read, is empty, or a name fits several objects.
    """
    by_name = {obj.name: obj for obj in found.objects}
    objects, missing = [], []
    for name, angle_deg in read_list(path):
        matches = [name] if name in by_name else [n for n in by_name if n.lower().startswith(name.lower())]
        if len(matches) > 1:
            raise InputError(f"{name!r} in {path} fits several objects, for instance {matches[0]} and {matches[1]}")
        if matches:
            objects.append(replace(by_name[matches[0]], turn_deg=-angle_deg))
        else:
            missing.append((name, dict(found.missing).get(name, f"listed in {path}, not in the data folder")))
    if not objects:
        raise InputError(f"none of the {len(missing)} objects in {path} is in the data folder")
    return replace(found, objects=_by_name(objects), missing=tuple(missing))


def read_list(path: str | Path) -> list[tuple[str, float]]:
    """Names and angles in degrees.

    Raises:
        InputError: it can't be read, is empty, or has a line that is neither a name nor a name and a number.
    """
    try:
        if str(path) in PUBLISHED_LISTS:
            text = files("instantmesh.evaluation.datasets").joinpath(f"{path}.txt").read_text(encoding="utf-8")
        else:
            text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read the list {path}: {error}") from error
    entries: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            (name, angle) = words if len(words) == 2 else (*words, "0")
            entries[name] = float(angle)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {line.strip()!r} is no name, nor a name and an angle") from error
    if not entries:
        raise InputError(f"the list {path} is empty")
    return list(entries.items())


def _by_name(objects: Iterable[EvaluationObject]) -> tuple[EvaluationObject, ...]:
    return tuple(sorted(objects, key=lambda obj: obj.name))
