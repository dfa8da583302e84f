"""Every figure that needs a GPU, with random weights at official sizes, in one command of under ten minutes.

    python -m benchmarks.timing.gpu
    python -m benchmarks.timing.gpu --small --device cpu

writes benchmarks/results/gpu.json, row by row, so that what was measured is there if a later row fails. Each row has
median seconds of runs that were waited for, after one that doesn't count (it compiles), the peak of GPU memory,
and where there is one the floor: matrix products at the rate of one large product in the same run (`roofline`).

- Six views to planes, and to a coloured mesh: float32, bfloat16, and bfloat16 compiled. A random field's surface is set
  to cross about as many cubes as the released code's baseline did; it is rougher than an object's.
- How far the bfloat16 mesh is from the float32 one: Chamfer distance, beside that of two samples of the same mesh.
- How often extraction waits for the GPU.
- Photo to mesh in the memory modes that have networks take turns, with their peaks.
- Photo to six views: 75 steps and the fast mode, each plain and compiled; photo to GLB with a texture.
- A list of photos in batches, and how busy the GPU is meanwhile by nvidia-smi.

--small takes `tiny` and few steps: for trying the command, not for figures. Not for a CPU otherwise.
"""

import argparse
import gc
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate.hooks import remove_hook_from_module

from benchmarks.results_file import write_results
from benchmarks.timing.roofline import Rates, config_of, denoising_work, measured_rates, reconstruction_work, seconds
from benchmarks.timing.speed import give_surface
from instantmesh.cameras import six_view_cameras
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.hub import asset_folder
from instantmesh.multiview.zero123plus import Zero123PlusPipeline
from instantmesh.multiview.zero123plus_generator import DEFAULT_STEPS, FAST_STEPS, Zero123PlusGenerator
from instantmesh.pipeline.loading import build
from instantmesh.pipeline.offloading import place_networks
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.structures import Mesh, Views

OUT = Path(__file__).parents[1] / "results" / "gpu.json"
PHOTO = Path(__file__).parents[2] / "examples" / "carriage.png"
MODELS = ("instant-mesh-large", "instant-mesh-base", "triposr")
WHOLE_CHAIN = "instant-mesh-large"
TEXTURE_PX = 1024
REPEATS = 5
CHAIN_REPEATS = 2
PHOTOS, BATCH_SIZE = 32, 4


