"""An evaluation from objects to records. It can be killed at any moment and run again: nothing is lost or doubled.

OUT/settings.json    what decides the numbers; a folder holds one evaluation
OUT/records.jsonl    one line an item (`records`)
OUT/meshes/          the results of a model: <key>.glb, y up, front z, in the true objects' frame and size
OUT/sheets/          <key>.jpg: input, then four sides of truth and result
OUT/report.*         made of these by `reporting`
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, partial
from pathlib import Path

import torch
from tqdm import tqdm

from instantmesh.data.worker_pool import WorkerDied, run_in_processes
from instantmesh.errors import (
    EmptySurfaceError,
    ImageError,
    InputError,
    InstantMeshError,
    MissingFileError,
    OutputError,
)
from instantmesh.evaluation.datasets.objects import EvaluationObject, ObjectSet
from instantmesh.evaluation.inputs import Inputs, PhotoPose, given_cameras, photo_inputs, view_inputs
from instantmesh.evaluation.records import EvaluationRecord, RecordsFile
from instantmesh.evaluation.scoring import Truth, noise_floor, score, score_nothing
from instantmesh.evaluation.settings import EvaluationSettings
from instantmesh.evaluation.systems import EvaluatedSystem, ResultFiles, load_system
from instantmesh.evaluation.view_sets import OMNI_16, omni_views, view_set
from instantmesh.files.image_files import write_image
from instantmesh.files.settings_file import SETTINGS, claim_folder
from instantmesh.geometry.bounds import bounding_cube
from instantmesh.render.preview import preview_sheet
from instantmesh.structures import Cameras, Mesh

_TILE_PX = 144


class EvaluationEngine(str, Enum):
    """Where items are worked on."""

    processes = "processes"  # of this machine
    ray = "ray"  # a Ray cluster that shares the file system


@dataclass(frozen=True)
class Item:
    """An object, the pose of its photo, and a seed.

    Attributes:
        key: unique in its run; also the stem of the item's files.
        object: the true object.
        pose: of the photo, or None.
        seed: of the system.
    """

    key: str
    object: EvaluationObject
    pose: PhotoPose | None
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation has found.

    Attributes:
        settings: what it was.
        layout: of the data set.
        missing: name and reason of every object that should be there and isn't.
        records: by item, in the order of the objects.
    """

    settings: EvaluationSettings
    layout: str
    missing: tuple[tuple[str, str], ...]
    records: tuple[EvaluationRecord, ...]


def evaluate(
    settings: EvaluationSettings,
    out: Path,
    *,
    workers: int = 1,
    engine: EvaluationEngine = EvaluationEngine.processes,
    device: str = "auto",
) -> Evaluation:
    """Make and score the results of all objects, or the rest of them where an earlier run was stopped.

    Items that failed are tried again. Several workers share one GPU, each with the whole model.

    Args:
        settings: what is evaluated and how.
        out: the evaluation's folder.
        workers: processes; with one worker nothing is started.
        engine: processes of this machine, or a Ray cluster.
        device: of the model.

    Raises:
        InputError: settings that can't be, or a folder that was begun with others.
        InstantMeshError: the model can't be loaded, or can't be given such inputs.
        OutputError: the folder can't be written.

    Example:
        >>> settings = EvaluationSettings(ObjectSelection("GSO"), model="tiny")
        >>> evaluate(settings, Path("runs/gso-tiny"), workers=2).records[0].numbers["chamfer"]
    """
    settings.check()
    found = settings.selection.find()
    if settings.results is not None:
        ResultFiles(Path(settings.results), settings.results_up, settings.results_front)
    _refuse_other_files(out)
    claim_folder(out, settings.record())
    file = RecordsFile(out / "records.jsonl")
    items = items_of(found, settings)
    again = [item.key for item in items if file.records.get(item.key, _SCORED).status != "scored"]
    if any(key in file.records for key in again):
        file.drop(again)
    todo = [item for item in items if item.key not in file.records]
    work = partial(evaluate_item, settings=settings, out=out, device=device)
    with tqdm(total=len(items), initial=len(items) - len(todo), unit="item") as progress:
        for item, outcome in _spread(work, todo, workers, engine):
            record = _died(item, outcome) if isinstance(outcome, WorkerDied) else outcome
            file.append(record)
            progress.update()
            if record.status != "scored":
                progress.write(f"{item.key}: {record.status}, {record.reason}", file=sys.stderr)
    records = tuple(file.records[item.key] for item in items)
    return Evaluation(settings, found.layout, found.missing, records)


def items_of(found: ObjectSet, settings: EvaluationSettings) -> list[Item]:
    """The items of an evaluation, by object; results are found under the items' keys, or under the objects' names."""
    poses = settings.inputs.poses()
    seeds = range(settings.inputs.seeds)
    items = []
    for obj in found.objects:
        for pose in poses:
            for seed in seeds:
                key = obj.name
                if pose is not None and len(poses) > 1:
                    key += f"_azimuth{pose.azimuth_deg:g}_elevation{pose.elevation_deg:g}"
                items.append(Item(f"{key}_seed{seed}" if len(seeds) > 1 else key, obj, pose, seed))
    return items


