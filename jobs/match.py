"""Judge pairs: a model, pictures and sounds -> the calibrated probability that they belong together."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.console.answers import Format, check_out, give
from jobs.console.match_rows import ROOT, find_shifts, judge_pair, judge_table, rank_clips, rank_folder
from jobs.console.options import ReadRoot, Scorer, named
from jobs.console.takedown_notes import check_takedown
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 50
MODES = (
    "expected --picture and --sound, one of them with --among or --selection, --pairs, or --over-time with --picture "
    "or with --among FOLDER"
)
# The options that go together.
OVER_TIME: tuple[set[str], ...] = ({"picture"}, {"among"})
CLEAR: tuple[set[str], ...] = (
    {"pairs"},
    {"picture", "sound"},
    *({side, place} for side in ("picture", "sound") for place in ("among", "selection")),
)


def command(
    root: ReadRoot,
    model: Scorer = "coincidence",
    picture: Annotated[str | None, typer.Option(help="Video or image: a path or s3:// address.")] = None,
    sound: Annotated[str | None, typer.Option(help="Sound or video: a path or s3:// address.")] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Table of pairs: .csv, .jsonl or .parquet with columns picture and sound (files, or clip_ids of the "
            "root), and as far as they are known picture_start_s, sound_start_s and match (0 or 1)."
        ),
    ] = None,
    among: Annotated[
        str | None,
        typer.Option(
            help=f"Rank what fits best: the files of a folder or s3:// prefix, or `{ROOT}`: all scored clips."
        ),
    ] = None,
    selection: Annotated[str | None, named("Rank the kept clips of this selection.")] = None,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="Find how late the sound of --picture, or of each video --among, is.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many of the ranked to show.")] = 10,
    by: Annotated[
        Literal["probability", "logit", "cosine"],
        typer.Option(help="Rank by the probability, the contrastive score that trained the towers, or the cosine."),
    ] = "probability",
    format: Annotated[
        Format | None,
        typer.Option(help="table shows 50 rows, the others give all. Default: by the name of --out; else table."),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="File or s3:// address to write the rows to.")] = None,
) -> None:
    """Judge whether a picture and a sound belong together, or rank what fits one of them best.

    Reads the files, models/<model>/ and the record of clips/base/; of clips the table scores. Writes nothing but --out.
    The probability is that of `earshot score`, for a prior of one half: the mean over the clips of the model's length
    that both files have. A file or pair that cannot be judged is a row with a reason; where match is known, the figures
    of the judgements follow.

    Example: earshot match --root my_workspace --picture street.mp4 --sound train.wav
    """
    from jobs.console.match_model import load_match_model
    from pipeline.inference.match_sides import Sides
    from pipeline.storage.workspace import open_workspace

    check_out(out, root)
    options = {"picture": picture, "sound": sound, "pairs": pairs, "among": among, "selection": selection}
    given = {name for name, value in options.items() if value is not None}
    if given not in (OVER_TIME if over_time else CLEAR) or (over_time and among == ROOT):
        raise ConfigError(f"earshot match: {MODES}.")
    workspace = open_workspace(root)
    check_takedown(workspace, "match", out)
    found = load_match_model(root, model)
    sides = Sides(found)
    if over_time:
        rows = find_shifts(found, picture, among)
    elif pairs is not None:
        rows = judge_table(found, workspace, model, pairs)
    elif selection is not None or among == ROOT:
        rows = rank_clips(sides, workspace, model, picture, sound, by, top, selection)
    elif among is not None:
        rows = rank_folder(sides, picture, sound, among, by, top)
    else:
        rows = judge_pair(sides, str(picture), str(sound))
    form = format or ("table" if out is None else None)
    give("match", (_shortened(rows) if form == "table" else rows).to_reader(), form, out, MAX_ROWS)


def _shortened(rows: "pa.Table") -> "pa.Table":
    """Without columns that have no value, and without those of each clip."""
    known = [name for name in rows.column_names if rows[name].null_count < len(rows)]
    return rows.select([name for name in known if name != "clip_probabilities"])
