"""Columns of other tools: taken in by clip, or refused with the row that is wrong; nothing is half imported."""

import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.outside.imported_tables import Imported, ImportFiles
from pipeline.outside.imported_types import imported_schemas
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import VIDEOS


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two parts of two videos with three clips each; the last clip of each video was not kept."""
    made = Workspace(str(tmp_path / "root"))
    for part in ("00000", "00001"):
        videos, clips = [], []
        for video in ("a", "b"):
            video_id = f"{video}{part}"
            videos.append(
                {
                    "video_id": video_id,
                    "uri": f"/v/{video_id}.mp4",
                    "part": part,
                    "rights": "unknown",
                    "num_clips": 3,
                    "outcome": "kept",
                }
            )
            clips += [
                {"clip_id": f"{video_id}_{place:08d}", "video_id": video_id, "start_s": place / 1000, "part": part}
                | {"duration_s": 5.0, "num_frames": 5, "outcome": "kept" if place < 2000 else "silent"}
                for place in (0, 1000, 2000)
            ]
        made.commit("clips/base", part, from_rows(clips, CLIPS, part), CLIPS)
        made.commit("videos/base", part, from_rows(videos, VIDEOS, part), VIDEOS)
    made.begin("clips/base", {}, {})
    return made


def take_in(workspace: Workspace, *paths: Path, name: str = "peav") -> Imported:
    with ImportFiles(workspace, name, [str(path) for path in paths], "base") as opened:
        settings = {"spec": "base", "columns": opened.columns, "content": opened.content}
        workspace.begin(f"imported/{name}", settings, {})
        return opened.write(workspace.pending("clips/base", f"imported/{name}"))


def test_a_row_for_each_clip_becomes_a_view_with_the_types_that_it_had(workspace: Workspace, tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    names = ["clip_id", "similarity", "tag", "votes", "is_music", "embedding"]
    pq.write_table(pa.table([["a00000_00000000"], [0.25], ["ö"], [2**53 + 1], [True], [[0.5, 1.5]]], names=names), one)
    rows = [["b00001_00001000", "gone"], [float("nan"), 1.0], [None, "x"], [3, 4], [False, None], [[2.0, 3.0]] * 2]
    pq.write_table(pa.table(rows, names=names), two)
    found = take_in(workspace, one, two)
    assert (found.num_rows, found.num_clips, found.num_unknown, found.unknown) == (2, 8, 1, ("gone",))
    assert found.num_not_finite == {"similarity": 1}
    assert query(workspace, "FROM peav ORDER BY clip_id").to_pylist() == [
        {"clip_id": "a00000_00000000", "similarity": 0.25, "tag": "ö", "votes": 2**53 + 1}
        | {"is_music": True, "embedding": [0.5, 1.5]},
        {"clip_id": "b00001_00001000", "similarity": None, "tag": None, "votes": 3}
        | {"is_music": False, "embedding": [2.0, 3.0]},
    ]
    assert workspace.parts("imported/peav") == ["00000", "00001"]
    assert imported_schemas(workspace)["peav"].field("votes").type == pa.int64()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_may_name_its_clip_by_address_and_times(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    rows = [{"uri": "/v/a00000.mp4", "start_s": 1.0, "x": 7}, {"uri": "/v/b00001.mp4", "start_s": 0, "x": 8}]
    file = tmp_path / f"scores.{suffix}"
    if suffix == "csv":
        file.write_text("uri,start_s,x\n" + "".join(f"{r['uri']},{r['start_s']},{r['x']}\n" for r in rows))
    else:
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert take_in(workspace, file).num_rows == 2
    assert query(workspace, "SELECT clip_id, x FROM peav ORDER BY x").to_pylist() == [
        {"clip_id": "a00000_00001000", "x": 7},
        {"clip_id": "b00001_00000000", "x": 8},
    ]


def test_an_end_that_is_not_the_clips_names_another_span(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("uri,start_s,end_s,x\n/v/a00000.mp4,0,5,1\n/v/a00000.mp4,1,5,2\n")  # the second lasts until 6 s
    found = take_in(workspace, file)
    assert (found.num_rows, found.unknown) == (1, ("/v/a00000.mp4 at 1 s",))


@pytest.mark.parametrize(
    "text",
    [
        'clip_id,x\na00000_00000000,1\n,2\n"",3\n',
        "uri,start_s,x\n/v/a00000.mp4,0,1\n/v/a00000.mp4,,2\n,1,3\n",
    ],
)
def test_rows_without_a_key_are_left_out_and_counted(workspace: Workspace, tmp_path: Path, text: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(text)
    found = take_in(workspace, file)
    assert (found.num_rows, found.num_unknown, found.unknown) == (1, 2, ("no key",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip_id,x\na00000_00000000,1\na00000_00000000,2\n", r"about one clip: a00000_00000000 \(2 rows\)"),
        (
            "uri,start_s,x\n/v/a00000.mp4,1.0,1\n/v/a00000.mp4,1.0004,2\n",  # one millisecond
            r"about one clip: /v/a00000.mp4 at 1.0 s and /v/a00000.mp4 at 1.0004 s \(2 rows\)",
        ),
        ("clip_id,x\ngone,1\n", "no row is about a kept clip of clips/base. Found gone"),
        ("clip,x\na00000_00000000,1\n", "expected clip_id, or uri and start_s"),
        ("clip_id\na00000_00000000\n", "no column beside the key"),
        ("uri,start_s,x\n/v/a00000.mp4,soon,1\n", "column start_s is VARCHAR: expected seconds"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(
    workspace: Workspace, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        take_in(workspace, file)
    assert workspace.names("imported") == []


def test_a_type_that_changes_half_way_is_named_with_its_line(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("clip_id,x\n" + "".join(f"c{n},{n}\n" for n in range(30_000)) + "c30000,many\n")
    with pytest.raises(DataError, match=r"x\.csv: (.|\n)*30002(.|\n)*many"):
        take_in(workspace, file)
    assert workspace.names("imported") == []


def test_vectors_of_two_lengths_and_files_of_other_columns_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    file, other = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    ids = [f"{video}_{place:08d}" for video in ("a00000", "b00000") for place in (0, 1000)]
    rows = [{"clip_id": clip, "v": [1.5, 2.5, 3.5][: 2 + (clip == ids[2])]} for clip in ids]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(ConfigError, match="b00000_00000000: v has 3 numbers, most have 2"):
        take_in(workspace, file)
    file.write_text(f'{{"clip_id": "{ids[0]}", "v": {{"x": 1}}}}\n')
    with pytest.raises(ConfigError, match="column v is STRUCT"):
        take_in(workspace, file)
    file.write_text(f'{{"clip_id": "{ids[0]}", "v": [1.5, null]}}\n')
    with pytest.raises(ConfigError, match="a00000_00000000: v has a number that is none"):
        take_in(workspace, file)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    other.write_text('{"clip_id": "b00000_00000000", "w": 1}\n')
    with pytest.raises(ConfigError, match=r"y\.jsonl: other columns than"):
        take_in(workspace, file, other)
    with pytest.raises(ConfigError, match="no such file"):
        take_in(workspace, tmp_path / "gone.csv")
    with pytest.raises(ConfigError, match=r"ends with \.csv"):
        take_in(workspace, tmp_path / "x.xlsx")
    with pytest.raises(ConfigError, match="beginning with a letter"):
        take_in(workspace, file, name="1x")


def test_parts_that_come_later_are_taken_in_from_the_same_files(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("clip_id,x\na00000_00000000,1\na00001_00000000,2\n")
    with ImportFiles(workspace, "peav", [str(file)], "base") as opened:
        workspace.begin("imported/peav", {"spec": "base", "columns": opened.columns}, {})
        opened.write(["00000"])
    assert query(workspace, "SELECT x FROM peav").to_pylist() == [{"x": 1}]
    before = Path(workspace.part_uri("imported/peav", "00000")).read_bytes()
    with ImportFiles(workspace, "peav", [str(file)], "base") as opened:
        opened.write(workspace.pending("clips/base", "imported/peav"))
    assert query(workspace, "SELECT x FROM peav ORDER BY x").to_pylist() == [{"x": 1}, {"x": 2}]
    assert Path(workspace.part_uri("imported/peav", "00000")).read_bytes() == before


def test_columns_in_another_order_stay_under_their_names(workspace: Workspace, tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("clip_id,hits,misses\na00000_00000000,1,2\n")
    two.write_text("misses,hits,clip_id\n4,3,b00000_00000000\n")
    take_in(workspace, one, two)
    assert query(workspace, "FROM peav ORDER BY clip_id").to_pylist() == [
        {"clip_id": "a00000_00000000", "hits": 1, "misses": 2},
        {"clip_id": "b00000_00000000", "hits": 3, "misses": 4},
    ]


def test_columns_may_have_names_that_the_workspace_has_too(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("clip_id,part,key,video_id\na00000_00000000,one,k,v\na00001_00000000,two,k,v\n")
    assert take_in(workspace, file).num_rows == 2
    assert query(workspace, "FROM peav ORDER BY clip_id").to_pylist() == [
        {"clip_id": "a00000_00000000", "part": "one", "key": "k", "video_id": "v"},
        {"clip_id": "a00001_00000000", "part": "two", "key": "k", "video_id": "v"},
    ]
    assert [len(pq.read_table(workspace.part_uri("imported/peav", part))) for part in ("00000", "00001")] == [1, 1]


def test_two_files_of_one_name_are_refused_because_the_record_names_them_by_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    for folder, clip in (("a", "a00000_00000000"), ("b", "b00000_00000000")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text(f"clip_id,x\n{clip},1\n")
    with pytest.raises(ConfigError, match=r"b/x\.csv: a second file of the name x\.csv"):
        take_in(workspace, tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv")


def test_whole_numbers_stay_exact_or_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    file, other = tmp_path / "x.parquet", tmp_path / "y.parquet"
    ids = ["a00000_00000000", "b00000_00000000"]
    pq.write_table(pa.table({"clip_id": ids, "hash": pa.array([2**63 - 1, 0], pa.uint64())}), file)
    take_in(workspace, file)
    assert query(workspace, "SELECT hash FROM peav ORDER BY 1 DESC").to_pylist() == [{"hash": 2**63 - 1}, {"hash": 0}]
    pq.write_table(pa.table({"clip_id": ids, "hash": pa.array([2**63, None], pa.uint64())}), other)
    with pytest.raises(ConfigError, match="column hash has whole numbers beyond -9223372036854775808"):
        take_in(workspace, other, name="hashes")
    assert workspace.names("imported") == ["peav"]


def test_a_date_or_time_becomes_text_and_refuses_no_other_column(workspace: Workspace, tmp_path: Path) -> None:
    csv, parquet = tmp_path / "x.csv", tmp_path / "x.parquet"
    csv.write_text(
        "clip_id,day,moment,x\na00000_00000000,2026-11-30,2026-11-30T23:30:00-02:00,1\nb00000_00000000,,,2\n"
    )
    take_in(workspace, csv, name="times")
    assert query(workspace, "SELECT day, moment, x FROM times ORDER BY x").to_pylist() == [
        {"day": "2026-11-30", "moment": "2026-12-01 01:30:00+00", "x": 1},
        {"day": None, "moment": None, "x": 2},
    ]
    day = datetime.datetime(2026, 11, 30, 12, 0, 0, 500_000)
    pq.write_table(
        pa.table({"clip_id": ["a00000_00000000"], "moment": [day], "kind": pa.array(["b"]).dictionary_encode()}),
        parquet,
    )
    take_in(workspace, parquet, name="more_times")
    assert query(workspace, "FROM more_times").to_pylist() == [
        {"clip_id": "a00000_00000000", "moment": "2026-11-30 12:00:00.5", "kind": "b"}
    ]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_file_may_be_gzipped_and_its_path_is_no_pattern(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "run[1]" / "name=x"
    folder.mkdir(parents=True)
    tab = "\t" if suffix == "tsv" else ","
    text = (
        '{"clip_id": "a00000_00000000", "x": 1}\n' if suffix == "jsonl" else f"clip_id{tab}x\na00000_00000000{tab}1\n"
    )
    file, other = folder / f"a*.{suffix}.gz", folder / f"ab.{suffix}.gz"
    file.write_bytes(gzip.compress(text.encode()))
    other.write_bytes(gzip.compress(text.replace("1", "2").encode()))
    take_in(workspace, file)
    assert query(workspace, "FROM peav").to_pylist() == [{"clip_id": "a00000_00000000", "x": 1}]  # and no column name
