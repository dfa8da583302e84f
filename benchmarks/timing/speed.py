"""Time and peak memory of every stage, as JSON.

    python -m benchmarks.timing.speed --model instant-mesh-base --random-weights
    python -m benchmarks.timing.speed --model instant-mesh-base --start-up
    python -m benchmarks.timing.speed --model tiny --photo photo.png

With --random-weights the reconstruction model has its official sizes and needs no download: six views (one for
single-view systems) through encoder and transformer, then the grid's values and the coloured mesh. The level of the
random field's surface is set so that it crosses about as many cubes as the released code's baseline did. Beside each
stage's time stands its floor, from `roofline`: its matrix products, or the bytes it can't do without, at the rates that
this machine reaches in the same run, the better of before and after (machines that are shared change their speed).
Times are medians of --repeats runs; memory is the process's peak while the stage ran, weights included.

With --start-up the same model is saved to a temporary folder and loaded from there by a fresh process: seconds until it
is loaded, of its first result, and of later ones.

On a machine with other work --cpu-time measures the processor time of one thread, of floors and stages alike.
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
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.results_file import document, write_results
from benchmarks.timing.roofline import Clock, Rates, config_of, count, measured_rates, reconstruction_work
from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.lrm.heads import RadianceField, SurfaceField, SurfaceHead
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.pipeline.loading import build
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.structures import Views
from instantmesh.surface.extraction import grid_axis
from instantmesh.surface.grid import surface_cubes
from instantmesh.systems.instantmesh import InstantMeshConfig

SURFACE_CUBES = 25_000  # of 128^3: what the released InstantMesh's baseline extracted
DENSITY_CUBES = 146_000  # of 256^3: half as many as the faces of the released TripoSR's baseline


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


def measure(stage: Callable[[], Any], repeats: int, clock: Clock = time.perf_counter) -> tuple[dict[str, float], Any]:
    """Median seconds and peak memory of a stage; and its result."""
    times, peak, result = [], 0, None
    for _ in range(repeats):
        with PeakMemory() as memory:
            start = clock()
            result = stage()
            times.append(clock() - start)
        peak = max(peak, memory.bytes)
    return {"seconds": round(statistics.median(times), 3), "peak_gb": round(peak / 1e9, 3)}, result


@torch.no_grad()
def reconstruction(name: str, repeats: int, clock: Clock) -> dict[str, Any]:
    """Stages of a reconstruction model of official size with random weights."""
    model, images, cameras = random_model(name)
    before = measured_rates(clock=clock)
    work = reconstruction_work(model.config)
    stages: dict[str, Any] = {}
    stages["encoder"], tokens = measure(lambda: model.tokens(images, cameras), repeats, clock)
    stages["transformer"], planes = measure(lambda: model.planes(tokens, cameras), repeats, clock)
    field = model.field(planes[0])
    give_surface(model, field)
    reconstructor = Reconstructor(model)
    work["extraction"] = count(lambda: reconstructor.extract(field).vertices, [], [planes])
    stages["extraction"], mesh = measure(lambda: reconstructor.extract(field), repeats, clock)
    rates = better(before, measured_rates(clock=clock))
    for name, stage in stages.items():
        floor = rates.floor(work[name])
        stage |= {"floor_seconds": round(floor, 3), "ratio": round(stage["seconds"] / floor, 2)}
    stages["all"] = {
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 3),
        "peak_gb": max(stage["peak_gb"] for stage in stages.values()),
        "floor_seconds": round(sum(stage["floor_seconds"] for stage in stages.values()), 3),
    }
    return {
        "stages": stages,
        "weights_gb": round(sum(x.numel() * x.element_size() for x in model.parameters()) / 1e9, 3),
        "resolution": model.config.grid_resolution,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "gflops": round(rates.flops / 1e9, 1),
        "gigabytes_per_second": round(rates.bytes / 1e9, 1),
    }


def better(a: Rates, b: Rates) -> Rates:
    """The higher of the rates of two measurements."""
    return Rates(a.dtype, max(a.flops, b.flops), max(a.bytes, b.bytes))


def random_model(name: str) -> tuple[ReconstructionModel, Tensor, Tensor | None]:
    """A model of official size with random weights; random views (1, v, 3, h, w) and their cameras' numbers."""
    torch.manual_seed(0)
    model = build(config_of(name)).requires_grad_(False).eval()
    size, cameras = model.config.image_size_px, None if model.single_view else six_view_cameras()
    numbers = model.camera_conditioning(cameras)
    images = torch.rand(1, 1 if cameras is None else len(cameras), 3, size, size)
    return model, images, None if numbers is None else numbers[None]


