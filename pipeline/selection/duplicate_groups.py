"""Videos and which of them are uploads of the same content -> groups: who is in one, its split, and who stands for it.

Videos that hang together, directly or through others, are a group and share a split. The best of it stands, and takes
the place of those that are one with it themselves; in a chain, where the first and the last share nothing, the next
best stands too. A video that has been decided on keeps its decision in a collection that grows: what arrives later and
resembles it is the duplicate, and its group keeps its name and split. What joins groups of two splits too late leaves
both as they are, and neither it nor what hangs on it later stands. Another selection's splits are kept to as well: the
audit looks at all of them together.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.clips.splitting import group_split
from schemas.videos import SPLITS

Links = dict[tuple[int, int], float]  # pairs of videos that are one, by number, the smaller first: their shared clips


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One scored video."""

    video_id: str
    part: str
    split: str
    """Its split by itself."""
    num_good: int
    """Clips that no rule refuses that looks at one clip."""
    means: np.ndarray
    """[S, 2, D] float16, unit: mean sound and mean picture of each segment."""
    medoids: np.ndarray
    """[S, 2, D] float16, unit: sound and picture of the clip that is nearest to both."""


def group_rows(
    videos: list[Video],
    links: Links,
    decided: set[str],
    known: dict[str, dict[str, Any]],
    settled: dict[str, dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of `schemas.duplicates.DUPLICATES`, by part, of the videos that are new.

    Args:
        videos: all of them, by name.
        links: numbers of videos that are one; of two that are not new, none is needed.
        decided: parts whose videos are not new.
        known: the rows of those, by video_id.
        settled: rows that other selections have for videos that are new here, by video_id.
    """
    linked: dict[int, dict[int, float]] = {}
    for (a, b), share in sorted(links.items()):
        linked.setdefault(a, {})[b] = linked.setdefault(b, {})[a] = share
    number_of = {video.video_id: number for number, video in enumerate(videos)}
    # a name that another selection gave may be of a video that this model has not scored
    named = [(number_of[name], number_of.get(other)) for name, row in known.items() for other in _groups([row])]
    joined = [*links, *((a, b) for a, b in named if b is not None)]
    rows: dict[str, list[dict[str, Any]]] = {}
    for group in _connected(joined):
        new = [n for n in group if n in linked and videos[n].part not in decided]
        # an old video without a row was alone when its part was decided: it names its group, and stands
        old = {n: known.get(videos[n].video_id) or alone(videos[n]) for n in group if videos[n].part in decided}
        elsewhere = {n: settled[videos[n].video_id] for n in new if videos[n].video_id in settled}
        # groups of others stay apart where only what came too late joins them: the audit would find them in two splits.
        # Where those of two are one by themselves, another selection has torn them apart, and the audit is to say so.
        told = old | elsewhere
        pairs = [(told[a], told[b]) for a in elsewhere for b in linked[a] if b in told]
        is_torn = any(
            len({a["group_id"], b["group_id"]}) > 1 and not (a["bridged_groups"] or b["bridged_groups"])
            for a, b in pairs
        )
        kept = {} if is_torn else elsewhere
        before = [*old.values(), *kept.values()]
        splits_by_itself = [row["split"] for row in elsewhere.values()] or [videos[n].split for n in group]
        by_itself = {"group_id": videos[group[0]].video_id, "split": group_split(splits_by_itself)}
        facts = min(before, key=lambda row: row["group_id"], default=by_itself)
        also = sorted(_groups(before) - {facts["group_id"]}) or None
        facts = {"group_id": facts["group_id"], "split": facts["split"], "bridged_groups": also}
        splits = {row["split"] for row in (facts, *before)}
        # one that was in a single group stands in that; what joins groups stands if they are in one split
        allowed = {n: {row["split"]} if (row := kept.get(n)) and not row["bridged_groups"] else splits for n in new}
        standing = {n for n, row in old.items() if row["is_representative"]}
        for n in sorted((n for n in new if {videos[n].split} == allowed[n]), key=lambda n: (-videos[n].num_good, n)):
            # one that has no clip to keep stands in no other's way
            if not any(videos[rival].num_good or not videos[n].num_good for rival in linked[n].keys() & standing):
                standing.add(n)
        for n in new:
            other, share = max(linked[n].items(), key=lambda item: (item[1], -item[0]))
            group_of = {name: kept.get(n, facts)[name] for name in ("group_id", "split", "bridged_groups")}
            row = {"video_id": videos[n].video_id} | group_of
            row |= {
                "is_representative": n in standing,
                "like_video_id": videos[other].video_id,
                "shared_fraction": share,
            }
            rows.setdefault(videos[n].part, []).append(row)
    return rows


def group_facts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many groups the rows hold, how large the largest is, and for how many videos another one stands."""
    groups: dict[str, set[str]] = {}
    for row in rows:  # a group that an old video names which was alone has no row of that
        groups.setdefault(row["group_id"], {row["group_id"]}).add(row["video_id"])
    return {
        "num_groups": len(groups),
        "largest_group": max(map(len, groups.values()), default=0),
        "num_collapsed": sum(not row["is_representative"] for row in rows),
    }


def alone(video: Video) -> dict[str, Any]:
    """What a row would say of a video that has none: no other upload was there when its part was decided."""
    return {"group_id": video.video_id, "split": video.split, "bridged_groups": None, "is_representative": True}


def merge_settled(found: dict[str, dict[str, Any]], more: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of two selections by video_id; of a video in both the row of the first split, or else that joins groups."""
    both = {name: min(found[name], more[name], key=_precedence) for name in found.keys() & more.keys()}
    return found | more | both


def _precedence(row: dict[str, Any]) -> tuple[int, bool, str]:
    return SPLITS.index(row["split"]), not row["bridged_groups"], row["group_id"]


def _groups(rows: Iterable[dict[str, Any]]) -> set[str]:
    """The group of each row, and those that it joins."""
    return {name for row in rows for name in (row["group_id"], *(row["bridged_groups"] or ()))}


def _connected(links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Numbers that links join, directly or through others: each group in order, the groups by their first."""
    root: dict[int, int] = {}

    def find(number: int) -> int:
        while root.setdefault(number, number) != number:
            root[number] = number = root[root[number]]
        return number

    for a, b in links:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    groups: dict[int, list[int]] = {}
    for number in sorted(root):
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())
