"""Which spoken words a learner draws from: spans of words that lie in kept clips of one face, as a `ClipSet`.

A video's words say who speaks in it, not which of its faces: words are taken of those spans of time alone in which
exactly one face is followed.
"""

import collections
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig, drawn_splits, shared_splits
from pipeline.storage.layout import SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import PLACE, read_parts, rows_of_splits
from schemas.clips import CLIPS
from schemas.spans import SPANS, SpanRow


def load_words(
    workspace: Workspace,
    splits: Sequence[str],
    splitting: SplittingConfig,
    parts: Sequence[str],
    spec: str,
    frame_rate_hz: float,
    num_frames: int,
) -> list[ClipSet[Clip]]:
    """A row for each word of each clip, of each of the splits, of these parts of `clips/<spec>`.

    A word is in a clip if a window of `num_frames` frames around its middle is. Beside its clip's place a row has
    `word` and `first_frame`, of that window in the clip.

    Args:
        frame_rate_hz: of the clips.
    """
    folder = f"clips/{spec}"
    spans = _words_by_video(workspace)
    shared = shared_splits(workspace, splitting, parts)

    def read(part: str) -> pa.Table:
        by_video = drawn_splits(workspace, part, splitting, shared)
        columns = [*PLACE, "start_s", "num_frames", "outcome"]
        kept = [row for row in workspace.read(folder, part, CLIPS, columns).to_pylist() if row.pop("outcome") == "kept"]
        faces = collections.Counter((row["video_id"], row["start_s"]) for row in kept)
        rows = [
            {name: row[name] for name in PLACE}
            | {"word": word, "first_frame": first, "split": by_video[row["video_id"]]}
            for row in kept
            if faces[row["video_id"], row["start_s"]] == 1
            for word, first in words_of_clip(
                spans.get(row["video_id"], ()), row["start_s"], row["num_frames"], frame_rate_hz, num_frames
            )
        ]
        fields = [CLIPS.field(name) for name in PLACE]
        fields += [pa.field("word", pa.string()), pa.field("first_frame", pa.int32()), pa.field("split", pa.string())]
        return pa.Table.from_pylist(rows, pa.schema(fields))

    return [ClipSet(workspace, folder, rows) for rows in rows_of_splits(read_parts(read, parts), splits)]


def words_of_clip(
    spans: Sequence[SpanRow], start_s: float, clip_frames: int, frame_rate_hz: float, num_frames: int
) -> list[tuple[str, int]]:
    """Each word of a clip and the first frame of the window around its middle, in the order of time.

    >>> span = SpanRow(video_id="v", start_s=2.4, end_s=3.0, category="ABOUT", source="")
    >>> words_of_clip([span], 2.0, 50, 25.0, 29)  # its middle is 17.5 frames after the clip's start
    [('ABOUT', 3)]
    >>> words_of_clip([span], 2.4, 50, 25.0, 29)  # 7.5 frames
    []
    """
    found = []
    for span in sorted(spans, key=lambda span: (span["start_s"], span["end_s"], span["category"])):
        middle = ((span["start_s"] + span["end_s"]) / 2 - start_s) * frame_rate_hz
        first = round(middle - num_frames / 2)
        if 0 <= first <= clip_frames - num_frames:
            found.append((span["category"], first))
    return found


def _words_by_video(workspace: Workspace) -> Mapping[str, list[SpanRow]]:
    """The words of each video; a span without an end is a video without one."""
    found: dict[str, list[SpanRow]] = {}
    for row in workspace.read_all(SPANS_FOLDER, SPANS).to_pylist():
        if row["end_s"] > 0:
            found.setdefault(row["video_id"], []).append(row)
    return found
