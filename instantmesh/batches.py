"""Several photographs, a batch at a time: seeds, generators, and pictures that are ready when they are wanted."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from instantmesh.errors import InputError, InstantMeshError

Given = TypeVar("Given")
Made = TypeVar("Made")


def attempt(make: Callable[[Given], Made], given: Given) -> Made | InstantMeshError:
    """What `make` makes of it, or the package's error that it raises."""
    try:
        return make(given)
    except InstantMeshError as error:
        return error


class InTurn(Executor):
    """Does what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Made], /, *args: Any, **kwargs: Any) -> "Future[Made]":
        """The result, which is there already."""
        future: Future[Made] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def worker_beside(device: torch.device) -> Executor:
    """For what can be done while a device computes: another thread, unless that device is the CPU, where two threads
    that compute with torch slow each other down to half."""
    return InTurn() if device.type == "cpu" else ThreadPoolExecutor(1)


def prepared_batches(
    make: Callable[[Given], Made], given: Sequence[Given], batch_size: int, worker: Executor
) -> Iterator[tuple[range, list[Made | InstantMeshError]]]:
    """What `make` makes of everything given, batch by batch, each with its numbers in `given`. The worker makes the
    next batch while the current one is used."""
    batches = [range(start, min(start + batch_size, len(given))) for start in range(0, len(given), batch_size)]

    def make_batch(numbers: range) -> list[Made | InstantMeshError]:
        return [attempt(make, given[number]) for number in numbers]

    with worker:
        coming = worker.submit(make_batch, batches[0])
        for numbers, following in zip(batches, [*batches[1:], range(0)], strict=True):
            made = coming.result()
            coming = worker.submit(make_batch, following)
            yield numbers, made


def finished_behind(
    batches: Iterator[list[Given | InstantMeshError]], finish: Callable[[Given], Made], worker: Executor
) -> Iterator[Made | InstantMeshError]:
    """What `finish` makes of each item of the batches, in order: the worker finishes one batch while the next one is
    fetched. An error in an item's place stays there."""

    def finish_one(item: Given | InstantMeshError) -> Made | InstantMeshError:
        return item if isinstance(item, InstantMeshError) else attempt(finish, item)

    begun: deque[Future[Made | InstantMeshError]] = deque()
    try:
        for batch in batches:
            begun.extend(worker.submit(finish_one, item) for item in batch)
            while begun and (begun[0].done() or len(begun) > len(batch)):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # whoever stops asking doesn't wait for what has not been begun
        worker.shutdown(cancel_futures=True)


def generators_of(
    count: int, seed: int | Sequence[int] | None, generator: torch.Generator | None
) -> list[torch.Generator] | None:
    """A generator for each of `count` samples; None where nothing is fixed.

    Args:
        seed: the same for each sample, or one for each.
        generator: of a single sample, instead of a seed.

    Raises:
        InputError: a seed and a generator, a generator for several, or another number of seeds.
    """
    if generator is not None:
        if seed is not None:
            raise InputError("pass a seed or a generator, not both")
        if count != 1:
            raise InputError("a generator is for one photo; give several photos a seed, or a list of seeds")
        return [generator]
    if seed is None:
        return None
    seeds = [seed] * count if isinstance(seed, int) else list(seed)
    if len(seeds) != count:
        raise InputError(f"got {len(seeds)} seeds for {count} photos; one is enough for all")
    return [torch.Generator("cpu").manual_seed(number) for number in seeds]
