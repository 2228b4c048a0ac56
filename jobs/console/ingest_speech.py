"""How `earshot ingest` takes over data sets of spoken words: tables to cut and label their videos by."""

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.console.progress import printable

if TYPE_CHECKING:
    from pipeline.ingest.speech_tables import SpokenVideos


def write_lrw_tables(folder: Path, out: str) -> None:
    """Tables of the clips of LRW below a folder, in the published splits."""
    from pipeline.ingest.lrw import read_lrw

    _write(out, read_lrw(folder))


def write_grid_tables(folder: Path, out: str) -> None:
    """Tables of the videos of GRID below a folder that have an alignment; GRID has no published splits."""
    from pipeline.ingest.grid import read_grid

    _write(out, read_grid(folder))


def _write(out: str, found: "SpokenVideos") -> None:
    from pipeline.ingest.speech_tables import write_speech_tables

    write_speech_tables(out, found)
    for finding in found.findings:
        print(printable(f"  {finding}"), flush=True)
    print(f"ingest: {found} -> {out}", flush=True)
