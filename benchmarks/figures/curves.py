"""Training curves of runs as one image: every loss of each `log.jsonl` over its steps.

python -m benchmarks.figures.curves NAME=runs/x/log.jsonl ... -o curves.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

NOT_LOSSES = ("step", "lr", "learning_rate", "seconds_per_step")
SMOOTHED = 5  # entries


def read_log(path: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Steps and losses of a log."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    names = [name for name in entries[-1] if name not in NOT_LOSSES]
    return [entry["step"] for entry in entries], {name: [entry[name] for entry in entries] for name in names}


def smoothed(values: list[float]) -> list[float]:
    """Means of each value and those just before it."""
    windows = [values[max(0, i + 1 - SMOOTHED) : i + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def draw(logs: dict[str, Path], out: Path) -> None:
    """One plot for each log, side by side, losses on a logarithmic axis."""
    figure, axes = pyplot.subplots(1, len(logs), figsize=(4 * len(logs), 3.4), squeeze=False, layout="constrained")
    for axis, (name, path) in zip(axes[0], logs.items(), strict=True):
        steps, losses = read_log(path)
        for loss, values in losses.items():
            if max(values) > 0:
                axis.semilogy(steps, smoothed(values), label=loss, linewidth=1)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", help="NAME=FILE")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    draw({name: Path(path) for name, _, path in (entry.partition("=") for entry in arguments.logs)}, arguments.out)


if __name__ == "__main__":
    main()
