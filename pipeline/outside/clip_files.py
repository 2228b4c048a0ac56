"""Kept clips -> a file each, for tools that read no tars: wav with exactly the clip's samples, or mp4 with its frames.

A file that is there is whole, so whoever is killed goes on with those that are missing. A clip that is damaged in its
tar has none, and is named.
"""

import json
import os
from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import soundfile

from pipeline.clips.samples import decode_clip
from pipeline.clips.tars import KEY, parse_sample
from pipeline.errors import ClipError, ConfigError, DataError, MissingError, UnreadError
from pipeline.media.clip_video import write_clip_video
from pipeline.outside.clip_listing import PATH
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import prefetch

Kind = Literal["wav", "mp4"]
RECORD = "export.json"
NUM_WRITERS = len(os.sched_getaffinity(0))  # ffmpeg children of one thread; decoding leaves Python's lock


class ClipFiles:
    """A folder of clips as files, `<part>/<clip_id>.<kind>`.

    Args:
        workspace: where the clips lie.
        spec: their clip spec.
        folder: path or s3:// address of the folder to write to.
        kind: wav or mp4.
    Raises:
        ConfigError: the clips have no pictures for an mp4, or the folder has files of other clips.
    """

    def __init__(self, workspace: Workspace, spec: str, folder: str, kind: Kind) -> None:
        self._folder, self._kind = files.absolute(folder), kind
        stage = workspace.stage(f"clips/{spec}")
        if kind == "mp4" and not stage["settings"]["clips"][spec]["frame_rate_hz"]:
            raise ConfigError(f"clips/{spec}: clips of sound alone, which make no mp4. Expected wav for these.")
        record = json.dumps({"clips": stage["hash"], "kind": kind, "spec": spec}, indent=1, sort_keys=True).encode()
        uri = files.join(self._folder, RECORD)
        if not files.exists(uri):
            files.commit_bytes(uri, record)
        elif files.read_bytes(uri) != record:
            raise ConfigError(f"{uri}: the folder has files of other clips, or of another kind. Choose another folder.")

    def uri(self, part: str, clip_id: str) -> str:
        """The address of a clip's file."""
        return files.join(self._folder, part, f"{clip_id}.{self._kind}")

    def add_paths(self, part: str, rows: pa.Table, failed: Collection[str]) -> pa.Table:
        """The rows of LISTING with the column PATH, which is null for the clips that have no file."""
        paths = [None if clip in failed else self.uri(part, clip) for clip in rows["clip_id"].to_pylist()]
        return rows.append_column(PATH, pa.array(paths, pa.string()))

    def write(self, part: str, rows: pa.Table, report: Callable[[bool], None]) -> dict[str, DataError | ClipError]:
        """Write the files that are missing of a part; return what is wrong with each clip that can have none.

        Args:
            rows: of LISTING.
            report: called after each clip, with whether its file was written now.
        Raises:
            DataError: a tar cannot be read, or none of its several clips.
        """
        folder = files.join(self._folder, part)
        files.store_at(folder).remove_unfinished(folder)
        there = {files.relative(entry.uri, folder) for entry in files.list_files(folder)}
        missing = [row for row in rows.to_pylist() if f"{row['clip_id']}.{self._kind}" not in there]
        for _ in range(len(rows) - len(missing)):
            report(False)
        failed: dict[str, DataError | ClipError] = {}

        def write(row: dict[str, Any]) -> tuple[str, DataError | ClipError | None]:
            return row["clip_id"], self._write(part, row)

        for clip_id, error in prefetch(write, missing, NUM_WRITERS, depth=2 * NUM_WRITERS):
            if error is not None:
                failed[clip_id] = error
            report(error is None)
        if len(rows) > 1 and len(failed) == len(rows):  # then the clips are not the cause
            raise next(iter(failed.values()))
        return failed

    def _write(self, part: str, row: dict[str, Any]) -> DataError | ClipError | None:
        clip_id, tar = row["clip_id"], row["tar"]
        if not KEY.fullmatch(clip_id):
            return DataError(f"clip {clip_id!r}: no name for a file. Expected 1 to 200 of a-z, 0-9, _ and -.")
        try:
            key, members = parse_sample(files.read_bytes(tar, row["tar_offset"], row["tar_bytes"]), tar, clip_id)
            if key != clip_id:
                return DataError(f"{tar}: found {key} where its rows have {clip_id}.")
            clip = decode_clip(key, members, tar)
            rate_hz = clip.facts["sample_rate_hz"]
            with files.building(self.uri(part, clip_id)) as path:
                if self._kind == "mp4":
                    write_clip_video(clip.frames, clip.waveform, rate_hz, path)
                else:
                    with files.open_patiently(path) as file:
                        soundfile.write(file, to_int16(clip.waveform), rate_hz, format="WAV", subtype="PCM_16")
        except (MissingError, UnreadError):
            raise
        except (DataError, ClipError) as error:
            return error
        return None


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """[T] the 16-bit samples that a decoded waveform was made of, exactly: libsndfile would scale by 32767."""
    samples: np.ndarray = np.rint(waveform * np.float32(32768)).astype(np.int16)
    return samples
