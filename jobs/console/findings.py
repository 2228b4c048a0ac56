"""What a check found: ok, a warning or a problem with how to mend it; equal findings of several nodes are one line."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from jobs.console.progress import printable

Level = Literal["ok", "warning", "problem"]
OK: Level = "ok"
WARNING: Level = "warning"
PROBLEM: Level = "problem"
MAX_NAMED = 4  # nodes of one line


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line of what was found."""

    level: Level
    check: str
    """What was looked at, such as shared memory."""
    text: str
    """What was found, and what was expected where that is not so; without a full stop."""
    remedy: str = ""
    """How to mend it, in sentences; "" where there is nothing to mend."""
    nodes: tuple[str, ...] = ()
    """Where; () for what is no node's own."""

    def __str__(self) -> str:
        where = ""
        if self.nodes:
            more = f" and {len(self.nodes) - MAX_NAMED} more" if len(self.nodes) > MAX_NAMED else ""
            where = f" [{', '.join(self.nodes[:MAX_NAMED])}{more}]"
        return printable(f"{self.level:<8} {self.check}: {self.text}{where}{self.remedy and '. '}{self.remedy}")


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Equal findings of several nodes as one, in the order of the checks; problems of a check come first."""
    found: dict[Finding, list[str]] = {}
    for finding in findings:
        found.setdefault(dataclasses.replace(finding, nodes=()), []).extend(finding.nodes)
    merged = [dataclasses.replace(finding, nodes=tuple(nodes)) for finding, nodes in found.items()]
    checks = list(dict.fromkeys(finding.check for finding in merged))
    return sorted(
        merged, key=lambda finding: (checks.index(finding.check), (PROBLEM, WARNING, OK).index(finding.level))
    )
