"""Clips with a mask of what sounds for some of their frames, as a `ClipSet`: what a learner of masks draws from.

A frame has the mask whose moment is nearest to its own, within half a frame of the video. Clips without any such frame
are left out. Masks are of the whole picture and come at any size: here they get that of the clip's frames.
"""

import collections
import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import decode_sample
from pipeline.clips.splitting import SplittingConfig, drawn_splits, shared_splits
from pipeline.clips.tars import parse_sample, read_last
from pipeline.config import from_dict
from pipeline.errors import ConfigError, MissingError
from pipeline.masks.mask_pictures import MaskError, decode_mask, resize_mask
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER
from pipeline.storage.workspace import Workspace, damaged_tar
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import PLACE, read_parts, rows_of_splits
from schemas.clips import CLIPS
from schemas.masks import KEPT, MASKS, MaskRow
from schemas.videos import VIDEOS

NUM_READERS = 16  # clips whose frames' times are read at once: an object store answers in 30 ms
SLACK_S = 0.001  # names of masks and times of frames are rounded
FRAME_RATE_HZ = 25.0  # of a video whose container states none
MAX_LEAD_S = 1.0  # a clip's first frame may be from before its start, where pictures are few
PLACES = pa.list_(pa.struct({"frame": pa.int64(), "offset": pa.int64(), "length": pa.int64()}))


@dataclass(frozen=True, slots=True)
class MaskedClip:
    """One decoded clip of K frames, and what sounds in some of them."""

    key: str
    frames: np.ndarray
    """[K, 3, H, W] uint8 RGB."""
    waveform: np.ndarray
    """[T] float32 in [-1, 1)."""
    masks: np.ndarray
    """[K, H, W] bool: pixels of what sounds; false throughout where nothing is known."""
    mask_valid: np.ndarray
    """[K] bool: whether the frame has a mask."""
    facts: dict[str, Any]
    """Its JSON (`schemas.samples.ClipFacts`)."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.frames.nbytes + self.waveform.nbytes + self.masks.nbytes + self.mask_valid.nbytes


class MaskedClipSet(ClipSet[MaskedClip]):
    """Clips whose rows also have `masks`: for each PNG of a frame its place in the tar of the part's masks."""

    def raw(self, number: int) -> dict[str, bytes]:
        """The clip's members by suffix, and `<frame>.<n>.png` for each PNG that a frame has.

        Raises:
            DataError: a tar is missing, truncated, or holds something else there.
        """
        members = super().raw(number)
        places = self.rows.column("masks")[int(number)].as_py()
        uri = self._workspace.tar_uri(MASKS_FOLDER, self.rows.column("part")[int(number)].as_py())
        begin = min(place["offset"] for place in places)
        data = files.read_bytes(uri, begin, max(place["offset"] + place["length"] for place in places) - begin)
        for count, place in enumerate(places):
            first = place["offset"] - begin
            _, found = parse_sample(data[first : first + place["length"]], uri, f"byte {place['offset']}")
            (members[f"{place['frame']}.{count}.png"],) = found.values()
        return members


def load_masked(
    workspace: Workspace, splits: Sequence[str], splitting: SplittingConfig, parts: Sequence[str], spec: str
) -> list[ClipSet[MaskedClip]]:
    """Every kept clip of a clip spec with a mask of one of its frames, of each of the splits, of these parts.

    Beside its place its row has `start_s`, `categories`, those that sound anywhere in its video as far as its masks
    have any, and `masks`: the number of a frame, and the offset and length of its mask in the tar; several of one frame
    are of several categories.

    Raises:
        ConfigError: frames are padded: where a mask lies in such a frame is not known.
    """
    if workspace.has_stage(f"clips/{spec}"):
        check_fit(spec, from_dict(ClipSpec, workspace.stage(f"clips/{spec}")["settings"]["clips"][spec]))
    shared = shared_splits(workspace, splitting, parts)

    def read(part: str) -> pa.Table:
        by_video = drawn_splits(workspace, part, splitting, shared)
        clips = _masked_rows(workspace, part, spec)
        return clips.append_column("split", pa.array([by_video[v] for v in clips["video_id"].to_pylist()], pa.string()))

    decode = functools.partial(decode_masked, workspace)
    of_splits = rows_of_splits(read_parts(read, parts), splits)
    return [MaskedClipSet(workspace, f"clips/{spec}", clips, decode) for clips in of_splits]


