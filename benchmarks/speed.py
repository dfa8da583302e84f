"""Time and peak memory of every stage, as JSON.

    python benchmarks/speed.py --model instant-mesh-base --random-weights
    python benchmarks/speed.py --model tiny --photo photo.png

With --random-weights the reconstruction model has its official sizes and needs no download: six views (one for
single-view systems) through encoder and transformer, then the grid's values and the coloured mesh. The level of the
random field's surface is set so that it crosses about as many cubes as the released code's baseline did. Beside each
stage's time stands its floor: its matrix products at the rate that this machine reaches on one large product in the
same run. Times are medians of --repeats runs; memory
is the process's peak while the stage ran (weights included).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.evaluation.report import machine
from instantmesh.loading import build, named_config
from instantmesh.lrm.heads import RadianceField, SurfaceField, SurfaceHead
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.pipeline import Pipeline
from instantmesh.reconstruction import Reconstructor
from instantmesh.surface.extraction import grid_axis
from instantmesh.surface.grid import surface_cubes

SURFACE_CUBES = 25_000  # of 128^3: what the released InstantMesh's baseline extracted
DENSITY_CUBES = 146_000  # of 256^3: half as many as the faces of the released TripoSR's baseline
RATE_SIZE = 3072


class PeakMemory:
    """The process's largest resident size while the block runs, sampled every 5 ms."""

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._stop = _resident_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.bytes = max(self.bytes, _resident_bytes())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _resident_bytes() -> int:
    """Resident memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise InputError("this system doesn't tell a process's memory in /proc/self/status")


def matrix_rate() -> float:
    """Floating-point operations a second of one large float32 matrix product; the best of five."""
    a = torch.randn(RATE_SIZE, RATE_SIZE)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - start)
    return 2 * RATE_SIZE**3 / min(times)


def attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, out_shape: object = None, **__: object
) -> int:
    """Of the two matrix products in attention, from shapes (batch, heads, tokens, channels)."""
    batch, heads, n, channels = query
    return 2 * batch * heads * n * key[2] * (channels + value[3])


def measure(stage: Callable[[], Any], repeats: int, rate: float | None = None) -> tuple[dict[str, float], Any]:
    """Median seconds and peak memory of a stage, its floor and the ratio to it if a rate is given; and its result."""
    floor = None
    if rate is not None:
        attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # unknown to torch
        with FlopCounterMode(display=False, custom_mapping=attention) as counter:
            stage()
        floor = counter.get_total_flops() / rate
    seconds, peak, result = [], 0, None
    for _ in range(repeats):
        with PeakMemory() as memory:
            start = time.perf_counter()
            result = stage()
            seconds.append(time.perf_counter() - start)
        peak = max(peak, memory.bytes)
    row = {"seconds": round(statistics.median(seconds), 3), "peak_gb": round(peak / 1e9, 3)}
    if floor is not None:
        row |= {"floor_seconds": round(floor, 3), "ratio": round(row["seconds"] / floor, 2)}
    return row, result


@torch.no_grad()
def reconstruction(name: str, repeats: int) -> dict[str, Any]:
    """Stages of a reconstruction model of official size with random weights."""
    torch.manual_seed(0)
    model = build(named_config(name)).requires_grad_(False).eval()
    size, views = model.config.image_size_px, 1 if model.single_view else len(six_view_cameras())
    images = torch.rand(1, views, 3, size, size)
    numbers = model.camera_numbers(None if model.single_view else six_view_cameras())
    cameras = None if numbers is None else numbers[None]
    rate = matrix_rate()
    stages: dict[str, Any] = {}
    stages["encoder"], tokens = measure(lambda: model.tokens(images, cameras), repeats, rate)
    stages["transformer"], planes = measure(lambda: model.planes(tokens, cameras), repeats, rate)
    field = model.field(planes[0])
    _give_surface(model, field)
    reconstructor = Reconstructor(model)
    stages["extraction"], mesh = measure(lambda: reconstructor.extract(field), repeats, rate)
    stages["all"] = {
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 3),
        "peak_gb": max(stage["peak_gb"] for stage in stages.values()),
        "floor_seconds": round(sum(stage["floor_seconds"] for stage in stages.values()), 3),
    }
    return {
        "stages": stages,
        "resolution": model.config.grid_resolution,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "gflops": round(rate / 1e9, 1),
    }


def _give_surface(model: ReconstructionModel, field: SurfaceField | RadianceField) -> None:
    """Move the surface of a random field to where it crosses about as many cubes as the baseline's."""
    if isinstance(field, SurfaceField):
        assert isinstance(model.head, SurfaceHead)
        sdf = field.sdf_on_grid(grid_axis(model.config.grid_resolution, model.config.grid_scale))
        last = model.head.net_sdf[-1]
        assert isinstance(last, torch.nn.Linear)
        last.bias.sub_(_level_with(sdf, SURFACE_CUBES))
    else:
        half_side = model.config.grid_scale / 2
        axis = torch.linspace(-half_side, half_side, model.config.grid_resolution)
        threshold = -_level_with(-field.density_on_grid(axis, axis, axis), DENSITY_CUBES)
        model.config = model.config.model_copy(update={"density_threshold": threshold})


def _level_with(values: torch.Tensor, cubes: int) -> float:
    """The level at which the surface around the lowest values crosses this many cubes."""
    ordered = values.flatten()[:: max(1, values.numel() // 1_000_000)].sort().values
    low, high = 0, len(ordered) // 2
    while high - low > 1:
        middle = (low + high) // 2
        crossed = len(surface_cubes(values < ordered[middle]))
        low, high = (middle, high) if crossed < cubes else (low, middle)
    return float(ordered[low])


def import_seconds() -> float:
    """Seconds that `import instantmesh` takes in a fresh process after torch; the median of three."""
    code = "import time, torch; t = time.perf_counter(); import instantmesh; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    return round(statistics.median(float(run.stdout) for run in runs), 3)


def whole_chain(name: str, photo: Path, repeats: int, steps: int) -> dict[str, Any]:
    """Photo to GLB with a model that is here, and what came before it."""
    start = time.perf_counter()
    pipeline = Pipeline.from_pretrained(name, local_files_only=True)
    loaded = time.perf_counter() - start

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            pipeline(photo, seed=0, steps=steps).mesh.save(Path(folder) / "mesh.glb")

    row, _ = measure(run, repeats)
    return {
        "stages": {
            "import": {"seconds": import_seconds()},
            "load": {"seconds": round(loaded, 3)},
            "photo to GLB": row,
        },
        "steps": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="instant-mesh-base")
    parser.add_argument("--random-weights", action="store_true", help="official sizes, no files; reconstruction only")
    parser.add_argument("--photo", type=Path, help="measure the whole chain on this picture")
    parser.add_argument("--steps", type=int, default=75, help="denoising steps of the whole chain")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    if arguments.random_weights == (arguments.photo is not None):
        parser.error("give either --random-weights or --photo FILE")
    try:
        if arguments.random_weights:
            result = reconstruction(arguments.model, arguments.repeats)
        else:
            result = whole_chain(arguments.model, arguments.photo, arguments.repeats, arguments.steps)
    except InstantMeshError as error:
        sys.exit(f"error: {error}")
    text = json.dumps({"model": arguments.model, "machine": machine(), **result}, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
