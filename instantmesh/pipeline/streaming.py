"""Many photos through a pipeline's steps: in batches, with preparing and finishing beside a GPU's work.

Only the pipeline's public steps are called here. A photo that fails carries its error from then on, and takes no part
in the steps that follow.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from instantmesh.errors import InputError, InstantMeshError
from instantmesh.images.photo import Photo
from instantmesh.pipeline.options import PhotoSettings, StreamSettings
from instantmesh.pipeline.outcome import Outcome
from instantmesh.structures import Mesh, Views
from instantmesh.systems import Field

if TYPE_CHECKING:
    from instantmesh.images.reading import ImageSource
    from instantmesh.pipeline.pipeline import Pipeline

Returned = TypeVar("Returned")


@dataclass(eq=False)
class _Job:
    """A photo on its way; what isn't known yet, and what a failed one never gets, is None."""

    index: int
    photo: "ImageSource"
    settings: PhotoSettings
    error: InstantMeshError | None = None
    prepared: Photo | None = None
    views: Views | None = None
    posed: Views | None = None
    field: Field | None = None
    mesh: Mesh | None = None

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Keep the package's errors; all others are bugs and go on."""
        try:
            yield
        except InstantMeshError as error:
            self.error = error


def stream(pipeline: "Pipeline", photos: "Sequence[ImageSource]", settings: StreamSettings) -> Iterator[Outcome]:
    """The outcomes of photos, in order; see `Pipeline.stream`.

    Raises:
        InputError: no list of photos, or another number of seeds, found before any work is done.
    """
    if isinstance(photos, str) or not isinstance(photos, Sequence) or not photos:
        raise InputError("photos must be a list of one or more")
    each = settings.of_photos(len(photos))
    jobs = [_Job(index, photo, own) for index, (photo, own) in enumerate(zip(photos, each, strict=True))]
    return _run(pipeline, jobs, settings.batch_size)


def _run(pipeline: "Pipeline", jobs: list[_Job], batch_size: int) -> Iterator[Outcome]:
    batches = [jobs[start : start + batch_size] for start in range(0, len(jobs), batch_size)]
    device = pipeline.reconstructor.device
    preparing, finishing = executor_beside(device), executor_beside(device)
    pending: deque[Future[Outcome]] = deque()
    try:
        coming = preparing.submit(_prepare, pipeline, batches[0])
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            coming.result()
            coming = preparing.submit(_prepare, pipeline, following)
            _reconstruct(pipeline, batch)
            pending.extend(finishing.submit(_finish, pipeline, job) for job in batch)
            while pending and (pending[0].done() or len(pending) > len(batch)):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # whoever stops asking doesn't wait for what has not been begun
        preparing.shutdown(cancel_futures=True)
        finishing.shutdown(cancel_futures=True)


def _prepare(pipeline: "Pipeline", jobs: list[_Job]) -> None:
    for job in jobs:
        with job.catching():
            job.prepared = pipeline.prepare_photo(job.photo, job.settings.background)


def _reconstruct(pipeline: "Pipeline", jobs: list[_Job]) -> None:
    """A batch through the networks, to meshes."""
    good = [job for job in jobs if job.prepared is not None]
    if not good:
        return
    images = [job.prepared.image for job in good if job.prepared is not None]
    views = pipeline.input_views(images, [job.settings for job in good])
    posed = [x.at_camera_distance(job.settings.camera_distance_scale) for x, job in zip(views, good, strict=True)]
    fields = pipeline.reconstructor.encode_batch(posed)
    for job, job.views, job.posed, job.field in zip(good, views, posed, fields, strict=True):
        with job.catching():
            job.mesh = pipeline.extract(job.field, job.settings.resolution)


def _finish(pipeline: "Pipeline", job: _Job) -> Outcome:
    result = None
    if job.error is None:
        assert job.prepared is not None
        assert job.views is not None
        assert job.posed is not None
        assert job.field is not None
        assert job.mesh is not None
        with job.catching():
            fit = pipeline.fit_photo(job.mesh, job.field, job.prepared, job.posed, job.settings)
            result = pipeline.result(job.prepared, job.views, job.posed, job.field, fit, job.settings)
    return Outcome(job.index, job.photo, result, job.error)


class SynchronousExecutor(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Returned], /, *args: Any, **kwargs: Any) -> "Future[Returned]":
        """The result, which is there already."""
        future: Future[Returned] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def executor_beside(device: torch.device) -> Executor:
    """An executor for what can be done while a device computes.

    Another thread, unless that device is the CPU, where two threads that compute with torch slow each other down to
    half.
    """
    return SynchronousExecutor() if device.type == "cpu" else ThreadPoolExecutor(1)
