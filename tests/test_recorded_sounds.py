"""A collection of recorded sounds: what is held out, and what is said where no sounds are."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import recorded_sounds_command, recorded_world_command


def run(monkeypatch: pytest.MonkeyPatch, media: Path, out: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["recorded_sounds_command", "--media", str(media), "--out", str(out)])
    recorded_sounds_command.main()


def test_takes_of_one_recording_are_in_one_split_also_where_they_are_of_two_classes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [("path", "notes"), ("sounds/other/x.ogg", "class=bell; freesound_id=9"), ("sounds/esc10/y.ogg", "nothing")]
    for kind, numbers in (("bell", range(20)), ("door", range(10, 40))):
        for number in numbers:
            rows += [
                (f"sounds/esc10/{kind}/{number}-{take}.ogg", f"class={kind}; freesound_id={number}") for take in "AB"
            ]
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    run(monkeypatch, tmp_path, tmp_path / "sounds.csv")
    with (tmp_path / "sounds.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * (20 + 30)
    splits: dict[str, set[str]] = {}
    for row in found:
        splits.setdefault(row["recording"], set()).add(row["split"])
    assert all(len(of) == 1 for of in splits.values())
    shares = [sum(of == {split} for of in splits.values()) for split in ("train", "validate", "test")]
    assert shares == [28, 4, 8]  # 14, 2 and 4 of every 20


@pytest.mark.parametrize("main", [recorded_sounds_command.main, recorded_world_command.main])
def test_a_folder_without_a_manifest_is_refused_in_words(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--media", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"MANIFEST\.csv: not there\. Name a folder that has one with --media"):
        main()
    assert not (tmp_path / "out").exists()
