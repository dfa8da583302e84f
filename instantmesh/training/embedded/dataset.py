"""A data set with exact geometry on disk, one row an object: procedural ones, and rotated, recoloured 3D assets.

images.npy          (n, 7 + e, s, s, 4) uint8 RGBA, straight alpha: the query view from azimuth 0, the six fixed
                      views, e more query views from any azimuth
query_frames.npy      (n, 1 + e, 5) float32: the frame of each query view's object (`photo_frame`)
query_elevations.npy  (n, 1 + e) float32: from how high each query view was taken, degrees
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

from instantmesh.cameras import elevations_deg, six_view_cameras
from instantmesh.config import StrictModel
from instantmesh.data.assets import load_asset
from instantmesh.data.object_renderer import ObjectRenderer, Surface, query_camera
from instantmesh.data.procedural.thin_parts import THIN_PARTS_SEED, has_thin_parts, object_of_seed
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.training.embedded.asset_samples import asset_samples
from instantmesh.training.embedded.photo_frame import photo_frame
from instantmesh.training.embedded.samples import GeometrySamples, geometry_samples
from instantmesh.training.embedded.varied_asset import VariedAsset

logger = logging.getLogger("instantmesh.data")

_THIN_PARTS_SAMPLES: dict[str, Any] = {"near": 1408, "uniform": 640, "sigma": 0.03, "evenness": 0.5}
_TO_DO, _COMPLETE, _FAILED = 0, 1, 2


class DatasetConfig(StrictModel):
    """Which data set a stage of the embedded model is trained on.

    Attributes:
        folder: what `instantmesh data procedural` wrote.
    """

    folder: str


@dataclass(frozen=True)
class GeometryDataset:
    """The arrays of the module's layout, in memory: random rows of mapped files are slow.

    Attributes:
        assets: lines of assets.txt.
        images: those of images.npy.
        samples: with a row for each object.
    """

    assets: tuple[str, ...]
    seeds: NDArray[np.int64]
    asset_index: NDArray[np.int32]
    images: NDArray[np.uint8]
    query_frames: NDArray[np.float32]
    query_elevations: NDArray[np.float32]
    samples: GeometrySamples

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

        def load(name: str) -> NDArray:
            array = np.load(folder / f"{name}.npy")
            return array if len(good) == len(state) else array[good]

        samples = GeometrySamples(**{field.name: load(field.name) for field in fields(GeometrySamples)})
        seeds, asset_index = load("seeds"), load("asset_index")
        images, frames, elevations = (load(name) for name in ("images", "query_frames", "query_elevations"))
        return cls(_read_assets(folder), seeds, asset_index, images, frames, elevations, samples)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def query_places(self) -> NDArray[np.int64]:
        """Which of the images are query views: the six views stand between the first and the others."""
        return np.r_[0, 7 : self.images.shape[1]]

    def surface(self, row: int) -> tuple[Surface, bool]:
        """What the images of a row show, and whether its faces have two sides (`ObjectRenderer`)."""
        index = int(self.asset_index[row])
        surface, _ = _object(int(self.seeds[row]), None if index < 0 else self.assets[index])
        return surface, index >= 0


def write_dataset(
    folder: str | Path,
    objects: int,
    size_px: int = 64,
    first_seed: int = 0,
    workers: int = 2,
    thin_parts: int = 0,
    assets: Sequence[Path] = (),
    variations: int = 8,
    more_queries: int = 0,
) -> int:
    """Write objects of seeds `first_seed`, ... into `folder`, or finish writing them. The same on every machine.

    The last `thin_parts` of them have thin parts: those of seeds `THIN_PARTS_SEED` + `first_seed`, ... Then come the
    assets, each `variations` times, with other rotations, colours and lights (`VariedAsset`).

    Args:
        folder: of the data set.
        objects: how many procedural ones.
        size_px: side of the images.
        first_seed: of the procedural objects.
        workers: processes.
        thin_parts: how many of the procedural objects have thin parts.
        assets: files of 3D assets.
        variations: of each asset.
        more_queries: query views of every object beside the one from azimuth 0, from any azimuth.

    Returns:
        How many objects of the folder failed; failures.txt says why.

    Raises:
        InputError: the folder was begun with other objects; more are to have thin parts than there are; or the seeds
            run into those of thin parts.
    """
    if thin_parts > objects:
        raise InputError(f"{thin_parts} of {objects} objects can't have thin parts")
    if has_thin_parts(first_seed) or has_thin_parts(first_seed + objects):
        raise InputError(
            f"seeds from {THIN_PARTS_SEED:,} on are those of objects with thin parts; ask for them by their number"
        )
    folder = Path(folder)
    procedural = first_seed + np.concatenate([np.arange(objects - thin_parts), THIN_PARTS_SEED + np.arange(thin_parts)])
    seeds = np.concatenate([procedural, np.arange(len(assets) * variations)]).astype(np.int64)
    index = np.concatenate([np.full(objects, -1), np.repeat(np.arange(len(assets)), variations)]).astype(np.int32)
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
    return int((np.load(folder / "state.npy") == _FAILED).sum())


def _allocate(
    folder: Path,
    seeds: NDArray[np.int64],
    index: NDArray[np.int32],
    assets: Sequence[Path],
    size_px: int,
    more_queries: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in dataset_row(HELD_OUT_SEED, None, size_px, more_queries).items():
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
        return VariedAsset(load_asset(asset), seed), None
    obj = object_of_seed(seed)
    return ProceduralSurface(obj), obj


def dataset_row(seed: int, asset: str | None, size_px: int, more_queries: int) -> dict[str, NDArray]:
    """The arrays of one object, by the names of their files."""
    surface, obj = _object(seed, asset)
    renderer = ObjectRenderer(surface, two_sided=asset is not None)
    rng = np.random.default_rng([seed, 1])
    queries = [query_camera(surface.vertices, rng)]
    images = [renderer.rgba_images(cameras, size_px) for cameras in (queries[0], six_view_cameras())]
    samples: GeometrySamples
    if isinstance(surface, VariedAsset):
        samples = asset_samples(surface, rng)
    else:
        samples = geometry_samples(obj, rng, **(_THIN_PARTS_SAMPLES if has_thin_parts(seed) else {}))
    azimuths = [0.0, *rng.uniform(0, 2 * np.pi, more_queries)]
    for azimuth in azimuths[1:]:
        queries.append(query_camera(surface.vertices, rng, float(np.rad2deg(azimuth))))
        images.append(renderer.rgba_images(queries[-1], size_px))
    elevations = [float(elevations_deg(camera)) for camera in queries]
    frames = np.stack([photo_frame(surface.vertices, *pose) for pose in zip(azimuths, elevations, strict=True)])
    return {
        "images": np.concatenate(images),
        "query_frames": frames,
        "query_elevations": np.array(elevations, np.float32),
        **asdict(samples),
    }


def _write_row(job: tuple[str, int, int, str | None]) -> str | None:
    """Write a row; returns what went wrong, if something did."""
    folder, row, seed, asset = job
    kept = np.load(Path(folder) / "images.npy", mmap_mode="r")
    size_px, more_queries = kept.shape[2], kept.shape[1] - 7
    state = np.load(Path(folder) / "state.npy", mmap_mode="r+")
    try:
        arrays = dataset_row(seed, asset, size_px, more_queries)
    except InstantMeshError as error:
        state[row] = _FAILED
        return f"{asset or seed}: {error}"
    for name, array in arrays.items():
        np.load(Path(folder) / f"{name}.npy", mmap_mode="r+")[row] = array
    state[row] = _COMPLETE
    return None


def _one_thread() -> None:
    torch.set_num_threads(1)
