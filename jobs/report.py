"""The report: every table of the workspace -> one self-contained HTML page, and its figures on the terminal."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console.options import ReadRoot

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace

PAGE = "report.html"


def report(workspace: "Workspace", against: str | None = None) -> None:
    """Print the figures with their baselines, and beside those of another model or root; write the page."""
    from jobs.console.tables import show
    from pipeline.reports.reporting import make_report
    from pipeline.storage import files
    from pipeline.storage.tombstones import check_finished

    check_finished(workspace)
    found = make_report(workspace, against)
    if found.figures:
        cells = [[row.of, *row.cells()] for row in found.figures]
        show(["model", "figure", "value", "baseline", "which is", "n"], cells)
    if against is not None:
        names = ["model", "figure", "value", f"against {against}", ""]
        rows = [(row.figure.of, row.figure.what, row.value, row.other_value, row.verdict) for row in found.changes]
        show(names, [list(row) for row in rows])
    check_finished(workspace)  # one that began meanwhile has removed pages, and this one may show its videos
    files.commit_bytes(workspace.uri(PAGE), found.page.encode())
    is_due = not found.figures and not workspace.names("reports")
    todo = f"; `earshot evaluate --root {shlex.quote(workspace.root)}` measures a trained model" if is_due else ""
    print(f"report: {len(found.figures)} figures{todo} -> {workspace.uri(PAGE)}", flush=True)


def command(
    root: ReadRoot,
    against: Annotated[
        str | None,
        typer.Option(metavar="MODEL_OR_ROOT", help="Compare with this model, or with the models of another workspace."),
    ] = None,
) -> None:
    """Write one HTML page about a workspace, and print its figures.

    Reads every table of the workspace, and for each coincidence model the clips with the ten highest and lowest scores,
    with frames and sound; for each events model the seconds of the best and worst clips; for clips of mouths a strip of
    some faces. Writes report.html, which needs no other file and no network. With --against it marks what is better or
    worse beyond its interval.

    Example: earshot report --root my_workspace
    """
    from pipeline.storage.workspace import open_workspace

    report(open_workspace(root), against)
