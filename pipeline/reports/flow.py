"""From videos to clips, selections and mixtures: how many came in at each step, and what became of them.

Comes in: rows of the query FLOW, a count for each step, group and outcome. Goes out: a bar per group, cut into parts
whose lengths are shares of what came in.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FLOW = """
    SELECT 'videos' AS step, spec AS name, outcome, count(*) AS n FROM videos GROUP BY ALL
    UNION ALL SELECT 'clips', spec, outcome, count(*) FROM clips GROUP BY ALL
    UNION ALL SELECT 'selection', selection, reason, count(*) FROM selections GROUP BY ALL
    UNION ALL SELECT 'mixtures', mixtures, eval_set, count(*) FROM mixtures GROUP BY ALL
"""
STEPS = {
    "videos": "Videos, to be cut into clips of the spec {}",
    "clips": "Clips of the spec {}",
    "selection": "Clips before the selection {}",
    "mixtures": "Evaluation examples in the mixtures {}",
}
KEPT = "kept"
MIN_SHARE = 0.02  # of a bar; smaller parts are drawn as one
OTHERS = "others"


class Part(NamedTuple):
    """A part of a bar."""

    outcome: str
    n: int
    share: float
    """Of what came in, 0 to 1."""
    is_kept: bool


class Bar(NamedTuple):
    """What became of what came into one step."""

    step: str
    name: str
    """The clip spec, selection or mixtures."""
    total: int
    parts: tuple[Part, ...]
    """What was kept first, then by size."""

    @property
    def title(self) -> str:
        """What came in."""
        return STEPS[self.step].format(self.name)


def list_bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """A bar for each group, in the order of the data's flow."""
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        groups.setdefault((row["step"], row["name"]), {})[row["outcome"]] = row["n"]
    ordered = sorted(groups.items(), key=lambda item: (list(STEPS).index(item[0][0]), item[0][1]))
    return [Bar(step, name, sum(counts.values()), _parts(step, counts)) for (step, name), counts in ordered]


def _parts(step: str, counts: Mapping[str, int]) -> tuple[Part, ...]:
    total = sum(counts.values())
    small = {name: n for name, n in counts.items() if n < MIN_SHARE * total and name != KEPT}
    drawn = {name: n for name, n in counts.items() if name not in small}
    if len(small) == 1:
        drawn |= small  # alone it keeps its name
    elif small:
        drawn[OTHERS] = sum(small.values())
    order = sorted(drawn.items(), key=lambda item: (item[0] != KEPT, item[0] == OTHERS, -item[1], item[0]))
    return tuple(Part(name, n, n / total, step == "mixtures" or name == KEPT) for name, n in order)
