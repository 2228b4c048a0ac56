"""Which failures are parts' own, and which are the run's: the rules alone, without Ray."""

import importlib
import re
from pathlib import Path

import pytest

from cluster import faults
from cluster.faults import MAX_ALIKE, Quarantine, QuarantineError


def test_as_many_failures_alike_without_a_part_done_between_are_not_the_parts_own() -> None:
    quarantine = Quarantine()
    for number in range(MAX_ALIKE):
        assert not quarantine.is_full
        quarantine.add(f"{number:05d}", KeyError(number))
    assert quarantine.is_full
    assert str(quarantine.stop("00009")).startswith("part 00009: KeyError: 9 It and 9 others failed with KeyError")
    quarantine.clear()
    assert not quarantine.is_full


def test_failures_of_another_kind_or_with_a_part_done_between_are() -> None:
    quarantine = Quarantine()
    for number in range(5 * MAX_ALIKE):
        quarantine.add(f"{number:05d}", KeyError() if number % 5 else ValueError())
        assert not quarantine.is_full
    for number in range(5 * MAX_ALIKE):
        quarantine.add(f"{number:05d}", KeyError())
        if number % 5 == 0:
            quarantine.clear()
        assert not quarantine.is_full


def test_a_message_names_ten_parts_with_the_first_line_of_their_cause_and_counts_the_rest() -> None:
    quarantine = Quarantine()
    quarantine.check()
    for number in reversed(range(12)):
        quarantine.add(f"{number:05d}", ValueError(f"tone {number}.\nTraceback"))
    with pytest.raises(QuarantineError) as caught:
        quarantine.check()
    text = str(caught.value)
    assert text.startswith("these 12 parts failed: 00000: ValueError: tone 0; 00001: ValueError: tone 1; ")
    assert text.endswith(
        "00009: ValueError: tone 9; and 2 more. The others are finished; the same command tries them again."
    )
    assert sorted(caught.value.causes) == [f"{number:05d}" for number in range(12)]


def test_the_table_names_constants_that_are_there_with_the_numbers_that_they_have() -> None:
    table = faults.__doc__ or ""
    elsewhere = re.findall(r"\b([a-z_0-9]+)\.([A-Z_]+) \(([\d.]+)", table)
    assert {name for _, name, _ in elsewhere} == {"LIMIT_S", "READ_ATTEMPTS", "EXPIRE_S", "LOST_S"}
    for module, name, number in elsewhere:
        package = "cluster" if module == "head_watch" else "pipeline.storage"
        assert getattr(importlib.import_module(f"{package}.{module}"), name) == float(number), name
    own = set(re.findall(r"\bMAX_[A-Z_]+", table))
    assert {"MAX_RETRIES", "MAX_TRAINING_FAILURES", "MAX_ALIKE"} <= own
    assert all(getattr(faults, name) > 0 for name in own)


def test_the_page_on_clusters_has_the_numbers_of_the_policy() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cluster.md").read_text()
    assert f"tried again elsewhere, up to {faults.MAX_RETRIES} times each" in page
    assert f"from its last checkpoint, up to {faults.MAX_TRAINING_FAILURES} times" in page
    assert MAX_ALIKE == 10
    assert "| ten parts fail alike" in page
