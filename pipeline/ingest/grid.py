"""The GRID corpus (Cooke et al. 2006, doi:10.1121/1.2229005) as published -> its videos with their words.

A speaker's folder `s1` has videos such as `bbaf2n.mpg`, and, in a folder of its own or beside them, `bbaf2n.align`: a
line `23750 29500 bin` for each word, `sil` and `sp` for silence; 25 000 make a second. Other speakers say sentences of
the same names. A sentence has six words of 51: command, colour, preposition, letter, digit and adverb.
"""

import collections
import posixpath
import re
import string
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.ingest.published_trees import Finding
from pipeline.ingest.speech_tables import LeftOut, Spoken, SpokenVideo, SpokenVideos, read_lines
from pipeline.ingest.video_tables import VIDEO_SUFFIXES
from pipeline.storage import files

UNITS_PER_S = 25_000
SILENCES = ("sil", "sp")
SUFFIXES = (*VIDEO_SUFFIXES, ".mpg", ".mpeg")
SPEAKER = re.compile(r"s\d{1,2}(?![A-Za-z0-9]).*")  # s1, and s1_processed or s1.mpg_vcd of other packings
LINE = re.compile(r"\s*(\d+)\s+(\d+)\s+(\S+)\s*")
VOCABULARY = {
    *("bin", "lay", "place", "set", "blue", "green", "red", "white", "at", "by", "in", "with"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("again", "now", "please", "soon"),
    *(set(string.ascii_lowercase) - {"w"}),
}


def read_grid(folder: Path) -> SpokenVideos:
    """The videos below a folder that have an alignment, in the order of their addresses.

    A video is left out if it has no alignment or several, as is an alignment without a video.

    Raises:
        ConfigError: no video has one, or a line of one is not as above.
    """
    media: dict[tuple[str, str], list[str]] = collections.defaultdict(list)  # speaker, name -> addresses
    alignments: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    absolute = files.absolute(str(folder), follow_links=True)
    for entry in files.list_files(absolute):
        stem, suffix = posixpath.splitext(posixpath.basename(entry.uri))
        kind = alignments if suffix == ".align" else media if suffix.lower() in SUFFIXES else None
        if kind is not None:
            kind[_speaker(entry.uri), stem].append(entry.uri)
    videos, left_out = [], []
    for key in sorted({*media, *alignments}):
        there, aligned = sorted(media.get(key, ())), sorted(alignments.get(key, ()))
        name = posixpath.join(*key)
        if len(there) == len(aligned) == 1:
            video = SpokenVideo(name, there[0], None, key[0], tuple(_words(files.local_path(aligned[0]))))
            videos.append(video)
        else:
            reason = "missing" if not there else "missing_align" if not aligned else "ambiguous"
            left_out.append(LeftOut(name, reason, " ".join([*there, *aligned])))
    if not videos:
        raise ConfigError(
            f"{folder}: no video there with an alignment. Expected s1/bbaf2n.mpg, and bbaf2n.align below a folder s1 "
            "or beside the video."
        )
    return SpokenVideos(videos, left_out, "speaker", _findings(videos))


def _speaker(uri: str) -> str:
    """The last folder that is named after a speaker, without what a packing adds; "" where there is none."""
    found = [part for part in uri.split("/")[:-1] if SPEAKER.fullmatch(part)]
    return re.split(r"[^A-Za-z0-9]", found[-1])[0] if found else ""


def _words(path: Path) -> list[Spoken]:
    """The words of one alignment, without silence."""
    words: list[Spoken] = []
    num_lines, last = 0, 0
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line)
        start, end = (int(match[1]), int(match[2])) if match else (0, 0)
        if match is None or not last <= start < end:
            raise ConfigError(
                f"{path}, line {number}: {line[:80]!r}; expected `23750 29500 bin`: a start at {last} or later, an end "
                f"after it ({UNITS_PER_S} make a second), and a word."
            )
        num_lines, last = num_lines + 1, end
        if match[3] not in SILENCES:
            words.append(Spoken(start / UNITS_PER_S, end / UNITS_PER_S, match[3]))
    if not num_lines:
        raise ConfigError(f"{path}: no lines, expected one or more such as `23750 29500 bin`.")
    return words


def _findings(videos: list[SpokenVideo]) -> list[Finding]:
    unknown: Mapping[str, str] = {
        spoken.word: video.name for video in reversed(videos) for spoken in video.words if spoken.word not in VOCABULARY
    }
    names = [f"{word} (first in {unknown[word]})" for word in sorted(unknown)]
    return [Finding(f"words that are none of the {len(VOCABULARY)} of GRID", names)] if names else []
