"""Names of videos in label files and span files -> the workspace's videos, and each video's rows.

A name is a video_id, an address, or the end of an address, in any spelling. A name with accents that fits none fits the
video whose name has the same in composed characters; one that fits none either fits the file of that name with a
suffix, so that `-3z5mFRgbxc` of a published list finds `-3z5mFRgbxc.mp4`.
"""

import dataclasses
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.clips.cut_videos import cut_parts, read_videos
from pipeline.collection.addresses import Resolver, is_relative, plain
from pipeline.errors import ConfigError
from pipeline.formatting import format_difference
from pipeline.labels.label_files import FileRows
from pipeline.storage.workspace import Workspace

Video = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class FileFacts:
    """How many videos of a label file are in a workspace."""

    num_rows: int
    num_videos: int
    """Videos that the file judges."""
    num_matched: int
    """Those of them that are in the workspace."""

    def __str__(self) -> str:
        return f"{self.num_matched} of {self.num_videos} videos are here"


class MatchedRows:
    """Rows of files by the workspace's video that they are about.

    Args:
        workspace: the videos that any clip spec has cut or rejected.
        rows: of the files.
    Raises:
        ConfigError: no video is the workspace's, or a name fits two.
    """

    def __init__(self, workspace: Workspace, rows: FileRows) -> None:
        names = rows.codes("video")
        videos = _match(workspace, rows)
        found = {video["video_id"]: video for video in videos if video is not None}
        self._places = {video_id: place for place, video_id in enumerate(sorted(found))}
        numbers = np.array([-1 if video is None else self._places[video["video_id"]] for video in videos])
        of_row = numbers[names]
        self.of_row = np.where(of_row < 0, -1 - names, of_row)
        """[n] number of each row's video; below 0 where the workspace has none of its name."""
        self.durations_s: list[float | None] = [found[video_id]["duration_s"] for video_id in self._places]
        """Of the videos, by their numbers."""
        self.files: dict[str, FileFacts] = {}
        of_file = rows.codes("file")
        for code, name in enumerate(rows.table["file"].chunk(0).dictionary.to_pylist()):
            named = np.unique(names[of_file == code])
            self.files[name] = FileFacts(int((of_file == code).sum()), len(named), int((numbers[named] >= 0).sum()))
        order = np.argsort(of_row, kind="stable")
        order = order[of_row[order] >= 0]
        self._table = rows.table.drop_columns(["video"]).take(pa.array(order))
        self._first = np.searchsorted(of_row[order], np.arange(len(self._places) + 1))

    def of_video(self, video_id: str) -> list[dict[str, Any]]:
        """The rows about a video, without its name, in the order of the files."""
        place = self._places.get(video_id)
        if place is None:
            return []
        first, last = self._first[place : place + 2]
        return self._table.slice(first, last - first).to_pylist()


def _match(workspace: Workspace, rows: FileRows) -> list[Video | None]:
    """The workspace's video of each name in the files, in the order of their dictionary; None where none fits."""
    names = rows.table["video"].chunk(0).dictionary.to_pylist()
    columns = ["video_id", "uri", "duration_s"]
    known = (video for part in cut_parts(workspace) for video in read_videos(workspace, part, columns))
    found: list[Video | None] = []
    for number, videos in enumerate(fit_names(names, known)):
        if len(videos) > 1:
            row = int(np.argmax(rows.codes("video") == number))
            one, other = (video["uri"] for video in videos)
            is_alike = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
            how = f", which differ: {format_difference(one, other)}" if is_alike else ""
            raise ConfigError(
                f"{rows.where(row)}: `{names[number]}` fits two videos, {one} and {other}{how}. Expected the name of "
                "one: give more of its path, or its video_id."
            )
        found.append(videos[0] if videos else None)
    if not any(found):
        raise ConfigError(
            f"{rows.where(0)}: `{names[0]}` is not in {workspace.root}, nor is any other of the {len(names)} videos. "
            "Expected file names, addresses or video_ids as in the table `videos`."
        )
    return found


def fit_names(names: Sequence[str], known: Iterable[Video]) -> list[list[Video]]:
    """The first two of the known videos that each name fits.

    Args:
        names: as files have them.
        known: video_id and uri of each, and what the caller needs of it.
    """
    resolve = Resolver(os.getcwd())
    keys = [plain(name) if is_relative(name) else resolve(name) for name in names]
    composed = [unicodedata.normalize("NFC", key) for key in keys]
    exact, bare, alike = _Fits(keys), _Fits(keys), _Fits([key for key in composed if not key.isascii()])
    for video in known:
        uri = video["uri"]
        exact.add(video, uri)
        bare.add(video, posixpath.splitext(uri)[0])
        if not uri.isascii():
            alike.add(video, unicodedata.normalize("NFC", uri))
    return [
        exact.found.get(key) or alike.found.get(same) or bare.found.get(key) or []
        for key, same in zip(keys, composed, strict=True)
    ]


class _Fits:
    """The first two videos that each of some names fits."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self.found = set(names), dict[str, list[Video]]()

    def add(self, video: Video, uri: str) -> None:
        """Note a video for the names that are its video_id, its address `uri`, or the end of that."""
        pieces = uri.split("/")
        for name in self._names & {video["video_id"], *("/".join(pieces[i:]) for i in range(len(pieces)))}:
            videos = self.found.setdefault(name, [])
            if len(videos) < 2 and video["video_id"] not in [other["video_id"] for other in videos]:
                videos.append(video)
