"""Data sets on disk as sources of objects: folders of `instantmesh.data.layout`, and the same files in shards."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.data.layout import (
    Members,
    check_object_name,
    color_name,
    count_views,
    decode,
    decode_cameras,
    decode_on_white,
    folder_members,
)
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError
from instantmesh.structures import Cameras

OBJECTS = "objects.json"
INDEX = "index.json"
PLACES = "places.npy"


class StoredObjects(ABC):
    """Objects on disk, by number and by name. It holds no open files, so loader processes may share it.

    Attributes:
        names: of the objects, in the order of their numbers.
    """

    def __init__(self, names: Sequence[str], where: Path) -> None:
        if not names:
            if not where.is_dir():
                raise InputError(f"there is no folder {where}")
            raise InputError(f"{where} holds no rendered objects; `instantmesh data render` renders them from assets")
        self.names = list(names)

    @abstractmethod
    def members(self, index: int) -> AbstractContextManager[Members]:
        """The files of an object, open."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def view_count(self) -> int:
        """Views of the first object; all have as many, which `instantmesh data check` makes sure of."""
        return self._first_view_count

    @cached_property
    def _first_view_count(self) -> int:
        with self.members(0) as members:
            return count_views(members)

    def read(self, index: int, views: Sequence[int]) -> ObjectViews:
        """These views of an object, in this order.

        Raises:
            InputError: a file is missing or damaged; names the object and the file.
        """
        with self.members(index) as members:
            return decode(members, views, self.names[index])

    def read_on_white(self, index: int, views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (n, 3, s, s) on white and masks (n, 1, s, s); errors as in `layout.decode_on_white`."""
        with self.members(index) as members:
            return decode_on_white(members, views, self.names[index])

    def cameras(self, index: int) -> Cameras:
        """The cameras of all views of an object; errors as in `read`."""
        with self.members(index) as members:
            return decode_cameras(members, self.names[index])


class ObjectFolder(StoredObjects):
    """A folder with a folder for each object.

    Args:
        root: the data set.
        objects: names of the objects; by default those of `objects.json`, or else every complete folder inside.

    Raises:
        InputError: there are no objects, or `objects.json` isn't a list of names.
    """

    def __init__(self, root: str | PathLike[str], objects: Sequence[str] | None = None) -> None:
        self.root = Path(root)
        super().__init__(listed_objects(self.root) if objects is None else objects, self.root)

    @contextmanager
    def members(self, index: int) -> Iterator[Members]:
        """The files of an object."""
        yield folder_members(self.root / self.names[index])


class ObjectShards(StoredObjects):
    """A folder of shards that `instantmesh data pack` wrote; see `packing`.

    Raises:
        InputError: there is no index, or it is damaged.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / INDEX).read_text())
            shards: dict[str, list[str]] = index["shards"]
            self._column = {name: column for column, name in enumerate(index["files"])}
            self._shard = [shard for shard, names in shards.items() for _ in names]
            shape = self._places().shape
        except FileNotFoundError as error:
            raise InputError(f"{error.filename} is missing: {folder} holds no shards of `data pack`") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the index of {folder} is damaged: {error!r}") from error
        super().__init__([name for names in shards.values() for name in names], self.folder)
        if shape != (len(self), len(self._column), 2):
            raise InputError(f"the index of {folder} is damaged: {PLACES} has the shape {shape}")

    @contextmanager
    def members(self, index: int) -> Iterator[Members]:
        """The files of an object, out of its open archive."""
        places = self._places()[index]
        try:
            archive = (self.folder / self._shard[index]).open("rb")
        except OSError as error:
            raise InputError(f"{self.names[index]}: {error.filename}: {error.strerror}") from error
        with archive:
            yield lambda name: _read_at(archive, *places[self._column[name]].tolist())

    def _places(self) -> NDArray[np.int64]:
        """Mapped anew for every object: an open map would be copied into each loader process."""
        return np.load(self.folder / PLACES, mmap_mode="r")


def open_source(path: str | PathLike[str]) -> StoredObjects:
    """The data set in a folder: shards that `instantmesh data pack` wrote, or folders of objects.

    Raises:
        InputError: there is none.
    """
    return ObjectShards(path) if Path(path, INDEX).is_file() else ObjectFolder(path)


def listed_objects(root: Path) -> list[str]:
    """The names in `objects.json`, or else those of all complete folders, sorted.

    Raises:
        InputError: `objects.json` holds something else.
    """
    if not (root / OBJECTS).is_file():
        return sorted(path.parent.name for path in root.glob(f"[!.]*/{color_name(0)}"))
    return read_names(root / OBJECTS)


def read_names(path: Path) -> list[str]:
    """Names of objects in a JSON file: a list, or a mapping whose `objects` is one.

    Raises:
        InputError: the file holds something else, or a name that no object can have.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    names = content.get("objects") if isinstance(content, dict) else content
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} must hold a list of names, or a mapping with such a list as `objects`")
    return [check_object_name(name) for name in names]


def _read_at(archive: BinaryIO, offset: int, size: int) -> bytes:
    archive.seek(offset)
    content = archive.read(size)
    if len(content) != size:
        raise OSError(f"{archive.name} ends too early")
    return content
