"""Part of a collection -> clips: each is written to the WebDataset tar of its part and clip spec when it is complete.

In: one part of the table `collection`. Out, for each clip spec: a tar, a row of `schemas.clips` per planned clip, one
of `schemas.tracks` per face where clips follow faces, and last a row of `schemas.videos` per video: the part counts as
finished for a spec when these exist. Overlapping clips share each frame's encoded bytes.
"""

import collections
import contextlib
from collections.abc import Mapping
from typing import Any

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig
from pipeline.clips.refusals import check_store
from pipeline.clips.tars import TarWriter
from pipeline.clips.video_cutting import Restart, VideoCutting, follows_faces
from pipeline.storage import files
from pipeline.storage.growing_tables import GrowingTable
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.tombstones import taken_down
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.tracks import TRACKS
from schemas.videos import COLLECTION, VIDEOS


class ShardPart:
    """Cuts one part of the collection. A plain callable: it runs in a loop or on a worker.

    Args:
        workspace: where the part is.
        specs: the clip specs to cut, by name.
        config: which clips are rejected.
    """

    def __init__(self, workspace: Workspace, specs: Mapping[str, ClipSpec], config: ShardingConfig) -> None:
        self._workspace, self._specs, self._config = workspace, dict(specs), config
        self._barred = taken_down(workspace).content_hashes

    def __call__(self, part: str) -> dict[str, float]:
        """Cut every video of the part and commit it; return what was cut, and how videos and clips ended.

        That is seconds of video, bytes of clips in their tars, and the number of videos and of clips by outcome. A
        video counts once, with its outcome for the first of the specs; clips count for every spec.
        """
        with contextlib.ExitStack() as stack:
            made = {}
            for name in self._specs:
                path = stack.enter_context(files.building(self._workspace.tar_uri(f"clips/{name}", part)))
                made[name] = _SpecPart(stack.enter_context(TarWriter(path)), part)
            for video in self._workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
                cutting = VideoCutting(video, self._specs, self._config, self._barred)
                for item in cutting:
                    if isinstance(item, Restart):
                        for name in item.specs:
                            made[name].drop_video()
                    else:
                        made[item.spec].add_clip(item)
                for name, of_spec in made.items():
                    of_spec.add_video(cutting.video_row(name, part), cutting.outcomes(name))
            check_store(self._workspace, part, next(iter(made.values())).videos)
        for name, of_spec in made.items():
            self._workspace.commit(f"clips/{name}", part, of_spec.clips.table(), CLIPS)
            if follows_faces(self._specs[name]):
                self._workspace.commit(f"tracks/{name}", part, of_spec.tracks.table(), TRACKS)
            self._workspace.commit(f"videos/{name}", part, from_rows(of_spec.videos, VIDEOS, part), VIDEOS)
        first = next(iter(made.values())).videos
        counts = collections.Counter(f"videos {row['outcome']}" for row in first)
        for of_spec in made.values():
            counts.update({f"clips {outcome}": count for outcome, count in of_spec.outcomes.items()})
        video_s = sum(row["duration_s"] or 0.0 for row in first)
        return {"video_s": video_s, "clip_bytes": sum(of_spec.size_bytes for of_spec in made.values()), **counts}


class _SpecPart:
    """What a part holds of one spec: its tar, which is written at once, and its rows."""

    def __init__(self, tar: TarWriter, part: str) -> None:
        self._tar, self._part = tar, part
        self.clips, self.tracks = GrowingTable(CLIPS, part), GrowingTable(TRACKS, part)
        self._begun = self._mark()  # where the video's samples and rows begin
        self.videos: list[dict[str, Any]] = []
        self.outcomes: collections.Counter[str] = collections.Counter()

    def add_clip(self, clip: CutClip) -> None:
        self.clips.add(clip.write(self._tar) | {"part": self._part})
        if clip.track is not None:
            self.tracks.add(clip.track)

    def drop_video(self) -> None:
        size_bytes, num_clips, num_tracks = self._begun
        self._tar.truncate(size_bytes)
        self.clips.drop_from(num_clips)
        self.tracks.drop_from(num_tracks)

    def add_video(self, row: dict[str, Any], outcomes: Mapping[str, int]) -> None:
        self.videos.append(row)
        self.outcomes.update(outcomes)
        self._begun = self._mark()

    @property
    def size_bytes(self) -> int:
        """Length of the clips of all its videos."""
        return self._begun[0]

    def _mark(self) -> tuple[int, int, int]:
        return self._tar.size_bytes, self.clips.mark(), self.tracks.mark()
