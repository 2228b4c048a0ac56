"""Labels: what raters say of spans becomes one label per clip that they cover, or the reason why it has none."""

import itertools
import unicodedata
from pathlib import Path

import pytest
from conftest import WORLD, World

from pipeline.errors import ConfigError
from pipeline.labels.labeling import (
    Judgement,
    LabelingConfig,
    LabelPart,
    consensus,
    covering,
    summarize_labels,
)
from pipeline.labels.ratings import read_judgements
from pipeline.labels.video_names import FileFacts
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import plan_scene
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABEL_NAMES, LABELS
from schemas.videos import VIDEOS

ON, OFF, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)
NAMES = {ON: "on_screen", OFF: "off_screen", BOTH: "mixed", NEITHER: "quiet"}


def said(
    start_s: float, end_s: float, verdict: tuple[bool, bool] = ON, rater: str = "", file: str = "votes.csv"
) -> Judgement:
    return Judgement(start_s, end_s, *verdict, rater, 1, file)


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
    raters = covering([said(*span) for span in spans], 2.0, 4.0)
    assert len(raters) == is_covered


def test_two_raters_do_not_cover_a_clip_together() -> None:
    assert covering([said(0, 3, rater="a"), said(3, 6, rater="b")], 2.0, 4.0) == []
    assert covering([said(0, 3, file="a.csv"), said(3, 6, file="b.csv")], 2.0, 4.0) == []


def test_who_is_named_is_one_rater_in_all_files() -> None:
    spans = [said(0, 3, rater="a", file="a.csv"), said(3, 6, rater="a", file="b.csv")]
    assert covering(spans, 2.0, 4.0) == [spans]
    assert consensus([spans], 1)["label_source"] == "a.csv, b.csv"


@pytest.mark.parametrize(("first", "second"), itertools.product([ON, OFF, BOTH, NEITHER], repeat=2))
def test_what_a_rater_says_of_parts_of_a_clip_is_said_of_the_clip(
    first: tuple[bool, bool], second: tuple[bool, bool]
) -> None:
    row = consensus(covering([said(0, 3, first), said(3, 6, second)], 2.0, 4.0), 1)
    assert row["label"] == NAMES[first[0] or second[0], first[1] or second[1]]
    assert row["num_raters"] == 1


def test_a_judgement_of_the_clip_itself_counts_alone() -> None:
    own, before, after = said(2, 4, ON), said(1, 3, OFF), said(3, 5, OFF)
    assert covering([before, own, after], 2.0, 4.0) == [[own]]
    assert covering([before, said(2.005, 3.995, ON), after], 2.0, 4.0) == [[said(2.005, 3.995, ON)]]
    assert covering([before, after], 2.0, 4.0) == [[before, after]]


def test_a_span_that_only_touches_the_clip_says_nothing_of_it() -> None:
    assert covering([said(0, 2, OFF), said(2, 4, ON), said(4, 6, OFF)], 2.0, 4.0) == [[said(2, 4, ON)]]


# --- the world's clips ---


def prepare(workspace: Workspace, *paths: Path, min_raters: int = 1) -> LabelPart:
    return LabelPart(workspace, read_judgements([str(path) for path in paths]), LabelingConfig(min_raters=min_raters))


def label(workspace: Workspace, *paths: Path, min_raters: int = 1) -> dict[str, dict]:
    work = prepare(workspace, *paths, min_raters=min_raters)
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


def test_the_votes_are_counted_and_their_agreement_and_conflicts_are_reported(
    workspace: Workspace, tmp_path: Path
) -> None:
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS)["video_id"].to_pylist()
    cases = [["a,1,0", "b,1,0", "c,1,1"], ["a,0,1", "b,0,1"], ["a,0,0", "b,1,0"], ["a,1,0"]]
    rows = [f"{video},{vote}" for video, votes in zip(videos, cases, strict=False) for vote in votes]
    (tmp_path / "votes.csv").write_text("\n".join(["video,rater,on_screen,off_screen", *rows]))
    labels = label(workspace, tmp_path / "votes.csv")
    names = ("num_on_screen", "num_off_screen", "num_mixed", "num_quiet")
    counted = {tuple(row[name] for name in names) for row in labels.values()}
    assert counted == {(2, 0, 1, 0), (0, 2, 0, 0), (1, 0, 0, 1), (1, 0, 0, 0)}

    found = summarize_labels(workspace)
    assert (found.num_kept, found.num_judged, found.num_conflicts) == (48, 16, 8)
    assert found.conflicts == sorted(clip for clip in labels if clip.startswith((videos[0], videos[2])))[:3]
    # of each of four clips: 1/3, 1 and 0 of the pairs agree; 3, 2, 1 and 1 of 7 votes are in the four categories
    observed, by_chance = 4 / 9, (9 + 4 + 1 + 1) / 49
    assert found.agreement.num_items == 12
    assert found.agreement.kappa == pytest.approx((observed - by_chance) / (1 - by_chance))


