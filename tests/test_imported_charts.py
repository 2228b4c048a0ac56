"""Imported columns in the report: their histograms are numpy's, their counts those of the rows, their texts text."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.outside.imported_types import schema_of
from pipeline.reports.charts import BOTTOM, TOP
from pipeline.reports.imported_charts import MAX_DRAWN, TAIL, Column, ImportedTable, describe, list_imported
from pipeline.reports.reporting import make_report
from pipeline.storage.workspace import Workspace

EVIL = "<img src=x onerror=alert(1)>"
GENRES = ["music", "speech", EVIL, None]
KINDS = {
    "quality": "DOUBLE",
    "faces": "BIGINT",
    "has_text": "BOOLEAN",
    "genre": "VARCHAR",
    "caption": "VARCHAR",
    "vector": "FLOAT[]",
    "same": "DOUBLE",
    "empty": "VARCHAR",
}


def commit(workspace: Workspace, name: str, kinds: dict[str, str], columns: dict[str, list[Any]], num: int) -> None:
    schema = schema_of(name, kinds)
    workspace.begin(f"imported/{name}", {"columns": kinds}, {})
    rows = {"clip_id": [f"c{i}" for i in range(num)]} | columns
    workspace.commit(f"imported/{name}", "00000", pa.table(rows, schema), schema)
    workspace.finish(f"imported/{name}", num_rows=num, num_clips=500)


@pytest.fixture(scope="module")
def values() -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    quality = [None if i % 10 == 0 else float(value) for i, value in enumerate(rng.normal(5, 1, 400))]
    quality[1] = 1e12  # squeezes no chart
    return {
        "quality": quality,
        "faces": rng.integers(0, 4, 400).tolist(),
        "has_text": (rng.random(400) < 0.25).tolist(),
        "genre": [GENRES[i % 4] for i in range(400)],
        "caption": [f"a sentence about clip {i} that is longer than a name" for i in range(400)],
        "vector": [[0.0, 1.0]] * 400,
        "same": [2.5] * 400,
        "empty": [None] * 400,
    }


@pytest.fixture(scope="module")
def workspace(values: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("imported")))
    commit(workspace, "curator", KINDS, values, 400)
    return workspace


@pytest.fixture(scope="module")
def table(workspace: Workspace) -> ImportedTable:
    (table,) = list_imported(workspace)
    return table


def column(table: ImportedTable, name: str) -> Column:
    return next(column for column in table.columns if column.name == name)


def test_coverage_is_of_all_clips(table: ImportedTable) -> None:
    assert describe(table) == "400 of 500 clips have a row (80 %)."
    found = {column.name: (column.holds, column.num_values, column.coverage) for column in table.columns}
    assert found["quality"] == ("numbers", 360, "72 %")
    assert found["genre"] == ("text", 300, "60 %")
    assert found["vector"] == ("vectors", 400, "80 %")
    assert found["empty"] == ("text", 0, "0 %")


def test_a_histogram_is_numpys_and_its_ends_take_in_what_lies_beyond(
    table: ImportedTable, values: dict[str, list[Any]]
) -> None:
    numbers = np.array([value for value in values["quality"] if value is not None])
    low, high = np.quantile(numbers, [TAIL, 1 - TAIL], method="inverted_cdf")
    expected, _ = np.histogram(np.clip(numbers, low, high), 20, (low, high))
    chart = column(table, "quality").chart
    assert chart is not None
    heights = np.array([bar[3] for bar in chart.bars])
    np.testing.assert_allclose(heights, expected / expected.max() * (BOTTOM - TOP), atol=0.06)
    assert (chart.x.low, chart.x.high) == (low, high)


@pytest.mark.parametrize("name", ["faces", "has_text", "genre", "same"])
def test_few_values_are_counted(table: ImportedTable, values: dict[str, list[Any]], name: str) -> None:
    expected = collections.Counter(str(value).lower() for value in values[name] if value is not None)
    found = column(table, name)
    assert {count.value.lower(): count.n for count in found.counts} == expected
    assert sum(count.share for count in found.counts) == pytest.approx(1)
    assert found.chart is None


def test_prose_and_vectors_and_nothing_are_not_drawn(table: ImportedTable) -> None:
    for name in ("caption", "vector", "empty"):
        assert (column(table, name).chart, column(table, name).counts) == (None, [])


def test_the_page_has_them_as_text_and_is_small(workspace: Workspace) -> None:
    page = make_report(workspace).page
    assert '<h2 id="imported">' in page
    assert EVIL not in page
    assert page.count("<svg") == 1
    assert len(page) < 40_000


def test_of_many_columns_the_first_are_drawn_and_the_other_values_are_counted_together(tmp_path: Path) -> None:
    workspace, num = Workspace(str(tmp_path)), 60
    kinds = dict.fromkeys([f"x{i}" for i in range(30)], "VARCHAR")
    texts = [f"v{i % 15:02d}" for i in range(num)]
    commit(workspace, "wide", kinds, dict.fromkeys(kinds, texts), num)
    (table,) = list_imported(workspace)
    drawn = [column for column in table.columns if column.counts]
    assert len(drawn) == MAX_DRAWN
    assert [(count.value, count.n) for count in drawn[0].counts][-2:] == [("v09", 4), ("others", 20)]
