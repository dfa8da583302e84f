"""Several photographs, a batch at a time: seeds, generators, and pictures that are ready when they are wanted."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from instantmesh.errors import InputError

Given = TypeVar("Given")
Made = TypeVar("Made")


def prepared_batches(
    make: Callable[[Given], Made], given: Sequence[Given], batch_size: int
) -> Iterator[tuple[range, list[Made]]]:
    """What `make` makes of everything given, batch by batch, each with its numbers in `given`. The next batch is made
    in another thread while the current one is used.

    What `make` raises is raised where its batch is asked for.
    """
    batches = [range(start, min(start + batch_size, len(given))) for start in range(0, len(given), batch_size)]

    def make_batch(numbers: range) -> list[Made]:
        return [make(given[number]) for number in numbers]

    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(make_batch, batches[0])
        for numbers, following in zip(batches, [*batches[1:], range(0)], strict=True):
            made = coming.result()
            coming = worker.submit(make_batch, following)
            yield numbers, made


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
