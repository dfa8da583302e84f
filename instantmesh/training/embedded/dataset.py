"""A data set of objects with exact geometry on disk, one row an object: procedural ones and turned, varied 3D assets.

pictures.npy          (n, 7 + e, s, s, 4) uint8 RGBA, straight alpha: the query view from azimuth 0, the six fixed
                      views, e more query views from any azimuth
query_frames.npy      (n, 1 + e, 5) float32: the frame of each query view's object (`photo_frame`)
points.npy            (n, p, 3) float16      distances.npy         (n, p) float16
surface_points.npy    (n, q, 3) float16      surface_distances.npy (n, q) float16
surface_colors.npy    (n, q, 3) uint8        surface_normals.npy   (n, q, 3) int8, times 127
seeds.npy             (n,) int64: of the procedural object, or of the asset's variation
asset_index.npy       (n,) int32: the asset's line in assets.txt; -1 for procedural objects
state.npy             (n,) uint8: 0 to do, 1 complete, 2 failed (failures.txt says why), so that an interrupted run can
                      go on
"""

import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from instantmesh.cameras import six_view_cameras
from instantmesh.data.assets import load_model
from instantmesh.data.object_renderer import ObjectRenderer, Surface, query_camera
from instantmesh.data.procedural.thin_parts import SLENDER_SEED, is_slender, object_of_seed
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface
from instantmesh.errors import InputError
from instantmesh.training.embedded.asset_samples import asset_samples
from instantmesh.training.embedded.photo_frame import photo_frame
from instantmesh.training.embedded.samples import GeometrySamples, geometry_samples
from instantmesh.training.embedded.varied_asset import VariedAsset

logger = logging.getLogger("instantmesh.data")

_SLENDER_SAMPLES: dict[str, Any] = {"near": 1408, "uniform": 640, "sigma": 0.03, "evenness": 0.5}
_TO_DO, _COMPLETE, _FAILED = 0, 1, 2


@dataclass(frozen=True)
class GeometryDataset:
    """The arrays of the module's layout, in memory: random rows of mapped files are slow."""

    assets: tuple[str, ...]
    seeds: NDArray[np.int64]
    asset_index: NDArray[np.int32]
    pictures: NDArray[np.uint8]
    query_frames: NDArray[np.float32]
    points: NDArray[np.float16]
    distances: NDArray[np.float16]
    surface_points: NDArray[np.float16]
    surface_distances: NDArray[np.float16]
    surface_colors: NDArray[np.uint8]
    surface_normals: NDArray[np.int8]

    @classmethod
    def open(cls, folder: str | Path) -> "GeometryDataset":
        """Open a folder that `write_dataset` completed; rows that failed are left out.

        Raises:
            InputError: there is no data set, or its writing was interrupted.
        """
        folder = Path(folder)
        if not (folder / "state.npy").is_file():
            raise InputError(f"{folder} holds no data set; write one with `instantmesh data procedural {folder}`")
        state = np.load(folder / "state.npy")
        if (state == _TO_DO).any():
            complete = int((state != _TO_DO).sum())
            raise InputError(f"{folder} is incomplete ({complete} of {len(state)} objects); run its command again")
        good = np.flatnonzero(state == _COMPLETE)
        names = [field.name for field in fields(cls) if field.name != "assets"]
        arrays = {name: np.load(folder / f"{name}.npy") for name in names}
        if len(good) < len(state):
            arrays = {name: array[good] for name, array in arrays.items()}
        return cls(_read_assets(folder), **arrays)

    def __len__(self) -> int:
        return len(self.pictures)

    def surface(self, row: int) -> tuple[Surface, bool]:
        """What the pictures of a row show, and whether its faces have two sides (`ObjectRenderer`)."""
        index = int(self.asset_index[row])
        surface, _ = _object(int(self.seeds[row]), None if index < 0 else self.assets[index])
        return surface, index >= 0