def test_where_no_rater_is_named_no_votes_are_counted(workspace: Workspace, world: World) -> None:
    labels = label(workspace, world.folder / "labels.csv")
    assert {row["num_on_screen"] for row in labels.values()} == {None}
    found = summarize_labels(workspace)
    assert (found.num_judged, found.num_conflicts, found.agreement.num_items) == (48, 0, 0)


@pytest.mark.parametrize("name", ["id", "address", "file", "end of path", "dotted", "file://", "slashes"])
def test_a_video_is_named_by_id_address_or_the_end_of_its_path(name: str, workspace: Workspace, tmp_path: Path) -> None:
    video = workspace.read(VIDEOS_FOLDER, "00001", VIDEOS).to_pylist()[0]
    file = video["uri"].rpartition("/")[2]
    names = {"id": video["video_id"], "address": video["uri"], "file": file, "end of path": f"videos/{file}"}
    names |= {"dotted": f"./videos/./{file}", "file://": f"file://{video['uri']}", "slashes": f"//{video['uri']}"}
    (tmp_path / "votes.csv").write_text(f"video,on_screen,off_screen\n{names[name]},1,0\nanother_{file},0,1\n")
    work = prepare(workspace, tmp_path / "votes.csv")
    assert work.files == {"votes.csv": FileFacts(num_rows=2, num_videos=2, num_matched=1)}
    assert work("00000") == {}
    assert work("00001") == {"on_screen": 4}


def move(workspace: Workspace, uris: dict[int, str]) -> list[str]:
    """Give videos of the first part other addresses; return the ids of its videos."""
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    for index, uri in uris.items():
        rows[index]["uri"] = uri
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    return [row["video_id"] for row in rows]


def test_a_name_that_fits_two_videos_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    move(workspace, {0: "/media/one/clip.mp4", 3: "/media/two/clip.mp4"})
    votes = tmp_path / "votes.csv"
    votes.write_text("video,on_screen,off_screen\none/clip.mp4,1,0\nclip.mp4,1,0\n")
    with pytest.raises(ConfigError, match=r"votes.csv, row 2: `clip.mp4` fits two videos, /media/one/clip.mp4 and"):
        prepare(workspace, votes)
    votes.write_text("video,on_screen,off_screen\none/clip.mp4,1,0\ntwo/clip.mp4,0,1\n")
    assert prepare(workspace, votes)("00000") == {"on_screen": 4, "off_screen": 4}


def test_a_rater_who_says_two_things_of_one_video_by_two_names_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    ids = move(workspace, {0: "/media/one/clip.mp4"})
    (tmp_path / "votes.csv").write_text(f"video,on_screen,off_screen\nclip.mp4,1,0\ngone,1,0\n{ids[0]},0,1\n")
    with pytest.raises(ConfigError, match=r"votes.csv, row 1 and votes.csv, row 3"):
        prepare(workspace, tmp_path / "votes.csv")


def test_labels_of_no_video_of_the_workspace_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("video,on_screen,off_screen\ngone.mp4,1,0\nalso_gone.mp4,1,0\n")
    with pytest.raises(ConfigError, match=r"`gone.mp4` is not in .* nor is any other of the 2 videos"):
        prepare(workspace, tmp_path / "votes.csv")


def test_only_clips_that_were_cut_are_labelled(workspace: Workspace, world: World) -> None:
    rows = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
    rows[3] |= {"outcome": "silent", "tar_offset": None, "tar_bytes": None}
    workspace.commit(CLIPS_FOLDER, "00000", from_rows(rows, CLIPS, "here"), CLIPS)
    labels = label(workspace, world.folder / "labels.csv")
    assert rows[3]["clip_id"] not in labels
    assert len(labels) == 4 * 12 - 1


# --- several files, and how many raters are enough ---

LISTED = "data/videos/mp4/827/f6b/827f6b53467db2d5218ed8247418c4c.mp4"


def write_lists(workspace: Workspace, folder: Path) -> tuple[list[str], Path, Path]:
    """ids of videos of the workspace of which two are published, and an on-screen and an off-screen list of both."""
    other = LISTED.replace("827", "123")
    ids = move(workspace, {i: f"s3://multimedia-commons/{path}" for i, path in ((1, LISTED), (2, other))})
    on, off = (folder / f"filtered_my_{mark}screen_unanimous_clips.csv" for mark in ("on", "off"))
    on.write_text(f"{LISTED},1.000,3.000\n{other},0.000,2.000\nnot/here.mp4,0.000,2.000\n")
    off.write_text(f"{LISTED},2.000,4.000\n{other},0.000,2.000\n")
    return ids, on, off


