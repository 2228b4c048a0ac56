"""A folder of masks (`mask_folders.py`) -> the masks of each part of videos, and what there is of them.

A mask is of a video's whole picture. It may have any size of that shape: the picture's, turned or not, or the frames'
of clips into which the picture is stretched. Any other is no mask of this video: its row says `mask_mismatch`.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.clips.cut_videos import read_videos
from pipeline.errors import MissingError, RefusedError
from pipeline.labels.video_names import MatchedRows
from pipeline.masks.mask_folders import MaskFiles, check_moments
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.masks.mask_pictures import MAX_BYTES, MaskError, decode_mask
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import prefetch
from schemas.masks import KEPT, MASKS, MISMATCH, UNREADABLE

NUM_READERS = 8  # masks read at once: an object store answers in 30 ms
MAX_BEYOND_S = 1.0  # a mask may be of the last moment of a video whose length is rounded
MAX_LISTED = 3
Size = tuple[int, int]


class MasksPart:
    """Writes the masks of one part of videos.

    Args:
        workspace: where the videos are cut.
        masks: of the folder.
    Raises:
        ConfigError: no video is the workspace's, a name fits two, or there are two masks of one moment.
    """

    def __init__(self, workspace: Workspace, masks: MaskFiles) -> None:
        self._workspace, self._rows = workspace, MatchedRows(workspace, masks)
        self.files = self._rows.files
        of_row = self._rows.of_row
        check_moments(masks, of_row)
        names = masks.table["video"].chunk(0).dictionary
        self.unknown = [names[number].as_py() for number in np.unique(-1 - of_row[of_row < 0])]
        """Folders that are no video of the workspace."""
        self._frame_sizes = frame_sizes(workspace)

    def __call__(self, part: str) -> dict[str, int]:
        """Commit the tar and the rows of the part's videos; return how many masks have each outcome."""
        masks = prefetch(self._mask, self._wanted(part), NUM_READERS, NUM_READERS)
        return collections.Counter(row["outcome"] for row in write_masks(self._workspace, part, masks))

    def _wanted(self, part: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each video's row and each of its files, in the order of their moments, that of all that sounds first."""
        for video in read_videos(self._workspace, part, ["video_id", "width", "height", "duration_s"]):
            rows = self._rows.of_video(video["video_id"])
            yield from ((video, row) for row in sorted(rows, key=lambda row: (row["ms"], row["category"] or "")))

    def _mask(self, wanted: tuple[dict[str, Any], dict[str, Any]]) -> Mask:
        video, row = wanted
        time_s = row["ms"] / 1000
        facts = {"video_id": video["video_id"], "time_s": time_s, "source": row["source"], "category": row["category"]}
        try:
            if row["size_bytes"] > MAX_BYTES:
                raise MaskError(f"{row['size_bytes']} bytes; expected at most {MAX_BYTES}")
            pixels = decode_mask(files.read_bytes(row["uri"]))
        except MaskError as error:
            return Mask(**facts, outcome=UNREADABLE, detail=str(error), size=error.size)
        except MissingError:
            return Mask(**facts, outcome=UNREADABLE, detail="nothing that can be read; expected a PNG")
        except RefusedError as error:  # for a reason of the file's own
            return Mask(**facts, outcome=UNREADABLE, detail=str(error))
        height, width = pixels.shape
        if problem := self._problem(video, time_s, (height, width)):
            return Mask(**facts, outcome=MISMATCH, detail=problem, size=(height, width))
        return Mask(**facts, pixels=pixels)

    def _problem(self, video: dict[str, Any], time_s: float, size: Size) -> str | None:
        """Why a mask cannot be of a video; None if it can, as far as is known."""
        duration_s, picture = video["duration_s"], (video["height"], video["width"])
        if duration_s is not None and time_s > duration_s + MAX_BEYOND_S:
            return f"at {time_s:g} s of a video that lasts {duration_s:g} s"
        if None in picture or any(is_alike(size, other) for other in (picture, picture[::-1], *self._frame_sizes)):
            return None
        shapes = [f"{width}x{height}" for height, width in dict.fromkeys((picture, *self._frame_sizes))]
        return f"{size[1]}x{size[0]} pixels; expected the shape of {' or '.join(shapes)}"


def is_alike(size: Size, other: Size) -> bool:
    """Whether one size is the other, scaled and rounded to whole pixels.

    >>> is_alike((90, 160), (1080, 1920)), is_alike((100, 160), (1080, 1920))
    (True, False)
    """
    (height, width), (other_height, other_width) = size, other
    return abs(height * other_width - width * other_height) <= max(other)


def frame_sizes(workspace: Workspace) -> list[Size]:
    """Height and width of the frames that a picture is stretched into, by every clip spec that has begun to be cut."""
    found = []
    for spec in workspace.names("videos"):
        if workspace.has_stage(f"clips/{spec}"):
            config = workspace.stage(f"clips/{spec}")["settings"]["clips"][spec]
            if config["frame_rate_hz"] and config["fit"] == "stretch":
                found.append((config["frame_height"], config["frame_width"]))
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class MasksSummary:
    """What the masks of a workspace are."""

    num_masks: int
    """Kept ones of all that sounds."""
    num_of_category: int
    """Kept ones of one category each."""
    num_moments: int
    """Moments of videos that have a kept mask."""
    num_videos: int
    """Videos that have one."""
    num_empty: int
    """Kept ones without a pixel: nothing sounds."""
    num_mismatches: int
    """Masks of another shape, or of a time after the end."""
    num_unreadable: int
    """Files that are no masks."""
    rejected: list[str]
    """File and reason of the first MAX_LISTED of those that are not kept."""
    categories: dict[str, int]
    """Kept masks of each category, in the order of the alphabet."""

    @property
    def num_rejected(self) -> int:
        """Masks that are not kept."""
        return self.num_mismatches + self.num_unreadable

    def __str__(self) -> str:
        of_categories = f", {self.num_of_category} of {len(self.categories)} categories" if self.categories else ""
        empty = f"; {self.num_empty} empty: nothing sounds" if self.num_empty else ""
        text = f"masks: {self.num_masks} of all that sounds{of_categories}, at {self.num_moments} moments of "
        text += f"{self.num_videos} videos{empty}"
        if self.num_rejected:
            text += f"\nnot kept: {self.num_mismatches} {MISMATCH}, {self.num_unreadable} {UNREADABLE}, first "
            text += " | ".join(self.rejected)
        return text

    def facts(self) -> dict[str, Any]:
        """For the stage's record."""
        return {name: getattr(self, name) for name in self.__slots__}


def summarize_masks(workspace: Workspace) -> MasksSummary:
    """Counts over all parts that have masks."""
    names = ["video_id", "time_s", "category", "outcome", "area", "source", "detail"]
    table = workspace.read_all(MASKS_FOLDER, MASKS, names)
    is_kept = pc.equal(table["outcome"], KEPT)
    kept = table.filter(is_kept)
    others = table.filter(pc.invert(is_kept))
    counts = collections.Counter(others["outcome"].to_pylist())
    first = others.slice(0, MAX_LISTED).to_pylist()
    categories = collections.Counter(kept["category"].drop_null().to_pylist())
    moments = kept.group_by(["video_id", "time_s"]).aggregate([])
    return MasksSummary(
        num_masks=kept["category"].null_count,
        num_of_category=categories.total(),
        num_moments=len(moments),
        num_videos=len(moments["video_id"].unique()),
        num_empty=pc.sum(pc.equal(kept["area"], 0)).as_py() or 0,
        num_mismatches=counts[MISMATCH],
        num_unreadable=counts[UNREADABLE],
        rejected=[f"{row['source']}: {row['detail']}" for row in first],
        categories=dict(sorted(categories.items())),
    )
