"""Masks -> the tar and the rows of one part of videos."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.clips.tars import TarWriter
from pipeline.masks.mask_pictures import encode_mask
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.masks import KEPT, MASKS, MaskRow

CATEGORY = re.compile(r"\w[\w .,()&'+-]{0,99}")  # ends the name of a member of the tar


@dataclass(frozen=True, kw_only=True, slots=True)
class Mask:
    """One mask of a moment of a video, or why there is none. Fields as of `schemas.masks.MASKS`."""

    video_id: str
    time_s: float
    source: str
    category: str | None = None
    """Matches CATEGORY; None: of all that sounds."""
    pixels: np.ndarray | None = None
    """[H, W] bool, kept at this size; None unless kept."""
    size: tuple[int | None, int | None] = (None, None)
    """Height and width of a mask that is not kept, as far as they are known."""
    outcome: str = KEPT
    detail: str | None = None


def write_masks(workspace: Workspace, part: str, masks: Iterable[Mask]) -> list[MaskRow]:
    """Commit a part's tar, then its rows, and return these.

    Args:
        masks: a video's next to each other, in the order of their time, so that one range of the tar holds a clip's.
    Raises:
        ValueError: they are in another order, or a category cannot be a file's name.
    """
    rows: list[MaskRow] = []
    videos: set[str] = set()
    with files.building(workspace.tar_uri(MASKS_FOLDER, part)) as path, TarWriter(path) as tar:
        for mask in masks:
            last = rows[-1] if rows else None
            is_next = last is not None and last["video_id"] == mask.video_id and last["time_s"] <= mask.time_s
            if not is_next and mask.video_id in videos:
                raise ValueError(f"{mask.source}: a mask of {mask.video_id} at {mask.time_s} s out of order.")
            if mask.category is not None and not CATEGORY.fullmatch(mask.category):
                raise ValueError(
                    f"{mask.source}: category {mask.category!r}, expected letters, digits, spaces, - or _."
                )
            videos.add(mask.video_id)
            rows.append(_add(tar, mask))
    workspace.commit(MASKS_FOLDER, part, from_rows(rows, MASKS, part), MASKS)
    return rows


def _add(tar: TarWriter, mask: Mask) -> MaskRow:
    """The row of a mask, which is in the tar if it is kept."""
    offset, length, area, (height, width) = None, None, None, mask.size
    if mask.pixels is not None:
        suffix = "png" if mask.category is None else f"{mask.category}.png"
        key = f"{mask.video_id}_{round(mask.time_s * 1000):08d}"
        offset, length = tar.add(key, {suffix: encode_mask(mask.pixels)})
        area, (height, width) = int(mask.pixels.sum()), mask.pixels.shape
    return {
        "video_id": mask.video_id,
        "time_s": mask.time_s,
        "category": mask.category,
        "outcome": mask.outcome,
        "tar_offset": offset,
        "tar_bytes": length,
        "height": height,
        "width": width,
        "area": area,
        "source": mask.source,
        "detail": mask.detail,
    }
