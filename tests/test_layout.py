"""Paths below a root: what other engines read as Hive partitions, and which file is a stage's record."""

from pathlib import Path

import pytest

from pipeline.storage import files
from pipeline.storage.layout import report_table, stage_of_record, table_folder
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.labels import LABELS

LABEL = {"clip_id": "v_0", "video_id": "v", "label": "quiet", "num_raters": 1, "label_source": "l.csv"}


def test_the_values_of_partition_columns_are_in_the_path_alone(tmp_path: Path) -> None:
    place = Workspace(str(tmp_path))
    partition = report_table("reports/m/top", "examples")
    uri = place.commit(partition, "00000", from_rows([LABEL], LABELS, "here"), LABELS)
    assert uri == f"{tmp_path}/tables/examples/model=m/mixtures=top/00000.parquet"
    assert place.read("examples/m/top", "00000", LABELS).column_names == LABELS.names
    assert table_folder("collection") == "tables/collection"
    assert table_folder("features/events/m") == "tables/features/spec=events/features=m"


@pytest.mark.parametrize("partition", ["examples/m", "clips", "clips/base/x", "collection/x"])
def test_a_partition_of_too_few_or_too_many_names_is_a_mistake_in_the_code(partition: str) -> None:
    with pytest.raises(ValueError, match="zip"):
        table_folder(partition)


@pytest.mark.parametrize("stage", ["clips/base", "reports/m/-", "selections/a_b", "features/events/m"])
def test_a_stage_is_known_by_its_record_and_by_nothing_else_that_it_remembers(stage: str) -> None:
    place = Workspace("s3://b/w")
    paths = [files.relative(place.record_uri(stage, what), place.root) for what in ("", "cutoffs")]
    assert [stage_of_record(path) for path in paths] == [stage, None]
    assert stage_of_record(f"tables/{stage}.json") is None
