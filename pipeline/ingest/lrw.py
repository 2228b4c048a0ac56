"""LRW (Lip Reading in the Wild; Chung and Zisserman 2016) as published -> its clips with their word.

    <WORD>/{train,val,test}/<WORD>_NNNNN.mp4    29 frames at 25 frames per second
    <WORD>/{train,val,test}/<WORD>_NNNNN.txt    lines 1 to 4: which broadcast, and when in it; line 5: `Duration: 0.53
                                                seconds`, of the word, which lies in the middle of the clip

Numbers begin anew in each split. The broadcast of a clip is what the lines before the fifth say, without that of the
time in it (`Clip start`): clips of equal lines are of one source.
"""

import collections
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.ingest.published_trees import Finding
from pipeline.ingest.speech_tables import LeftOut, Spoken, SpokenVideo, SpokenVideos, find_leaks, read_lines
from pipeline.storage import files

CLIP_S = 29 / 25
SPLIT_NAMES = {"train": "train", "val": "validate", "test": "test"}
DURATION_LINE = 5
DURATION = re.compile(r"Duration:\s*(\d+(?:\.\d*)?)\s*seconds", re.IGNORECASE)
CLIP = re.compile(r"(?P<word>.+)_\d+")


def read_lrw(folder: Path) -> SpokenVideos:
    """The clips below a folder, in the order of their addresses.

    A clip is left out if its txt or its mp4 is missing, or if its name has another word than its folder.

    Raises:
        ConfigError: no clip is there, or line 5 of a txt is not as above.
    """
    found: dict[str, set[str]] = collections.defaultdict(set)  # address without suffix -> suffixes
    for entry in files.list_files(files.absolute(str(folder), follow_links=True)):
        stem, suffix = posixpath.splitext(entry.uri)
        if suffix in (".mp4", ".txt") and posixpath.basename(posixpath.dirname(stem)) in SPLIT_NAMES:
            found[stem].add(suffix)
    videos, left_out = [], []
    for stem, suffixes in sorted(found.items()):
        word, split, clip = stem.split("/")[-3:]
        name = f"{word}/{split}/{clip}"
        there = " ".join(f"{stem}{suffix}" for suffix in sorted(suffixes))
        match = CLIP.fullmatch(clip)
        if len(suffixes) == 1:
            left_out.append(LeftOut(name, "missing" if ".txt" in suffixes else "missing_txt", there))
        elif match is None or match["word"] != word:
            left_out.append(LeftOut(name, "other_word", there))
        else:
            videos.append(_video(name, stem, word, SPLIT_NAMES[split]))
    if not videos:
        raise ConfigError(
            f"{folder}: no clips there. Expected <WORD>/train/<WORD>_00001.mp4 with its .txt, and val and test."
        )
    return SpokenVideos(videos, left_out, "source", _findings(videos, left_out))


def _video(name: str, stem: str, word: str, split: str) -> SpokenVideo:
    path = files.local_path(f"{stem}.txt")
    lines = read_lines(path)
    line = lines[DURATION_LINE - 1].strip() if len(lines) >= DURATION_LINE else ""
    match = DURATION.fullmatch(line)
    duration_s = float(match[1]) if match else 0.0
    if not 0 < duration_s <= CLIP_S:
        what = repr(line[:80]) if line else f"{len(lines)} lines"
        raise ConfigError(
            f"{path}, line {DURATION_LINE}: {what}; expected `Duration: 0.53 seconds`, more than 0 and at most "
            f"{CLIP_S:g}, the length of a clip."
        )
    start_s = (CLIP_S - duration_s) / 2
    spoken = Spoken(round(start_s, 6), round(start_s + duration_s, 6), word)
    return SpokenVideo(name, f"{stem}.mp4", split, _broadcast(lines[: DURATION_LINE - 1]), (spoken,))


def _broadcast(lines: Sequence[str]) -> str:
    """What the lines before the fifth say of a clip's source."""
    said = [line.strip() for line in lines if not line.lower().startswith("clip start")]
    return "; ".join(line for line in said if line)


def _findings(videos: list[SpokenVideo], left_out: list[LeftOut]) -> list[Finding]:
    splits: dict[str, set[str]] = collections.defaultdict(set)
    for video in videos:
        splits[video.words[0].word].add(video.split or "")
    unknown = sorted(word for word, found in splits.items() if "train" not in found)
    other = [left.name for left in left_out if left.reason == "other_word"]
    findings = [
        Finding("clips named after another word than their folder (left out)", other),
        Finding("words without a clip of train, which no model can learn", unknown),
    ]
    leaks = find_leaks(videos)
    return [finding for finding in findings if finding.names] + ([leaks] if leaks else [])
