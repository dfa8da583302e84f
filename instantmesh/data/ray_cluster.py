"""Work spread over a Ray cluster whose machines may go away: nothing is lost. They share the file system."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from instantmesh import backends
from instantmesh.data.worker_pool import WorkerDied

Item = TypeVar("Item")
Result = TypeVar("Result")

_RETRIES = 3  # a machine that goes away takes its tasks with it; a task that kills its worker stops after these


def run_on_cluster(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | WorkerDied]]:
    """Call `function` on every item, one processor each; results come as they are ready.

    The cluster is the one that the environment variable RAY_ADDRESS or a running `ray start` names, otherwise this
    machine. Ray repeats the tasks of workers that died, so `function` must bear being called twice.

    Raises:
        MissingBackendError: ray isn't installed.
        Exception: whatever `function` raises; the work stops.
    """
    ray: Any = backends.load("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False)
    try:
        yield from _run(ray, function, items)
    finally:
        if started:
            ray.shutdown()


def _run(
    ray: Any, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | WorkerDied]]:
    call = ray.remote(num_cpus=1, max_retries=_RETRIES)(_call)
    waiting, running = deque(items), {}
    while waiting or running:
        processors = int(ray.cluster_resources().get("CPU", 1))  # machines come and go
        while waiting and len(running) < 2 * processors:
            item = waiting.popleft()
            running[call.remote(function, item)] = item
        done, _ = ray.wait(list(running), num_returns=1)
        item = running.pop(done[0])
        try:
            outcome = ray.get(done[0])
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
            outcome = WorkerDied()
        yield item, outcome


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)