def decode_masked(workspace: Workspace, key: str, members: dict[str, bytes], uri: str) -> MaskedClip:
    """A clip and the masks of its frames, of the members that `MaskedClipSet.raw` gives; several of a frame are joined.

    Raises:
        DataError: a member is damaged or missing.
    """
    clip = decode_sample(key, members, uri)
    num_frames, _, height, width = clip.frames.shape
    masks, valid = np.zeros((num_frames, height, width), bool), np.zeros(num_frames, bool)
    for name in sorted(name for name in members if name.endswith(".png")):
        frame = int(name.partition(".")[0])
        try:
            masks[frame] |= resize_mask(decode_mask(members[name]), height, width)
        except MaskError as error:
            part = uri.rpartition("/")[2].removesuffix(".tar")
            raise damaged_tar(workspace.tar_uri(MASKS_FOLDER, part), f"a mask of {key}: {error}.") from error
        valid[frame] = True
    return MaskedClip(key, clip.frames, clip.waveform, masks, valid, clip.facts)


def match_masks(
    times_s: Sequence[float], rows: Sequence[MaskRow], frame_rate_hz: float | None
) -> list[tuple[int, MaskRow]]:
    """For each frame that has a mask its number and the rows of it: the joined one, or else those of the categories.

    Args:
        times_s: [K] when each frame is shown.
        rows: kept masks of the frames' video, in any order.
        frame_rate_hz: of the video; None: not known.
    Returns:
        By frame; a frame has the masks of the moment nearest to it, of two as near the first, within half a frame.
    """
    reach_s = half_frame_s(frame_rate_hz)
    moments: dict[float, list[MaskRow]] = collections.defaultdict(list)
    for row in rows:
        moments[row["time_s"]].append(row)
    found = []
    for frame, time_s in enumerate(times_s):
        nearest_s = min(moments, key=lambda moment_s: (round(abs(moment_s - time_s), 6), moment_s), default=None)
        if nearest_s is not None and abs(nearest_s - time_s) <= reach_s:
            joined = [row for row in moments[nearest_s] if row["category"] is None]
            found += [(frame, row) for row in joined or moments[nearest_s]]
    return found


def half_frame_s(frame_rate_hz: float | None) -> float:
    """How far a mask may be from its frame."""
    return 0.5 / (frame_rate_hz or FRAME_RATE_HZ) + SLACK_S


def _masked_rows(workspace: Workspace, part: str, spec: str) -> pa.Table:
    """The kept clips of a part with a mask of one of their frames."""
    clips = workspace.read(f"clips/{spec}", part, CLIPS, [*PLACE, "start_s", "duration_s", "outcome"])
    clips = clips.filter(pc.equal(clips["outcome"], KEPT)).drop_columns("outcome")
    of_video = _masks_by_video(workspace, part)
    rates = workspace.read(f"videos/{spec}", part, VIDEOS, ["video_id", "frame_rate_hz"]).to_pylist()
    rate_of = {row["video_id"]: row["frame_rate_hz"] for row in rates}
    uri = workspace.tar_uri(f"clips/{spec}", part)

    def places(clip: dict[str, Any]) -> list[dict[str, int | None]]:
        masks, rate_hz = of_video.get(clip["video_id"], ()), rate_of.get(clip["video_id"])
        margin_s = half_frame_s(rate_hz) + MAX_LEAD_S
        first_s, last_s = clip["start_s"] - margin_s, clip["start_s"] + clip["duration_s"] + margin_s
        near = [row for row in masks if first_s <= row["time_s"] <= last_s]
        if not near:
            return []
        facts = read_last(uri, clip["tar_offset"], clip["tar_bytes"], f"{clip['clip_id']}.json")
        found = match_masks(json.loads(facts)["frame_times_s"], near, rate_hz)
        return [{"frame": k, "offset": row["tar_offset"], "length": row["tar_bytes"]} for k, row in found]

    with ThreadPoolExecutor(NUM_READERS) as pool:
        masks = pa.array(pool.map(places, clips.to_pylist()), PLACES)
    named = {
        video: sorted({row["category"] for row in rows if row["category"] and row["area"]})
        for video, rows in of_video.items()
    }
    categories = [named.get(video, []) for video in clips["video_id"].to_pylist()]
    return (
        clips.drop_columns("duration_s")
        .append_column("categories", pa.array(categories, pa.list_(pa.string())))
        .append_column("masks", masks)
        .filter(pc.greater(pc.list_value_length(masks), 0))
    )


def _masks_by_video(workspace: Workspace, part: str) -> Mapping[str, list[MaskRow]]:
    """The kept masks of each video of a part; none where the part has no masks yet."""
    try:
        table = workspace.read(MASKS_FOLDER, part, MASKS)
    except MissingError:
        return {}
    rows: Iterable[Any] = table.filter(pc.equal(table["outcome"], KEPT)).to_pylist()
    return {video: list(masks) for video, masks in itertools.groupby(rows, key=lambda row: row["video_id"])}


def check_fit(name: str, spec: ClipSpec) -> None:
    """Raises a ConfigError if frames of a clip spec are not whole pictures, as masks are."""
    if spec.fit != "stretch":
        raise ConfigError(
            f"clips.{name}.fit = {spec.fit}: expected stretch, because a mask is of a video's whole picture."
        )
