import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.reports.convenience_views import VIEWS
from pipeline.reports.querying import describe, query, query_all, tables
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows, partition_columns, table_name
from schemas.reports import SUMMARY
from schemas.scores import SCORES
from schemas.videos import VIDEOS


def video_row(video_id, outcome="kept", part="00000", **facts):
    row = {
        "video_id": video_id,
        "uri": f"/videos/{video_id}.mp4",
        "part": part,
        "rights": "unknown",
        "num_clips": 1,
        "outcome": outcome,
    }
    return row | facts


def commit_videos(workspace, part, rows):
    workspace.commit("videos/base", part, from_rows(rows, VIDEOS, part), VIDEOS)


def commit_scores(workspace, model, part, scores):
    rows = [
        {
            "clip_id": f"{part}_{i}",
            "video_id": part,
            "score": score,
            "audio_embedding": [0.5, -0.25],
            "visual_embedding": [1.0, 0.0],
        }
        for i, score in enumerate(scores)
    ]
    workspace.commit(f"scores/{model}", part, from_rows(rows, SCORES, part), SCORES)


@pytest.fixture
def workspace(tmp_path):
    """Two parts of videos, two models' scores, one summary; a root whose name SQL and globs could misread."""
    workspace = Workspace(str(tmp_path / "it's [a] *root"))
    commit_videos(workspace, "00000", [video_row("a", duration_s=4.0), video_row("b", "no_audio")])
    commit_videos(workspace, "00001", [video_row("c", part="00001", duration_s=2.5)])
    for model, scores in (("one", [0.25, 0.75]), ("two", [1.0])):
        commit_scores(workspace, model, "00000", scores)
    figure = {"eval_set": "on_mom", "metric": "median_si_snr_db", "value": 7.0, "unit": "dB", "n": 3}
    workspace.commit("summary/m/top", "00000", from_rows([figure], SUMMARY, "m"), SUMMARY)
    return workspace


def test_a_view_holds_every_part_of_its_table(workspace):
    found = query(workspace, "SELECT outcome, count(*) AS n, sum(duration_s) AS s FROM videos GROUP BY 1 ORDER BY 1")
    assert found.to_pylist() == [{"outcome": "kept", "n": 2, "s": 6.5}, {"outcome": "no_audio", "n": 1, "s": None}]


def test_a_table_in_several_folders_is_one_view(workspace):
    found = query(workspace, "SELECT model, avg(score) AS mean FROM scores GROUP BY 1 ORDER BY 1")
    assert found.to_pylist() == [{"model": "one", "mean": 0.5}, {"model": "two", "mean": 1.0}]
    first = query(workspace, "SELECT audio_embedding FROM scores LIMIT 1").to_pylist()
    assert first == [{"audio_embedding": [0.5, -0.25]}]


def test_the_values_in_a_path_are_columns_of_the_view(workspace):
    where = {"model": "m", "mixtures": "top"}
    figure = {"eval_set": "on_mom", "metric": "median_si_snr_db", "value": 7.0, "unit": "dB", "n": 3}
    interval = dict.fromkeys(("low", "high", "num_videos", "model_hash", "data_hash"))
    assert query(workspace, "FROM summary").to_pylist() == [where | figure | interval]
    assert query(workspace, "FROM summary WHERE mixtures = 'default'").to_pylist() == []


def test_a_part_in_a_folder_that_is_no_partition_is_named(workspace):
    files.commit_bytes(workspace.uri("tables", "summary", "model=m", "x.parquet"), b"moved here by hand")
    with pytest.raises(
        DataError, match=r"summary/model=m/x\.parquet: expected a path below summary/ of model, mixtures"
    ):
        query(workspace, "FROM summary")


@pytest.mark.parametrize("schema", tables(), ids=table_name)
def test_every_view_has_the_columns_of_its_schema_whether_its_stage_has_run_or_not(workspace, schema):
    found = query(workspace, f"SELECT * FROM {table_name(schema)} LIMIT 0")
    assert found.column_names == [*partition_columns(schema), *schema.names]
    for field in schema:
        column, wanted = found.schema.field(field.name).type, field.type
        assert column == wanted or (pa.types.is_list(column) and column.value_type == wanted.value_type)


@pytest.mark.parametrize("schema", tables(), ids=table_name)
def test_a_view_that_is_not_named_has_the_columns_and_types_that_duckdb_reads_of_parts(workspace, schema):
    columns = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = {} ORDER BY column_index"
    name = table_name(schema)
    unnamed, named = (query(workspace, columns.format(word)) for word in (f"'{name[:2]}' || '{name[2:]}'", f"'{name}'"))
    assert unnamed.to_pylist() == named.to_pylist()
    assert unnamed["column_name"].to_pylist() == [*partition_columns(schema), *schema.names]


def test_pivots_and_joins_of_views_are_queries(workspace):
    found = query(workspace, "PIVOT Videos ON outcome USING count(*) GROUP BY part ORDER BY part")
    assert found.to_pylist() == [
        {"part": "00000", "kept": 1, "no_audio": 1},
        {"part": "00001", "kept": 1, "no_audio": 0},
    ]
    joined = query(workspace, "SELECT count(*) AS n FROM videos CROSS JOIN scores LEFT JOIN labels USING (clip_id)")
    assert joined.to_pylist() == [{"n": 9}]


