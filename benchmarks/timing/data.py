"""How many procedural objects a second are made and rendered, as JSON.

    python -m benchmarks.timing.data
    python -m benchmarks.timing.data --workers 16 --out benchmarks/results/data-rates.json

Three sizes of an item: seven views of 64 pixels (a query and the six fixed poses), ten of 128 pixels (six to see, four
to compare with), 32 of 512 pixels (a whole object of a data set). An item is drawn, built, and its colour, mask, depth
and normals are ray-cast; with workers it also goes to the main process, as in training. `per_second` is by the clock,
`per_core_second` by the processor time that items took, which other work on the machine disturbs less. Medians of
--repeats runs over the same objects.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.results_file import document, write_results
from instantmesh.data.procedural.source import SHAPES, ProceduralSource

SIZES = (  # layout, size in pixels, views, objects a run
    ("diffusion", 64, 7, 48),
    ("random", 128, 10, 32),
    ("random", 512, 32, 2),
)


class TimedItems(Dataset):
    """A source's objects as a loader gives them out: the processor seconds each took, and its images."""

    def __init__(self, source: ProceduralSource, views: int) -> None:
        self._source, self._views = source, list(range(views))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[float, list[torch.Tensor]]:
        start = time.process_time()
        views = self._source.read(index, self._views)
        return time.process_time() - start, [views.images, views.mask, views.depth, views.normal]


def one_run(items: TimedItems, workers: int) -> dict[str, float]:
    """Objects a second over all items, `workers` processes (0: this one). Starting the processes doesn't count."""
    loader = DataLoader(items, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    if workers:
        next(iter(loader))
    start = time.perf_counter()
    seconds = [float(spent) for spent, _ in loader]
    elapsed = time.perf_counter() - start
    return {"per_second": len(seconds) / elapsed, "per_core_second": len(seconds) / sum(seconds)}


def rates(
    shapes: str, layout: str, size_px: int, views: int, objects: int, workers: int, repeats: int
) -> dict[str, Any]:
    """Median rates of one kind of shape at one size."""
    runs = []
    for _ in range(repeats):
        source = ProceduralSource(0, objects, size_px, layout, shapes)
        runs.append(one_run(TimedItems(source, views), workers))
    median = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
    return {"shapes": shapes, "size_px": size_px, "views": views, "workers": workers, **median}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes of the second measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", default="nothing", help="what else ran on the machine, for the record")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # rates are per core
    rows: list[dict[str, Any]] = []
    cases = [(shapes, size, workers) for shapes in SHAPES for size in SIZES for workers in (0, arguments.workers)]
    for shapes, size, workers in tqdm(cases, disable=None):
        rows.append(rates(shapes, *size, workers=workers, repeats=arguments.repeats))
    print(document(beside=arguments.beside, rates=rows))
    write_results(arguments.out, beside=arguments.beside, rates=rows)


if __name__ == "__main__":
    main()
