"""An evaluation as one HTML page without network: every item's images and numbers, sortable, and histograms."""

import base64
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from instantmesh.evaluation.metric_names import METRIC_NAMES, known
from instantmesh.evaluation.records import EvaluationRecord
from instantmesh.evaluation.reporting.statistics import estimates, object_values
from instantmesh.evaluation.run import Evaluation

_DATA = "/*DATA*/"


def page_html(evaluation: Evaluation, sheets: Path) -> str:
    """The page.

    Args:
        evaluation: what it shows.
        sheets: folder of the items' images, <key>.jpg; an item without one is shown by its numbers alone.
    """
    template = files("instantmesh.evaluation.reporting").joinpath("page.html").read_text(encoding="utf-8")
    data = json.dumps(_page_data(evaluation, sheets), allow_nan=False).replace("</", "<\\/")
    return template.replace(_DATA, data)


def _page_data(evaluation: Evaluation, sheets: Path) -> dict[str, Any]:
    settings = evaluation.settings
    values = object_values(evaluation.records, leave_out_failures=settings.leave_out_failures)
    names = known({name for record in evaluation.records for name in _numbers(record)})
    return {
        "title": f"{settings.system} on {Path(settings.selection.data).name}",
        "settings": settings.record(),
        "alignment": settings.protocol.alignment.description,
        "metrics": [{"name": name, **asdict(METRIC_NAMES[name])} for name in names],
        "means": {name: asdict(found) for name, found in estimates(values).items()},
        "items": [_item(record, sheets / f"{record.key}.jpg") for record in evaluation.records],
        "missing": [f"{name}: {reason}" for name, reason in evaluation.missing],
    }


def _item(record: EvaluationRecord, sheet: Path) -> dict[str, Any]:
    image = f"data:image/jpeg;base64,{base64.b64encode(sheet.read_bytes()).decode()}" if sheet.is_file() else None
    return {
        "key": record.key,
        "status": record.status,
        "reason": record.reason,
        "defects": record.defects,
        "ambiguous": record.ambiguous,
        "numbers": _numbers(record),
        "image": image,
    }


def _numbers(record: EvaluationRecord) -> dict[str, float]:
    numbers = {**record.numbers, "generation_s": record.generation_s}
    return {name: value for name, value in numbers.items() if value is not None}
