"""Assets into a data set: what `instantmesh data render` does. It can be stopped and run again at any moment.

OUT/settings.json     what the images are like; a folder holds one kind
OUT/<object>/         as in `instantmesh.data.layout`; it appears when it is complete
OUT/failures.jsonl    name, path and reason of every asset that couldn't be rendered; they are tried again next time
OUT/objects.json      the objects that are there, by name
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from instantmesh.data import layout
from instantmesh.data.asset_names import NamedAsset
from instantmesh.data.assets import load_asset
from instantmesh.data.engines import Engine
from instantmesh.data.rigs import diffusion_cameras, random_cameras
from instantmesh.data.worker_pool import WorkerDied, run_in_processes
from instantmesh.errors import InstantMeshError, MissingBackendError, OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.files.settings_file import claim_folder
from instantmesh.structures import Cameras


class Layout(str, Enum):
    """Which views an object gets."""

    reconstruction = "reconstruction"  # random viewpoints
    diffusion = "diffusion"  # the query view and the six fixed poses


@dataclass(frozen=True)
class RenderSettings:
    """What decides the images, besides the assets."""

    layout: Layout
    views: int
    size_px: int
    seed: int
    engine: Engine = Engine.embree

    def cameras(self, name: str) -> Cameras:
        """The cameras of the object `name`: they depend on it and on the seed, not on the order of the work."""
        digest = hashlib.sha256(name.encode()).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(digest[:8], "little")])
        return diffusion_cameras(rng) if self.layout is Layout.diffusion else random_cameras(self.views, rng)

    def record(self) -> dict[str, Any]:
        """What settings.json says."""
        return {
            "layout": self.layout.value,
            "views": self.views,
            "size_px": self.size_px,
            "seed": self.seed,
            "look": self.engine.look,
        }


@dataclass(frozen=True)
class Failure:
    """An asset that couldn't be rendered."""

    name: str
    path: str
    reason: str


def render_assets(
    assets: Sequence[NamedAsset], out: Path, settings: RenderSettings, workers: int
) -> tuple[list[str], list[Failure]]:
    """Render `assets` into `out`, or the rest of them, where an earlier run has begun.

    Returns:
        The names of all objects in `out`, and the assets that failed.

    Raises:
        InputError: `out` was begun with other settings.
        OutputError: `out` can't be written.
        MissingBackendError: the engine isn't installed.
    """
    settings.engine.require()
    claim_folder(out, settings.record())
    todo = [asset for asset in assets if not (out / asset.name).is_dir()]
    work = partial(render_object, out=out, settings=settings)
    failures = []
    (out / "failures.jsonl").unlink(missing_ok=True)
    with tqdm(total=len(assets), initial=len(assets) - len(todo), unit="object") as progress:
        for asset, reason in _spread(work, todo, settings.engine, workers):
            progress.update()
            if reason is not None:
                failures.append(Failure(asset.name, str(asset.path), reason))
                progress.write(reason if str(asset.path) in reason else f"{asset.path}: {reason}", file=sys.stderr)
                with (out / "failures.jsonl").open("a") as file:
                    file.write(json.dumps(asdict(failures[-1])) + "\n")
    objects = object_names(out)
    listed = {"objects": objects, "count": len(objects), **settings.record()}
    write_bytes(out / "objects.json", (json.dumps(listed, indent=1) + "\n").encode())
    return objects, failures


def render_object(asset: NamedAsset, out: Path, settings: RenderSettings) -> str | None:
    """Render one asset into its folder, if it isn't there. Returns why it can't be done, or None.

    Raises:
        OutputError, MissingBackendError: the fault isn't the asset's.
    """
    folder = out / asset.name
    if folder.is_dir():
        return None
    try:
        surface = load_asset(asset.path)
        surface = surface.inside_ball() if settings.layout is Layout.diffusion else surface
        views = settings.engine.renderer()(surface, settings.cameras(asset.name), settings.size_px)
    except (OutputError, MissingBackendError):
        raise
    except InstantMeshError as error:
        return str(error)
    except Exception as error:  # assets are other people's: whatever they break is written down, and the rest goes on
        return f"{type(error).__name__}: {error}"
    if not bool(views.mask.any()):
        return "no camera sees anything of it"
    try:
        layout.write_object(folder, views)
    except OutputError:
        if not folder.is_dir():  # another process wasn't faster
            raise
    return None


def object_names(out: Path) -> list[str]:
    """The complete objects of a data set, sorted."""
    return sorted(path.parent.name for path in out.glob("[!.]*/cameras.npz"))


def _spread(
    work: Callable[[NamedAsset], str | None], assets: Iterable[NamedAsset], engine: Engine, workers: int
) -> Iterator[tuple[NamedAsset, str | None]]:
    """Assets and why they failed, or None, as they get ready."""
    if engine is Engine.ray:
        from instantmesh.data.ray_cluster import run_on_cluster

        outcomes = run_on_cluster(work, assets)
    else:
        outcomes = run_in_processes(work, assets, workers)
    for asset, outcome in outcomes:
        yield asset, outcome.reason if isinstance(outcome, WorkerDied) else outcome
