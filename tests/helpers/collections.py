"""Folders of files that stand for videos, and tables of them."""

from pathlib import Path
from typing import Any


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))
    return folder


def spans(*pairs: tuple[float, float | None]) -> list[dict[str, Any]]:
    return [{"start_s": start_s, "end_s": end_s} for start_s, end_s in pairs]


def table_of(folder: Path, text: str) -> str:
    (folder / "list.csv").write_text(text)
    return str(folder / "list.csv")
