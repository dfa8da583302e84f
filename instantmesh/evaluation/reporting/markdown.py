"""An evaluation as Markdown: the table for a paper's supplement, what it means, and published tables beside it."""

from collections.abc import Sequence

from instantmesh.evaluation.metric_names import MAIN_METRICS, METRIC_NAMES
from instantmesh.evaluation.metrics.defects import DEFECTS
from instantmesh.evaluation.reporting.document import counts, defect_percentages, document, unavailable
from instantmesh.evaluation.reporting.published import PublishedTable, what_differs
from instantmesh.evaluation.reporting.statistics import Difference, Estimate, differences, estimates, object_values
from instantmesh.evaluation.run import Evaluation


def markdown_report(evaluation: Evaluation, published: Sequence[PublishedTable] = ()) -> str:
    """The whole report.

    Args:
        evaluation: what is reported.
        published: tables to stand beside it.
    """
    parts = [
        f"# {evaluation.settings.system} on {evaluation.settings.selection.data}",
        _what_was_done(evaluation),
        means_table([evaluation]),
        _all_metrics(evaluation),
        _defects_table(evaluation),
        *(_beside(table, evaluation) for table in published),
    ]
    return "\n\n".join(parts) + "\n"


def means_table(evaluations: Sequence[Evaluation], names: Sequence[str] = MAIN_METRICS) -> str:
    """A row for each evaluation: means with their 95 % intervals; metrics that none of them has are left out."""
    rows = [(evaluation, _estimates(evaluation)) for evaluation in evaluations]
    shown = [name for name in names if any(name in found for _, found in rows)]
    header = ["system", "given", *(METRIC_NAMES[name].title for name in shown), "objects", "failed"]
    return _table(
        header,
        [
            [
                evaluation.settings.system,
                evaluation.settings.inputs.given if evaluation.settings.results is None else "-",
                *(_cell(name, found.get(name)) for name in shown),
                str(counts(evaluation)["objects"]),
                str(counts(evaluation)["failed"]),
            ]
            for evaluation, found in rows
        ],
    )


def comparison_report(first: Evaluation, second: Evaluation) -> str:
    """Paired differences of two evaluations over the objects that both have.

    Raises:
        InputError: they have no object in common.
    """
    found = differences(_values(first), _values(second))
    a, b = first.settings.system, second.settings.system
    a, b = (a, b) if a != b else (f"{a} (first)", f"{b} (second)")
    rows = [
        [
            METRIC_NAMES[name].title,
            str(row.difference.objects),
            _number(name, row.first),
            _number(name, row.second),
            _cell(name, row.difference, signed=True),
            f"{100 * row.second_is_larger:.0f} %",
            _verdict(name, row, a, b),
        ]
        for name, row in found.items()
    ]
    header = ["metric", "objects", a, b, "difference [95 % interval]", f"{b} larger", "better"]
    told = (
        f"Paired over the objects that both have: {b} less {a}, means over objects, intervals by 10,000 bootstrap"
        " resamples of the objects. An interval that leaves out 0 is called better; with many metrics some will be"
        " by chance."
    )
    return f"# {b} compared with {a}\n\n{told}\n{_protocol_warning(first, second)}\n{_table(header, rows)}\n"


def published_report(table: PublishedTable) -> str:
    """A published table alone, with its protocol."""
    protocol = "; ".join(f"{key}: {'not stated' if value is None else value}" for key, value in table.protocol.items())
    return f"## {table.title}\n\n{table.source}, by {table.certainty}. {protocol}.\n\n{_published_rows(table, None)}\n"