def evaluate_item(item: Item, settings: EvaluationSettings, out: Path, device: str) -> EvaluationRecord:
    """Make and score one result.

    Raises:
        InstantMeshError: the fault is neither the object's nor the result's.
    """
    start = time.perf_counter()
    record = EvaluationRecord(
        item.key,
        item.object.name,
        item.object.category,
        None if item.pose is None else item.pose.azimuth_deg,
        None if item.pose is None else item.pose.elevation_deg,
        item.seed,
        "scored",
    )
    try:
        true = item.object.read()
        bounding_cube(true)
        truth = _truth(true, item, settings)
    except (InputError, MissingFileError, ImageError) as error:
        return replace(record, status="damaged", reason=str(error), scoring_s=time.perf_counter() - start)
    given = _given(true, item, settings)
    begun = time.perf_counter()
    try:
        predicted = _result(item, given, settings, device)
        reason = "" if len(predicted.faces) else "the result has no faces"
    except (EmptySurfaceError, ImageError, _NoResult) as error:
        predicted, reason = None, str(error)
    generation_s = time.perf_counter() - begun
    if predicted is not None and not reason:
        try:
            found = score(predicted, truth, settings.protocol)
            if found.alignment["failed"]:
                reason = f"it can't be aligned: the scale that was found is {found.alignment['icp_scale']:.2f}"
            record = replace(
                record, numbers=found.numbers, alignment=found.alignment, mesh=found.mesh_numbers, defects=found.defects
            )
            _write_files(item, out, given, true, found.aligned, None if settings.results else predicted)
        except InputError as error:  # a result without surface
            reason = str(error)
    if reason:
        nothing = score_nothing(truth, settings.protocol)
        record = replace(record, status="failed", reason=reason, numbers=nothing)
    return replace(
        record,
        noise_floor=noise_floor(true, settings.protocol),
        generation_s=None if settings.results else generation_s,
        scoring_s=time.perf_counter() - start - generation_s,
    )


_SCORED = EvaluationRecord("", "", "", None, None, 0, "scored")


class _NoResult(InstantMeshError):
    """The other system has no result, or one that can't be read."""


def _truth(true: Mesh, item: Item, settings: EvaluationSettings) -> Truth:
    protocol = settings.protocol
    cameras: Cameras | None = None
    if protocol.views == OMNI_16:
        cameras = omni_views(item.object.renderings, item.object.name, protocol.seed)
    elif protocol.views is not None:
        cameras = view_set(protocol.views)
    pose = item.pose if item.pose is not None else PhotoPose()  # of views: the front's, so that all have the column
    return Truth.of(true, pose.camera(), cameras, protocol.size_px)


def _given(true: Mesh, item: Item, settings: EvaluationSettings) -> Inputs:
    cameras = given_cameras(settings.inputs.given)
    return photo_inputs(true, item.pose or PhotoPose()) if cameras is None else view_inputs(true, cameras)


def _result(item: Item, given: Inputs, settings: EvaluationSettings, device: str) -> Mesh:
    """The system's mesh in the true object's frame."""
    if settings.results is None:
        assert settings.model is not None
        return _system(settings.model, device).reconstruct(given, item.seed)
    files = ResultFiles(Path(settings.results), settings.results_up, settings.results_front)
    path = files.find(item.key) or files.find(item.object.name)
    if path is None:
        raise _NoResult(f"no result in {settings.results}")
    try:
        return files.read(path)
    except InputError as error:
        raise _NoResult(str(error)) from error


@cache
def _system(model: str, device: str) -> EvaluatedSystem:
    """Loaded once in a process."""
    return load_system(model, device)


def _write_files(item: Item, out: Path, given: Inputs, true: Mesh, aligned: Mesh, made: Mesh | None) -> None:
    """What the page shows: the input beside four sides of the truth, then of the result; and the result itself."""
    if made is not None:
        made.save(out / "meshes" / f"{item.key}.glb", size_m=None, origin=None)
    sides = torch.cat([preview_sheet(mesh, _TILE_PX)[:, :_TILE_PX] for mesh in (true, aligned)], dim=1)
    image = torch.nn.functional.interpolate(given.views.images[:1], size=(2 * _TILE_PX, 2 * _TILE_PX), mode="area")[0]
    write_image(out / "sheets" / f"{item.key}.jpg", torch.cat([image, sides], dim=2))


def _spread(
    work: "partial[EvaluationRecord]", items: Iterable[Item], workers: int, engine: EvaluationEngine
) -> Iterator[tuple[Item, EvaluationRecord | WorkerDied]]:
    """Items and their records as they get ready."""
    if engine is EvaluationEngine.ray:
        from instantmesh.data.ray_cluster import run_on_cluster

        yield from run_on_cluster(work, items)
    elif workers > 1:
        yield from run_in_processes(work, items, workers)
    else:
        for item in items:
            yield item, work(item)


def _died(item: Item, outcome: WorkerDied) -> EvaluationRecord:
    """An item that ends its process can't be scored, whoever is at fault."""
    pose = item.pose
    return EvaluationRecord(
        item.key,
        item.object.name,
        item.object.category,
        None if pose is None else pose.azimuth_deg,
        None if pose is None else pose.elevation_deg,
        item.seed,
        "damaged",
        outcome.reason,
    )


def _refuse_other_files(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / SETTINGS).exists():
        raise OutputError(f"{out} holds other files than an evaluation's; name a new folder")
