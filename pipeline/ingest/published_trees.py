"""A published list beside the files that are there: what is missing, and what no line names; nothing is opened.

Links are not followed below the folders of a data set: a tree that was unpacked from somebody's archive must not lead
out of it. Those folders themselves may be links of the user's.
"""

import collections
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.formatting import format_counts, format_number
from pipeline.hashing import hash_bytes, hash_json
from pipeline.ingest.avsbench_lists import DataSet, ListedVideo, find_list, read_list

NOT_LOOKED_INTO = ("audio_log_mel", "labels_semantic", "raw_videos")  # pickles, and what else nobody reads
MAX_DEPTH = 5  # folders below a tree, of which the published ones have three
PICTURES = (".png", ".jpg")
NUM_NAMED = 3  # of each finding


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with some of the videos, or with files that the list does not name."""

    what: str
    names: Sequence[str]

    def __str__(self) -> str:
        """`2 without a wav: dog_1, dog_2`."""
        more = f" and {format_number(len(self.names) - NUM_NAMED)} more" if len(self.names) > NUM_NAMED else ""
        return f"{format_number(len(self.names))} {self.what}: {', '.join(self.names[:NUM_NAMED])}{more}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a video gives no clip."""

    outcome: str
    """As in the table `videos`."""
    what: str
    """Of all videos with this fault, after their number."""
    detail: str


class PublishedTree:
    """A data set in a folder: its list, the files that are there, and what is found of both.

    Args:
        folder: that the list is in, or `avsbench_data` above it.
    Raises:
        ConfigError: there is no list, it or a folder cannot be read, or none of its videos has all its files there.
    """

    def __init__(self, folder: Path, data_set: DataSet) -> None:
        path = find_list(folder, data_set)
        self.folder, self.data_set = path.parent, data_set
        self.videos: list[ListedVideo] = read_list(path, data_set)
        self.sizes: dict[str, int] = {}
        """Bytes of each file, by its path below the folder."""
        links: list[str] = []
        for tree in data_set.trees:
            self._list(tree, self.folder / tree, links, MAX_DEPTH)
        self._list_hash = hash_bytes(path.read_bytes())
        self.faults: dict[int, Fault] = {
            video.line: fault for video in self.videos if (fault := _find_fault(video, self.sizes)) is not None
        }
        """Of the videos that give no clip, by their line."""
        self.findings: list[Finding] = list(self._find(links))
        if len(self.faults) == len(self.videos):
            first = next((video.places.frames[0] for video in self.videos if video.places), data_set.trees[0])
            found = "; ".join(map(str, self.findings))
            raise ConfigError(f"{self.folder}: no whole video there ({found}). Expected files such as {first}.")

    def content(self) -> dict[str, str]:
        """What the clips follow from, for the stage's record: hashes of the list, and of names and sizes of files."""
        return {self.data_set.list_name: self._list_hash, "files": hash_json(self.sizes)}

    def counts(self) -> str:
        """The videos of each split beside the published ones."""
        published = self.data_set.published
        splits = collections.Counter(video.split or "no split" for video in self.videos)
        order = [split for split in (*published, "train", "validate", "test", "no split") if splits[split]]
        text = f"{format_number(len(self.videos))} videos are listed ("
        text += ", ".join(f"{format_number(splits[split])} {split}" for split in dict.fromkeys(order)) + ")"
        if published:
            text += f"; published are {format_number(sum(published.values()))} ({format_counts(published)})"
        return text

    def _list(self, below: str, folder: Path, links: list[str], depth: int) -> None:
        if not folder.is_dir():
            return
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be listed ({error}). Allow it to be read, or move it away.") from error
        for entry in entries:
            path = f"{below}/{entry.name}"
            if entry.is_symlink():
                links.append(path)
            elif entry.is_file():
                self.sizes[path] = entry.stat().st_size
            elif entry.is_dir() and depth and entry.name not in NOT_LOOKED_INTO:
                self._list(path, Path(entry.path), links, depth - 1)

    def _find(self, links: list[str]) -> Iterator[Finding]:
        by_fault: dict[str, list[str]] = collections.defaultdict(list)
        for video in self.videos:
            if fault := self.faults.get(video.line):
                by_fault[fault.what].append(video.folder)
        for what, names in sorted(by_fault.items()):
            yield Finding(what, names)
        listed = [video.places for video in self.videos if video.places is not None]
        whole = [video.places for video in self.videos if video.places is not None and video.line not in self.faults]
        if lacking := [place.folder for place in whole if any(mask not in self.sizes for mask in place.masks)]:
            yield Finding("that lack masks, and are kept", lacking)
        splits_of: dict[str, set[str | None]] = collections.defaultdict(set)
        for video in self.videos:
            if name := video.values.get(self.data_set.source):
                splits_of[name].add(video.split)
        if torn := [name for name, splits in splits_of.items() if len(splits) > 1]:
            yield Finding("videos with clips in several splits, left as published", torn)
        known = {_folder(path) for places in listed for path in (*places.frames, *places.masks)}
        pictures = {_folder(path) for path in self.sizes if path.endswith(PICTURES)}
        if unlisted := sorted(pictures - known):
            yield Finding("folders without a line, left out", unlisted)
        if links:
            yield Finding("links, not followed", links)


def _find_fault(video: ListedVideo, sizes: Mapping[str, int]) -> Fault | None:
    """Why a video gives no clip, as far as names say; None where all is there."""
    if video.places is None:
        return Fault("refused", "refused (line of the list)", f"line {video.line}: {video.refusal}")
    frames, sound = video.places.frames, video.places.sound
    lacking = [path for path in frames if path not in sizes]
    if len(lacking) == len(frames):
        return Fault("missing", "without a folder of frames (missing)", f"{_folder(frames[0])}: no frame is there.")
    if lacking:
        found = f"{len(frames) - len(lacking)} of {len(frames)} frames"
        return Fault("no_frame", "without some of the frames (no_frame)", f"{found}; {lacking[0]} is not there.")
    if sound not in sizes:
        return Fault("no_audio", "without a wav (no_audio)", f"{sound} is not there.")
    return None


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
