"""Event spans: the category of each second of a clip, and the table of a collection that grows."""

import itertools
from pathlib import Path

import pytest
from conftest import WORLD, World

from pipeline.clips.cut_videos import unlabelled_parts
from pipeline.errors import ConfigError
from pipeline.labels.event_spans import SpansPart, segment_labels, summarize_spans
from pipeline.labels.span_files import read_spans
from pipeline.labels.video_names import FileFacts
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.layout import SPANS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import plan_scene
from schemas.fields import from_rows
from schemas.spans import SPANS, SpanRow
from schemas.videos import VIDEOS


def span(start_s: float, end_s: float, category: str = "bark") -> SpanRow:
    return {"video_id": "v", "start_s": start_s, "end_s": end_s, "category": category, "source": "e.csv"}


# --- seconds of a clip ---


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([span(0, 10)], "bbbb"),
        ([span(1, 3)], ".bb."),
        ([span(0.5, 2.5)], "bbb."),
        ([span(0.51, 2.49)], ".b.."),
        ([span(0.2, 0.7)], "b..."),
        ([span(0.2, 0.69)], "...."),
        ([span(0, 0)], "...."),
        ([span(5, 9)], "...."),
        ([], "...."),
        ([span(0, 2, "a"), span(1, 4, "c")], "accc"),  # the longer one has the second that both cover
        ([span(0, 3, "a"), span(1, 4, "c")], "aaac"),  # as long: the one that begins first
        ([span(0, 3, "c"), span(0, 3, "a")], "aaa."),  # and then the alphabet
        ([span(0, 0.4, "a"), span(0.4, 1, "c")], "c..."),
        ([span(0, 0.45, "a"), span(0.45, 0.9, "a")], "...."),  # each alone covers less than half
    ],
)
def test_a_second_belongs_to_the_longest_span_that_covers_half_of_it(found: list[SpanRow], expected: str) -> None:
    for order in itertools.permutations(found):
        labels = segment_labels(order, 0.0, 4)
        assert "".join((label or ".")[0] for label in labels) == expected


def test_seconds_are_those_of_the_clip_and_a_half_is_a_half_in_binary_too() -> None:
    assert segment_labels([span(3, 5)], 2.0, 4) == [None, "bark", "bark", None]
    for tenth in range(10):
        start_s = tenth / 10
        assert segment_labels([span(start_s + 1.5, start_s + 2.5)], start_s, 4) == [None, "bark", "bark", None]


# --- the table ---


def write(workspace: Workspace, *paths: Path) -> SpansPart:
    work = SpansPart(workspace, read_spans([str(path) for path in paths]))
    for part in unlabelled_parts(workspace, SPANS_FOLDER):
        work(part)
    return work


def test_spans_of_the_world_are_those_of_its_plan_and_a_query_reads_them(workspace: Workspace, world: World) -> None:
    work = write(workspace, world.folder / "events.csv")
    rows = workspace.read_all(SPANS_FOLDER, SPANS).to_pylist()
    assert work.files["events.csv"].num_matched == WORLD.num_videos
    found = {video_id: list(group) for video_id, group in itertools.groupby(rows, key=lambda row: row["video_id"])}
    num_events, num_without = 0, 0
    for index in range(WORLD.num_videos):
        scene = plan_scene(WORLD, index)
        (events,) = (events for video_id, events in found.items() if video_id.startswith(scene.name))
        planned = [(*s, source.kind) for source in scene.sources if source.on_screen for s in source.spans]
        assert [(e["start_s"], e["end_s"], e["category"]) for e in events] == (sorted(planned) or [(0, 0, "")])
        num_events += len(planned)
        num_without += not planned
    summary = summarize_spans(workspace)
    assert (summary.num_spans, summary.num_videos, summary.num_without) == (num_events, len(found), num_without)
    assert str(summary).startswith(f"events: {num_events} of {len(summary.categories)} categories in")
    assert query(workspace, "SELECT count(*) AS n FROM spans WHERE source = 'events.csv'")["n"].to_pylist() == [
        len(rows)
    ]


