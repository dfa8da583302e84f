"""Work spread over processes that may die: nothing hangs, nothing is lost, and who died is known."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_exit
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied:
    """In place of a result: the process that worked on this item ended without an answer, even when it had no other."""

    reason = "its process died, twice (a crash in a library, or too little memory)"


def run_in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result | WorkerDied]]:
    """Call `function` on every item in `workers` fresh processes of one thread each; results come as they are ready.

    When a process dies, the items that were being worked on are tried once more, each alone in a process of its own:
    the one that kills its process is told from those that were merely near. So `function` must bear being called
    twice, and must be importable by name.

    Raises:
        Exception: whatever `function` raises; the work stops.
    """
    waiting = deque(items)
    while waiting:
        suspects = yield from _until_a_death(function, waiting, workers)
        for item in suspects:
            yield item, _alone(function, item)


def _until_a_death(
    function: Callable[[Item], Result], waiting: deque[Item], workers: int
) -> Generator[tuple[Item, Result | WorkerDied], None, list[Item]]:
    """Work through `waiting` and yield results; return the items that were under way when a process died."""
    running: dict[Future[Result], Item] = {}
    pool = _pool(workers)
    try:
        while waiting or running:
            while waiting and len(running) < workers:  # none waits in the pool: those in it are under way
                running[pool.submit(function, waiting[0])] = waiting[0]
                waiting.popleft()
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                result = done.result()
                yield running.pop(done), result
    except BrokenProcessPool:
        return list(running.values())
    finally:
        pool.shutdown(cancel_futures=True)
    return []


def _alone(function: Callable[[Item], Result], item: Item) -> Result | WorkerDied:
    pool = _pool(1)
    try:
        return pool.submit(function, item).result()
    except BrokenProcessPool:
        return WorkerDied()
    finally:
        pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_set_up)


def _set_up() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would outlive a parent that was killed, waiting for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_exit([parent.sentinel])
    os._exit(1)
