"""How benchmarks write what they measured."""

import json
from pathlib import Path
from typing import Any

from instantmesh.evaluation.report import machine
from instantmesh.files.atomic import write_bytes


def document(**content: Any) -> str:
    """The machine and what was measured there, as JSON."""
    return json.dumps({"machine": machine(), **content}, indent=1)


def write_results(path: Path | None, **content: Any) -> None:
    """Write `document` whole or not at all; nowhere without a path."""
    if path is not None:
        write_bytes(path, f"{document(**content)}\n".encode())
