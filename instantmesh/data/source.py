"""Where training gets its objects from: folders, shards and procedural shapes look the same."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from instantmesh.data.views import ObjectViews


@runtime_checkable
class ObjectSource(Protocol):
    """Objects by number, each with the same number of views."""

    @property
    def view_count(self) -> int:
        """Views of every object: random ones, or seven, the query and the six fixed ones."""
        ...

    def __len__(self) -> int:
        """How many objects there are."""
        ...

    def read(self, index: int, views: Sequence[int]) -> ObjectViews:
        """These views of an object, in this order: the same whenever they are asked for."""
        ...
