"""WebDataset shards: the objects' files in tar archives, for storage that dislikes many small files.

    000000.tar, 000001.tar, ...   <object>.cameras.npz, <object>.000.png, <object>.000_normal.png, ...
    places.npy    (objects, files of an object, 2) int64: where each file's bytes begin in its archive, and how many
    index.json    the archives, the objects in each, and the files of an object in the order of places.npy

The archives are plain WebDataset: `webdataset.WebDataset` streams them. The index adds reading in any order, which
training needs (`reading.ObjectShards`).
"""

import json
import tarfile
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from instantmesh import backends
from instantmesh.data.layout import member_names
from instantmesh.data.stored_objects import INDEX, PLACES, ObjectFolder, ObjectShards
from instantmesh.errors import InputError
from instantmesh.files.atomic import new_folder


def pack(root: str | PathLike[str], out: str | PathLike[str], objects_per_shard: int = 100) -> ObjectShards:
    """Put the objects of a folder into shards, in their order, byte for byte. `out` appears when it is complete.

    Raises:
        InputError: an object lacks a file, or has another number of views than the first.
        OutputError: `out` exists or can't be written.
        MissingBackendError: `webdataset` isn't installed.
    """
    backends.load("webdataset")
    source = ObjectFolder(root)
    files = member_names(source.view_count)
    shards: dict[str, list[str]] = {}
    places: list[NDArray[np.int64]] = []
    with new_folder(out) as folder:
        for start in tqdm(range(0, len(source), objects_per_shard), unit="shard"):
            objects = range(start, min(start + objects_per_shard, len(source)))
            name = f"{len(shards):06d}.tar"
            shards[name] = [source.names[index] for index in objects]
            _write_shard(folder / name, source, objects, files)
            places.append(_find_places(folder / name, shards[name], files))
        np.save(folder / PLACES, np.concatenate(places))
        (folder / INDEX).write_text(json.dumps({"files": files, "shards": shards}, indent=1) + "\n")
    return ObjectShards(out)


def _write_shard(path: Path, source: ObjectFolder, objects: range, files: list[str]) -> None:
    webdataset = backends.load("webdataset")
    with path.open("wb") as stream, webdataset.TarWriter(stream, encoder=False, mtime=0, format="PAX_FORMAT") as writer:
        for index in objects:
            name = source.names[index]
            if len(source.cameras(index)) != source.view_count:
                raise InputError(
                    f"{name} has {len(source.cameras(index))} views, {source.names[0]} has {source.view_count}"
                )
            with source.members(index) as members:
                try:
                    writer.write({"__key__": name, **{file: members(file) for file in files}})
                except FileNotFoundError as error:
                    raise InputError(f"{name}: {Path(error.filename).name} is missing") from error


def _find_places(path: Path, names: list[str], files: list[str]) -> NDArray[np.int64]:
    """Offset and size (objects, files, 2) of every file of an archive."""
    with tarfile.open(path) as archive:
        found = {member.name: (member.offset_data, member.size) for member in archive}
    return np.array([[found[f"{name}.{file}"] for file in files] for name in names], np.int64)
