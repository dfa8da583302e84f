"""Scores as a text table for people and as JSON for later comparison, with the machine named."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from instantmesh.evaluation.protocol import ReconstructionScores
from instantmesh.files.atomic import write_bytes

COLUMNS = {
    "chamfer": ("CD", 4),
    "f_score_01": ("F@0.1", 3),
    "f_score_02": ("F@0.2", 3),
    "psnr_db": ("PSNR", 2),
    "ssim": ("SSIM", 3),
    "photo_psnr_db": ("PSNR photo", 2),
    "seconds": ("s", 2),
}


@dataclass(frozen=True)
class Record:
    """One object, reconstructed once.

    Attributes:
        group: which set the object is of, e.g. "procedural".
        object: its name.
        given: what the method was given, e.g. "six views".
        method: who made the mesh, e.g. "visual hull".
        scores: None where the method found no surface.
        seconds: how long it took to make the mesh.
    """

    group: str
    object: str
    given: str
    method: str
    scores: ReconstructionScores | None
    seconds: float

    def numbers(self) -> dict[str, float]:
        """The columns' values by name; only the time where there is no surface."""
        if self.scores is None:
            return {"seconds": self.seconds}
        geometry = self.scores.geometry
        return {
            "chamfer": geometry.chamfer,
            "f_score_01": geometry.f_score_01,
            "f_score_02": geometry.f_score_02,
            "psnr_db": self.scores.psnr_db,
            "ssim": self.scores.ssim,
            "photo_psnr_db": self.scores.photo_psnr_db,
            "seconds": self.seconds,
        }


def means(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One entry per group, input and method, in order of first appearance: means over its objects with a surface.

    `objects` counts them; `without_surface` counts those the method made nothing of, which the means leave out.
    """
    entries = []
    for key in dict.fromkeys((r.group, r.given, r.method) for r in records):
        chosen = [r for r in records if (r.group, r.given, r.method) == key]
        made = [r.numbers() for r in chosen if r.scores is not None]
        entry: dict[str, Any] = dict(zip(("group", "given", "method"), key, strict=True))
        entry |= {"objects": len(made), "without_surface": len(chosen) - len(made)}
        entry |= {name: sum(numbers[name] for numbers in made) / len(made) for name in COLUMNS if made}
        entries.append(entry)
    return entries


def means_table(records: Sequence[Record]) -> str:
    """The means as an aligned table."""
    header = ["objects", "given", "method", "n", *(title for title, _ in COLUMNS.values()), "no surface"]
    rows = [
        [e["group"], e["given"], e["method"], str(e["objects"]), *_cells(e), str(e["without_surface"])]
        for e in means(records)
    ]
    return _aligned(header, rows, text_columns=3)


def objects_table(records: Iterable[Record]) -> str:
    """Every record as a row of an aligned table."""
    header = ["object", "given", "method", *(title for title, _ in COLUMNS.values())]
    rows = [[r.object, r.given, r.method, *_cells(r.numbers())] for r in records]
    return _aligned(header, rows, text_columns=3)


def _cells(numbers: dict[str, Any]) -> list[str]:
    return [f"{numbers[name]:.{digits}f}" if name in numbers else "-" for name, (_, digits) in COLUMNS.items()]


def _aligned(header: list[str], rows: list[list[str]], text_columns: int) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    sides = ["<"] * text_columns + [">"] * (len(header) - text_columns)
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        for row in [header, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, threads, GPU, versions."""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor_name() -> str:
    """The model's name on Linux, what `platform` knows elsewhere."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_report(path: str | PathLike[str], records: Sequence[Record], settings: dict[str, Any]) -> Path:
    """Write settings, machine, means and every object's numbers as JSON.

    Raises:
        OutputError: the file can't be written.
    """
    document = {
        "settings": settings,
        "machine": machine(),
        "means": means(records),
        "objects": [
            {"group": r.group, "object": r.object, "given": r.given, "method": r.method, **r.numbers()} for r in records
        ],
    }
    return write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