class Report:
    """Rows by name, written to a file after each."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._path, self._content = path, {**head, "rows": {}}
        self._start = time.perf_counter()

    def row(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure and write a row; one that fails says why, and the others follow."""
        if torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            values = measure()
        except Exception as error:  # whatever it is, the other rows are worth their time on the machine
            values = _failure(error)
        if torch.cuda.is_available():
            values["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        self._write(name, values)

    def part(self, name: str, rows: Callable[[], None]) -> None:
        """Several rows with what they have in common; where that fails there is one row that says why."""
        try:
            rows()
        except Exception as error:
            self._write(name, _failure(error))

    def _write(self, name: str, values: dict[str, Any]) -> None:
        self._content["rows"][name] = values
        self._content["minutes"] = round((time.perf_counter() - self._start) / 60, 1)
        write_results(self._path, **self._content)
        print(f"{self._content['minutes']:5.1f} min  {name}: {values}", flush=True)


def _failure(error: Exception) -> dict[str, Any]:
    traceback.print_exception(error)
    return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


def timed(stage: Callable[[], Any], device: torch.device, repeats: int, floor: float | None = None) -> dict[str, float]:
    """Median seconds of a stage, and its ratio to the floor."""
    row = {"seconds": float(f"{median(seconds(stage, device, repeats)):.4g}")}
    if floor is not None:
        row |= {"floor_seconds": float(f"{floor:.4g}"), "ratio": round(row["seconds"] / floor, 2)}
    return row


def reconstruction_rows(report: Report, name: str, device: torch.device, rates: dict[torch.dtype, Rates]) -> None:
    """Of one model: planes, mesh, and what bfloat16 changes."""
    torch.manual_seed(0)
    config = config_of(name)
    work = reconstruction_work(config)
    with device:
        model = build(config).requires_grad_(False).eval()
    size = config.image_size_px
    views = Views(torch.rand(1, 3, size, size)) if model.single_view else random_views(size)
    plain = Reconstructor(model)
    give_surface(model, plain.encode(views))
    meshes: dict[torch.dtype, Mesh] = {}

    def rows(reconstructor: Reconstructor, label: str) -> None:
        speed = rates[reconstructor.dtype]
        floor = speed.floor(work["encoder"]) + speed.floor(work["transformer"])
        grid = rates[torch.float32].floor(work["grid"])
        field = reconstructor.encode(views)
        report.row(
            f"{name}, {label}: planes", lambda: timed(lambda: reconstructor.encode(views), device, REPEATS, floor)
        )
        report.row(f"{name}, {label}: mesh", lambda: timed(lambda: reconstructor.extract(field), device, REPEATS, grid))
        report.row(
            f"{name}, {label}: planes and mesh",
            lambda: timed(lambda: reconstructor(views), device, REPEATS, floor + grid),
        )

    rows(plain, "float32")
    meshes[torch.float32] = plain(views)
    if device.type == "cuda" and name.startswith("instant-mesh"):
        report.row(f"{name}: waits", lambda: {"waits": waits(lambda: plain.extract(plain.encode(views)))})
    lowered = Reconstructor(model, torch.bfloat16)
    rows(lowered, "bfloat16")
    report.row(f"{name}: bfloat16 and float32 meshes", lambda: difference(lowered(views), meshes[torch.float32]))
    lowered.compile(**({"mode": "reduce-overhead"} if device.type == "cuda" else {"backend": "aot_eager"}))
    rows(lowered, "bfloat16, compiled")


def random_views(size_px: int) -> Views:
    """Six smooth images."""
    coarse = torch.rand(6, 3, 5, 5)
    return Views(
        torch.nn.functional.interpolate(coarse, (size_px, size_px), mode="bicubic").clamp(0, 1), six_view_cameras()
    )


def difference(ours: Mesh, expected: Mesh) -> dict[str, float]:
    """Chamfer distance of two meshes, and of the second one's samples among themselves."""
    return {
        "chamfer": round(geometry_scores(ours, expected).chamfer, 5),
        "chamfer of one mesh's samples": round(geometry_scores(expected, expected).chamfer, 5),
    }


def waits(stage: Callable[[], Any]) -> int:
    """How often the host waits for the GPU, by CUDA's own account."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            stage()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


def sampling_rows(report: Report, generator: Zero123PlusGenerator, steps: int, rates: Rates, floors: bool) -> None:
    """Photo to six views: exact and fast, plain and compiled."""
    device = generator.pipeline.device
    photo = torch.rand(3, 320, 320)
    step = rates.floor(denoising_work()["denoising step"]) if floors else None

    def rows(label: str) -> None:
        for mode, count, fast in (("exact", steps, False), ("fast", min(steps, FAST_STEPS), True)):
            floor = None if step is None or fast else step * count  # the fast mode makes fewer passes a step

            def sample(count: int = count, fast: bool = fast) -> list[Views]:
                generators = [torch.Generator().manual_seed(0)]
                return generator.generate([photo], steps=count, fast=fast, generators=generators)

            report.row(
                f"six views, {mode}, {count} steps{label}",
                lambda sample=sample, floor=floor: timed(sample, device, CHAIN_REPEATS, floor),
            )

    rows("")
    generator.compile(**({} if device.type == "cuda" else {"backend": "eager"}))
    rows(", compiled")


def whole_chain(generator: Zero123PlusGenerator, name: str) -> Pipeline:
    """The multiview stage and a random reconstruction model whose surface is about an object's."""
    device = generator.pipeline.device
    with device:
        model = build(config_of(name)).requires_grad_(False).eval()
    reconstructor = Reconstructor(model, torch.bfloat16 if device.type == "cuda" else torch.float32)
    pipeline = Pipeline(generator, reconstructor)
    give_surface(model, reconstructor.encode(pipeline.generate_views(pipeline.prepare(PHOTO), seed=0, steps=1)))
    return pipeline


def memory_rows(report: Report, pipeline: Pipeline, device: torch.device, steps: int) -> None:
    """The modes in which networks take turns; afterwards all of them are on the device again."""
    assert isinstance(pipeline.multiview, Zero123PlusGenerator)
    stages = [pipeline.multiview.networks, pipeline.reconstructor.networks]
    networks = [network for stage in stages for network in stage]
    for mode in ("low", "minimal"):
        for network in networks:
            torch.nn.Module.to(network, "cpu")
        place_networks(stages, device, mode)
        report.row(
            f"photo to mesh, fast, memory={mode!r}",
            lambda: timed(lambda: pipeline(PHOTO, seed=0, fast=True, steps=steps), device, CHAIN_REPEATS),
        )
        for network in networks:
            remove_hook_from_module(network)
            torch.nn.Module.to(network, device)


def chain_rows(report: Report, pipeline: Pipeline, device: torch.device, steps: int) -> None:
    """Photo to GLB with a texture; the networks as they are, compiled or not."""

    def to_glb(count: int, fast: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            result = pipeline(PHOTO, seed=0, steps=count, fast=fast, texture_size=TEXTURE_PX)
            result.mesh.save(Path(folder) / "mesh.glb")

    for mode, count, fast in (("exact", steps, False), ("fast", min(steps, FAST_STEPS), True)):
        report.row(
            f"photo to textured GLB, {mode}, {count} steps",
            lambda count=count, fast=fast: timed(lambda: to_glb(count, fast), device, CHAIN_REPEATS),
        )


def throughput(pipeline: Pipeline, photos: int, steps: int, on_gpu: bool) -> dict[str, Any]:
    """Many photos to GLBs with the fast mode, in batches; and the share of time in which the GPU had work."""
    with tempfile.TemporaryDirectory() as folder, Busy(on_gpu) as busy:
        start = time.perf_counter()
        outcomes = pipeline.stream([PHOTO] * photos, seed=0, fast=True, steps=steps, batch_size=BATCH_SIZE)
        for number, outcome in enumerate(outcomes):
            outcome.unwrap().mesh.save(Path(folder) / f"{number}.glb")
        taken = time.perf_counter() - start
    return {"photos": photos, "batch_size": BATCH_SIZE, "seconds_per_photo": round(taken / photos, 3)} | busy.share


class Busy:
    """Asks nvidia-smi ten times a second how busy the GPU is while the block runs.

    Attributes:
        share: {"busy": mean share of time in which a kernel ran}; empty without a GPU.
    """

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu, self.share = on_gpu, dict[str, float]()

    def __enter__(self) -> "Busy":
        if self._on_gpu:
            query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
            self._watch = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_gpu:
            self._watch.terminate()
            percents = [float(line) for line in self._watch.communicate()[0].split()]
            self.share["busy"] = round(sum(percents) / len(percents) / 100, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny and two steps: tries the command")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("error: there is no GPU here; --small --device cpu tries the command")
    small, steps = arguments.small, 2 if arguments.small else DEFAULT_STEPS
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    types = (torch.float32, torch.bfloat16, torch.float16)
    rates = {kind: measured_rates(device, kind, 256 if small else None) for kind in types}
    head = {
        "small": small,
        "tflops": {str(kind).removeprefix("torch."): round(rate.flops / 1e12, 3) for kind, rate in rates.items()},
        "gigabytes_per_second": round(rates[torch.float32].bytes / 1e9, 1),
    }
    report = Report(arguments.out, head)
    for name in ("tiny",) if small else MODELS:
        report.part(name, lambda name=name: reconstruction_rows(report, name, device, rates))
    if small:
        pipeline = Zero123PlusPipeline.from_pretrained(asset_folder("weights") / "tiny" / "multiview").to(device)
        pipeline.set_progress_bar_config(disable=True)
    else:
        from benchmarks.timing.official_multiview import official_multiview

        pipeline = official_multiview(device, dtype)
    generator, fast_steps = Zero123PlusGenerator(pipeline), min(steps, FAST_STEPS)
    chain = whole_chain(generator, "tiny" if small else WHOLE_CHAIN)
    if device.type == "cuda":
        report.part("memory modes", lambda: memory_rows(report, chain, device, fast_steps))
    report.part("six views", lambda: sampling_rows(report, generator, steps, rates[dtype], floors=not small))
    report.part("photo to textured GLB", lambda: chain_rows(report, chain, device, steps))
    photos = BATCH_SIZE + 1 if small else PHOTOS
    report.row("a list of photos", lambda: throughput(chain, photos, fast_steps, device.type == "cuda"))


if __name__ == "__main__":
    main()
