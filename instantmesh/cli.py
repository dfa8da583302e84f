"""The command line: `instantmesh generate | reconstruct | finish | inspect | show | turntable | compare | models |
train | data`."""

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from instantmesh.data_cli import data
from instantmesh.errors import InputError, InstantMeshError, OutputError
from instantmesh.files.mesh_files import check_ending, written_files
from instantmesh.files.pictures import PICTURE_ENDINGS

if TYPE_CHECKING:
    from instantmesh.result import Result
    from instantmesh.structures import Views

app = typer.Typer(
    help="From a picture to a 3D mesh.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(data, name="data")

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
_MADE = ("_views", "_preview")  # ends of the names of pictures that are made from a photo


class MeshFormat(str, Enum):
    """Endings a mesh can be written with."""

    glb = "glb"
    obj = "obj"
    ply = "ply"
    stl = "stl"
    usdz = "usdz"


class Origin(str, Enum):
    """What of the mesh lies at the file's origin."""

    CENTER = "center"
    BOTTOM = "bottom"


class MemoryMode(str, Enum):
    """Which networks are on a GPU at the same time."""

    AUTO = "auto"
    HIGH = "high"
    LOW = "low"
    MINIMAL = "minimal"


class Background(str, Enum):
    """How the object is told from what is around it."""

    auto = "auto"
    alpha = "alpha"
    key = "key"
    matting = "matting"
    keep = "keep"


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made where it is missing.")]
ModelName = Annotated[str, typer.Option("--model", "-m", help="A name of `instantmesh models`, or a folder.")]
Format = Annotated[MeshFormat, typer.Option("--format", "-f", help="The mesh file's format.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Memory = Annotated[MemoryMode, typer.Option(help="Of a GPU: all networks stay there, one stage's, or one alone.")]
CacheDir = Annotated[Path | None, typer.Option(help="Where downloads are kept instead of the usual cache.")]
Resolution = Annotated[int | None, typer.Option(min=2, help="Of the extraction grid, along each axis.")]
KeepComponents = Annotated[
    float, typer.Option(min=0, max=1, help="Loose parts stay from this share of the largest one's area; 0: all stay.")
]
TargetFaces = Annotated[int | None, typer.Option(min=4, help="Simplify to about this many faces.")]
MeshFile = Annotated[Path, typer.Argument(help="A mesh: .glb, .gltf, .obj, .ply, .stl, .off or .usdz.")]
TextureSize = Annotated[int | None, typer.Option(help="Give the mesh a texture with sides of this many texels.")]
Up = Annotated[str, typer.Option(help="The axis that points up in the file: y, z, -y, ... (GLB and USDZ: y).")]
Front = Annotated[str | None, typer.Option(help="The axis that the front looks along; z where y is up.")]
KeptSizeM = Annotated[
    float | None, typer.Option(help="Length of the longest side in the file, in metres; otherwise it stays.")
]
SizeM = Annotated[float, typer.Option(min=0, help="Length of the longest side in the file, in metres.")]
KeptOrigin = Annotated[Origin | None, typer.Option(help="What lies at the file's origin; otherwise it stays.")]
OriginOption = Annotated[Origin, typer.Option(help="What lies at the file's origin.")]
BlendViews = Annotated[bool, typer.Option(help="Put the views' finer detail into the texture.")]
Watertight = Annotated[bool, typer.Option("--watertight", help="Make a solid that can be printed.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
LocalOnly = Annotated[bool, typer.Option("--local-files-only", help="Never use the network.")]


@app.command()
def generate(
    photos: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    out: Out,
    model: ModelName = "instant-mesh-large",
    seed: Annotated[int | None, typer.Option(help="Fixes every random draw; the same for each photo.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; 75, or 20 with --fast.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A better solver in fewer steps: other views, sooner.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos worked on together; for GPUs with memory.")] = 1,
    guidance_scale: Annotated[float, typer.Option(help="How closely the views follow the photo.")] = 4.0,
    background: Annotated[Background, typer.Option(help="How the object is cut out.")] = Background.auto,
    resolution: Resolution = None,
    target_faces: TargetFaces = None,
    keep_components: KeepComponents = 1.0,
    watertight: Watertight = False,
    texture_size: TextureSize = None,
    blend_views: BlendViews = False,
    scale: Annotated[float, typer.Option(help="Below 1 for objects that the grid cuts off.")] = 1.0,
    mesh_format: Format = MeshFormat.glb,
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
    """Make a mesh, a picture of the six views and a preview picture from each photo."""
    from instantmesh.batches import worker_beside
    from instantmesh.pipeline import Pipeline

    pictures = _pictures(photos)
    targets = {
        photo: _Targets(out, stem, mesh_format.value)
        for photo, stem in zip(pictures, _unique_stems(pictures), strict=True)
    }
    _check_out(out)
    frame = _frame(Path(f"mesh.{mesh_format.value}"), up, front, size_m, origin)
    wanted = [photo for photo in pictures if _said(photo, partial(targets[photo].check, overwrite))]
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
            scale=scale,
            resolution=resolution,
            keep_components=keep_components,
            target_faces=target_faces,
            watertight=watertight,
            texture_size=texture_size,
            blend_views=blend_views,
        )
        pipeline.set_progress_bar_config(disable=len(wanted) > 1)  # one bar is enough
        bar = tqdm(outcomes, total=len(wanted), unit="photo", disable=len(wanted) == 1)
        with worker_beside(pipeline.reconstructor.device) as writer:  # files are written beside the next photos' work
            writes = [
                writer.submit(_said, photo, partial(targets[photo].write, outcome, frame, overwrite))
                for photo, outcome in zip(wanted, bar, strict=True)
            ]
        wanted = [photo for photo, write in zip(wanted, writes, strict=True) if write.result()]
    if len(wanted) < len(pictures):
        raise InputError(f"{len(pictures) - len(wanted)} of {len(pictures)} photos failed")


@app.command()
def reconstruct(
    views: Annotated[
        Path,
        typer.Argument(
            help="Six views in one picture (3 rows, 2 columns); a folder with cameras.json, or of a rendered object."
        ),
    ],
    out: Out,
    model: ModelName = "instant-mesh-large",
    resolution: Resolution = None,
    target_faces: TargetFaces = None,
    keep_components: KeepComponents = 1.0,
    watertight: Watertight = False,
    texture_size: TextureSize = None,
    blend_views: BlendViews = True,
    mesh_format: Format = MeshFormat.glb,
    up: Up = "y",
    front: Front = None,
    size_m: SizeM = 1.0,
    origin: OriginOption = Origin.CENTER,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a mesh and a preview picture from views that exist already."""
    from instantmesh.pipeline import Pipeline
    from instantmesh.render.preview import save_preview

    target = _Targets(out, views.stem, mesh_format.value)
    frame = _frame(target.mesh, up, front, size_m, origin)
    _check_out(out)
    target.check(overwrite)
    posed = _read_views(views)
    pipeline = Pipeline.from_pretrained(
        model, device=device, cache_dir=cache_dir, local_files_only=local_files_only, multiview=False
    )
    mesh = pipeline.reconstruct(
        posed,
        resolution=resolution,
        keep_components=keep_components,
        target_faces=target_faces,
        watertight=watertight,
        texture_size=texture_size,
        blend_views=blend_views,
    )
    save_preview(mesh, target.preview)
    mesh.save(target.mesh, **frame, overwrite=overwrite)
    _say(f"{views} -> {target.mesh}")


@app.command()
def finish(
    file: MeshFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to; the ending chooses the format.")],
    target_faces: TargetFaces = None,
    keep_components: KeepComponents = 1.0,
    watertight: Watertight = False,
    texture_size: TextureSize = None,
    up: Up = "y",
    front: Front = None,
    size_m: KeptSizeM = None,
    origin: KeptOrigin = None,
    overwrite: Overwrite = False,
) -> None:
    """Clean a mesh file, simplify it, make it solid, texture it, and write it in any format."""
    from instantmesh.finishing import finish as finish_mesh
    from instantmesh.mesh.reading import read_mesh

    frame = _frame(out, up, front, size_m, origin)
    _refuse_existing(written_files(out), overwrite)
    done = finish_mesh(
        read_mesh(file),
        keep_components=keep_components,
        target_faces=target_faces,
        watertight=watertight,
        texture_size=texture_size,
    )
    done.mesh.save(out, **frame, overwrite=overwrite)
    _say(f"{done}\n{file} -> {out}")


@app.command()
def inspect(
    file: MeshFile,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw colours, shape, normals, faces and texture.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say what a mesh file holds: faces, loose parts, holes, size, colours, and what may cause trouble."""
    from instantmesh.mesh.reading import read_mesh
    from instantmesh.mesh.report import report_file
    from instantmesh.render.sheet import save_inspection

    found = report_file(file)
    typer.echo(found.to_json() if as_json else str(found))
    if picture is not None:
        save_inspection(read_mesh(file), picture, overwrite=overwrite)


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
    size: Annotated[int, typer.Option(min=16, help="Side of the picture in pixels.")] = 512,
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

        films.turntable(mesh, out, frames=frames, size_px=size, fps=fps, callback=tell, overwrite=overwrite)


@app.command()
def compare(
    photo: Annotated[Path, typer.Argument(help="A picture.")],
    models: Annotated[str, typer.Option(help="Names of `instantmesh models`, or folders, separated by commas.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")] = Path("comparison.png"),
    seed: Annotated[int | None, typer.Option(help="Fixes every random draw.")] = None,
    background: Annotated[Background, typer.Option(help="How the object is cut out.")] = Background.auto,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    local_files_only: LocalOnly = False,
    overwrite: Overwrite = False,
) -> None:
    """Run several models on one photo and put their meshes, times and licences into one picture."""
    from instantmesh import comparison
    from instantmesh.files.pictures import write_picture
    from instantmesh.pipeline import Pipeline

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise InputError("--models names no model")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists; pass --overwrite to replace it")
    _check_out(out.parent)
    load = partial(Pipeline.from_pretrained, device=device, cache_dir=cache_dir, local_files_only=local_files_only)
    entries = []
    for entry in comparison.compare(photo, names, seed=seed, background=background.value, load=load):
        entries.append(entry)
        _say(f"{entry.model}: " + (f"skipped, {entry.reason}" if entry.preview is None else f"{entry.seconds:.1f} s"))
    write_picture(out, comparison.comparison_sheet(photo, entries), overwrite=overwrite)
    _say(f"{photo} -> {out}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of one in configs/train.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, part.key=value, ...")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; runs/NAME by default.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop early; the same command goes on later.")] = None,
) -> None:
    """Train a stage, or go on where the run in the folder was. For several GPUs or machines:
    accelerate launch -m instantmesh train ..."""
    from instantmesh.training.interruption import TrainingInterrupted
    from instantmesh.training.run import run

    try:
        run(config, out or Path("runs") / Path(config).stem, overrides or (), minutes)
    except TrainingInterrupted as error:
        _say(str(error))
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


class _Targets:
    """The files made from one photo."""

    def __init__(self, out: Path, stem: str, ending: str) -> None:
        self.mesh = out / f"{stem}.{ending}"
        check_ending(self.mesh)
        self.views, self.preview = (out / f"{stem}{end}.png" for end in _MADE)

    def check(self, overwrite: bool) -> None:
        """The mesh, which is written last, says whether a photo is done; the pictures are replaced."""
        _refuse_existing(written_files(self.mesh), overwrite)

    def write(self, outcome: "Result | InstantMeshError", frame: dict[str, Any], overwrite: bool) -> str:
        """Write what became of a photo; where to, in words."""
        if isinstance(outcome, InstantMeshError):
            raise outcome
        outcome.views.save(self.views)
        outcome.save_preview(self.preview)
        outcome.mesh.save(self.mesh, **frame, overwrite=overwrite)
        return f"-> {self.mesh}"


def _refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Before the work is done, not after."""
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; pass --overwrite to replace it")


def _said(photo: Path, act: Callable[[], str | None]) -> bool:
    """Do something for a photo and tell how it went; whether it could be done."""
    try:
        told = act()
    except InstantMeshError as error:
        _say(f"{photo}: {error}")
        return False
    if told:
        _say(f"{photo} {told}")
    return True


def _frame(path: Path, up: str, front: str | None, size_m: float | None, origin: Origin | None) -> dict[str, Any]:
    """Arguments of `Mesh.save`, refused before any work is done if the file at `path` can't have them."""
    from instantmesh.files.frame import Frame
    from instantmesh.files.mesh_files import check_ending, check_frame

    frame = Frame(up, front, size_m, None if origin is None else origin.value)
    check_ending(path)
    check_frame(path, frame)
    return asdict(frame)


def _read_views(source: Path) -> "Views":
    """Views as `view_files` reads them, or the first six of an object that `instantmesh data render` made."""
    from instantmesh.data import layout
    from instantmesh.structures import Views
    from instantmesh.view_files import read_views

    if not (source / layout.CAMERAS).is_file():
        return read_views(source)
    rendered = layout.read_object(source, range(6))
    return Views(rendered.images, rendered.cameras)


def _pictures(sources: list[Path]) -> list[Path]:
    """The named files, and every picture directly inside the named folders but those made by `generate`."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_ENDINGS)
            inside = [p for p in inside if not _is_made_of(p, inside)]
            if not inside:
                raise InputError(f"{source} holds no pictures ({', '.join(PICTURE_ENDINGS)})")
            found += inside
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def _is_made_of(path: Path, others: list[Path]) -> bool:
    """Whether a picture is named as the views or the preview of another one."""
    photo = next((path.stem.removesuffix(end) for end in _MADE if path.stem.endswith(end)), None)
    return any(other.stem == photo for other in others)


def _unique_stems(paths: list[Path]) -> list[str]:
    """Names for the results: the files' own, numbered where two photos share one."""
    stems: list[str] = []
    for path in paths:
        stem, count = path.stem, 2
        while stem in stems:
            stem, count = f"{path.stem}_{count}", count + 1
        stems.append(stem)
    return stems


def _check_out(out: Path) -> None:
    """An output folder that can't be written is found out before any model is loaded."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".instantmesh-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"can't write into {out}: {error.strerror or error}") from error


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def main() -> None:
    """Entry point: errors of the package end with one line and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("instantmesh.mesh").setLevel(logging.INFO)  # what finishing did to a mesh
    try:
        app()
    except InstantMeshError as error:
        _say(f"error: {error}")
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