@torch.no_grad()
def start_up(name: str, repeats: int, cpu_time: bool) -> dict[str, Any]:
    """What a fresh process needs to load a model of official size, for its first result and for later ones."""
    model, images, cameras = random_model(name)
    if not isinstance(model.config, InstantMeshConfig):
        raise InputError("--start-up is for InstantMesh's models, whose folders the library writes")
    give_surface(model, model.field(model(images, cameras)[0]))
    with tempfile.TemporaryDirectory() as folder:
        _save(model, Path(folder) / "reconstruction")
        save_file({"images": images[0]}, Path(folder) / "views.safetensors")
        del model
        command = [
            sys.executable,
            "-m",
            "benchmarks.timing.speed",
            "--first-results-of",
            folder,
            "--repeats",
            str(repeats),
        ]
        command += ["--cpu-time"] if cpu_time else []
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"stages": json.loads(ran.stdout)}


def _save(model: ReconstructionModel, folder: Path) -> None:
    """As a model folder's `reconstruction/`, in float32 as the official checkpoints are."""
    folder.mkdir()
    save_file({name: x.contiguous() for name, x in model.official_state().items()}, folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(model.config.model_dump()))


def first_results(folder: Path, repeats: int, clock: Clock) -> dict[str, Any]:
    """In the fresh process: a folder's model, and views to coloured meshes with it."""
    views = Views(load_file(folder / "views.safetensors")["images"], six_view_cameras())

    def load() -> Pipeline:
        return Pipeline.from_pretrained(folder, "cpu", multiview=False)

    return loaded_and_run(load, lambda pipeline: pipeline.reconstructor(views), repeats, clock)


def loaded_and_run(
    load: Callable[[], Pipeline], run: Callable[[Pipeline], Any], repeats: int, clock: Clock
) -> dict[str, Any]:
    """Seconds to load, of the first run, and of the later ones with the ratio of the first to them."""
    start = clock()
    pipeline = load()
    loaded = clock() - start
    first, _ = measure(lambda: run(pipeline), 1, clock)
    steady, _ = measure(lambda: run(pipeline), repeats, clock)
    return {"load": {"seconds": round(loaded, 3)}, "first result": first, "later results": steady} | {
        "first / later": round(first["seconds"] / steady["seconds"], 2)
    }


def give_surface(model: ReconstructionModel, field: SurfaceField | RadianceField) -> None:
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


def whole_chain(name: str, photo: Path, repeats: int, steps: int, clock: Clock) -> dict[str, Any]:
    """Photo to GLB with a model that is here, and what came before it."""

    def run(pipeline: Pipeline) -> None:
        with tempfile.TemporaryDirectory() as folder:
            pipeline(photo, seed=0, steps=steps).mesh.save(Path(folder) / "mesh.glb")

    stages = loaded_and_run(lambda: Pipeline.from_pretrained(name, local_files_only=True), run, repeats, clock)
    return {"stages": {"import": {"seconds": import_seconds()}, **stages}, "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="instant-mesh-base")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--random-weights", action="store_true", help="official sizes, no files; reconstruction only")
    what.add_argument("--start-up", action="store_true", help="loading and first result in a fresh process")
    what.add_argument("--photo", type=Path, help="measure the whole chain on this image")
    what.add_argument("--first-results-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=75, help="denoising steps of the whole chain")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, on a machine with other work")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        torch.set_num_threads(1)
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    if arguments.first_results_of:
        print(json.dumps(first_results(arguments.first_results_of, arguments.repeats, clock)))
        return
    try:
        if arguments.random_weights:
            result = reconstruction(arguments.model, arguments.repeats, clock)
        elif arguments.start_up:
            result = start_up(arguments.model, arguments.repeats, arguments.cpu_time)
        else:
            result = whole_chain(arguments.model, arguments.photo, arguments.repeats, arguments.steps, clock)
    except InstantMeshError as error:
        sys.exit(f"error: {error}")
    measured = "processor time of one thread" if arguments.cpu_time else "wall time"
    print(document(model=arguments.model, seconds=measured, **result))
    write_results(arguments.out, model=arguments.model, seconds=measured, **result)


if __name__ == "__main__":
    main()
