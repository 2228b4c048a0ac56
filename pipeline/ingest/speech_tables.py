"""Spoken words of a published data set -> the tables by which its videos are cut and labelled, as any collection is.

Writes `collection.csv` (uri, split, category, and `source` or `speaker`), `spans.csv` (video, start_s, end_s, category)
and `left_out.csv` (video, reason, files): every video of the data set is in the first or in the last. A category is a
word; a source is what several videos were taken from, or who speaks in them. No media file is opened or copied.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError
from pipeline.formatting import format_counts, format_number
from pipeline.ingest.published_trees import Finding
from pipeline.ingest.video_tables import COLLECTION_NAME, LEFT_OUT_NAME, SPANS_NAME, write_table

MAX_TEXT_BYTES = 1 << 16  # of a file that says what is spoken: the published ones have some 200


class Spoken(NamedTuple):
    """One word of a video."""

    start_s: float
    end_s: float
    word: str


@dataclass(frozen=True, slots=True)
class SpokenVideo:
    """A video, and what is spoken in it."""

    name: str
    """For messages."""
    uri: str
    split: str | None
    source: str
    """What it was taken from, "" where nothing says so."""
    words: tuple[Spoken, ...]


class LeftOut(NamedTuple):
    """A video that is in no collection."""

    name: str
    reason: str
    files: str
    """Those that are there."""


@dataclass(frozen=True, slots=True)
class SpokenVideos:
    """What was found in a folder."""

    videos: list[SpokenVideo]
    left_out: list[LeftOut]
    source_column: str
    """What their sources are called in the collection."""
    findings: list[Finding] = field(default_factory=list)
    """What is odd of those that are in the collection."""

    def __str__(self) -> str:
        """`7 videos, 41 words of 22 kinds, left out: 1 missing`."""
        kinds = {spoken.word for video in self.videos for spoken in video.words}
        num_words = sum(len(video.words) for video in self.videos)
        text = f"{format_number(len(self.videos))} videos, {format_number(num_words)} words of {len(kinds)} kinds"
        reasons: dict[str, int] = {}
        for left_out in self.left_out:
            reasons[left_out.reason] = reasons.get(left_out.reason, 0) + 1
        return f"{text}, left out: {format_counts(dict(sorted(reasons.items())))}" if reasons else text


def find_leaks(videos: Iterable[SpokenVideo]) -> Finding | None:
    """The sources that videos of several splits were taken from, each with one video of each split."""
    first: dict[str, dict[str, str]] = {}
    for video in videos:
        if video.source and video.split:
            first.setdefault(video.source, {}).setdefault(video.split, video.name)
    leaks = [
        f"{source} ({', '.join(f'{split}: {name}' for split, name in splits.items())})"
        for source, splits in first.items()
        if len(splits) > 1
    ]
    return Finding("with videos in several splits (each stays where it was published)", leaks) if leaks else None


def write_speech_tables(out: str, found: SpokenVideos) -> None:
    """Write the three tables; the same ones may be there.

    Raises:
        ConfigError: other tables are there.
    """
    collection = (
        (video.uri, video.split or "", " ".join(spoken.word for spoken in video.words), video.source)
        for video in found.videos
    )
    write_table(out, COLLECTION_NAME, ("uri", "split", "category", found.source_column), collection)
    nothing = (Spoken(0, 0, ""),)  # of a video that was listened to, without a word
    spans = (
        (video.uri, f"{spoken.start_s:g}", f"{spoken.end_s:g}", spoken.word)
        for video in found.videos
        for spoken in video.words or nothing
    )
    write_table(out, SPANS_NAME, ("video", "start_s", "end_s", "category"), spans)
    write_table(out, LEFT_OUT_NAME, ("video", "reason", "files"), found.left_out)


def read_lines(path: Path) -> Sequence[str]:
    """The lines of a small text file.

    Raises:
        ConfigError: it is none.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: no file of text. Expected one, or a link to one.")
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise ConfigError(f"{path}: more than {MAX_TEXT_BYTES} bytes; expected some lines of text.")
        return data.decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Expected text in UTF-8.") from error
