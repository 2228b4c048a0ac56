"""The files of one separation are put in place together, the record last, or not at all."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.inference.outputs import Outputs

NAMES = ["a.flac", "b.flac", "separation.json"]


def write(folder: Path, names: Iterable[str], earlier: list[str] | None = None) -> None:
    with Outputs(str(folder), earlier or []) as outputs:
        for name in names:
            outputs.file(name).write_text(name)


def test_all_files_are_in_place_at_the_end_and_earlier_ones_are_gone(tmp_path: Path) -> None:
    write(tmp_path / "out", [*NAMES[:2], "c.flac", NAMES[2]])
    write(tmp_path / "out", NAMES, earlier=[*NAMES, "c.flac"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES


def test_a_failure_before_the_end_leaves_neither_file_nor_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "new" / "out", (name[: 1 // (name != "b.flac")] + name for name in NAMES))
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_all_be_put_in_place_are_not_there_at_all(tmp_path: Path) -> None:
    (tmp_path / "b.flac" / "x").mkdir(parents=True)  # a folder, which no file can replace
    with pytest.raises(OSError, match=r"b\.flac"):
        write(tmp_path, ["a.flac", "b.flac", "separation.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["b.flac"]


def test_the_record_is_put_in_place_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    replace = Path.replace

    def note(path: Path, target: Path) -> Path:
        placed.append(Path(target).name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", note)
    write(tmp_path, NAMES)
    assert placed == NAMES