def test_a_part_that_runs_twice_has_the_same_bytes_and_a_grown_collection_gets_only_what_is_missing(
    workspace: Workspace, world: World
) -> None:
    parts = unlabelled_parts(workspace, SPANS_FOLDER)
    assert len(parts) > 1
    work = write(workspace, world.folder / "events.csv")
    before = {part: files.read_bytes(workspace.part_uri(SPANS_FOLDER, part)) for part in parts}
    work(parts[0])
    files.delete(workspace.part_uri(SPANS_FOLDER, parts[1]))  # as if it had come later
    assert unlabelled_parts(workspace, SPANS_FOLDER) == [parts[1]]
    write(workspace, world.folder / "events.csv")
    assert {part: files.read_bytes(workspace.part_uri(SPANS_FOLDER, part)) for part in parts} == before


def test_the_order_of_files_and_rows_changes_no_byte(workspace: Workspace, world: World, tmp_path: Path) -> None:
    header, *lines = (world.folder / "events.csv").read_text().splitlines()
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    found = []
    for first, second in ((lines, lines[::-1]), (lines[::-1], lines)):
        one.write_text("\n".join([header, *first]))
        two.write_text("\n".join([header, *second]))
        SpansPart(workspace, read_spans([str(two), str(one)]))("00000")
        found.append(files.read_bytes(workspace.part_uri(SPANS_FOLDER, "00000")))
    assert found[0] == found[1]


def test_an_id_of_aves_annotations_finds_the_file_of_that_name_with_any_suffix(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    rows[0]["uri"], rows[1]["uri"] = "/ave/RUhOCu3LNXM.mp4", "/ave/-J2WJaG1Dd4.webm"
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    annotations = tmp_path / "Annotations.txt"
    lines = ["Bark&RUhOCu3LNXM&good&0&2", "Goat&RUhOCu3LNXM&good&1&3", "Bus&-J2WJaG1Dd4&good&0&0", "Bus&x&good&0&4"]
    annotations.write_text("\n".join(lines))
    work = write(workspace, annotations)
    assert work.files == {"Annotations.txt": FileFacts(num_rows=4, num_videos=3, num_matched=2)}
    found = workspace.read(SPANS_FOLDER, "00000", SPANS).to_pylist()
    assert [(row["video_id"], row["start_s"], row["end_s"], row["category"]) for row in found] == [
        (rows[0]["video_id"], 0, 2, "Bark"),
        (rows[0]["video_id"], 1, 3, "Goat"),
        (rows[1]["video_id"], 0, 0, "Bus"),
    ]
    rows[2]["uri"] = "/ave/RUhOCu3LNXM.mkv"
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    with pytest.raises(ConfigError, match=r"Annotations.txt, row 1: `RUhOCu3LNXM` fits two videos, .*mp4 and .*mkv"):
        write(workspace, annotations)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{video},4,6.2,bark", r"e.csv, row 2: from 4 to 6.2 s of .*, which lasts 5(\.\d+)? s; expected a span inside"),
        ("{video},5.2,5.4,bark", r"row 2: from 5.2 to 5.4 s of"),
    ],
)
def test_a_span_outside_its_video_is_refused(row: str, says: str, workspace: Workspace, tmp_path: Path) -> None:
    video = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS)["video_id"][0].as_py()
    header = "video,start_s,end_s,category"
    (tmp_path / "e.csv").write_text(f"{header}\n{video},0,5.9,bark\n" + row.format(video=video))  # in whole seconds: 6
    with pytest.raises(ConfigError, match=says):
        write(workspace, tmp_path / "e.csv")
    assert workspace.parts(SPANS_FOLDER) == []


def test_spans_of_no_video_of_the_workspace_and_a_root_without_clips_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "e.csv").write_text("video,start_s,end_s,category\ngone.mp4,0,1,bark\n")
    with pytest.raises(ConfigError, match=r"spans file e.csv, row 1: `gone.mp4` is not in"):
        write(workspace, tmp_path / "e.csv")
    with pytest.raises(ConfigError, match="nothing there yet") as caught:
        unlabelled_parts(Workspace(str(tmp_path / "empty")), SPANS_FOLDER)
    assert caught.value.topic == "missing"
