"""Counts of videos and clips from the tables of a collection, and the proof that none was lost on the way.

One pass over the tables `collection`, `videos`, `clips` and, where clips follow faces, `tracks` of a clip spec, a part
at a time: videos in = rows out, planned clips = kept + rejected, a track for each clip of a face, and each tar ends
exactly where its last kept clip says. No tar is opened: its size, which the listing gives, shows whether it was cut
short.
"""

import collections
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.tars import END_BYTES
from pipeline.errors import DataError
from pipeline.formatting import format_counts, format_number
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.tracks import TRACKS
from schemas.videos import COLLECTION, VIDEOS

# Requests to an object store in flight: it answers one in 30 ms, of which a small table takes three per part.
NUM_READERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Counts over the parts that are finished."""

    num_videos: int
    num_clips: int
    """Planned, kept or not."""
    num_kept: int
    video_s: float
    """Length of all videos that could be decoded, in seconds."""
    tar_bytes: int
    videos_by_outcome: dict[str, int]
    clips_by_outcome: dict[str, int]

    def __str__(self) -> str:
        """Where every video and every clip ended, the coverage of missing media included."""
        missing = self.videos_by_outcome.get("missing", 0)
        coverage = f", media found for {1 - missing / self.num_videos:.1%}" if missing else ""
        videos = f"{format_number(self.num_videos)} videos ({format_counts(self.videos_by_outcome)}{coverage})"
        clips = f"{format_number(self.num_clips)} clips ({format_counts(self.clips_by_outcome) or 'none'})"
        return f"{videos}, {self.video_s / 3600:.2f} h; {clips}"


def reconcile(workspace: Workspace, spec: str = "base") -> Totals:
    """Count what is finished of a clip spec, and check that it adds up. Memory: 60 bytes a video, nothing for a clip.

    Raises:
        DataError: a part lacks a file, is damaged, or its tables and its tar disagree; the message names the file and
            says what to do.
    """
    planned, finished = workspace.parts(COLLECTION_FOLDER), workspace.parts(f"videos/{spec}")
    for part in sorted(set(finished) - set(planned)):
        uri = workspace.part_uri(COLLECTION_FOLDER, part)
        raise DataError(f"{uri}: missing, though the part is cut. Put it back, or begin anew in another root.")
    follows = _follows_faces(workspace, spec)
    places = [workspace.uri(f"clips/{spec}"), workspace.table(f"clips/{spec}")]
    places += [workspace.table(f"tracks/{spec}")] if follows else []
    sizes = {entry.uri: entry.size_bytes for place in places for entry in files.list_files(place)}
    videos: collections.Counter[str] = collections.Counter()
    clips: collections.Counter[str] = collections.Counter()
    video_s, tar_bytes, ids = 0.0, 0, []
    with ThreadPoolExecutor(NUM_READERS) as pool:
        try:
            for found in pool.map(lambda part: _check_part(workspace, spec, part, sizes, follows), finished):
                videos.update(found.videos)
                clips.update(found.clips)
                video_s += found.video_s
                tar_bytes += found.tar_bytes
                ids += found.video_ids.chunks
        except DataError:  # perhaps of a retry that was stopped half way: its part must not be cut anew
            planned_ids = workspace.read_all(COLLECTION_FOLDER, COLLECTION, ["video_id"]).column("video_id")
            _check_unique(workspace, planned_ids, "two parts: a retry is half done. The next run completes it.")
            raise
    _check_unique(workspace, pa.chunked_array(ids, pa.string()), "more than one part. Begin anew in another root.")
    return Totals(
        num_videos=videos.total(),
        num_clips=clips.total(),
        num_kept=clips["kept"],
        video_s=video_s,
        tar_bytes=tar_bytes,
        videos_by_outcome=dict(videos.most_common()),
        clips_by_outcome=dict(clips.most_common()),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    videos: collections.Counter[str]
    clips: collections.Counter[str]
    video_s: float
    tar_bytes: int
    video_ids: pa.ChunkedArray


def _follows_faces(workspace: Workspace, spec: str) -> bool:
    """Whether the clips of a spec follow faces, so that they have tracks."""
    stage = f"clips/{spec}"
    specs = workspace.stage(stage)["settings"].get("clips", {}) if workspace.has_stage(stage) else {}
    return specs.get(spec, {}).get("crop") == "mouth"


def _check_part(workspace: Workspace, spec: str, part: str, sizes: dict[str, int], follows_faces: bool) -> _Part:
    """Counts of one finished part, if its collection, videos, clips, tracks and tar agree."""
    tar, table = workspace.tar_uri(f"clips/{spec}", part), workspace.part_uri(f"clips/{spec}", part)
    done = workspace.part_uri(f"videos/{spec}", part)
    remedy = f"Delete {done}: the next run cuts this part anew."
    tracks = [workspace.part_uri(f"tracks/{spec}", part)] if follows_faces else []
    for uri in (table, tar, *tracks):
        if uri not in sizes:
            raise DataError(f"{uri}: missing, though the part counts as finished. {remedy}")
    planned = workspace.read(COLLECTION_FOLDER, part, COLLECTION, ["video_id"]).column("video_id")
    videos = workspace.read(f"videos/{spec}", part, VIDEOS, ["video_id", "duration_s", "num_clips", "outcome"])
    clips = workspace.read(f"clips/{spec}", part, CLIPS, ["video_id", "tar_offset", "tar_bytes", "outcome"])
    if not videos.column("video_id").equals(planned):
        raise DataError(f"{done}: {len(videos)} rows are not the {len(planned)} videos of its collection. {remedy}")
    num_clips = videos.column("num_clips").to_numpy()
    owners = planned.take(np.repeat(np.arange(len(planned)), num_clips))  # of each clip that the videos' rows promise
    if not clips.column("video_id").equals(owners):
        raise DataError(f"{table}: {len(clips)} rows are not the {len(owners)} clips of its videos. {remedy}")
    expected = _tar_bytes(clips, table, remedy)
    if sizes[tar] != expected:
        damage = "The tar is truncated." if sizes[tar] < expected else "This is not the tar of that table."
        raise DataError(f"{tar}: {sizes[tar]} bytes, expected {expected}. {damage} {remedy}")
    if follows_faces:
        _check_tracks(workspace, spec, part, remedy)
    video_s = pc.sum(videos.column("duration_s"), min_count=0).as_py()
    return _Part(_outcomes(videos), _outcomes(clips), video_s, expected, planned)


def _check_tracks(workspace: Workspace, spec: str, part: str, remedy: str) -> None:
    """Every clip that follows a face has its row of tracks, in their order."""
    ids = workspace.read(f"clips/{spec}", part, CLIPS, ["clip_id"]).column("clip_id")
    expected = ids.filter(pc.match_substring_regex(ids, "_f[0-9]+$"))
    found = workspace.read(f"tracks/{spec}", part, TRACKS, ["clip_id"]).column("clip_id")
    if not found.equals(expected):
        uri = workspace.part_uri(f"tracks/{spec}", part)
        raise DataError(f"{uri}: {len(found)} rows are not the {len(expected)} clips of faces. {remedy}")


def _outcomes(rows: pa.Table) -> collections.Counter[str]:
    return collections.Counter(rows.column("outcome").to_pylist())


def _tar_bytes(clips: pa.Table, uri: str, remedy: str) -> int:
    """Size of the tar that holds the kept clips one after the other, and nothing else."""
    is_kept = pc.equal(clips.column("outcome"), "kept")
    kept = clips.filter(is_kept)
    for name in ("tar_offset", "tar_bytes"):
        if not is_kept.equals(pc.is_valid(clips.column(name))):
            raise DataError(f"{uri}: `{name}` is set for other clips than the kept ones. {remedy}")
    offsets, lengths = kept.column("tar_offset").to_numpy(), kept.column("tar_bytes").to_numpy()
    ends = np.cumsum(lengths)
    if not np.array_equal(offsets, ends - lengths):
        raise DataError(f"{uri}: the clips' places in the tar leave gaps or overlap. {remedy}")
    content = int(ends[-1]) if len(ends) else 0
    return -(-(content + END_BYTES) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE  # tarfile fills its last record


def _check_unique(workspace: Workspace, video_ids: pa.ChunkedArray, found: str) -> None:
    """Raise DataError if a video_id occurs more than once; `found` ends the message: in what, why, and what to do."""
    if pc.count_distinct(video_ids).as_py() < len(video_ids):
        counts = pc.value_counts(video_ids)
        name = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise DataError(f"{workspace.table(COLLECTION_FOLDER)}: video {name} is in {found}")
