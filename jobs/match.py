"""Judge pairs: a model, pictures and sounds -> the calibrated probability that they belong together."""

from typing import Annotated

import typer

from jobs.console.answers import Format, check_out, give
from jobs.console.options import ReadRoot, Scorer
from pipeline.errors import ConfigError


def command(
    root: ReadRoot,
    model: Scorer = "coincidence",
    picture: Annotated[str | None, typer.Option(help="Video or image: a path or s3:// address.")] = None,
    sound: Annotated[str | None, typer.Option(help="Sound or video: a path or s3:// address.")] = None,
    format: Annotated[
        Format | None, typer.Option(help="Default: by the name of --out; else table.", show_default=False)
    ] = None,
    out: Annotated[str | None, typer.Option(help="File or s3:// address to write the rows to.")] = None,
) -> None:
    """Judge whether a picture and a sound belong together.

    Reads the files, models/<model>/ and clips/base/'s record. Writes nothing but --out. The probability is that of
    `earshot score`, for a prior of one half: the mean over the clips of the model's length that both files have.

    Example: earshot match --root my_workspace --picture street.mp4 --sound train.wav
    """
    from jobs.console.match_model import load_match_model
    from pipeline.inference.match_sides import Sides
    from pipeline.inference.matching_pairs import Pair, judge_pairs

    if picture is None or sound is None:
        raise ConfigError("earshot match: expected --picture and --sound.")
    check_out(out, root)
    sides = Sides(load_match_model(root, model))
    rows = judge_pairs(sides, [Pair(picture, sound)])
    reason = rows["reason"][0].as_py()
    if reason is not None:
        raise ConfigError(f"{reason}: {rows['detail'][0].as_py()}")
    unused = ["picture_start_s", "sound_start_s", "match", "reason", "detail"]
    unused += ["clip_probabilities"] if format in (None, "table") and out is None else []
    give("match", rows.drop_columns(unused).to_reader(), format, out, None)
