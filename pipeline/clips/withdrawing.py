"""Clips of videos of which something else is declared leave a selection at once, until it is decided anew.

They are refused as RIGHTS_CHANGED: no learner draws them meanwhile. The selection remembers the videos of which it kept
clips until then, because models and shards that were made of it may hold them.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage import files
from pipeline.storage.workspace import NUM_READERS, Workspace
from schemas.selections import RIGHTS_CHANGED, SELECTIONS

WITHDRAWN = "withdrawn"  # what a selection's record of such videos is named


def read_withdrawn(workspace: Workspace, selection: str) -> list[str]:
    """Ids of the videos of which a selection kept clips before their declared rights changed: models made of it until
    then may have learnt from them."""
    uri = workspace.record_uri(selection, WITHDRAWN)
    return json.loads(files.read_bytes(uri)) if files.exists(uri) else []


def refuse_clips(workspace: Workspace, selection: str, videos: Mapping[str, pa.Array]) -> bool:
    """Refuse the clips of videos in a selection, and remember of which videos some were kept.

    Args:
        selection: its stage, such as selections/default.
        videos: their ids, by part.
    Returns:
        Whether clips of some of them were kept until now, or until a run that was killed in here.
    """
    kept_before = pa.array(read_withdrawn(workspace, selection), pa.string())

    def find_kept(part: str) -> pa.ChunkedArray:
        table = workspace.read(selection, part, SELECTIONS, ["video_id", "kept"])
        return table.filter(pc.and_(pc.is_in(table["video_id"], videos[part]), table["kept"]))["video_id"]

    with ThreadPoolExecutor(NUM_READERS) as pool:
        found = [chunk for kept in pool.map(find_kept, videos) for chunk in kept.chunks]
    kept = pc.unique(pa.chunked_array([kept_before, *found]))
    if len(kept) > len(kept_before):
        names = json.dumps(sorted(kept.to_pylist()), indent=1)
        files.commit_bytes(workspace.record_uri(selection, WITHDRAWN), names.encode())
    has_kept = False
    for part, video_ids in videos.items():
        table = workspace.read(selection, part, SELECTIONS)
        is_theirs = pc.is_in(table["video_id"], video_ids)
        waits = pc.or_(table["kept"], pc.equal(table["reason"], RIGHTS_CHANGED))
        left = pc.and_(pc.and_(is_theirs, waits), pc.is_in(table["video_id"], kept))
        has_kept = has_kept or pc.any(left).as_py() is True
        for name, value in (("kept", False), ("reason", RIGHTS_CHANGED), ("unique_s", None)):
            field = SELECTIONS.field(name)
            changed = pc.if_else(is_theirs, pa.scalar(value, field.type), table[name])
            table = table.set_column(table.schema.get_field_index(name), field, changed)
        workspace.commit(selection, part, table, SELECTIONS)
    return has_kept
