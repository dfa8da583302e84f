"""A data set of procedural objects on disk: memory-mapped arrays, one row an object.

pictures.npy          (n, 7, s, s, 4) uint8 RGBA, straight alpha: the query view, then the six fixed views
points.npy            (n, p, 3) float16      distances.npy         (n, p) float16
surface_points.npy    (n, q, 3) float16      surface_distances.npy (n, q) float16
surface_colors.npy    (n, q, 3) uint8        surface_normals.npy   (n, q, 3) int8, times 127
done.npy              (n,) bool: rows that are complete, so that an interrupted run can go on
"""

import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from instantmesh.cameras import six_view_cameras
from instantmesh.data.procedural import HELD_OUT_SEED, ProceduralSurface
from instantmesh.data.rendering import ObjectRenderer, query_camera
from instantmesh.data.samples import geometry_samples
from instantmesh.data.slender import SLENDER_SEED, is_slender, object_of_seed
from instantmesh.errors import InputError

_SLENDER_SAMPLES: dict[str, Any] = {"near": 1408, "uniform": 640, "sigma": 0.03, "evenness": 0.5}


@dataclass(frozen=True)
class ProceduralDataset:
    """The arrays of the module's layout, in memory: random rows of mapped files are slow."""

    seeds: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    points: NDArray[np.float16]
    distances: NDArray[np.float16]
    surface_points: NDArray[np.float16]
    surface_distances: NDArray[np.float16]
    surface_colors: NDArray[np.uint8]
    surface_normals: NDArray[np.int8]

    @classmethod
    def open(cls, folder: str | Path) -> "ProceduralDataset":
        """Open a folder that `write_dataset` completed.

        Raises:
            InputError: there is no data set, or its writing was interrupted.
        """
        folder = Path(folder)
        if not (folder / "done.npy").is_file():
            raise InputError(f"{folder} holds no data set; write one with `instantmesh data procedural {folder}`")
        done = np.load(folder / "done.npy")
        if not done.all():
            raise InputError(
                f"{folder} is incomplete ({int(done.sum())} of {len(done)} objects); run its command again"
            )
        return cls(**{name: np.load(folder / f"{name}.npy") for name in cls.__dataclass_fields__})

    def __len__(self) -> int:
        return len(self.pictures)


def write_dataset(
    folder: str | Path, objects: int, size_px: int = 64, first_seed: int = 0, workers: int = 2, slender: int = 0
) -> None:
    """Write objects of seeds `first_seed`, ... into `folder`, or finish writing them. The same on every machine.

    The last `slender` of them have thin parts: those of seeds `SLENDER_SEED` + `first_seed`, ...

    Raises:
        InputError: the folder was begun with other objects; more are to be slender than there are; or the seeds run
            into the slender ones.
    """
    if slender > objects:
        raise InputError(f"{slender} of {objects} objects can't be slender")
    if is_slender(first_seed) or is_slender(first_seed + objects):
        raise InputError(f"seeds from {SLENDER_SEED:,} on are those of slender objects; ask for these by their number")
    folder = Path(folder)
    wanted = first_seed + np.concatenate([np.arange(objects - slender), SLENDER_SEED + np.arange(slender)])
    if not folder.joinpath("done.npy").exists():
        _allocate(folder, wanted, size_px)
    done, seeds = np.load(folder / "done.npy"), np.load(folder / "seeds.npy")
    if not np.array_equal(seeds, wanted):
        raise InputError(f"{folder} was begun with {len(done)} objects of other seeds (the first is {seeds[0]})")
    todo = [(str(folder), int(row), int(seeds[row]), size_px) for row in np.flatnonzero(~done)]
    with multiprocessing.get_context("spawn").Pool(workers, initializer=_one_thread) as pool:
        for _ in tqdm(pool.imap_unordered(_write_row, todo, chunksize=16), total=len(todo), unit="object"):
            pass


def _allocate(folder: Path, seeds: NDArray[np.int64], size_px: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    objects = len(seeds)
    for name, array in _row(HELD_OUT_SEED, size_px).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", array.dtype, (objects, *array.shape)).flush()
    np.save(folder / "seeds.npy", seeds)
    np.save(folder / "done.npy", np.zeros(objects, bool))


def _row(seed: int, size_px: int) -> dict[str, NDArray]:
    obj = object_of_seed(seed)
    surface = ProceduralSurface(obj)
    renderer = ObjectRenderer(surface)
    rng = np.random.default_rng([seed, 1])
    query = query_camera(surface.vertices, rng)
    pictures = np.concatenate([renderer.pictures(cameras, size_px) for cameras in (query, six_view_cameras())])
    samples = geometry_samples(obj, rng, **(_SLENDER_SAMPLES if is_slender(seed) else {}))
    return {"pictures": pictures, **asdict(samples)}


def _write_row(job: tuple[str, int, int, int]) -> None:
    folder, row, seed, size_px = job
    for name, array in _row(seed, size_px).items():
        np.load(Path(folder) / f"{name}.npy", mmap_mode="r+")[row] = array
    np.load(Path(folder) / "done.npy", mmap_mode="r+")[row] = True


def _one_thread() -> None:
    torch.set_num_threads(1)
