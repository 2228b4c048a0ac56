"""Groups of uploads of the same content -> the redundant videos, whose clips the selection refuses.

The upload with the most clips that pass the rules comes first, and represents every video linked to it directly. In a
chain, where the first and the last video share nothing, the next best upload is kept too. In a growing collection a
decision on a video is final: a new video linked to an old representative is represented by it.
"""

import collections
import json
from collections.abc import Mapping, Set
from typing import Any

from pipeline.selection.cutoffs import Each
from pipeline.selection.filtering import ClipRules
from pipeline.storage import files
from schemas.duplicates import DUPLICATES


def load_or_choose(rules: ClipRules, each: Each) -> frozenset[str]:
    """video_id of every video that another upload represents; chosen for new parts, and stored beside the selection.

    `rules` have no represented videos yet; `each` runs the pass that counts the clips which pass them.
    """
    uri = rules.workspace.record_uri(f"selections/{rules.name}", "represented")
    represented, parts = choose(rules, each)
    if parts is not None:
        files.commit_bytes(uri, json.dumps({"parts": parts, "represented": sorted(represented)}, indent=1).encode())
    return represented


def choose(rules: ClipRules, each: Each) -> tuple[frozenset[str], list[str] | None]:
    """What `load_or_choose` gives, and the parts that it is of; None where what is stored is of all parts."""
    workspace, folder = rules.workspace, f"duplicates/{rules.name}"
    uri = workspace.record_uri(f"selections/{rules.name}", "represented")
    stored = json.loads(files.read_bytes(uri)) if files.exists(uri) else {"parts": [], "represented": []}
    parts, represented = workspace.parts(folder), frozenset(stored["represented"])
    pending = sorted(set(parts) - set(stored["parts"]))
    if not pending:
        return represented, None
    rows = [row for part in pending for row in workspace.read(folder, part, DUPLICATES).to_pylist()]
    num_good = collections.Counter[str]()
    for counts in each("count", rules.count_passing, parts if rows else []):
        num_good.update(counts)
    return represented | choose_represented(rows, num_good, represented), parts


def choose_represented(rows: list[dict[str, Any]], num_good: Mapping[str, int], represented: Set[str]) -> set[str]:
    """video_id of the new videos that another upload represents.

    Args:
        rows: of `schemas.duplicates.DUPLICATES`, of the new videos.
        num_good: clips of each video that pass the rules, 0 where missing.
        represented: video_id of the old videos that another upload represents; all other old videos are kept.
    """
    linked: dict[str, set[str]] = collections.defaultdict(set)
    for row in rows:  # a row made before its link's other video arrived does not list that one
        for other in row["linked_video_ids"]:
            linked[row["video_id"]].add(other)
            linked[other].add(row["video_id"])
    new = {row["video_id"] for row in rows}
    kept: set[str] = set()
    for row in sorted(rows, key=lambda row: (-num_good.get(row["video_id"], 0), row["video_id"])):
        name = row["video_id"]
        rivals = [other for other in linked[name] if other in kept or not (other in new or other in represented)]
        # a video without a clip that passes the rules represents only videos that have none either
        is_free = not any(num_good.get(rival, 0) or not num_good.get(name, 0) for rival in rivals)
        if row["can_represent"] and is_free:
            kept.add(name)
    return new - kept
