"""The command line's part about evaluation: `instantmesh evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from instantmesh.cli import files
from instantmesh.cli.files import say
from instantmesh.cli.options import Device
from instantmesh.errors import InputError
from instantmesh.evaluation.alignment import AlignmentMethod
from instantmesh.evaluation.run import EvaluationEngine

_SYSTEM, _OBJECTS, _PROTOCOL, _WORK = "What is evaluated", "True objects", "Protocol", "Work"


def evaluate(
    data: Annotated[Path | None, typer.Option(help="The data set's folder, as it was downloaded.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for records and reports; the same command goes on there.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A model, a folder, visual-hull or silhouette-ball.", rich_help_panel=_SYSTEM
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Another system's meshes: RESULTS/<object>.glb or RESULTS/<object>/*.glb.", rich_help_panel=_SYSTEM
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What tables call the system.", rich_help_panel=_SYSTEM)] = None,
    up: Annotated[str, typer.Option(help="The results' axis that points up.", rich_help_panel=_SYSTEM)] = "y",
    front: Annotated[
        str | None,
        typer.Option(
            help="The results' axis that fronts look along; otherwise the one after up.", rich_help_panel=_SYSTEM
        ),
    ] = None,
    given: Annotated[
        str, typer.Option(help="image, six-views, or a rig's JSON file.", rich_help_panel=_SYSTEM)
    ] = "image",
    azimuth: Annotated[
        list[float] | None,
        typer.Option(help="Of the photo, degrees; repeat it for several photos.", rich_help_panel=_SYSTEM),
    ] = None,
    elevation: Annotated[
        list[float] | None,
        typer.Option(help="Of the photo, degrees; one, or one for each azimuth.", rich_help_panel=_SYSTEM),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Every result is made so often.", rich_help_panel=_SYSTEM)] = 1,
    layout: Annotated[
        str | None,
        typer.Option(
            help="gso, omniobject3d, ycb, toys4k or plain; otherwise it is found out.", rich_help_panel=_OBJECTS
        ),
    ] = None,
    data_up: Annotated[
        str | None, typer.Option(help="The true files' up axis; otherwise the layout's.", rich_help_panel=_OBJECTS)
    ] = None,
    data_front: Annotated[
        str | None, typer.Option(help="The true files' front axis; otherwise the layout's.", rich_help_panel=_OBJECTS)
    ] = None,
    objects: Annotated[
        int | None, typer.Option(min=1, help="So many, drawn by seed.", rich_help_panel=_OBJECTS)
    ] = None,
    draw_seed: Annotated[int, typer.Option(help="Of the draw.", rich_help_panel=_OBJECTS)] = 0,
    object_list: Annotated[
        str | None,
        typer.Option("--list", help="A text file of names, or syncdreamer-30.", rich_help_panel=_OBJECTS),
    ] = None,
    per_category: Annotated[
        int | None, typer.Option(min=1, help="The first so many of each category.", rich_help_panel=_OBJECTS)
    ] = None,
    alignment: Annotated[
        AlignmentMethod, typer.Option(help="How results are brought to true meshes.", rich_help_panel=_PROTOCOL)
    ] = AlignmentMethod.box,
    points: Annotated[
        int | None,
        typer.Option(min=100, help="On each surface; otherwise what the papers take.", rich_help_panel=_PROTOCOL),
    ] = None,
    views: Annotated[
        str,
        typer.Option(help="orbit21, crm24, held-out4, omni16, or none for no images.", rich_help_panel=_PROTOCOL),
    ] = "orbit21",
    size_px: Annotated[int, typer.Option(min=16, help="Side of the views in pixels.", rich_help_panel=_PROTOCOL)] = 128,
    seed: Annotated[int, typer.Option(help="Of points on surfaces.", rich_help_panel=_PROTOCOL)] = 0,
    leave_out_failures: Annotated[
        bool,
        typer.Option("--leave-out-failures", help="Means over results that are there.", rich_help_panel=_PROTOCOL),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with the model.", rich_help_panel=_WORK)] = 1,
    engine: Annotated[
        EvaluationEngine, typer.Option(help="This machine, or a Ray cluster.", rich_help_panel=_WORK)
    ] = EvaluationEngine.processes,
    device: Device = "auto",
    beside: Annotated[
        list[str] | None,
        typer.Option(help="A published table for the report; --published lists them.", rich_help_panel="Reports"),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two evaluations' folders: their paired differences.", rich_help_panel="Reports"),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Print the published tables.", rich_help_panel="Reports")
    ] = False,
) -> None:
    """Score a model, or meshes of any other system, against true objects.

    Writes report.html, report.md and report.json into --out.
    """
    from instantmesh.evaluation import run
    from instantmesh.evaluation.reporting import markdown
    from instantmesh.evaluation.reporting.files import read_evaluation, write_reports
    from instantmesh.evaluation.reporting.published import published_table, published_tables
    from instantmesh.evaluation.scoring import ScoringProtocol
    from instantmesh.evaluation.settings import EvaluationSettings, GivenInputs, ObjectSelection

    if published:
        typer.echo(
            "\n".join(f"[{table.id}]\n{markdown.published_report(table)}" for table in published_tables().values())
        )
        return
    if compare is not None:
        typer.echo(markdown.comparison_report(*(read_evaluation(folder) for folder in compare)))
        return
    if data is None or out is None:
        raise InputError("name the data set (--data FOLDER) and a folder for the evaluation (--out FOLDER)")
    tables = [published_table(name) for name in beside or ()]
    settings = EvaluationSettings(
        ObjectSelection(str(data), layout, data_up, data_front, objects, draw_seed, object_list, per_category),
        GivenInputs(given, tuple(azimuth or (0.0,)), tuple(elevation or (10.0,)), seeds),
        ScoringProtocol(alignment, points, None if views == "none" else views, size_px, seed=seed),
        model,
        None if results is None else str(results),
        up,
        front,
        leave_out_failures,
        name,
    )
    files.check_folder(out)
    evaluation = run.evaluate(settings, out, workers=workers, engine=engine, device=device)
    written = write_reports(evaluation, out, tables)
    typer.echo(markdown.means_table([evaluation]))
    say(f"{data} -> {', '.join(str(path) for path in written)}")