def _what_was_done(evaluation: Evaluation) -> str:
    settings, found, told = evaluation.settings, counts(evaluation), document(evaluation)
    protocol = settings.protocol
    lines = [
        f"- Objects: {found['objects']} (layout {evaluation.layout}), {found['items']} items;"
        f" {found['failed']} failed ({'left out' if settings.leave_out_failures else 'counted as blank'}),"
        f" {found['damaged']} objects damaged, {found['missing_objects']} missing,"
        f" {found['ambiguous']} of ambiguous rotation.",
        f"- Given: {settings.inputs.given}."
        if settings.results is None
        else f"- Results: {settings.results} (up {settings.results_up}).",
        f"- Alignment: {protocol.alignment.description}.",
        f"- {protocol.sample_count:,} points on each surface, seed {protocol.seed}; CD is the mean of both directions'"
        " mean distances, not squared, where the true mesh fills [-1, 1]^3.",
        f"- Images: {protocol.views or 'none'}, {protocol.size_px} pixels, on white.",
        "- In brackets: bootstrapped 95 % intervals over objects.",
    ]
    if told["noise_floor"] is not None:
        floor = f"{told['noise_floor']:.4f}"
        lines.append(f"- CD of two samples of the same true surface, below which no score can be: {floor}.")
    if told["scoring_s"] is not None:
        lines.append(f"- Scoring took {told['scoring_s']:.1f} s an item.")
    lines += [f"- Empty: {name} ({reason})." for name, reason in unavailable(evaluation).items()]
    lines += [f"- Missing: {name} ({reason})." for name, reason in evaluation.missing]
    lines += [f"- {r.status.capitalize()}: {r.key} ({r.reason})." for r in evaluation.records if r.status != "scored"]
    return "\n".join(lines)


def _all_metrics(evaluation: Evaluation) -> str:
    settings = evaluation.settings
    everything = _estimates(evaluation)
    certain = estimates(
        object_values(evaluation.records, leave_out_failures=settings.leave_out_failures, unambiguous=True)
    )
    rows = [
        [METRIC_NAMES[name].title, _cell(name, found), _cell(name, certain.get(name)), str(found.objects)]
        for name, found in everything.items()
    ]
    return "## All metrics\n\n" + _table(["metric", "mean", "without ambiguous objects", "objects"], rows)


def _defects_table(evaluation: Evaluation) -> str:
    percent = defect_percentages(evaluation)
    rows = [[name, f"{percent[name]:.1f}", meaning] for name, meaning in DEFECTS.items() if name in percent]
    return "## Defects\n\n" + _table(["class", "% of results", "meaning"], rows)


def _beside(table: PublishedTable, evaluation: Evaluation) -> str:
    differing = "\n".join(f"- {line}" for line in what_differs(table, evaluation))
    return (
        f"## Beside {table.title}\n\n{table.source}, by {table.certainty}. The rows don't compare as they stand:\n"
        f"{differing}\n\n{_published_rows(table, evaluation)}"
    )


def _published_rows(table: PublishedTable, evaluation: Evaluation | None) -> str:
    header = ["system", *(METRIC_NAMES[c].title if c in METRIC_NAMES else c for c in table.columns)]
    rows = [[system, *("-" if x is None else f"{x:g}" for x in values)] for system, values in table.rows.items()]
    if evaluation is not None:
        found, percent = _estimates(evaluation), defect_percentages(evaluation)
        cells = [
            f"{percent[name]:.1f}" if name in percent else _number(name, found[name].mean) if name in found else "-"
            for name in table.columns
        ]
        rows.append([f"**{evaluation.settings.system} (ours)**", *cells])
    return _table(header, rows)


def _protocol_warning(first: Evaluation, second: Evaluation) -> str:
    protocols = [evaluation.settings.record()["protocol"] for evaluation in (first, second)]
    different = [key for key in protocols[0] if protocols[0][key] != protocols[1][key]]
    return f"\n**The protocols differ ({', '.join(different)}): these numbers don't compare.**\n" if different else ""


def _values(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    return object_values(evaluation.records, leave_out_failures=evaluation.settings.leave_out_failures)


def _estimates(evaluation: Evaluation) -> dict[str, Estimate]:
    return estimates(_values(evaluation))


def _verdict(name: str, row: Difference, first: str, second: str) -> str:
    lower = METRIC_NAMES[name].lower_is_better
    if lower is None or not row.is_certain:
        return "undecided"
    return second if (row.difference.mean < 0) == lower else first


def _cell(name: str, found: Estimate | None, *, signed: bool = False) -> str:
    if found is None:
        return "-"
    mean, low, high = (_number(name, value, signed) for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _number(name: str, value: float, signed: bool = False) -> str:
    digits = METRIC_NAMES[name].digits
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines)
