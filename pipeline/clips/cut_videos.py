"""Which parts are cut, by which clip specs, and the rows of their videos."""

import collections
import contextlib
from collections.abc import Iterable
from typing import Any

from pipeline.errors import MissingError
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.videos import VIDEOS


def cut_specs(workspace: Workspace) -> dict[str, list[str]]:
    """The clip specs that each part is cut by, the parts in order."""
    found: dict[str, list[str]] = {}
    for spec in workspace.names("videos"):
        for part in workspace.parts(f"videos/{spec}"):
            found.setdefault(part, []).append(spec)
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def cut_parts(workspace: Workspace) -> list[str]:
    """The parts that are cut by any clip spec, in order: splits are by video, the same for all specs."""
    return list(cut_specs(workspace))


def unlabelled_parts(workspace: Workspace, stage: str) -> list[str]:
    """The parts that are cut, by any clip spec, and that a stage about videos, such as spans, does not have yet.

    Raises:
        ConfigError: nothing is cut; the topic is `missing`.
    """
    parts = cut_parts(workspace)
    if not parts:
        raise workspace.error(CLIPS_FOLDER, "nothing there yet.")
    finished = set(workspace.parts(stage))
    return [part for part in parts if part not in finished]


def uncut_parts(workspace: Workspace, specs: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Parts of the collection that are not cut by some of the specs, by these; those of a key are cut together."""
    pending = {spec: set(workspace.pending(COLLECTION_FOLDER, f"videos/{spec}")) for spec in specs}
    found = collections.defaultdict(list)
    for part in sorted(set().union(*pending.values())):
        found[tuple(spec for spec, parts in pending.items() if part in parts)].append(part)
    return dict(found)


def read_videos(workspace: Workspace, part: str, columns: list[str]) -> list[dict[str, Any]]:
    """Rows of a part's videos as `base` has them, else as the first other spec that it is cut by."""
    try:
        return workspace.read(VIDEOS_FOLDER, part, VIDEOS, columns).to_pylist()
    except MissingError:
        for spec in workspace.names("videos"):
            with contextlib.suppress(MissingError):
                return workspace.read(f"videos/{spec}", part, VIDEOS, columns).to_pylist()
        raise
