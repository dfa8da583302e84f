"""`instantmesh sides`: one mesh from photos of several sides of an object."""

from pathlib import Path
from typing import Annotated

import typer

from instantmesh.cli import files
from instantmesh.cli.files import say
from instantmesh.cli.options import (
    Background,
    BackgroundOption,
    BlendViews,
    CacheDir,
    Device,
    Format,
    IfWatertight,
    LengthUnit,
    LocalOnly,
    MeshFormat,
    MinComponentArea,
    ModelName,
    Origin,
    OriginOption,
    Out,
    Overwrite,
    Resolution,
    SizeM,
    TargetFaces,
    TextureFormatOption,
    TextureSize,
    UnitOption,
)
from instantmesh.errors import InputError
from instantmesh.finishing import ASSET

_Side = Annotated[Path | None, typer.Option(help="A photo of this side, in the object's own sense.")]


def sides(
    out: Out,
    front: _Side = None,
    left: _Side = None,
    back: _Side = None,
    right: _Side = None,
    front_left: _Side = None,
    back_left: _Side = None,
    back_right: _Side = None,
    front_right: _Side = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="DEGREES=PHOTO", help="A photo from another azimuth: 0 is the front, 90 the left side."),
    ] = None,
    model: ModelName = "instant-mesh-large",
    elevation_deg: Annotated[
        float | None, typer.Option(min=-90, max=90, help="From how high the photos were taken; estimated otherwise.")
    ] = None,
    background: BackgroundOption = Background.auto,
    resolution: Resolution = None,
    target_faces: TargetFaces = ASSET.target_faces or 0,
    min_component_area: MinComponentArea = ASSET.min_component_area,
    watertight: IfWatertight = None,
    texture_size: TextureSize = ASSET.texture_size or 0,
    blend_views: BlendViews = None,
    mesh_format: Format = MeshFormat.glb,
    unit: UnitOption = LengthUnit.M,
    texture_format: TextureFormatOption = None,
    size_m: SizeM = 1.0,
    origin: OriginOption = Origin.CENTER,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a mesh from photos of several sides of one object, whose cameras needn't be known.

    An object's left side is where its left hand is: a viewer in front of it has it on the right. The files are named
    after the first photo. Meshes are written y up; `instantmesh finish` turns them.
    """
    from instantmesh.pipeline.outcome import Outcome
    from instantmesh.pipeline.pipeline import Pipeline

    named: dict[str | float, Path | None] = {
        "front": front,
        "left": left,
        "back": back,
        "right": right,
        "front-left": front_left,
        "back-left": back_left,
        "back-right": back_right,
        "front-right": front_right,
    }
    photos = {side: photo for side, photo in named.items() if photo is not None}
    for azimuth_deg, photo in map(_azimuth_and_photo, at or []):
        if azimuth_deg in photos:
            raise InputError(f"two photos are said to be taken from {azimuth_deg:g} degrees")
        photos[azimuth_deg] = photo
    if len(photos) < 2:
        raise InputError("photos of two or more sides are needed: --front a.png --left b.png ...")
    first = next(iter(photos.values()))
    target = files.PhotoFiles(out, first.stem, mesh_format.value)
    saving = files.checked_saving(target.mesh, "y", None, size_m, origin, unit, texture_format)
    files.check_folder(out)
    target.check(overwrite)
    pipeline = Pipeline.from_pretrained(
        model, device=device, cache_dir=cache_dir, local_files_only=local_files_only, multiview=False
    )
    result = pipeline.from_photos(
        photos,
        background=background.value,
        elevation_deg=elevation_deg,
        resolution=resolution,
        min_component_area=min_component_area,
        target_faces=target_faces or None,
        watertight=watertight,
        texture_size=texture_size or None,
        blend_views=blend_views,
    )
    for side, camera in zip(photos, result.side_cameras, strict=True):
        say(f"{side}: {str(camera).partition(': ')[2]}")
    say(f"{len(photos)} photos {target.write(Outcome(0, first, result), saving, overwrite)}")


def _azimuth_and_photo(given: str) -> tuple[float, Path]:
    azimuth_deg, _, photo = given.partition("=")
    try:
        if photo:
            return float(azimuth_deg), Path(photo)
    except ValueError:
        pass
    raise InputError(f"--at {given}: give an azimuth in degrees and a photo, as in --at 30=photo.png")
