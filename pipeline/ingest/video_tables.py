"""Videos of a published data set in a folder -> the tables by which they are cut and labelled, as any collection is.

Writes `collection.csv` (uri, split, category), `spans.csv` (video, start_s, end_s, category) and `left_out.csv` (video,
reason, files): every video of the data set is in the first or in the last.
"""

import collections
import csv
import io
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.errors import ConfigError
from pipeline.storage import files

VIDEO_SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
TIME = re.compile(r"_\d+$")  # `<id>_000300.mp4`, `<id>_30_40.mp4`: when the clip begins, and ends
COLLECTION_NAME, SPANS_NAME, LEFT_OUT_NAME = "collection.csv", "spans.csv", "left_out.csv"


class Event(NamedTuple):
    """One line of a data set's list."""

    video: str
    """Its name there, without times or suffix."""
    start_s: float
    end_s: float
    category: str
    split: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    num_videos: int
    missing: list[str]
    """Videos of the list that no file is named after."""
    ambiguous: list[str]
    """Videos that several files are named after."""

    def __str__(self) -> str:
        text = f"{self.num_videos} videos"
        for what, found in (("without a file", self.missing), ("with several files", self.ambiguous)):
            if found:
                text += f", {len(found)} {what} (first {found[0]})"
        return text


def find_videos(folder: str, names: Collection[str]) -> dict[str, list[str]]:
    """Addresses of the video files below a folder that are named after each video, with or without times behind it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    wanted = set(names)
    for entry in files.list_files(files.absolute(folder, follow_links=True)):
        stem, suffix = posixpath.splitext(posixpath.basename(entry.uri))
        if suffix.lower() in VIDEO_SUFFIXES:
            without_end = TIME.sub("", stem)
            names = (stem, without_end, TIME.sub("", without_end))  # an id may itself end in _12
            if name := next((name for name in names if name in wanted), None):
                found[name].append(entry.uri)
    return found


def write_tables(out: str, folder: str, events: Sequence[Event]) -> Written:
    """Write the three tables of the videos below `folder`.

    Args:
        out: folder for them; the same tables may be there.
        events: in the order of the data set's list; a video whose lines have several splits is in the first of train,
            validate and test.
    Raises:
        ConfigError: no video is there, or other tables are.
    """
    by_video: dict[str, list[Event]] = {}
    for event in events:
        by_video.setdefault(event.video, []).append(event)
    found = find_videos(folder, by_video)
    if not found:
        raise ConfigError(
            f"{folder}: no video there is named after one of the {len(by_video)} of the list, such as "
            f"{events[0].video}.mp4. Put them there, in any folder below."
        )
    one = {video: found[video][0] for video in by_video if len(found.get(video, ())) == 1}
    left_out = [(video, found.get(video, [])) for video in by_video if video not in one]
    write_table(
        out, COLLECTION_NAME, ("uri", "split", "category"), (_listed(uri, by_video[v]) for v, uri in one.items())
    )
    spans = (
        (one[event.video], f"{event.start_s:g}", f"{event.end_s:g}", event.category)
        for event in events
        if event.video in one
    )
    write_table(out, SPANS_NAME, ("video", "start_s", "end_s", "category"), spans)
    rows = ((video, "ambiguous" if uris else "missing", " ".join(sorted(uris))) for video, uris in left_out)
    write_table(out, LEFT_OUT_NAME, ("video", "reason", "files"), rows)
    missing = [video for video, uris in left_out if not uris]
    return Written(len(one), missing, [video for video, uris in left_out if uris])


def _listed(uri: str, events: list[Event]) -> tuple[str, str, str]:
    splits = [split for split in ("train", "validate", "test") if split in {event.split for event in events}]
    return uri, splits[0] if splits else "", "; ".join(dict.fromkeys(event.category for event in events))


def write_table(out: str, name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a CSV into a folder or below an s3:// prefix.

    Raises:
        ConfigError: a file of that name with another content is there.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    uri, data = files.join(files.absolute(out), name), text.getvalue().encode(errors="surrogateescape")
    if files.exists(uri) and files.read_bytes(uri) != data:
        raise ConfigError(f"{uri}: is there, with another content. Choose another folder, or remove it.")
    files.commit_bytes(uri, data)
