"""Where everything lies below a workspace's root: the one place that knows paths.

    earshot.json                                    the settings that later commands take over
    stages/scores/coincidence.json                  the record of a stage: what made it, from what, and when
    stages/selections/top.cutoffs.json              what else a stage has to remember
    tables/collection/00042.parquet                 a table is a folder of Parquet files and nothing else; it is
    tables/clips/spec=base/00042.parquet            Hive-partitioned, with the partition columns in the path alone
    tables/examples/model=m/mixtures=default/...
    clips/base/00042.tar, materialized/top/..., mixtures/default/...        media
    features/events/coincidence/00042.tar           features of the clips of a spec
    masks/00042.tar                                 masks of the videos, whatever clip spec cuts them
    models/coincidence/model.pt                     weights, checkpoints, TensorBoard
    tombstones/00000.json                           what is remembered of videos that were taken down
    logs/, .locks/, report.html

A stage, the partition of the table that it writes and the folder of its media have one name: `<kind>/<name>`, such as
scores/coincidence, or `features/<spec>/<name>`, where the kind is the table's name.
"""

COLLECTION_FOLDER, TRAINING = "collection", "training"
CLIPS_FOLDER, VIDEOS_FOLDER, LABELS_FOLDER = "clips/base", "videos/base", "labels/base"
IMPORTED = "imported"  # tables of columns that other tools computed, each with columns of its own
SPANS_FOLDER, MASKS_FOLDER = "spans", "masks"  # of videos, whatever clip spec cuts them
SETTINGS_FILE = "earshot.json"  # in every root: marks it as one
STAGES, TABLES, TOMBSTONES = "stages", "tables", "tombstones"
CUTTING = "shard-"  # begins the usage of cutting, whose name ends in the clip specs: shard-base-events
NO_MIXTURES = "-"  # partition of a model that is evaluated on no frozen sets; no name begins with -

# Partition columns of each table, in the order of the names. The tables of evaluations have those of EVALUATION.
PARTITIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((COLLECTION_FOLDER, SPANS_FOLDER, MASKS_FOLDER), ()),
    **dict.fromkeys(("clips", "tracks", "videos", "labels"), ("spec",)),
    **dict.fromkeys(("scores", TRAINING), ("model",)),
    **dict.fromkeys(("duplicates", "selections", "materialized"), ("selection",)),
    "mixtures": ("mixtures",),
    "features": ("spec", "features"),
    "usage": ("stage",),
    IMPORTED: ("name",),
}
EVALUATION = ("model", "mixtures")
MEDIA = ("clips", "materialized", "mixtures", "features", MASKS_FOLDER)  # stages that write tars beside their table
# Partitions that a stage writes beside the one of its own name, by its kind; {name} is the rest of its name, a * at the
# end any name that begins so.
TABLES_BESIDE = {
    COLLECTION_FOLDER: (f"usage/{CUTTING}*",),  # of each group of clip specs that was cut together
    "clips": ("videos/{name}", "tracks/{name}"),
    "models": ("training/{name}", "usage/train-{name}"),
    "scores": ("usage/score-{name}",),
    "features": ("usage/features-{name}",),
    "labels": ("usage/label",),
    SPANS_FOLDER: ("usage/label-spans",),
    MASKS_FOLDER: ("usage/label-masks",),
    "selections": tuple(f"usage/{step}-{{name}}" for step in ("count", "survey", "rank", "filter")),
    "duplicates": ("usage/compare-{name}", "usage/match-{name}"),
    "materialized": ("usage/materialize-{name}",),
    "mixtures": ("usage/mix-{name}",),
    "reports": ("usage/evaluate-{name}",),
    IMPORTED: ("usage/scorer-{name}",),
}


def table_folder(partition: str) -> str:
    """The folder of a table's partition: `tables/scores/model=coincidence` for scores/coincidence.

    Raises:
        ValueError: the name has more or fewer parts than the table has partition columns.
    """
    kind, *values = partition.split("/")
    columns = PARTITIONS.get(kind, EVALUATION)
    return "/".join([TABLES, kind, *(f"{column}={value}" for column, value in zip(columns, values, strict=True))])


def report_table(report: str, table: str) -> str:
    """The partition of an evaluation's table: examples/m/default for the stage reports/m/default."""
    return f"{table}/{report.partition('/')[2]}"


def stage_of_record(path: str) -> str | None:
    """The stage whose record lies at a path below the root; None for any other file."""
    folder, _, file = path.removeprefix(f"{STAGES}/").rpartition("/")
    name = file.removesuffix(".json")
    is_record = path.startswith(f"{STAGES}/") and file.endswith(".json") and "." not in name
    return f"{folder}/{name}".strip("/") if is_record else None