def write_dataset(
    folder: str | Path,
    objects: int,
    size_px: int = 64,
    first_seed: int = 0,
    workers: int = 2,
    slender: int = 0,
    assets: Sequence[Path] = (),
    turns: int = 8,
    more_queries: int = 0,
) -> None:
    """Write objects of seeds `first_seed`, ... into `folder`, or finish writing them. The same on every machine.

    The last `slender` of them have thin parts: those of seeds `SLENDER_SEED` + `first_seed`, ... Then come the assets,
    each `turns` times, differently turned, coloured and lit (`VariedAsset`).

    Args:
        more_queries: query views of every object beside the one from azimuth 0, from any azimuth.

    Raises:
        InputError: the folder was begun with other objects; more are to be slender than there are; or the seeds run
            into the slender ones.
    """
    if slender > objects:
        raise InputError(f"{slender} of {objects} objects can't be slender")
    if is_slender(first_seed) or is_slender(first_seed + objects):
        raise InputError(f"seeds from {SLENDER_SEED:,} on are those of slender objects; ask for these by their number")
    folder = Path(folder)
    procedural = first_seed + np.concatenate([np.arange(objects - slender), SLENDER_SEED + np.arange(slender)])
    seeds = np.concatenate([procedural, np.arange(len(assets) * turns)]).astype(np.int64)
    index = np.concatenate([np.full(objects, -1), np.repeat(np.arange(len(assets)), turns)]).astype(np.int32)
    if not folder.joinpath("state.npy").exists():
        _allocate(folder, seeds, index, assets, size_px, more_queries)
    _check_begun(folder, seeds, index, assets)
    state = np.load(folder / "state.npy")
    todo = [
        (str(folder), int(row), int(seeds[row]), None if index[row] < 0 else str(assets[index[row]]))
        for row in np.flatnonzero(state == _TO_DO)
    ]
    with multiprocessing.get_context("spawn").Pool(workers, initializer=_one_thread) as pool:
        for failure in tqdm(pool.imap_unordered(_write_row, todo, chunksize=16), total=len(todo), unit="object"):
            if failure:
                logger.warning(failure)
                with (folder / "failures.txt").open("a") as file:
                    file.write(failure + "\n")


def _allocate(
    folder: Path,
    seeds: NDArray[np.int64],
    index: NDArray[np.int32],
    assets: Sequence[Path],
    size_px: int,
    more_queries: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in _row(HELD_OUT_SEED, None, size_px, more_queries).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", array.dtype, (len(seeds), *array.shape)).flush()
    folder.joinpath("assets.txt").write_text("".join(f"{path}\n" for path in assets))
    np.save(folder / "seeds.npy", seeds)
    np.save(folder / "asset_index.npy", index)
    np.save(folder / "state.npy", np.full(len(seeds), _TO_DO, np.uint8))


def _check_begun(folder: Path, seeds: NDArray, index: NDArray, assets: Sequence[Path]) -> None:
    begun = np.load(folder / "seeds.npy")
    same_rows = np.array_equal(begun, seeds) and np.array_equal(np.load(folder / "asset_index.npy"), index)
    if not same_rows or _read_assets(folder) != tuple(map(str, assets)):
        raise InputError(f"{folder} was begun with {len(begun)} objects of other seeds or assets")


def _read_assets(folder: Path) -> tuple[str, ...]:
    return tuple(folder.joinpath("assets.txt").read_text().splitlines())


def _object(seed: int, asset: str | None) -> tuple[Surface, Any]:
    """The surface of a row, and the object itself if it is procedural."""
    if asset is not None:
        return VariedAsset(load_model(asset), seed), None
    obj = object_of_seed(seed)
    return ProceduralSurface(obj), obj


def _row(seed: int, asset: str | None, size_px: int, more_queries: int) -> dict[str, NDArray]:
    surface, obj = _object(seed, asset)
    renderer = ObjectRenderer(surface, two_sided=asset is not None)
    rng = np.random.default_rng([seed, 1])
    query = query_camera(surface.vertices, rng)
    pictures = [renderer.pictures(cameras, size_px) for cameras in (query, six_view_cameras())]
    samples: GeometrySamples
    if isinstance(surface, VariedAsset):
        samples = asset_samples(surface, rng)
    else:
        samples = geometry_samples(obj, rng, **(_SLENDER_SAMPLES if is_slender(seed) else {}))
    azimuths = [0.0, *rng.uniform(0, 2 * np.pi, more_queries)]
    for azimuth in azimuths[1:]:
        camera = query_camera(surface.vertices, rng, float(np.rad2deg(azimuth)))
        pictures.append(renderer.pictures(camera, size_px))
    frames = np.stack([photo_frame(surface.vertices, azimuth) for azimuth in azimuths])
    return {"pictures": np.concatenate(pictures), "query_frames": frames, **asdict(samples)}


def _write_row(job: tuple[str, int, int, str | None]) -> str | None:
    """Write a row; returns what went wrong, if something did."""
    folder, row, seed, asset = job
    kept = np.load(Path(folder) / "pictures.npy", mmap_mode="r")
    size_px, more_queries = kept.shape[2], kept.shape[1] - 7
    state = np.load(Path(folder) / "state.npy", mmap_mode="r+")
    try:
        arrays = _row(seed, asset, size_px, more_queries)
    except (InputError, ValueError) as error:
        state[row] = _FAILED
        return f"{asset or seed}: {error}"
    for name, array in arrays.items():
        np.load(Path(folder) / f"{name}.npy", mmap_mode="r+")[row] = array
    state[row] = _COMPLETE
    return None


def _one_thread() -> None:
    torch.set_num_threads(1)
