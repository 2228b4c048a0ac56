"""What a takedown would rewrite, found without a change: tables and tars that hold the videos, models that learnt."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline.formatting import format_number
from pipeline.storage.tombstones import read_tombstones
from pipeline.storage.workspace import Workspace
from pipeline.takedown.holding import Part, holding
from pipeline.takedown.lessons import describe, lessons
from pipeline.takedown.names import Names
from pipeline.takedown.new_tombstones import names_of, unfinished
from pipeline.takedown.requests import Request


class Plan(NamedTuple):
    """What a takedown would rewrite."""

    num_videos: int
    parts: dict[str, int]
    """How many parts of each table, such as clips/base, hold some of the videos."""
    num_tars: int
    """How many tars hold clips or examples of them."""
    models: dict[str, dict[str, Any]]
    """What each model learnt from them: see `lessons`."""

    def __str__(self) -> str:
        lines = [f"{table}: {format_number(count)} parts" for table, count in self.parts.items()]
        lines += [f"learnt from them: {describe(stage, lesson)}" for stage, lesson in self.models.items()]
        num_parts = format_number(sum(self.parts.values()))
        held = f"{format_number(self.num_videos)} videos are in {format_number(self.num_tars)} tars and {num_parts}"
        return "\n".join([*lines, f"takedown: nothing is removed yet. {held} parts of tables."])


def plan_takedown(
    workspace: Workspace, request: Request | None, parts: list[Part], advance: Callable[[], None] = lambda: None
) -> Plan:
    """The plan of a request, or of the takedowns that were stopped.

    Args:
        parts: of all tables, as `list_parts` gives them.
        advance: called after each part that was read.
    """
    if request is None:
        tombstones = read_tombstones(workspace)
        names = names_of(workspace, {name: tombstones[name] for name in unfinished(workspace)})
    else:
        names = Names([row["video_id"] for row in request.videos], (), [row["uri"] for row in request.videos])
    held = list(holding(workspace, names, parts, advance))
    counts: dict[str, int] = {}
    for part in held:
        place = "/".join((part.kind, *part.values))
        counts[place] = counts.get(place, 0) + 1
    num_tars = sum(part.tar(workspace) is not None for part in held)
    return Plan(len(names.video_ids), counts, num_tars, lessons(workspace, names))
