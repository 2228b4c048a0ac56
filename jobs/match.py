"""Judge pairs: a model, pictures and sounds -> the calibrated probability that they belong together."""

import collections
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console.answers import Format, check_out, give
from jobs.console.messages import say
from jobs.console.options import ReadRoot, Scorer
from jobs.console.progress import progress_bar
from pipeline.errors import ConfigError
from pipeline.formatting import format_counts, format_figure

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inference.match_sides import Sides

MAX_ROWS = 50


def command(
    root: ReadRoot,
    model: Scorer = "coincidence",
    picture: Annotated[str | None, typer.Option(help="Video or image: a path or s3:// address.")] = None,
    sound: Annotated[str | None, typer.Option(help="Sound or video: a path or s3:// address.")] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Table of pairs: .csv, .jsonl or .parquet with columns picture and sound, and as far as they are "
            "known picture_start_s, sound_start_s and match (0 or 1)."
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="table shows 50 rows, the others give all. Default: by the name of --out; else table."),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="File or s3:// address to write the rows to.")] = None,
) -> None:
    """Judge whether a picture and a sound belong together.

    Reads the files, models/<model>/ and the record of clips/base/. Writes nothing but --out. The probability is that of
    `earshot score`, for a prior of one half: the mean over the clips of the model's length that both files have. A pair
    of --pairs that cannot be judged is a row with a reason; where match is known, the figures of the judgements follow.

    Example: earshot match --root my_workspace --picture street.mp4 --sound train.wav
    """
    from jobs.console.match_model import load_match_model
    from pipeline.inference.match_sides import Sides

    check_out(out, root)
    form = format or ("table" if out is None else None)
    if pairs is not None and picture is None and sound is None:
        rows = _judge_table(Sides(load_match_model(root, model)), pairs)
    elif pairs is None and picture is not None and sound is not None:
        rows = _judge_pair(Sides(load_match_model(root, model)), picture, sound)
    else:
        raise ConfigError("earshot match: expected --picture and --sound, or --pairs.")
    if form == "table":
        known = [name for name in rows.column_names if rows[name].null_count < len(rows)]
        rows = rows.select([name for name in known if name != "clip_probabilities"])
    give("match", rows.to_reader(), form, out, MAX_ROWS)


def _judge_pair(sides: "Sides", picture: str, sound: str) -> "pa.Table":
    from pipeline.inference.matching_pairs import Pair, judge_pairs

    rows = judge_pairs(sides, [Pair(picture, sound)])
    reason = rows["reason"][0].as_py()
    if reason is not None:
        raise ConfigError(f"{reason}: {rows['detail'][0].as_py()}")
    return rows.drop_columns(["picture_start_s", "sound_start_s", "match", "reason", "detail"])


def _judge_table(sides: "Sides", uri: str) -> "pa.Table":
    """The rows of a table of pairs; what they come to is said on stderr."""
    from pipeline.inference.matching_pairs import judge_pairs
    from pipeline.inference.pair_figures import pair_figures
    from pipeline.inference.pair_files import read_pairs

    pairs = read_pairs(uri)
    with progress_bar("match, pairs", len(pairs)) as advance:
        rows = judge_pairs(sides, pairs, lambda pair: advance(1, ""))
    reasons = collections.Counter(reason for reason in rows["reason"].to_pylist() if reason is not None)
    unread = f"; not judged: {format_counts(reasons)}" if reasons else ""
    say(f"match: {len(rows) - reasons.total()} of {len(rows)} pairs judged{unread}")
    for found in pair_figures(rows):
        value = format_figure(found.value, "1", found.low, found.high)
        of = f"{found.num_pairs} pairs, {found.num_matched} of them match"
        say(f"match: {found.figure} {value} (baseline {found.baseline:g}; {of})", counts={found.figure: found.value})
    return rows
