"""What became of one of many photos."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instantmesh.errors import InstantMeshError
from instantmesh.pipeline.result import Result

if TYPE_CHECKING:
    from instantmesh.images.reading import ImageSource


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a photo: a result, or the error that it failed with.

    Attributes:
        index: of the photo among those given.
        photo: as it was given.
        result: None where it failed.
        error: None where it didn't.
    """

    index: int
    photo: "ImageSource"
    result: Result | None
    error: InstantMeshError | None = None

    def unwrap(self) -> Result:
        """The result.

        Raises:
            InstantMeshError: the photo failed; its error.
        """
        if self.result is None:
            assert self.error is not None
            raise self.error
        return self.result
