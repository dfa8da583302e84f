"""What became of one item of a run, and the file of all of them: one JSON object a line.

A line is written whole before the next item begins, so a run that is killed loses no finished item; a line that was cut
off is dropped when the run goes on.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from instantmesh.errors import InputError

Status = Literal["scored", "failed", "damaged"]


@dataclass(frozen=True)
class EvaluationRecord:
    """One item: an object seen in one way, reconstructed once.

    Attributes:
        key: of the item, unique in its run.
        object: the true object's name.
        category: of the data set's own classes, or "".
        azimuth_deg: of the photo; None where views were given, or results.
        elevation_deg: of the photo.
        seed: of the system.
        status: "scored"; "failed" where the system has no result, which then counts as a result that isn't there; or
            "damaged" where the true object can't be used, which counts for nothing.
        reason: why it failed or is damaged.
        numbers: by metric (`instantmesh.evaluation.metric_names`); None where one can't be had.
        alignment: what the alignment found.
        mesh: the counts that defects are judged by.
        defects: the classes of defects that the result has.
        noise_floor: the Chamfer distance between two samples of the true surface.
        generation_s: seconds that the system took.
        scoring_s: seconds that everything else took.
    """

    key: str
    object: str
    category: str
    azimuth_deg: float | None
    elevation_deg: float | None
    seed: int
    status: Status
    reason: str = ""
    numbers: dict[str, float | None] = field(default_factory=dict)
    alignment: dict[str, Any] = field(default_factory=dict)
    mesh: dict[str, Any] = field(default_factory=dict)
    defects: tuple[str, ...] = ()
    noise_floor: float | None = None
    generation_s: float | None = None
    scoring_s: float | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether the object is so symmetric that its rotation can't be told."""
        return bool(self.alignment.get("ambiguous", False))


class RecordsFile:
    """The records of a run on disk.

    Args:
        path: of the file; it need not exist.

    Raises:
        InputError: a line that isn't a record, other than a last one that was cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, EvaluationRecord] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                values = json.loads(line)
                record = EvaluationRecord(**{**values, "defects": tuple(values["defects"])})
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{self.path}, line {number} is no record of an evaluation ({error})") from error
            self.records[record.key] = record
        if len(whole) < len(content):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))

    def append(self, record: EvaluationRecord) -> None:
        """Add a record, and see it to the disk."""
        self.records[record.key] = record
        line = json.dumps(asdict(record), allow_nan=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def drop(self, keys: Iterable[str]) -> None:
        """Forget the records of these keys, on disk too; items that failed are tried again."""
        for key in list(keys):
            self.records.pop(key, None)
        lines = "".join(json.dumps(asdict(record), allow_nan=False) + "\n" for record in self.records.values())
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(lines)
        temporary.replace(self.path)
