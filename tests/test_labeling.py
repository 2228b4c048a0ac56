"""Labels: what raters say of spans becomes one label per clip that they cover, or `conflict`."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORLD, World

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER, Workspace
from pipeline.errors import ConfigError
from pipeline.labeling import Judgement, LabelPart, clip_verdicts, read_judgements, summarize_labels
from pipeline.synthetic import plan_scene
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.videos import VIDEOS

ON, OFF, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)


def said(start_s: float, end_s: float, verdict: tuple[bool, bool] = ON, rater: str = "") -> Judgement:
    return Judgement("v", start_s, end_s, *verdict, rater)


# --- what covers a clip from 2 s to 4 s ---


@pytest.mark.parametrize(
    ("spans", "is_covered"),
    [
        ([(0, 10)], True),
        ([(2, 4)], True),
        ([(2.005, 3.995)], True),  # written with two decimals
        ([(2.1, 4)], False),
        ([(2, 3.9)], False),
        ([(0, 3), (3, 6)], True),
        ([(3, 6), (0, 3)], True),
        ([(0, 2.5), (3.5, 6)], False),
        ([(0, 3), (2.5, 3.2), (3.1, 5)], True),
        ([(0, 1), (5, 6)], False),
        ([], False),
    ],
)
def test_a_rater_judges_a_clip_if_the_spans_cover_it_without_a_hole(
    spans: list[tuple[float, float]], is_covered: bool
) -> None:
    verdicts = clip_verdicts([said(*span) for span in spans], 2.0, 4.0)
    assert verdicts == ({"": ON} if is_covered else {})


def test_two_raters_do_not_cover_a_clip_together() -> None:
    assert clip_verdicts([said(0, 3, rater="a"), said(3, 6, rater="b")], 2.0, 4.0) == {}


@pytest.mark.parametrize(("first", "second"), itertools.product([ON, OFF, BOTH, NEITHER], repeat=2))
def test_what_a_rater_says_of_parts_of_a_clip_is_said_of_the_clip(
    first: tuple[bool, bool], second: tuple[bool, bool]
) -> None:
    verdicts = clip_verdicts([said(0, 3, first), said(3, 6, second)], 2.0, 4.0)
    assert verdicts == {"": (first[0] or second[0], first[1] or second[1])}


def test_a_span_that_only_touches_the_clip_says_nothing_of_it() -> None:
    assert clip_verdicts([said(0, 2, OFF), said(2, 4, ON), said(4, 6, OFF)], 2.0, 4.0) == {"": ON}


# --- the world's clips ---


def label(workspace: Workspace, path: Path) -> dict[str, dict]:
    work = LabelPart(workspace, str(path))
    for part in workspace.parts(CLIPS_FOLDER):
        work(part)
    return {row["clip_id"]: row for row in workspace.read_all(LABELS_FOLDER, LABELS).to_pylist()}


def test_labels_of_the_world_are_those_of_its_plan(workspace: Workspace, world: World) -> None:
    labels = label(workspace, world.folder / "labels.csv")
    clips = workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()
    assert labels.keys() == {clip["clip_id"] for clip in clips}
    for clip in clips:
        index = int(clip["video_id"].split("-")[0].removeprefix("world_"))
        start_s, end_s = clip["start_s"], clip["start_s"] + 2.0
        sounding = {
            source.on_screen
            for source in plan_scene(WORLD, index).sources
            for span in source.spans
            if span[0] < end_s - 0.01 and span[1] > start_s + 0.01
        }
        expected = {(): "quiet", (True,): "on_screen", (False,): "off_screen", (False, True): "mixed"}
        row = labels[clip["clip_id"]]
        assert row["label"] == expected[tuple(sorted(sounding))]
        assert (row["num_raters"], row["label_source"], row["video_id"]) == (1, "labels.csv", clip["video_id"])
    assert {"on_screen", "off_screen"} <= {row["label"] for row in labels.values()}


VOTES = {  # of three raters, for each of the four clips of a video, whose label follows
    "agree": (["a,1,0", "b,1,0", "c,1,0"], "on_screen", 3),
    "differ": (["a,1,0", "b,1,0", "c,0,1"], "conflict", 3),
    "differ in one": (["a,1,0", "b,1,1"], "conflict", 2),
    "both": (["a,1,1", "b,1,1"], "mixed", 2),
    "neither": (["a,0,0"], "quiet", 1),
    "words": (["a,false,true", "b,False,TRUE"], "off_screen", 2),
}


@pytest.mark.parametrize("case", VOTES)
def test_a_clip_has_the_label_that_all_its_raters_give_it(case: str, workspace: Workspace, tmp_path: Path) -> None:
    votes, expected, num_raters = VOTES[case]
    video = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()[2]
    rows = ["video,rater,on_screen,off_screen", *(f"{video['video_id']},{vote}" for vote in votes)]
    (tmp_path / "votes.csv").write_text("\n".join(rows))
    labels = label(workspace, tmp_path / "votes.csv")
    assert {row["video_id"] for row in labels.values()} == {video["video_id"]}
    assert [(row["label"], row["num_raters"]) for row in labels.values()] == [(expected, num_raters)] * 4


def test_the_votes_are_counted_and_their_agreement_and_conflicts_are_told(workspace: Workspace, tmp_path: Path) -> None:
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS)["video_id"].to_pylist()
    cases = [["a,1,0", "b,1,0", "c,1,1"], ["a,0,1", "b,0,1"], ["a,0,0", "b,1,0"], ["a,1,0"]]
    rows = [f"{video},{vote}" for video, votes in zip(videos, cases, strict=False) for vote in votes]
    (tmp_path / "votes.csv").write_text("\n".join(["video,rater,on_screen,off_screen", *rows]))
    labels = label(workspace, tmp_path / "votes.csv")
    names = ("num_on_screen", "num_off_screen", "num_mixed", "num_quiet")
    counted = {tuple(row[name] for name in names) for row in labels.values()}
    assert counted == {(2, 0, 1, 0), (0, 2, 0, 0), (1, 0, 0, 1), (1, 0, 0, 0)}

    found = summarize_labels(workspace)
    assert (found.num_kept, found.num_labelled, found.num_conflicts) == (48, 16, 8)
    assert found.conflicts == sorted(clip for clip in labels if clip.startswith((videos[0], videos[2])))[:3]
    # of each of four clips: 1/3, 1 and 0 of the pairs agree; 3, 2, 1 and 1 of 7 votes are in the four categories
    observed, by_chance = 4 / 9, (9 + 4 + 1 + 1) / 49
    assert found.agreement.num_items == 12
    assert found.agreement.kappa == pytest.approx((observed - by_chance) / (1 - by_chance))


def test_where_no_rater_is_named_no_votes_are_counted(workspace: Workspace, world: World) -> None:
    labels = label(workspace, world.folder / "labels.csv")
    assert {row["num_on_screen"] for row in labels.values()} == {None}
    found = summarize_labels(workspace)
    assert (found.num_labelled, found.num_conflicts, found.agreement.num_items) == (48, 0, 0)


@pytest.mark.parametrize("name", ["id", "address", "file", "end of path"])
def test_a_video_is_named_by_id_address_or_the_end_of_its_path(name: str, workspace: Workspace, tmp_path: Path) -> None:
    video = workspace.read(VIDEOS_FOLDER, "00001", VIDEOS).to_pylist()[0]
    file = video["uri"].rpartition("/")[2]
    names = {"id": video["video_id"], "address": video["uri"], "file": file, "end of path": f"videos/{file}"}
    (tmp_path / "votes.csv").write_text(f"video,on_screen,off_screen\n{names[name]},1,0\nanother_{file},0,1\n")
    work = LabelPart(workspace, str(tmp_path / "votes.csv"))
    assert work.num_videos == 2
    assert work("00000") == {}
    assert work("00001") == {"on_screen": 4}
    assert work.num_matched() == 1


def test_only_clips_that_were_cut_are_labelled(workspace: Workspace, world: World) -> None:
    rows = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
    rows[3] |= {"outcome": "silent", "tar_offset": None, "tar_bytes": None}
    workspace.commit(CLIPS_FOLDER, "00000", from_rows(rows, CLIPS, "here"), CLIPS)
    labels = label(workspace, world.folder / "labels.csv")
    assert rows[3]["clip_id"] not in labels
    assert len(labels) == 4 * 12 - 1


# --- published lists ---

HASHES = ["827f6b53467db2d5218ed8247418c4c", "00f6b53467db2d5218ed8247418c4c1", "1111111111111111111111111111e10"]


@pytest.mark.parametrize(("mark", "verdict"), [("onscreen", ON), ("offscreen", OFF)])
@pytest.mark.parametrize("header", ["", "video_path,start,end\n"])
def test_a_published_list_has_its_label_in_its_name_and_needs_no_header(
    mark: str, verdict: tuple[bool, bool], header: str, tmp_path: Path
) -> None:
    path = tmp_path / f"some_{mark}_unanimous_clips.csv"
    paths = [f"data/videos/mp4/{name[:3]}/{name[3:6]}/{name}.mp4" for name in HASHES]
    path.write_text(header + "".join(f"{name},{i}.0,{i + 5}.0\n" for i, name in enumerate(paths)))
    assert read_judgements(str(path)) == [Judgement(name, i, i + 5, *verdict, "") for i, name in enumerate(paths)]


def test_a_published_list_labels_the_clip_of_its_span_only(workspace: Workspace, tmp_path: Path) -> None:
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    listed = f"data/videos/mp4/827/f6b/{HASHES[0]}.mp4"
    rows[1]["uri"] = f"s3://multimedia-commons/{listed}"
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    path = tmp_path / "some_offscreen_unanimous_clips.csv"
    path.write_text(f"{listed},1.000,3.000\n")
    (row,) = label(workspace, path).values()
    assert (row["clip_id"], row["label"]) == (f"{rows[1]['video_id']}_00001000", "off_screen")
    assert row["label_source"] == path.name


def test_a_list_in_a_bucket_is_read_like_a_file(s3_bucket: str) -> None:
    uri = f"{s3_bucket}/lists/some_onscreen_unanimous_clips.csv"
    storage.commit_bytes(uri, b"a/b.mp4,0,5\n")
    assert read_judgements(uri) == [Judgement("a/b.mp4", 0.0, 5.0, True, False, "")]


def test_a_published_list_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filtered_test_onscreen_unanimous_clips.csv"
    path.write_text("a.mp4,0,5\n" * 294)
    with pytest.raises(ConfigError, match="294 rows, expected the 295"):
        read_judgements(str(path))


def test_a_list_of_mixtures_has_no_label_for_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "some_onscreen_unanimous_plus_offscreen_unanimous_mom_clips.csv"
    path.write_text("a.mp4,0,5,b.mp4,0,5\n")
    with pytest.raises(ConfigError, match="a list of mixtures"):
        read_judgements(str(path))


# --- label files ---


def test_names_of_digits_stay_text_and_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text(
        "video,on_screen,off_screen,start_s,end_s,rater\n007,1,0,,,\n1e5,0,1,1.5,2,08\n"
    )
    assert read_judgements(str(tmp_path / "votes.csv")) == [
        Judgement("007", 0.0, float("inf"), True, False, ""),
        Judgement("1e5", 1.5, 2.0, False, True, "08"),
    ]


def test_a_parquet_file_gives_the_same_judgements_as_the_csv(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("video,on_screen,off_screen,start_s\na,1,0,0.5\nb,0,1,\n")
    table = pa.table({"video": ["a", "b"], "on_screen": [True, False], "off_screen": [0, 1], "start_s": [0.5, None]})
    pq.write_table(table, tmp_path / "votes.parquet")
    assert read_judgements(str(tmp_path / "votes.csv")) == read_judgements(str(tmp_path / "votes.parquet"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("votes.csv", "video,on_screen\na,1\n", "columns video, on_screen; expected video, on_screen, off_screen"),
        ("votes.csv", "video,on_screen,off_screen\na,1,0\nb,2,0\n", "row 2: on_screen = 2, expected 0 or 1"),
        ("votes.csv", "video,on_screen,off_screen\na,1,\n", "row 1: off_screen = None, expected 0 or 1"),
        ("votes.csv", "video,on_screen,off_screen,end_s\na,1,0,later\n", "row 1: end_s = 'later', expected seconds"),
        ("votes.csv", "video,on_screen,off_screen\na,1\n", "not a readable table"),
        ("x_onscreen_unanimous_clips.csv", "a.mp4,0,5\nb.mp4,0\n", "row 2: 2 columns, expected path, start, end"),
        ("x_onscreen_unanimous_clips.csv", "a.mp4,0,5\nb.mp4,zero,5\n", "row 2: ['zero', '5'], expected two numbers"),
    ],
)
def test_a_wrong_label_file_is_refused_with_the_row(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_judgements(str(tmp_path / name))
    assert says in str(caught.value)
    assert name in str(caught.value)


def test_a_label_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_judgements(str(tmp_path / "votes.csv"))
