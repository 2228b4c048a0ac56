"""`earshot filter --dry-run`: what each rule would leave, as a table; no part, record or lock is written."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from cluster.resources import FILTERING
from jobs.console.options import Session
from jobs.console.progress import printable, progress_bar
from pipeline.formatting import format_hours, format_number

if TYPE_CHECKING:
    from pipeline.selection.filtering import ClipRules
    from pipeline.selection.previewing import Amount

R = TypeVar("R")
COLUMNS = [
    *(
        "rule",
        "clips alone",
        "length",
        "videos",
        "clips in order",
        "length",
        "videos",
        "licences of what is left in order",
    )
]
MAX_LICENSES, MAX_LETTERS = 3, 30


def show_preview(session: Session, rules: "ClipRules", parts_per_task: int) -> None:
    """Print what each rule would leave of the clips that there are, alone and after the rules before it."""
    from jobs.console.tables import show
    from pipeline.selection.previewing import preview
    from pipeline.selection.representatives import choose

    def each(step: str, work: Callable[[str], R], parts: list[str]) -> Iterator[R]:
        from cluster.mapping import map_parts

        session.connect()
        with progress_bar(f"{step} {rules.name}", len(parts)) as advance:
            for _, result in map_parts(work, parts, FILTERING, parts_per_task):
                advance(1, "")
                yield result

    if session.config.duplicates.similarity is not None:
        rules.represented, _ = choose(rules, each)
    found = preview(rules, each)
    rows = [[_name(rule, nulls), *_cells(alone), *_cells(in_order), format_licenses(in_order.licenses)]
            for rule, (alone, in_order, nulls) in found.items()]  # fmt: skip
    show(COLUMNS, rows)
    left = list(found.values())[-1].in_order
    scored = "" if rules.model else "no scores; "
    print(f"filter: would keep {format_number(left.clips)} clips of {format_number(left.videos)} videos, "
          f"{format_hours(left.seconds / 3600)}; {scored}nothing written")  # fmt: skip


def _name(rule: str, nulls: Mapping[str, int]) -> str:
    """`low_similarity (27 no_peav)`: how many of the clips that it is the first to refuse lack a value."""
    named = ", ".join(f"{format_number(count)} {reason}" for reason, count in nulls.items() if count)
    return f"{rule} ({named})" if named else rule


def _cells(amount: "Amount") -> list[str]:
    return [format_number(amount.clips), format_hours(amount.seconds / 3600), format_number(amount.videos)]


def format_licenses(licenses: Mapping[str | None, int]) -> str:
    """`120 CC0, 4 none`, the most frequent first; of one that is a sentence, its beginning."""
    ordered = sorted(licenses.items(), key=lambda item: (-item[1], str(item[0])))
    named = [f"{format_number(count)} {_begin(printable(name or 'none'))}" for name, count in ordered[:MAX_LICENSES]]
    more = [f"{len(ordered) - MAX_LICENSES} more"] if len(ordered) > MAX_LICENSES else []
    return ", ".join(named + more)


def _begin(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 3].rstrip()}..."
