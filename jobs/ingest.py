"""Take over a published data set: features or clips with their labels into a root, or tables to cut its videos by."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from jobs.console.ingest_events import ingest_ave, refuse_pickles, write_ave_tables, write_avel_tables
from jobs.console.ingest_masks import ingest_masks
from jobs.console.ingest_speech import write_grid_tables, write_lrw_tables
from pipeline.errors import ConfigError

DataSetName = Literal["ave", "avel", "avsbench-s4", "avsbench-ms3", "avsbench-semantic", "lrw", "grid"]


class DataSet(NamedTuple):
    """What can be done with a published data set."""

    into_root: Callable[[Path, str, bool], None] | None
    """Take over what is in a folder into a root; True: in the published splits, whatever is in several."""
    write_tables: Callable[[Path, str], None] | None = None
    """Write tables of its videos to a folder."""


DATA_SETS: dict[DataSetName, DataSet] = {
    "ave": DataSet(ingest_ave, write_ave_tables),
    "avel": DataSet(refuse_pickles, write_avel_tables),
    "avsbench-s4": DataSet(functools.partial(ingest_masks, "avsbench-s4")),
    "avsbench-ms3": DataSet(functools.partial(ingest_masks, "avsbench-ms3")),
    "avsbench-semantic": DataSet(functools.partial(ingest_masks, "avsbench-semantic")),
    "lrw": DataSet(None, write_lrw_tables),
    "grid": DataSet(None, write_grid_tables),
}


def command(
    dataset: Annotated[
        DataSetName,
        typer.Argument(help="AVE, VGGSound-AVEL100k, a subset of AVSBench (S4, MS3, semantic), LRW or GRID."),
    ],
    folder: Annotated[str, typer.Argument(help="Folder with the published files.")],
    root: Annotated[
        str | None, typer.Option(help="Workspace for AVE's features and spans, or AVSBench's clips and masks.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder for tables to cut videos by, in place of --root.")] = None,
    as_published: Annotated[
        bool,
        typer.Option("--as-published", help="With --root: leave test clips in test whose video is in another split."),
    ] = False,
) -> None:
    """Take over a published data set.

    Reads the published files below the folder: with --root AVE's Annotations.txt, splits and features (HDF5), whose
    labels are compared, or AVSBench's list, frames, wavs and masks. Writes features/events/ave and the tables features
    and spans; of AVSBench clips/segmentation/, masks/ and the tables collection, videos, clips and masks, after it said
    what is missing in the folder. With --out collection.csv (for --collection) and spans.csv (for --spans) of the
    videos below the folder: events of AVE and AVEL, the words of LRW (line 5 of each .txt) and GRID (.align).

    Example: earshot ingest ave AVE_Dataset --root my_workspace
    """
    if not Path(folder).exists():
        raise ConfigError(f"folder {folder}: nothing there. Expected the published files.")
    data_set = DATA_SETS[dataset]
    if (root is None) == (out is None):
        raise ConfigError("ingest: give --root (what is published), or --out (tables to cut videos by).")
    if root is not None:
        if data_set.into_root is None:
            raise ConfigError(f"ingest {dataset}: videos are cut by tables; expected --out in place of --root.")
        data_set.into_root(Path(folder), root, as_published)
    elif as_published:
        raise ConfigError("ingest: --as-published is about what goes into a root; expected it with --root.")
    elif data_set.write_tables is None:
        raise ConfigError(f"ingest {dataset}: --out is for data sets of events or words; expected --root.")
    elif out is not None:
        data_set.write_tables(Path(folder), out)
