"""Tables as wide as their content, or lines of `name: value` where a terminal is narrower: no figure is ever cut."""

from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from jobs.console.progress import printable
from pipeline.formatting import format_number


def cell(value: Any) -> str:
    """A value as text; fractions with six digits, of a long list only its start."""
    if value is None:
        return "-"
    if isinstance(value, list) and len(value) > 4:
        return f"[{', '.join(cell(item) for item in value[:3])}, ... {len(value)}]"
    return format_number(value, digits=6) if isinstance(value, float) else printable(str(value))


def show(names: list[str], rows: list[list[Any]]) -> None:
    """Print rows below their names; row by row where the terminal is too narrow for that."""
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *texts, strict=True)]
    width, console = sum(widths) + 3 * len(names) + 1, Console()
    if console.is_terminal and console.width < width:
        for row in texts:
            print(
                "\n".join(f"{printable(name) or 'what'}: {text}" for name, text in zip(names, row, strict=True)),
                end="\n\n",
            )
        return
    table = Table(*(Column(Text(printable(name))) for name in names))  # as text: [/a] would be taken for markup
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    Console(width=max(80, width)).print(table)
