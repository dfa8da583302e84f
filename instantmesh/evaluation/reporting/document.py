"""An evaluation as one JSON document: settings, machine, versions, means with intervals, every item."""

from collections import Counter
from dataclasses import asdict
from importlib.metadata import distributions
from typing import Any

from instantmesh import backends
from instantmesh.evaluation.metrics.defects import DEFECTS
from instantmesh.evaluation.metrics.perceptual import perceptual_metric
from instantmesh.evaluation.report import machine
from instantmesh.evaluation.reporting.statistics import estimates, object_values
from instantmesh.evaluation.run import Evaluation

_PACKAGES = ("instantmesh", "numpy", "scipy", "trimesh", "embreex", "libigl", "torchmetrics", "torchvision")


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that an evaluation has found, ready for JSON."""
    settings, records = evaluation.settings, evaluation.records
    values = object_values(records, leave_out_failures=settings.leave_out_failures)
    certain = object_values(records, leave_out_failures=settings.leave_out_failures, unambiguous=True)
    floors = [record.noise_floor for record in records if record.noise_floor is not None]
    times = [record.scoring_s for record in records if record.scoring_s is not None]
    return {
        "settings": settings.record(),
        "layout": evaluation.layout,
        "machine": machine(),
        "versions": _versions(),
        "counts": counts(evaluation),
        "means": {name: asdict(found) for name, found in estimates(values).items()},
        "means_without_ambiguous": {name: asdict(found) for name, found in estimates(certain).items()},
        "noise_floor": sum(floors) / len(floors) if floors else None,
        "scoring_s": sum(times) / len(times) if times else None,
        "defects_percent": defect_percentages(evaluation),
        "unavailable": unavailable(evaluation),
        "missing_objects": [{"object": name, "reason": reason} for name, reason in evaluation.missing],
        "items": [asdict(record) for record in records],
    }


def counts(evaluation: Evaluation) -> dict[str, int]:
    """How many objects and items there are, and what became of them."""
    status = Counter(record.status for record in evaluation.records)
    return {
        "objects": len({record.object for record in evaluation.records}),
        "items": len(evaluation.records),
        "failed": status["failed"],
        "damaged": status["damaged"],
        "missing_objects": len(evaluation.missing),
        "ambiguous": sum(record.ambiguous for record in evaluation.records),
    }


def defect_percentages(evaluation: Evaluation) -> dict[str, float]:
    """By class of defects: percent of the results that have it."""
    scored = [record for record in evaluation.records if record.status == "scored"]
    if not scored:
        return {}
    return {name: 100 * sum(name in record.defects for record in scored) / len(scored) for name in DEFECTS}


def unavailable(evaluation: Evaluation) -> dict[str, str]:
    """Metrics that were asked for and can't be had here, and why."""
    found = {}
    for name in evaluation.settings.protocol.perceptual:
        metric, reason = perceptual_metric(name)
        if metric is None:
            found[name] = reason
    if not backends.available("igl"):
        found["volume_iou"] = "libigl isn't installed: pip install 'instantmesh[evaluation]'"
    return found


def _versions() -> dict[str, str]:
    installed = {found.metadata["Name"].lower(): found.version for found in distributions()}
    return {name: installed[name] for name in _PACKAGES if name in installed}
