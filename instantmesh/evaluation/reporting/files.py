"""An evaluation's reports on disk, and an evaluation read back from them."""

import json
from collections.abc import Sequence
from pathlib import Path

from instantmesh.errors import InputError, MissingFileError
from instantmesh.evaluation.records import RecordsFile
from instantmesh.evaluation.reporting.document import document
from instantmesh.evaluation.reporting.markdown import markdown_report
from instantmesh.evaluation.reporting.page import page_html
from instantmesh.evaluation.reporting.published import PublishedTable
from instantmesh.evaluation.run import Evaluation
from instantmesh.evaluation.settings import EvaluationSettings
from instantmesh.files.atomic import write_bytes


def write_reports(evaluation: Evaluation, out: Path, published: Sequence[PublishedTable] = ()) -> list[Path]:
    """Write report.json, report.md and report.html into the evaluation's folder.

    Args:
        evaluation: that `evaluate` has put into `out`.
        out: its folder.
        published: tables that stand beside it in report.md.

    Raises:
        OutputError: the folder can't be written.
    """
    told = json.dumps(document(evaluation), indent=1, allow_nan=False) + "\n"
    return [
        write_bytes(out / "report.json", told.encode()),
        write_bytes(out / "report.md", markdown_report(evaluation, published).encode()),
        write_bytes(out / "report.html", page_html(evaluation, out / "sheets").encode()),
    ]


def read_evaluation(folder: Path) -> Evaluation:
    """An evaluation that has been reported.

    Raises:
        MissingFileError: there is no report.json.
        InputError: it, or the records, can't be read.
    """
    path = folder / "report.json"
    if not path.is_file():
        raise MissingFileError(f"{folder} holds no finished evaluation (no report.json)")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        keys = [item["key"] for item in told["items"]]
        missing = tuple((entry["object"], entry["reason"]) for entry in told["missing_objects"])
        settings, layout = EvaluationSettings.from_record(told["settings"]), told["layout"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} can't be read ({type(error).__name__}: {error})") from error
    records = RecordsFile(folder / "records.jsonl").records
    return Evaluation(settings, layout, missing, tuple(records[key] for key in keys if key in records))