def test_wrong_sql_says_what_is_wrong_and_which_views_there_are(workspace):
    with pytest.raises(ConfigError, match="outcom") as caught:
        query(workspace, "SELECT outcom FROM videos")
    assert "videos: spec, video_id, uri, part" in str(caught.value)
    assert "summary: model, mixtures, eval_set, metric" in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "COPY videos TO '{part}' (FORMAT parquet)",
        "EXPLAIN ANALYZE COPY (FROM videos) TO '{part}' (FORMAT parquet)",
        "PREPARE p AS COPY (FROM videos) TO '{part}' (FORMAT parquet)",
        "CREATE TABLE t AS FROM videos",
        "ATTACH '{root}/x.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_a_query_is_one_select_and_changes_nothing(workspace, sql):
    part = workspace.part_uri("videos/base", "00000")
    before = files.read_bytes(part)
    with pytest.raises(ConfigError, match="expected one SELECT"):
        query(workspace, sql.format(part=part.replace("'", "''"), root=workspace.root.replace("'", "''")))
    assert files.read_bytes(part) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM workspace",
    ],
)
def test_a_query_reads_nothing_but_the_views(workspace, sql):
    with pytest.raises(ConfigError, match=r"disabled by configuration|does not exist"):
        query(workspace, sql)


def test_a_damaged_part_is_named(workspace):
    part = workspace.part_uri("videos/base", "00001")
    files.commit_bytes(part, files.read_bytes(part)[:200])
    with pytest.raises(DataError, match=r"00001\.parquet"):
        query(workspace, "SELECT count(*) FROM videos")
    assert query(workspace, "SELECT count(*) AS n FROM scores").to_pylist() == [{"n": 3}]


def test_a_part_of_another_version_is_named_with_both_versions(workspace):
    other = SCORES.with_metadata({**SCORES.metadata, b"version": b"99"})
    workspace.commit("scores/three", "00000", other.empty_table(), other)
    with pytest.raises(DataError, match=r"scores/model=three/00000.*version 99.*version 4"):
        query(workspace, "SELECT * FROM scores")


def test_an_unfinished_part_is_not_read(workspace):
    folder = files.local_path(workspace.table("videos/base"))
    (folder / ".tmp-half.parquet").write_bytes(b"half a file")
    assert query(workspace, "SELECT count(*) AS n FROM videos").to_pylist() == [{"n": 3}]


def test_a_root_without_any_stage_is_said_to_be_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no stage has run there"):
        query(Workspace(str(tmp_path)), "SELECT * FROM clips")


def test_parts_in_s3_are_queried_like_local_ones(s3_bucket):
    workspace = Workspace(f"{s3_bucket}/querying")
    with pytest.raises(ConfigError, match="no stage has run there"):
        query(workspace, "FROM videos")
    commit_videos(workspace, "00000", [video_row("a"), video_row("b")])
    commit_videos(workspace, "00001", [video_row("c")])
    commit_scores(workspace, "one", "00000", [0.5])
    found = query(workspace, "SELECT video_id FROM videos WHERE (SELECT min(score) FROM scores) = 0.5 ORDER BY 1")
    assert found.column("video_id").to_pylist() == ["a", "b", "c"]
    files.commit_bytes(workspace.part_uri("videos/base", "00001"), b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"s3://.*querying/tables/videos/spec=base/00001\.parquet"):
        query(workspace, "FROM videos")


def test_several_queries_read_each_part_once(s3_bucket, monkeypatch):
    workspace = Workspace(f"{s3_bucket}/several")
    commit_videos(workspace, "00000", [video_row("a"), video_row("b")])
    commit_scores(workspace, "one", "00000", [0.5])
    read, whole = [], files.local_copy
    monkeypatch.setattr(files, "local_copy", lambda uri: read.append(uri) or whole(uri))
    found = query_all(
        workspace, {"n": "SELECT count(*) AS n FROM videos", "both": "SELECT score FROM scores CROSS JOIN videos"}
    )
    assert {name: table.to_pylist() for name, table in found.items()} == {
        "n": [{"n": 2}],
        "both": [{"score": 0.5}, {"score": 0.5}],
    }
    assert sorted(read) == [workspace.part_uri("scores/one", "00000"), workspace.part_uri("videos/base", "00000")]


def test_describe_lists_every_column_with_its_unit_and_doc():
    columns = describe()
    of_tables = [row for row in columns if row[0] not in VIEWS]
    assert len(of_tables) == sum(len(schema) + len(partition_columns(schema)) for schema in tables())
    assert {row[0] for row in columns} == {*map(table_name, tables()), *VIEWS}
    (*about, doc) = next(row for row in columns if row[:2] == ("videos", "duration_s"))
    assert about == ["videos", "duration_s", "double", "s"]
    assert doc.startswith("decoded duration")
    assert all(doc for *_, doc in columns)
