"""README, guide and CONTRIBUTING: their commands parse, and the files and folders that they name exist.

And docs/format.md: what it says of tables and tars is so, in a workspace with two clip specs and two selections.
"""

import collections
import io
import re
import shlex
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import World

from jobs.cli import COMMANDS
from jobs.console.lazy_commands import load
from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.reports.querying import query, tables
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows, partition_columns, table_name
from schemas.materialized import MATERIALIZED
from schemas.videos import VIDEOS
from tests.helpers.format_page import PAGE, run_snippet, snippets, with_schemas
from tests.helpers.readers import open_in_bucket, open_with_each

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/guide.md",
    "docs/cluster.md",
    "docs/format.md",
    "docs/queries.md",
    "docs/scale.md",
    "docs/scorer.md",
    "cluster/README.md",
)
EVENTS = ClipSpec(clip_s=1.0, frame_height=16, frame_width=16)  # five of each video of 5 s


@pytest.fixture(scope="module")
def workspace(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The world, cut by a second clip spec too, and rows of two selections, all in two parts. Read it only."""
    workspace = Workspace(str(tmp_path_factory.mktemp("docs") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    cut = ShardPart(workspace, {"events": EVENTS}, ShardingConfig())
    for part in workspace.parts(COLLECTION_FOLDER):
        cut(part)
        for selection in ("first", "second"):
            _commit_rows(workspace, selection, part)
    return workspace


def _commit_rows(workspace: Workspace, selection: str, part: str) -> None:
    """A video that is a copy, and a clip in a shuffled shard."""
    video_id = f"{selection}_{part}"
    copy = {
        "video_id": video_id,
        "group_id": video_id,
        "split": "train",
        "can_represent": True,
        "linked_video_ids": [],
        "like_video_id": "other",
        "shared_fraction": 1.0,
    }
    workspace.commit(f"duplicates/{selection}", part, from_rows([copy], DUPLICATES, part), DUPLICATES)
    clip = {
        "clip_id": f"{video_id}_00000000",
        "video_id": video_id,
        "split": "train",
        "part": part,
        "tar_offset": 0,
        "tar_bytes": 512,
        "source_part": part,
    }
    workspace.commit(f"materialized/{selection}", part, from_rows([clip], MATERIALIZED, part), MATERIALIZED)


def earshot_lines(page: str) -> list[str]:
    """Every `earshot ...` line of the page's bash blocks, without its comment."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line.startswith("earshot ")]


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in earshot_lines(page)}))
def test_every_command_of_the_docs_is_one_that_the_command_line_takes(line: str) -> None:
    _, *arguments = shlex.split(line, comments=True)
    if arguments == ["--help"]:
        return
    load(arguments[0]).make_context(arguments[0], arguments[1:])  # raises UsageError for a wrong option or argument


def test_the_guide_has_a_section_for_every_command() -> None:
    used = {line.split()[1] for line in earshot_lines("docs/guide.md")}
    assert set(COMMANDS) - {"demo"} <= used | {"clean"}  # clean is in the FAQ


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_that_a_page_names_exists(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_0-9]+\.(?:py|toml|yaml))`", text))
    places = ("", "pipeline/", "docs/", "docs/scorers/", "pipeline/synthetic/", "cluster/kuberay/")
    missing = {name for name in named if not any((ROOT / place / name).exists() for place in places)}
    assert not missing
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert all((ROOT / page).parent.joinpath(link).exists() for link in links), links


def test_no_row_of_contributing_stands_twice() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    keys = re.findall(r"^\| (.+?) \|", text[text.index("| to change |") :], re.MULTILINE)
    assert len(keys) > 50
    assert [key for key, times in collections.Counter(keys).items() if times > 1] == []


def test_the_readme_has_a_row_for_every_room() -> None:
    rows = re.findall(r"^\| ((?:`[a-z]+/` ?)+)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z]+)/`", row)}
    assert named == {path.parent.name for path in ROOT.glob("pipeline/*/__init__.py")}


def test_the_tables_and_the_json_of_the_format_page_are_those_of_the_schemas() -> None:
    assert PAGE.read_text() == with_schemas(PAGE.read_text()), "python -m tests.helpers.format_page writes them anew"


@pytest.mark.parametrize("tool", [tool for tool in snippets(PAGE.read_text()) if tool != "Ray Data"])  # test_shard.py
def test_every_way_to_read_a_workspace_that_the_format_page_shows_finds_all_kept_clips(
    workspace: Workspace, tool: str
) -> None:
    rows = workspace.read_all("clips/base", CLIPS, ["clip_id", "outcome"]).to_pylist()
    kept = {row["clip_id"] for row in rows if row["outcome"] == "kept"}
    assert len(kept) == 48
    found = run_snippet(tool, workspace.root)
    keys = found["keys"] if "keys" in found else list(found["kept"]["clip_id"])
    assert sorted(str(key) for key in keys) == sorted(kept)


