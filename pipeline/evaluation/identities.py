"""Who is seen in held-out clips: classes for a probe, and pairs for verification, from rows of `utterances`.

An identity is the collection's column `speaker` where clips have one, else the video. Of each video only the face with
the most clips takes part: a column says one name of a video, and two faces of a video are two people.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_CLIPS = 4000  # that probes are fitted to and pairs drawn of
MAX_IDENTITIES = 64  # those with the most clips: a probe of thousands would take hours
NUM_FOLDS = 5


class Identities(NamedTuple):
    """Clips of which it is known who is seen."""

    rows: pa.Table
    """[N] rows of `utterances`."""
    classes: NDArray[np.int_]
    """[N] number of each one's identity."""
    folds: NDArray[np.int_]
    """[N] clips of one fold share nothing with those of others that they should not be known by: all clips of a video
    are in one fold where speakers are known, and else each clip is by itself."""
    units: NDArray[np.int_]
    """[N] number of what may not be shared: the video where speakers are known, else the clip."""


def probed_identities(rows: pa.Table, seed: int) -> Identities:
    """The clips of those identities that have two videos or more, or clips where the video is the identity.

    Args:
        rows: of `utterances`.
        seed: of the clips that are drawn where there are more than MAX_CLIPS.
    """
    rows = rows.take(pa.array(np.flatnonzero(_is_main_face(rows)), pa.int64()))
    has_speakers = rows["speaker"].null_count < len(rows)
    if has_speakers:
        rows = rows.filter(pc.is_valid(rows["speaker"]))
    rows = rows.take(pa.array(draw_clips(len(rows), seed), pa.int64()))
    names = rows["speaker" if has_speakers else "video_id"].to_numpy()
    units = rows["video_id" if has_speakers else "clip_id"].to_numpy()
    units_of: dict[str, dict[str, int]] = {}  # of each identity: its units, numbered as they come
    counts: dict[str, int] = {}
    for name, unit in zip(names, units, strict=True):
        places = units_of.setdefault(name, {})
        places.setdefault(unit, len(places))
        counts[name] = counts.get(name, 0) + 1
    several = sorted((name for name, places in units_of.items() if len(places) > 1), key=lambda name: -counts[name])
    numbers = {name: number for number, name in enumerate(several[:MAX_IDENTITIES])}
    chosen = np.array([name in numbers for name in names], bool)
    rows = rows.take(pa.array(np.flatnonzero(chosen), pa.int64()))
    classes = np.array([numbers[name] for name in names[chosen]], np.int64)
    in_order = [units_of[name][unit] for name, unit in zip(names[chosen], units[chosen], strict=True)]
    _, of_unit = np.unique(units[chosen], return_inverse=True)
    return Identities(rows, classes, np.array(in_order, np.int64) % NUM_FOLDS, of_unit)


def draw_pairs(known: Identities, seed: int) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
    """Pairs of clips, of one identity and of two: for each clip one of each kind, as far as there is a partner.

    A partner of the same identity is of another unit; one of another identity is of another video.

    Returns:
        [P] numbers of the first clips, [P] of the second ones, and [P] whether both are of one identity.
    """
    videos = known.rows["video_id"].to_numpy()
    first, second, is_same = [], [], []
    for clip in range(len(videos)):
        rng = np.random.default_rng([seed, clip])
        same = np.flatnonzero((known.classes == known.classes[clip]) & (known.units != known.units[clip]))
        other = np.flatnonzero((known.classes != known.classes[clip]) & (videos != videos[clip]))
        if len(same) and len(other):
            first += [clip, clip]
            second += [int(rng.choice(same)), int(rng.choice(other))]
            is_same += [True, False]
    return np.array(first, np.int64), np.array(second, np.int64), np.array(is_same, bool)


def draw_clips(count: int, seed: int) -> NDArray[np.int_]:
    """Numbers of at most MAX_CLIPS of so many clips, in order."""
    return np.sort(np.random.default_rng([seed, count]).permutation(count)[:MAX_CLIPS])


def to_embeddings(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """[N, D] of a column of lists of equal length."""
    lists = column.combine_chunks()
    values = lists.flatten().to_numpy()
    return values.reshape(len(lists), -1) if len(lists) else np.zeros((0, 0), np.float32)


def _is_main_face(rows: pa.Table) -> NDArray[np.bool_]:
    """[N] whether a clip is of the face of its video that most clips are of; of equal ones the first that appeared."""
    videos, tracks = rows["video_id"].to_pylist(), rows["track"].to_pylist()
    counts: dict[str, dict[int, int]] = {}
    for video, track in zip(videos, tracks, strict=True):
        of_video = counts.setdefault(video, {})
        of_video[track or 0] = of_video.get(track or 0, 0) + 1
    main = {video: min(of_video, key=lambda track: (-of_video[track], track)) for video, of_video in counts.items()}
    return np.array([main[video] == (track or 0) for video, track in zip(videos, tracks, strict=True)], bool)
