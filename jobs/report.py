"""The report: every table of the workspace -> one self-contained HTML page, and its figures on the terminal."""

from jobs.session import ReadRoot, open_workspace
from jobs.tables import show
from pipeline import storage
from pipeline.artifacts import Workspace
from pipeline.reporting import render_report, summary_table

PAGE = "report.html"


def report(workspace: Workspace) -> None:
    """Print the figures, each beside chance or the untouched mixture, and write the page."""
    rows = summary_table(workspace)
    show(["what", "value", "beside", "which is", "n"], [list(row.cells()) for row in rows])
    storage.commit_bytes(workspace.uri(PAGE), render_report(workspace).encode())
    print(f"report: {len(rows)} figures -> {workspace.uri(PAGE)}", flush=True)


def command(root: ReadRoot) -> None:
    """Write one HTML page about a workspace, and print its figures.

    Reads every table that is there. Writes report.html, which needs no other file and no network.

    Example: earshot report --root my_workspace
    """
    report(open_workspace(root))