def test_what_the_format_page_shows_for_hugging_face_gives_each_clips_attribution(workspace: Workspace) -> None:
    videos = {row["video_id"]: row for row in workspace.read_all("videos/base", VIDEOS).to_pylist()}
    samples = list(run_snippet("Hugging Face datasets", workspace.root)["found"])
    assert len(samples) == 48
    for sample in samples:
        video = videos[sample["json"]["video_id"]]
        assert sample["json"]["clip_id"] == sample["__key__"]
        assert (sample["json"]["uri"], sample["json"]["license"]) == (video["uri"], "CC0")


@pytest.mark.parametrize(
    ("table", "partition", "key", "num_rows"),
    [
        ("clips", "spec", "clip_id", {"base": 12 * 4, "events": 12 * 5}),
        ("videos", "spec", "video_id", {"base": 12, "events": 12}),
        ("duplicates", "selection", "video_id", {"first": 2, "second": 2}),
        ("materialized", "selection", "clip_id", {"first": 2, "second": 2}),
    ],
)
def test_a_table_of_several_partitions_is_opened_whole_with_their_values_as_a_column(
    workspace: Workspace, table: str, partition: str, key: str, num_rows: dict[str, int]
) -> None:
    schema = {"clips": CLIPS, "videos": VIDEOS, "duplicates": DUPLICATES, "materialized": MATERIALIZED}[table]
    expected = [
        (value, name)
        for value, count in num_rows.items()
        for name in workspace.read_all(f"{table}/{value}", schema, [key])[key].to_pylist()
    ]
    assert len(expected) == sum(num_rows.values()) == len(set(expected))
    for tool, found in open_with_each(workspace.uri("tables", table)).items():
        assert set(found.column_names) == {partition, *schema.names}, tool
        rows = zip(found[partition].to_pylist(), found[key].to_pylist(), strict=True)
        assert sorted(rows) == sorted(expected), tool


def test_every_table_keeps_the_rules_by_which_spark_finds_and_reads_partitions(workspace: Workspace) -> None:
    places: dict[str, set[tuple[str, ...]]] = {}
    for entry in files.list_files(workspace.uri("tables")):
        table, *folders, file = files.relative(entry.uri, workspace.uri("tables")).split("/")
        assert file.endswith(".parquet")
        assert not any(name.startswith(("_", ".")) for name in (*folders, file))  # Spark leaves these out
        assert all(name.count("=") == 1 for name in folders)
        places.setdefault(table, set()).add(tuple(name.partition("=")[0] for name in folders))
    schemas = {table_name(schema): schema for schema in tables()}
    assert len(places) >= 5
    for table, found in places.items():
        assert found == {tuple(partition_columns(schemas[table]))}  # one depth, with the same columns


# What Spark 4.3 makes a column of, of all that Parquet knows: half floats are not among it, and refuse the whole table.
SPARK_TYPES = {"BOOLEAN": {"NONE"}, "INT32": {"NONE"}, "INT64": {"NONE"}, "FLOAT": {"NONE"}, "DOUBLE": {"NONE"}}
SPARK_TYPES["BYTE_ARRAY"] = {"NONE", "STRING"}


@pytest.mark.parametrize("schema", tables(), ids=table_name)
def test_every_column_is_one_that_spark_reads(schema: pa.Schema) -> None:
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    columns = pq.ParquetFile(file).schema
    for column in (columns.column(i) for i in range(len(columns))):
        assert column.logical_type.type in SPARK_TYPES.get(column.physical_type, ()), column.path
    names = [*partition_columns(schema), *schema.names]
    assert len({name.lower() for name in names}) == len(names)  # to Spark, x and X are one
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)


@pytest.mark.parametrize(("table", "num_rows"), [("clips", 12 * 9), ("materialized", 4), ("collection", 12)])
def test_a_table_in_a_bucket_is_opened_by_other_tools_as_it_is_on_a_disk(
    workspace: Workspace, s3_bucket: str, table: str, num_rows: int
) -> None:
    here, there = workspace.uri("tables", table), f"{s3_bucket}/docs/tables/{table}"
    for entry in files.list_files(here):
        files.commit_bytes(files.join(there, files.relative(entry.uri, here)), files.read_bytes(entry.uri))
    expected = open_with_each(here)["pyarrow"]
    key = "video_id" if table == "collection" else "clip_id"
    for tool, found in open_in_bucket(there).items():
        assert set(found.column_names) == set(expected.column_names), tool
        assert sorted(map(str, found[key].to_pylist())) == sorted(expected[key].to_pylist()), tool
        assert found.num_rows == num_rows


def test_clips_meet_their_videos_row_by_id_and_spec(workspace: Workspace) -> None:
    join = re.findall(r"`(FROM clips JOIN .*?)`", PAGE.read_text())
    assert join == ["FROM clips JOIN videos USING (video_id, spec)"]
    found = query(
        workspace, f"SELECT spec, clip_id, count(*) AS n, any_value(num_clips) AS of_video {join[0]} GROUP BY ALL"
    )
    assert found.num_rows == 12 * (4 + 5)
    assert {(row["spec"], row["of_video"], row["n"]) for row in found.to_pylist()} == {("base", 4, 1), ("events", 5, 1)}
    by_id_alone = query(workspace, "SELECT count(*) AS n FROM clips JOIN videos USING (video_id)")
    assert by_id_alone.to_pylist() == [{"n": 2 * found.num_rows}]
