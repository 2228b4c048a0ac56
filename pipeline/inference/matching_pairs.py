"""A picture and a sound -> the calibrated probability that they belong together.

Both are cut into clips of the model's length (`match_sides`), and clips of one time are judged with each other: the
probability of a pair is the mean of its clips'. What one of them has beyond the other's end is left out, and so are
clips whose sound is silent.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ClipError, DataError, MissingError
from pipeline.inference.match_sides import Side, Sides, common_clips
from pipeline.storage.pair_files import Pair

ROWS = pa.schema(
    {
        "picture": pa.string(),
        "sound": pa.string(),
        "picture_start_s": pa.float64(),
        "sound_start_s": pa.float64(),
        "match": pa.int8(),
        "probability": pa.float32(),
        "logit": pa.float32(),
        "cosine": pa.float32(),
        "num_clips": pa.int32(),
        "clip_probabilities": pa.list_(pa.float32()),
        "note": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class Match:
    """What the model says of one pair."""

    probability: float
    """That picture and sound belong together, for a prior of one half: the mean of the clips'."""
    logit: float
    """Mean contrastive logit, log c."""
    cosine: float
    """Mean cosine of the embeddings."""
    num_clips: int
    """Clips of one time that both have and whose sound is heard."""
    clip_probabilities: tuple[float, ...]
    """Of each of them, in order of time."""
    note: str
    """What was made up for the shortness of a file."""


def judge_pairs(sides: Sides, pairs: Iterable[Pair], report: Callable[[Pair], None] = lambda pair: None) -> pa.Table:
    """A row of ROWS for each pair, in their order: judged, or with the reason why not.

    Args:
        sides: reads and remembers.
        pairs: what to judge.
        report: called after each.
    """
    rows = []
    for pair in pairs:
        row: dict[str, Any] = pair._asdict()
        try:
            row |= dataclasses.asdict(match_files(sides, *pair[:4]))
        except ClipError as error:
            row |= {"reason": error.reason, "detail": error.detail}
        rows.append(row)
        report(pair)
    return pa.Table.from_pylist(rows, ROWS)


def match_files(
    sides: Sides,
    picture: str,
    sound: str,
    picture_start_s: float | None = None,
    sound_start_s: float | None = None,
) -> Match:
    """Judge the pictures of one file against the sound of another, or of the same.

    Args:
        sides: reads and remembers.
        picture: path or s3:// address of a video or an image.
        sound: of a sound or a video.
        picture_start_s: judge the one clip that begins there.
        sound_start_s: likewise.
    Raises:
        ClipError: one of the files is not there or cannot be used, or the sound is silent; the detail names the side.
    """
    if (picture, picture_start_s) == (sound, sound_start_s):
        with naming("", picture):
            return match_sides(sides, *sides.both(picture, picture_start_s))
    with naming("picture ", picture):
        seen = sides.picture(picture, picture_start_s)
    with naming("sound ", sound):
        heard = sides.sound(sound, sound_start_s)
        return match_sides(sides, seen, heard)


def match_sides(sides: Sides, picture: Side, sound: Side) -> Match:
    """Judge two sides. Raises a ClipError (silent) if no clip that both have is heard."""
    pairs = np.array(list(common_clips(picture, sound)), int).reshape(-1, 2)
    if not len(pairs):
        limit_db = sides.model.cutting.min_rms_db
        raise ClipError("silent", f"below {limit_db:g} dBFS in every clip that both sides have.")
    said = sides.model.judge(picture.embeddings[pairs[:, 0]], sound.embeddings[pairs[:, 1]])
    return Match(
        probability=float(np.mean(said.probability)),
        logit=float(np.mean(said.logit)),
        cosine=float(np.mean(said.cosine)),
        num_clips=len(pairs),
        clip_probabilities=tuple(said.probability.tolist()),
        note="; ".join(filter(None, (picture.note, sound.note))),
    )


@contextlib.contextmanager
def naming(side: str, uri: str) -> Iterator[None]:
    """What a file cannot be used for, as a ClipError whose detail names it."""
    try:
        yield
    except ClipError as error:
        raise ClipError(error.reason, f"{side}{uri}: {error.detail}") from error
    except DataError as error:  # its message begins with the address
        raise ClipError("missing" if isinstance(error, MissingError) else "unread", f"{side}{error}") from error
