"""The command line's part about data sets: `instantmesh data render | filter | check | pack`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from instantmesh.data.engines import Engine
from instantmesh.data.render_job import Layout
from instantmesh.errors import InputError

data = typer.Typer(help="Data sets for training.", no_args_is_help=True)


@data.command()
def render(
    assets: Annotated[list[Path], typer.Argument(help="GLB, OBJ, PLY, STL files, or folders of them, at any depth.")],
    out: Annotated[Path, typer.Argument(help="Folder of the data set; an interrupted one is completed.")],
    layout: Annotated[
        Layout, typer.Option(help="Random views, or the query view and the six fixed poses.")
    ] = Layout.reconstruction,
    views: Annotated[int | None, typer.Option(min=1, help="Random views of an object; 32 by default.")] = None,
    size_px: Annotated[
        int | None, typer.Option(min=16, help="Side of the images; 512 by default, 320 for diffusion.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every camera.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as processors by default.")] = None,
    engine: Annotated[Engine, typer.Option(help="The renderer; `ray` is Embree on a Ray cluster.")] = (Engine.embree),
) -> None:
    """Render 3D assets into images with depth, normals and cameras. See docs/data.md."""
    from instantmesh.data.asset_names import find_assets
    from instantmesh.data.render_job import RenderSettings, render_assets

    is_diffusion = layout is Layout.diffusion
    if is_diffusion and views is not None:
        raise InputError("--views is for the reconstruction layout; the diffusion layout always has seven")
    settings = RenderSettings(
        layout,
        views=7 if is_diffusion else views or 32,
        size_px=size_px or (320 if is_diffusion else 512),
        seed=seed,
        engine=engine,
    )
    found = find_assets(assets)
    objects, failures = render_assets(found, out.resolve(), settings, workers or os.cpu_count() or 1)
    _say(f"{len(objects)} objects in {out}")
    if failures:
        raise InputError(f"{len(failures)} of {len(found)} assets failed; {out / 'failures.jsonl'} says why")


@data.command("filter")
def filter_objects(
    sources: Annotated[list[Path], typer.Argument(help="3D assets, or folders of them; rendered data sets; or both.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The list of good objects, for readers.")],
    captions: Annotated[Path | None, typer.Option(help="Cap3D's table, a CSV file of uid,caption.")] = None,
    metadata: Annotated[Path | None, typer.Option(help="Objaverse's annotations, a JSON file by uid.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as processors by default.")] = None,
) -> None:
    """Write the list of objects that are good enough, and beside it dropped.jsonl with the reasons for the others."""
    from instantmesh.data import selection

    evidence = selection.find_evidence(sources, captions, metadata)
    for criterion, need in evidence.skipped().items():
        _say(f"not judged: {criterion} (it needs {need})")
    verdicts = selection.judge(evidence, workers or os.cpu_count() or 1)
    dropped, counts = selection.write_verdicts(verdicts, out)
    for criterion, count in sorted(counts.items()):
        _say(f"{criterion}: {count} objects")
    good = sum(not reasons for reasons in verdicts.values())
    _say(f"{good} of {len(verdicts)} objects are good -> {out}; {dropped} says why the others are not")


@data.command()
def check(
    root: Annotated[Path, typer.Argument(help="A data set: a folder of objects, or shards.")],
    sheet: Annotated[Path | None, typer.Option(help="Image of a few objects to write; an old one is replaced.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as processors by default.")] = None,
) -> None:
    """Look for objects and views that can't be right; end with code 2 where there are any."""
    from instantmesh.data import contact_sheet, validation
    from instantmesh.files.image_files import write_image

    source = validation.open_for_checking(root)
    if sheet:
        write_image(sheet, contact_sheet.contact_sheet(source, contact_sheet.spread(len(source))))
    report = validation.check(root.resolve(), workers or os.cpu_count() or 1)
    for finding in report.findings:
        typer.echo(finding)
    found = f"{len(report.findings)} findings" if report.findings else "nothing found"
    size = f"{report.size_px} x {report.size_px} pixels"
    _say(f"{report.objects} objects, {report.view_count} views each, {size}: {found}" + (f"; {sheet}" if sheet else ""))
    if report.findings:
        raise InputError(
            f"findings in {len({finding.name for finding in report.findings})} of {report.objects} objects"
        )


@data.command()
def pack(
    root: Annotated[Path, typer.Argument(help="Folder of a data set.")],
    out: Annotated[Path, typer.Argument(help="New folder for the shards.")],
    objects_per_shard: Annotated[int, typer.Option(min=1, help="Objects in an archive.")] = 100,
) -> None:
    """Put a data set into WebDataset shards: the same items in a few large files."""
    from instantmesh.data import shards

    packed = shards.pack(root, out, objects_per_shard)
    _say(f"{len(packed)} objects in {out}")


@data.command()
def procedural(
    out: Annotated[Path, typer.Argument(help="Folder of the data set; an interrupted one is completed.")],
    objects: Annotated[int, typer.Option(min=1, help="How many.")] = 24_000,
    size_px: Annotated[int, typer.Option(min=16, help="Side of the images.")] = 64,
    first_seed: Annotated[int, typer.Option(min=0, help="Seeds from 1,000,000,000 on are kept for evaluation.")] = 0,
    thin_parts: Annotated[int, typer.Option(min=0, help="How many of them have thin parts: legs, handles, ...")] = 0,
    assets: Annotated[
        Path | None, typer.Option(help="3D assets to add: a folder, or a text file that lists one path a line.")
    ] = None,
    variations: Annotated[int, typer.Option(min=1, help="Of each asset: rotations, colours and lights.")] = 4,
    more_queries: Annotated[int, typer.Option(min=0, help="Further query views of each object.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as processors by default.")] = None,
) -> None:
    """Write procedural objects, and 3D assets, with signed distances, which the embedded model is trained on."""
    from instantmesh.data.asset_names import find_assets
    from instantmesh.training.embedded.dataset import write_dataset

    paths = []
    if assets is not None and assets.is_dir():
        paths = [found.path for found in find_assets([assets])]
    elif assets is not None:
        paths = read_asset_list(assets)
    failed = write_dataset(
        out, objects, size_px, first_seed, workers or os.cpu_count() or 1, thin_parts, paths, variations, more_queries
    )
    rows = objects + len(paths) * variations
    _say(
        f"{rows - failed} objects in {out}" + (f"; {failed} failed, {out / 'failures.txt'} says why" if failed else "")
    )


def read_asset_list(path: Path) -> list[Path]:
    """The paths in a text file, one a line, relative to its folder.

    Raises:
        InputError: the file can't be read, or one of them is missing.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {error}") from error
    found = [path.parent / line.strip() for line in lines if line.strip()]
    missing = [str(asset) for asset in found if not asset.is_file()]
    if missing:
        raise InputError(f"{path} lists {len(missing)} files that don't exist, for instance {missing[0]}")
    return found


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
