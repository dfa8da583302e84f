"""The command line's commands.

`instantmesh generate | sides | cutout | reconstruct | finish | inspect | show | turntable | compare | models | train |
evaluate | data`.
"""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from instantmesh.cli import files
from instantmesh.cli.data_commands import data
from instantmesh.cli.evaluation_commands import evaluate
from instantmesh.cli.files import say
from instantmesh.cli.options import (
    Background,
    BackgroundOption,
    BlendViews,
    CacheDir,
    ConventionOption,
    Device,
    Format,
    Front,
    IfWatertight,
    KeptOrigin,
    KeptSizeM,
    LengthUnit,
    LocalOnly,
    Memory,
    MemoryMode,
    MeshFile,
    MeshFormat,
    MinComponentArea,
    ModelName,
    Normalize,
    Origin,
    OriginOption,
    Out,
    OutFile,
    Overwrite,
    PosesOption,
    Resolution,
    SizeM,
    TargetFaces,
    TextureFormatOption,
    TextureSize,
    UnitOption,
    Up,
    Watertight,
)
from instantmesh.cli.sides_command import sides
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.files.mesh_files import written_files
from instantmesh.finishing import ASSET, Finishing

app = typer.Typer(
    help="From a photo to a 3D mesh.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(data, name="data")
app.command()(evaluate)
app.command()(sides)

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def _say_version(wanted: bool) -> bool:
    if wanted:
        from instantmesh import __version__

        typer.echo(f"instantmesh {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """From a photo to a 3D mesh."""


@app.command()
def generate(
    photos: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Out,
    model: ModelName = "instant-mesh-large",
    seed: Annotated[int | None, typer.Option(help="Fixes every random draw; the same for each photo.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; 75, or 20 with --fast.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A better solver in fewer steps: other views, sooner.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos worked on together; for GPUs with memory.")] = 1,
    guidance_scale: Annotated[float, typer.Option(help="How closely the views follow the photo.")] = 4.0,
    background: BackgroundOption = Background.auto,
    resolution: Resolution = None,
    target_faces: TargetFaces = ASSET.target_faces or 0,
    min_component_area: MinComponentArea = ASSET.min_component_area,
    watertight: IfWatertight = None,
    texture_size: TextureSize = ASSET.texture_size or 0,
    blend_views: BlendViews = None,
    camera_distance_scale: Annotated[float, typer.Option(help="Below 1 for objects that the grid cuts off.")] = 1.0,
    elevation_deg: Annotated[
        float | None,
        typer.Option(min=-90, max=90, help="From how high the photo was taken; else 10, or looked for."),
    ] = None,
    fit_photo: Annotated[bool, typer.Option(help="Give the mesh the photo's outline and pixels.")] = True,
    mesh_format: Format = MeshFormat.glb,
    unit: UnitOption = LengthUnit.M,
    texture_format: TextureFormatOption = None,
    up: Up = "y",
    front: Front = None,
    size_m: SizeM = 1.0,
    origin: OriginOption = Origin.CENTER,
    device: Device = "auto",
    memory: Memory = MemoryMode.AUTO,
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a mesh, an image of its views and a preview image from each photo."""
    from instantmesh.pipeline.pipeline import Pipeline
    from instantmesh.pipeline.streaming import executor_beside

    images = files.find_photos(photos)
    targets = {
        photo: files.PhotoFiles(out, stem, mesh_format.value)
        for photo, stem in zip(images, files.unique_stems(images), strict=True)
    }
    files.check_folder(out)
    saving = files.checked_saving(Path(f"mesh.{mesh_format.value}"), up, front, size_m, origin, unit, texture_format)
    wanted = [photo for photo in images if files.succeeds(photo, partial(targets[photo].check, overwrite))]
    if wanted:
        pipeline = Pipeline.from_pretrained(
            model, device=device, cache_dir=cache_dir, local_files_only=local_files_only, memory=memory.value
        )
        outcomes = pipeline.stream(
            wanted,
            seed=seed,
            batch_size=batch_size,
            steps=steps,
            fast=fast,
            guidance_scale=guidance_scale,
            background=background.value,
            camera_distance_scale=camera_distance_scale,
            elevation_deg=elevation_deg,
            fit_photo=fit_photo,
            resolution=resolution,
            min_component_area=min_component_area,
            target_faces=target_faces or None,
            watertight=watertight,
            texture_size=texture_size or None,
            blend_views=blend_views,
        )
        pipeline.set_progress_bar_config(disable=len(wanted) > 1)  # one bar is enough
        bar = tqdm(outcomes, total=len(wanted), unit="photo", disable=len(wanted) == 1)
        with executor_beside(pipeline.reconstructor.device) as writer:  # files are written beside the next photos' work
            writes = [
                writer.submit(files.succeeds, photo, partial(targets[photo].write, outcome, saving, overwrite))
                for photo, outcome in zip(wanted, bar, strict=True)
            ]
        wanted = [photo for photo, write in zip(wanted, writes, strict=True) if write.result()]
    if len(wanted) < len(images):
        raise InputError(f"{len(images) - len(wanted)} of {len(images)} photos failed")


@app.command()
def cutout(
    photo: Annotated[Path, typer.Argument(help="An image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The image to write, with an alpha channel: .png or .webp.")],
    background: BackgroundOption = Background.auto,
    overwrite: Overwrite = False,
) -> None:
    """Cut a photo's object out, to see it and to correct it before `generate`."""
    from instantmesh.files.image_files import write_image
    from instantmesh.images.cutout import find_object
    from instantmesh.images.photo import PREPARED_SIDE_PX
    from instantmesh.images.reading import open_image

    if out.suffix.lower() not in (".png", ".webp"):
        raise InputError(f"{out.name}: JPEG files and others have no alpha channel; name a .png or .webp file")
    files.refuse_existing([out], overwrite)
    files.check_folder(out.parent)
    found = find_object(open_image(photo, PREPARED_SIDE_PX), background.value)
    write_image(out, found.rgba, overwrite=overwrite)
    say(f"{photo} -> {out}, cut out by {found.method!r}")
    for doubt in found.doubts:
        say(f"doubtful: {doubt}")


@app.command()
def reconstruct(
    views: Annotated[
        Path,
        typer.Argument(
            help="Six views in one image (3 rows, 2 columns); a folder with cameras.json, or of a rendered object."
        ),
    ],
    out: Out,
    model: ModelName = "instant-mesh-large",
    convention: ConventionOption = None,
    poses: PosesOption = None,
    normalize: Normalize = False,
    resolution: Resolution = None,
    target_faces: TargetFaces = ASSET.target_faces or 0,
    min_component_area: MinComponentArea = ASSET.min_component_area,
    watertight: IfWatertight = None,
    texture_size: TextureSize = ASSET.texture_size or 0,
    blend_views: BlendViews = None,
    mesh_format: Format = MeshFormat.glb,
    unit: UnitOption = LengthUnit.M,
    texture_format: TextureFormatOption = None,
    up: Up = "y",
    front: Front = None,
    size_m: SizeM = 1.0,
    origin: OriginOption = Origin.CENTER,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a mesh and a preview image from views that exist already."""
    from instantmesh.pipeline.pipeline import Pipeline
    from instantmesh.render.preview import save_preview

    target = files.PhotoFiles(out, views.stem, mesh_format.value)
    saving = files.checked_saving(target.mesh, up, front, size_m, origin, unit, texture_format)
    files.check_folder(out)
    target.check(overwrite)
    posed = files.read_given_views(views, convention, poses, normalize)
    pipeline = Pipeline.from_pretrained(
        model, device=device, cache_dir=cache_dir, local_files_only=local_files_only, multiview=False
    )
    mesh = pipeline.reconstruct(
        posed,
        resolution=resolution,
        min_component_area=min_component_area,
        target_faces=target_faces or None,
        watertight=watertight,
        texture_size=texture_size or None,
        blend_views=blend_views,
    )
    save_preview(mesh, target.preview)
    mesh.save(target.mesh, **saving, overwrite=overwrite)
    say(f"{views} -> {target.mesh}")


@app.command()
def finish(
    file: MeshFile,
    out: OutFile,
    target_faces: TargetFaces = 0,
    min_component_area: MinComponentArea = Finishing.min_component_area,
    watertight: Watertight = False,
    texture_size: TextureSize = 0,
    unit: UnitOption = LengthUnit.M,
    texture_format: TextureFormatOption = None,
    up: Up = "y",
    front: Front = None,
    size_m: KeptSizeM = None,
    origin: KeptOrigin = None,
    overwrite: Overwrite = False,
) -> None:
    """Clean a mesh file, simplify it, make it solid, texture it, and write it in any format."""
    from instantmesh.finishing import finish as finish_mesh
    from instantmesh.mesh.reading import read_mesh

    saving = files.checked_saving(out, up, front, size_m, origin, unit, texture_format)
    files.refuse_existing(written_files(out), overwrite)
    done = finish_mesh(
        read_mesh(file),
        min_component_area=min_component_area,
        target_faces=target_faces or None,
        watertight=watertight,
        texture_size=texture_size or None,
    )
    done.mesh.save(out, **saving, overwrite=overwrite)
    say(f"{done}\n{file} -> {out}")


@app.command()
def inspect(
    file: MeshFile,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    image: Annotated[Path | None, typer.Option(help="Also draw colours, shape, normals, faces and texture.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say what a mesh file holds: faces, loose parts, holes, size, colours, and what may cause trouble."""
    from instantmesh.mesh.reading import read_mesh
    from instantmesh.mesh.report import report_file
    from instantmesh.render.inspection_sheet import save_inspection

    found = report_file(file)
    typer.echo(found.to_json() if as_json else str(found))
    if image is not None:
        save_inspection(read_mesh(file), image, overwrite=overwrite)


@app.command()
def show(
    file: MeshFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the page there instead of opening it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look at a mesh in the browser, from all sides. The page needs no network."""
    from instantmesh.mesh.reading import read_mesh
    from instantmesh.viewer import page

    mesh = read_mesh(file)
    if out is None:
        page.show(mesh)
    else:
        page.save_page(mesh, out, overwrite=overwrite)


@app.command()
def turntable(
    file: MeshFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The film to write: .mp4, .webm or .gif.")],
    frames: Annotated[int, typer.Option(min=2, help="How many.")] = 120,
    size_px: Annotated[int, typer.Option(min=16, help="Side of the image in pixels.")] = 512,
    fps: Annotated[int, typer.Option(min=1, help="Frames a second.")] = 30,
    overwrite: Overwrite = False,
) -> None:
    """Film a mesh while it turns once."""
    from instantmesh.mesh.reading import read_mesh
    from instantmesh.render import turntable as films

    mesh = read_mesh(file)
    with tqdm(total=frames, unit="frame") as bar:

        def tell(done: int, _: int) -> None:
            bar.update(done - bar.n)

        films.turntable(mesh, out, frames=frames, size_px=size_px, fps=fps, callback=tell, overwrite=overwrite)


@app.command()
def compare(
    photo: Annotated[Path, typer.Argument(help="An image.")],
    models: Annotated[str, typer.Option(help="Names of `instantmesh models`, or folders, separated by commas.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The image to write.")] = Path("comparison.png"),
    seed: Annotated[int | None, typer.Option(help="Fixes every random draw.")] = None,
    background: BackgroundOption = Background.auto,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Run several models on one photo and put their meshes, times and licences into one image."""
    from instantmesh import comparison
    from instantmesh.files.image_files import write_image
    from instantmesh.pipeline.pipeline import Pipeline

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise InputError("--models names no model")
    files.refuse_existing([out], overwrite)
    files.check_folder(out.parent)
    load = partial(Pipeline.from_pretrained, device=device, cache_dir=cache_dir, local_files_only=local_files_only)
    entries = []
    for entry in comparison.compare(photo, names, seed=seed, background=background.value, load=load):
        entries.append(entry)
        say(f"{entry.model}: " + (f"skipped, {entry.reason}" if entry.preview is None else f"{entry.seconds:.1f} s"))
    write_image(out, comparison.comparison_sheet(photo, entries), overwrite=overwrite)
    say(f"{photo} -> {out}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of one in configs/train.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, part.key=value, ...")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; runs/NAME by default.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop early; the same command goes on later.")] = None,
) -> None:
    """Train a stage, or go on where the run in the folder was.

    For several GPUs or machines: accelerate launch -m instantmesh train ...
    """
    from instantmesh.training.interruption import TrainingInterrupted
    from instantmesh.training.run import run

    try:
        run(config, out or Path("runs") / Path(config).stem, overrides or (), minutes)
    except TrainingInterrupted as error:
        say(str(error))
        raise typer.Exit(EXIT_INTERRUPTED) from None


@app.command()
def models(cache_dir: CacheDir = None) -> None:
    """List the models: licence, size, where the files come from, and whether they are here already."""
    from instantmesh import hub

    for model in hub.MODELS.values():
        cached = "here" if hub.is_cached(model, cache_dir) else "not cached"
        size = f"{model.size_bytes / 1e9:.1f} GB to download" if model.size_bytes else "nothing to download"
        typer.echo(f"{model.name}: {size}, {cached}\n  {model.description}")
        for part in model.parts:
            typer.echo(f"  {part.role}: {part.licence}; {part.source}")


def main() -> None:
    """Entry point: errors of the package end with one line and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for step in ("images.cutout", "pipeline.pipeline", "finishing"):  # what each step did to the photo and its mesh
        logging.getLogger(f"instantmesh.{step}").setLevel(logging.INFO)
    try:
        app()
    except InstantMeshError as error:
        say(f"error: {error}")
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
