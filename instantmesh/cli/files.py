"""Files that commands read and write: found, named and refused before any work is done."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from instantmesh.cli.options import CameraConvention, CameraPoses, LengthUnit, Origin, TextureFormat
from instantmesh.errors import InputError, InstantMeshError, OutputError
from instantmesh.files.frame import Frame
from instantmesh.files.mesh_files import check_ending, check_frame, check_texture, written_files
from instantmesh.images.decoding import PHOTO_ENDINGS

if TYPE_CHECKING:
    from instantmesh.pipeline.outcome import Outcome
    from instantmesh.structures import Views

_WRITTEN_IMAGES = ("_views", "_preview")  # ends of the names of images that are written beside a photo's mesh


class PhotoFiles:
    """The files written for one photo."""

    def __init__(self, out: Path, stem: str, ending: str) -> None:
        self.mesh = out / f"{stem}.{ending}"
        check_ending(self.mesh)
        self.views, self.preview = (out / f"{stem}{end}.png" for end in _WRITTEN_IMAGES)

    def check(self, overwrite: bool) -> None:
        """The mesh, which is written last, says whether a photo is done; the images are replaced."""
        refuse_existing(written_files(self.mesh), overwrite)

    def write(self, outcome: "Outcome", saving: dict[str, Any], overwrite: bool) -> str:
        """Write what became of a photo; where to, in words."""
        from instantmesh.render.preview import save_preview

        result = outcome.unwrap()
        result.views.save(self.views)
        save_preview(result.mesh, self.preview)
        result.mesh.save(self.mesh, **saving, overwrite=overwrite)
        return f"-> {self.mesh}"


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace files unless that is allowed.

    Raises:
        OutputError: one of the files exists and may not be replaced.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; pass --overwrite to replace it")


def check_folder(folder: Path) -> None:
    """Make an output folder; one that can't be written is found out before any model is loaded.

    Raises:
        OutputError: it can't be made, or not be written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".instantmesh-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"can't write into {folder}: {error.strerror or error}") from error


def checked_saving(
    path: Path,
    up: str,
    front: str | None,
    size_m: float | None,
    origin: Origin | None,
    unit: LengthUnit,
    texture_format: TextureFormat | None,
) -> dict[str, Any]:
    """Arguments of `Mesh.save`, refused before any work is done if the file at `path` can't have them."""
    frame = Frame(up, front, size_m, None if origin is None else origin.value, unit.value)
    check_ending(path)
    check_frame(path, frame)
    format_name = None if texture_format is None else texture_format.value
    check_texture(path, format_name)
    return {**asdict(frame), "texture_format": format_name}


def read_given_views(
    source: Path, convention: CameraConvention | None, poses: CameraPoses | None, normalize: bool
) -> "Views":
    """Views as `views.files` reads them, or the first six of an object that `instantmesh data render` made."""
    from instantmesh.data import layout
    from instantmesh.structures import Views
    from instantmesh.views.files import read_views

    if not (source / layout.CAMERAS).is_file():
        return read_views(
            source,
            convention=None if convention is None else convention.value,
            poses=None if poses is None else poses.value,
            normalize=normalize,
        )
    rendered = layout.read_object(source, range(6))
    return Views(rendered.images, rendered.cameras)


def find_photos(sources: list[Path]) -> list[Path]:
    """The named files, and every image directly inside the named folders but those written by `generate`."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in PHOTO_ENDINGS)
            inside = [p for p in inside if not _belongs_to_result(p, inside)]
            if not inside:
                raise InputError(f"{source} holds no images ({', '.join(PHOTO_ENDINGS)})")
            found += inside
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def _belongs_to_result(path: Path, others: list[Path]) -> bool:
    """Whether an image is named as the views or the preview of another one."""
    photo = next((path.stem.removesuffix(end) for end in _WRITTEN_IMAGES if path.stem.endswith(end)), None)
    return any(other.stem == photo for other in others)


def unique_stems(paths: list[Path]) -> list[str]:
    """Names for the results: the files' own, numbered where two photos share one."""
    stems: list[str] = []
    for path in paths:
        stem, count = path.stem, 2
        while stem in stems:
            stem, count = f"{path.stem}_{count}", count + 1
        stems.append(stem)
    return stems


def succeeds(photo: Path, act: Callable[[], str | None]) -> bool:
    """Do something for a photo and say how it went; whether it could be done."""
    try:
        told = act()
    except InstantMeshError as error:
        say(str(error) if str(photo) in str(error) else f"{photo}: {error}")
        return False
    if told:
        say(f"{photo} {told}")
    return True


def say(text: str) -> None:
    """A line for the user, beside progress bars."""
    tqdm.write(text, file=sys.stderr)
