"""Tables that papers have published, as data: their figures, and under which protocol they stand.

Figures of different protocols don't mix; `what_differs` says where ours departs from a table's.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from instantmesh.errors import InputError
from instantmesh.evaluation.run import Evaluation


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        id: its name here.
        title: for people.
        source: the paper.
        certainty: how its figures came here.
        protocol: what the paper says about objects, alignment, points, views; None for what it doesn't measure.
        columns: metrics, or classes of defects.
        rows: a system's figures, None where the paper has none.
    """

    id: str
    title: str
    source: str
    certainty: str
    protocol: dict[str, Any]
    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]


@cache
def published_tables() -> dict[str, PublishedTable]:
    """All tables by id.

    Example:
        >>> published_tables()["triposr-gso"].rows["TripoSR"]
        (0.111, 0.651, 0.871, 0.98)
    """
    content = files("instantmesh.evaluation.reporting").joinpath("published_tables.json").read_text(encoding="utf-8")
    tables = {}
    for entry in json.loads(content):
        rows = {system: tuple(values) for system, values in entry["rows"].items()}
        tables[entry["id"]] = PublishedTable(**{**entry, "columns": tuple(entry["columns"]), "rows": rows})
    return tables


def published_table(name: str) -> PublishedTable:
    """A table by its id.

    Raises:
        InputError: no such table.
    """
    if name not in published_tables():
        raise InputError(f"unknown table {name!r}; use one of {', '.join(published_tables())}")
    return published_tables()[name]


def what_differs(table: PublishedTable, evaluation: Evaluation) -> list[str]:
    """Where our evaluation departs from a table's protocol, or where that isn't known, in words."""
    protocol, settings = table.protocol, evaluation.settings
    count = len({record.object for record in evaluation.records})
    found = [f"objects: {protocol['objects']}; here {count} of {settings.selection.data}"]
    if protocol["alignment"] is not None:
        found.append(f"alignment: {protocol['alignment']}; here {settings.protocol.alignment.description}")
        points = "not stated" if protocol["points"] is None else f"{protocol['points']:,}"
        found.append(f"points: {points}; here {settings.protocol.sample_count:,}")
    if protocol["views"] is not None:
        ours = f"{settings.protocol.views}, {settings.protocol.size_px} pixels"
        found.append(f"views: {protocol['views']}; here {ours if settings.protocol.views else 'none'}")
    given = settings.inputs.given if settings.results is None else "whatever the results were made from"
    found.append(f"inputs: {protocol.get('inputs', 'one image')}; here {given}")
    if "f_score" in protocol:
        found.append(f"F-score: {protocol['f_score']}")
    if "lpips" in table.columns:
        found.append("LPIPS: which network isn't stated")
    return found