def test_published_lists_label_the_clips_of_their_spans_together(workspace: Workspace, tmp_path: Path) -> None:
    ids, on, off = write_lists(workspace, tmp_path)
    labels = label(workspace, off, on, min_raters=3)
    facts = {clip_id: (row["label"], row["num_raters"], row["label_source"]) for clip_id, row in labels.items()}
    assert facts == {
        f"{ids[1]}_00001000": ("on_screen", 3, on.name),
        f"{ids[1]}_00002000": ("off_screen", 3, off.name),
        f"{ids[2]}_00000000": ("conflict", 6, f"{off.name}, {on.name}"),
    }
    work = prepare(workspace, on, off)
    assert work.files == {off.name: FileFacts(2, 2, 2), on.name: FileFacts(3, 3, 2)}
    assert summarize_labels(workspace).agreement.num_items == 0  # lists of unanimous clips say nothing of agreement


def test_labels_do_not_depend_on_the_order_of_files_and_rows(workspace: Workspace, tmp_path: Path) -> None:
    ids, on, off = write_lists(workspace, tmp_path)
    votes = [f"{ids[i]},{rater},1,0" for i in (0, 1) for rater in ("ann", "bob")]
    (tmp_path / "votes.csv").write_text("\n".join(["video,rater,on_screen,off_screen", *votes]))
    first = label(workspace, on, off, tmp_path / "votes.csv")
    (tmp_path / "votes.csv").write_text("\n".join(["video,rater,on_screen,off_screen", *reversed(votes)]))
    assert label(workspace, tmp_path / "votes.csv", off, on) == first
    row = first[f"{ids[1]}_00001000"]
    assert (row["label"], row["num_raters"], row["num_on_screen"]) == ("on_screen", 5, 2)  # two of them named
    assert first[f"{ids[1]}_00002000"]["label"] == "conflict"  # the list says off_screen


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["a,1,0"], "too_few_raters"),
        (["a,1,0", "b,1,0"], "too_few_raters"),
        (["a,1,0", "b,1,0", "c,1,0"], "on_screen"),
        (["a,1,0", "a,1,0", "b,1,0"], "too_few_raters"),
        (["a,1,0", "b,0,1"], "conflict"),
    ],
)
def test_a_clip_of_fewer_than_three_raters_has_no_label_where_three_are_asked(
    votes: list[str], expected: str, workspace: Workspace, tmp_path: Path
) -> None:
    video = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS)["video_id"][0].as_py()
    rows = ["video,rater,on_screen,off_screen", *(f"{video},{vote}" for vote in votes)]
    (tmp_path / "votes.csv").write_text("\n".join(rows))
    labels = label(workspace, tmp_path / "votes.csv", min_raters=3)
    assert {row["label"] for row in labels.values()} == {expected} <= set(LABEL_NAMES)
    found = summarize_labels(workspace)
    assert (found.num_judged, found.num_too_few) == (4, 4 * (expected == "too_few_raters"))


def test_less_than_one_rater_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"^min_raters = 0: expected 1 or more"):
        LabelingConfig(min_raters=0)


@pytest.mark.parametrize(("on_disk", "said"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_composed_and_decomposed_names_of_a_video_meet(
    on_disk: str, said: str, workspace: Workspace, tmp_path: Path
) -> None:
    move(workspace, {0: unicodedata.normalize(on_disk, "/media/Café.mp4"), 1: "/media/Cafe.mp4"})
    votes = tmp_path / "votes.csv"
    votes.write_text(f"video,on_screen,off_screen\n{unicodedata.normalize(said, './Café.mp4')},1,0\n")
    assert prepare(workspace, votes)("00000") == {"on_screen": 4}


def test_of_two_names_that_look_alike_the_same_one_is_meant_and_else_the_message_says_where_they_differ(
    workspace: Workspace, tmp_path: Path
) -> None:
    move(workspace, {0: "/m/one\u0301\u1e69.mp4", 1: "/m/on\u00e9\u1e69.mp4"})
    votes = tmp_path / "votes.csv"
    votes.write_text("video,on_screen,off_screen\non\u00e9\u1e69.mp4,1,0\n")
    assert prepare(workspace, votes)("00000") == {"on_screen": 4}
    votes.write_text("video,on_screen,off_screen\non\u00e9s\u0323\u0307.mp4,1,0\n")  # a third spelling
    with pytest.raises(ConfigError, match=r"fits two videos.*differ: `.*` \(U\+0065 U\+0301\).*\(U\+00E9\)"):
        prepare(workspace, votes)
