"""Videos and links between uploads of the same content -> groups of uploads, each in one split.

Videos that are linked, directly or through others, are a group. A group is named after the smallest video_id in it when
it was found, and shares a split. In a growing collection a decided video keeps its group and split: a new video that is
linked to it joins its group. A new video that links groups of two splits is rejected (`can_represent` is false, as for
every video linked to it later); the groups keep their splits. The splits that other selections gave their groups are
kept too, because the audit looks at all selections together. Which upload represents its group is decided by the
filter (`representatives.py`).
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.clips.copies import connected
from pipeline.clips.splitting import group_split
from schemas.videos import SPLITS

Links = dict[tuple[int, int], float]  # two uploads of the same content, by number, the smaller first: shared fraction


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One scored video."""

    video_id: str
    part: str
    split: str
    """The split of the video by itself, before groups are known."""
    means: np.ndarray
    """[S, 2, D] float16, unit: mean sound and mean picture of each segment."""
    medoids: np.ndarray
    """[S, 2, D] float16, unit: sound and picture of the segment's medoid, the clip nearest to its means."""


def group_rows(
    videos: list[Video],
    links: Links,
    copies: list[tuple[int, int]],
    decided: set[str],
    known: dict[str, dict[str, Any]],
    settled: dict[str, dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of `schemas.duplicates.DUPLICATES`, by part, for the new videos that have another upload.

    Args:
        videos: all videos, by name.
        links: between numbers of videos; links between two old videos are not needed.
        copies: pairs of numbers of videos of the same bytes. They share a group, and do not represent each other unless
            they are linked too: different spans of one file may have been cut.
        decided: parts whose videos are old.
        known: rows of the old videos, by video_id.
        settled: rows that other selections have for new videos, by video_id.
    """
    linked: dict[int, dict[int, float]] = {}
    for (a, b), share in sorted(links.items()):
        linked.setdefault(a, {})[b] = linked.setdefault(b, {})[a] = share
    copy_of: dict[int, int] = {}
    for a, b in copies:
        copy_of[a], copy_of[b] = b, a
        linked.setdefault(a, {}), linked.setdefault(b, {})
    number_of = {video.video_id: number for number, video in enumerate(videos)}
    # another selection may have named a group after a video that this model has not scored
    named = [(number_of[name], number_of.get(other)) for name, row in known.items() for other in _groups([row])]
    joined = [*links, *copies, *((a, b) for a, b in named if b is not None)]
    rows: dict[str, list[dict[str, Any]]] = {}
    for group in connected(joined):
        new = [n for n in group if n in linked and videos[n].part not in decided]
        # an old video without a row was alone when its part was decided: a group may be named after it
        old = {n: known.get(videos[n].video_id) or alone(videos[n]) for n in group if videos[n].part in decided}
        elsewhere = {n: settled[videos[n].video_id] for n in new if videos[n].video_id in settled}
        # Groups of other selections stay apart where only a video that came too late links them: the audit would find
        # them in two splits. Where videos of two groups are linked directly, a selection has torn the group apart, and
        # the audit must say so.
        placed = old | elsewhere
        pairs = [(placed[a], placed[b]) for a in elsewhere for b in linked[a] if b in placed]
        is_torn = any(
            len({a["group_id"], b["group_id"]}) > 1 and not (a["bridged_groups"] or b["bridged_groups"])
            for a, b in pairs
        )
        kept = {} if is_torn else elsewhere
        before = [*old.values(), *kept.values()]
        splits_by_itself = [row["split"] for row in elsewhere.values()] or [videos[n].split for n in group]
        by_itself = {"group_id": videos[group[0]].video_id, "split": group_split(splits_by_itself)}
        facts = min(before, key=lambda row: row["group_id"], default=by_itself)
        bridged = sorted(_groups(before) - {facts["group_id"]}) or None
        facts = {"group_id": facts["group_id"], "split": facts["split"], "bridged_groups": bridged}
        splits = {row["split"] for row in (facts, *before)}
        for n in new:
            group_of = {name: kept.get(n, facts)[name] for name in ("group_id", "split", "bridged_groups")}
            # a video that bridges groups needs one split of all
            is_single = n in kept and not kept[n]["bridged_groups"]
            shares = linked[n] or {copy_of[n]: 1.0}
            closest, share = max(shares.items(), key=lambda item: (item[1], -item[0]))
            row = {"video_id": videos[n].video_id} | group_of
            row |= {"can_represent": {videos[n].split} == ({kept[n]["split"]} if is_single else splits)}
            row |= {"linked_video_ids": [videos[other].video_id for other in sorted(linked[n])]}
            row |= {"like_video_id": videos[closest].video_id, "shared_fraction": share}
            rows.setdefault(videos[n].part, []).append(row)
    return rows


def group_facts(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """The number of groups that the rows hold, and the number of videos in the largest."""
    groups: dict[str, set[str]] = {}
    for row in rows:  # the video that a group is named after has no row if it was alone when its part was decided
        groups.setdefault(row["group_id"], {row["group_id"]}).add(row["video_id"])
    return len(groups), max(map(len, groups.values()), default=0)


def alone(video: Video) -> dict[str, Any]:
    """The group columns of a video without a row: no other upload was there when its part was decided."""
    return {"group_id": video.video_id, "split": video.split, "bridged_groups": None}


def merge_settled(found: dict[str, dict[str, Any]], more: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of two selections by video_id; of a video in both, the row of the first split, else the row with bridges."""
    both = {name: min(found[name], more[name], key=_precedence) for name in found.keys() & more.keys()}
    return found | more | both


def _precedence(row: dict[str, Any]) -> tuple[int, bool, str]:
    return SPLITS.index(row["split"]), not row["bridged_groups"], row["group_id"]


def _groups(rows: Iterable[dict[str, Any]]) -> set[str]:
    """The group of each row, and the groups that it bridges."""
    return {name for row in rows for name in (row["group_id"], *(row["bridged_groups"] or ()))}
