"""Collecting: every video has one part, however the collection grows, whatever is retried, wherever it crashes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.clips.cut_videos import unlabelled_parts
from pipeline.collection import collecting, listing
from pipeline.collection.collecting import CollectingConfig
from pipeline.collection.listing import list_videos
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError, DataError
from pipeline.labels.event_spans import SpansPart
from pipeline.labels.span_files import read_spans
from pipeline.masks.mask_folders import read_mask_folder
from pipeline.masks.mask_labeling import MasksPart
from pipeline.masks.mask_pictures import encode_mask
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.masks import MASKS
from schemas.selections import SELECTIONS
from schemas.spans import SPANS
from schemas.videos import COLLECTION, VIDEOS
from tests.helpers.planned_collections import fill, ids_by_part, plan


@pytest.mark.parametrize(("num_videos", "per_part"), [(1, 3), (3, 3), (7, 3), (9, 1)])
def test_parts_hold_videos_per_part_and_the_last_the_rest(tmp_path: Path, num_videos: int, per_part: int) -> None:
    fill(tmp_path / "videos", [f"{i}.mp4" for i in range(num_videos)])
    workspace = Workspace(str(tmp_path / "workspace"))
    assert plan(workspace, str(tmp_path / "videos"), CollectingConfig(videos_per_part=per_part)).num_new == num_videos
    sizes = [len(ids) for ids in ids_by_part(workspace).values()]
    assert sizes == [min(per_part, num_videos - start) for start in range(0, num_videos, per_part)]
    assert list(ids_by_part(workspace)) == [f"{i:05d}" for i in range(len(sizes))]


def test_a_collection_that_grew_keeps_its_parts_and_adds_new_ones(tmp_path: Path) -> None:
    videos, workspace = tmp_path / "videos", Workspace(str(tmp_path / "workspace"))
    config = CollectingConfig(videos_per_part=2)
    fill(videos, ["m.mp4", "n.mp4", "o.mp4"])
    plan(workspace, str(videos), config)
    before = {part: files.read_bytes(workspace.part_uri(COLLECTION_FOLDER, part)) for part in ids_by_part(workspace)}
    fill(videos, ["a.mp4", "z.mp4"])
    planned = plan(workspace, str(videos), config)
    assert (planned.num_new, planned.num_retried, planned.changed) == (2, 0, ())
    after = ids_by_part(workspace)
    assert [sorted(after)[-1], after["00002"]] == ["00002", [video_id("a.mp4"), video_id("z.mp4")]]
    for part, data in before.items():
        assert files.read_bytes(workspace.part_uri(COLLECTION_FOLDER, part)) == data
    assert plan(workspace, str(videos), config).num_new == 0
    assert ids_by_part(workspace) == after


def test_two_videos_of_one_id_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"uri,video_id\na.mp4,\nb.mp4,{video_id('a.mp4')}\n")
    with pytest.raises(ConfigError, match=f"two videos have the id {video_id('a.mp4')}"):
        plan(Workspace(str(tmp_path / "workspace")), str(table), CollectingConfig())


def test_a_collection_that_is_not_there_is_refused_and_one_that_is_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("uri,start_s,end_s\na.mp4,0,5\nb.mp4,5,4\n")
    root = str(tmp_path / "workspace")
    next(list_videos(str(fill(tmp_path / "videos", ["a.mp4"])), root))
    for name, says in {"nothing": "found nothing", "none.csv": "no such file", "wrong.csv": "row 2"}.items():
        with pytest.raises(ConfigError, match=says):
            list_videos(str(tmp_path / name), root)  # by the call, before a row is asked for
    assert not (tmp_path / "workspace").exists()


def test_a_list_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.csv").write_text("a,0,5\nb,0,5\na,5,10\n")  # the spans of one video need not lie together
    parsed: list[str] = []
    read = listing.read_list
    monkeypatch.setattr(listing, "read_list", lambda *arguments: parsed.append(arguments[1]) or read(*arguments))
    workspace = Workspace(str(tmp_path / "workspace"))
    assert plan(workspace, str(tmp_path / "list.csv"), CollectingConfig()).num_new == 2
    assert parsed == [str(tmp_path / "list.csv")]


@pytest.mark.parametrize("lost", [["00000"], ["00002"], ["00001", "00003"]])
def test_parts_that_a_crash_left_out_are_planned_as_if_nothing_had_happened(tmp_path: Path, lost: list[str]) -> None:
    names = [f"{index}.mp4" for index in range(9)]
    videos, workspace = fill(tmp_path / "videos", names), Workspace(str(tmp_path / "workspace"))
    plan(workspace, str(videos), CollectingConfig(videos_per_part=2))
    planned = ids_by_part(workspace)
    assert len(planned) == 5
    for part in lost:  # they are committed several at a time, so any of the last may be missing
        files.delete(workspace.part_uri(COLLECTION_FOLDER, part))
    plan(workspace, str(videos), CollectingConfig(videos_per_part=2))
    assert ids_by_part(workspace) == planned


# --- retries ---

ENDS = {"a": "kept", "b": "missing", "c": "timeout", "d": "kept", "e": "missing", "f": "silent", "g": "missing"}
PER_PART = CollectingConfig(videos_per_part=3)


def sample(schema: pa.Schema, **known: Any) -> dict[str, Any]:
    """A row that has what is known, and something of the right type where the schema wants something."""
    return {f.name: "" if f.type == pa.string() else 0 for f in schema if not f.nullable} | known


def cut(workspace: Workspace, part: str, ends: dict[str, str]) -> None:
    """What cutting a part leaves behind: two clips of each video that was decoded, and a row for each video."""
    clips, videos = [], []
    for row in workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
        name = row["video_id"]
        outcome = ends[name.partition("-")[0]]
        num_clips = 0 if outcome == "missing" else 2
        videos.append(sample(VIDEOS, video_id=name, uri=row["uri"], part=part, num_clips=num_clips, outcome=outcome))
        clips += [
            sample(CLIPS, clip_id=f"{name}_{i}", video_id=name, part=part, outcome=outcome) for i in range(num_clips)
        ]
    files.commit_bytes(workspace.tar_uri(CLIPS_FOLDER, part), part.encode())
    workspace.commit(CLIPS_FOLDER, part, from_rows(clips, CLIPS, part), CLIPS)
    workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)


def check_books(workspace: Workspace) -> dict[str, str]:
    """The part of each video, once it is sure that the tables agree: collection = videos, clips in their order."""
    parts: dict[str, str] = {}
    for part, ids in ids_by_part(workspace).items():
        for name in ids:
            assert name not in parts
            parts[name] = part
        if part in workspace.parts(VIDEOS_FOLDER):
            videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
            clips = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
            assert [row["video_id"] for row in videos] == ids
            assert [row["video_id"] for row in clips] == [
                row["video_id"] for row in videos for _ in range(row["num_clips"])
            ]
            assert files.read_bytes(workspace.tar_uri(CLIPS_FOLDER, part)) == part.encode()
    return {name.partition("-")[0]: part for name, part in parts.items()}


@pytest.fixture(params=["local", "s3"])
def rejected(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Workspace, str]:
    """A workspace of seven videos in three parts, all cut, and its collection."""
    videos = str(fill(tmp_path / "videos", [f"{name}.mp4" for name in ENDS]))
    bucket = request.getfixturevalue("s3_bucket") if request.param == "s3" else ""
    workspace = Workspace(f"{bucket}/{tmp_path.name}" if bucket else str(tmp_path / "workspace"))
    plan(workspace, videos, PER_PART)
    for part in workspace.parts(COLLECTION_FOLDER):
        cut(workspace, part, ENDS)
    return workspace, videos


def test_videos_that_ended_so_move_to_new_parts_and_no_others(rejected: tuple[Workspace, str]) -> None:
    workspace, videos = rejected
    before = check_books(workspace)
    planned = plan(workspace, videos, PER_PART, retry=["missing", "timeout"])
    assert (planned.num_new, planned.num_retried, planned.changed) == (0, 4, ())
    assert check_books(workspace) == before | {"b": "00003", "c": "00003", "e": "00003", "g": "00004"}
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) == ["00003", "00004"]
    assert ids_by_part(workspace)["00002"] == []  # its only video left
    for part in ("00003", "00004"):
        cut(workspace, part, dict.fromkeys(ENDS, "kept"))
    assert plan(workspace, videos, PER_PART).num_new == 0
    assert set(check_books(workspace)) == set(ENDS)


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_the_spans_of_a_retried_video_move_with_it(rejected: tuple[Workspace, str], tmp_path: Path) -> None:
    workspace, videos = rejected
    (tmp_path / "events.csv").write_text(
        "video,start_s,end_s,category\n" + "".join(f"{name}.mp4,0,1,bark\n" for name in ENDS)
    )

    def spans() -> dict[str, str]:
        work = SpansPart(workspace, read_spans([str(tmp_path / "events.csv")]))
        for part in unlabelled_parts(workspace, "spans"):
            work(part)
        rows = [(row["video_id"], part) for part in workspace.parts("spans") for row in read_part(part)]
        assert len(dict(rows)) == len(rows)
        return {name.partition("-")[0]: part for name, part in rows}

    def read_part(part: str) -> list[dict]:
        return workspace.read("spans", part, SPANS).to_pylist()

    assert spans() == check_books(workspace)
    plan(workspace, videos, PER_PART, retry=["missing", "timeout"])
    for part in ("00003", "00004"):
        cut(workspace, part, dict.fromkeys(ENDS, "kept"))
    assert spans() == check_books(workspace)


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_the_masks_of_a_retried_video_move_with_it(rejected: tuple[Workspace, str], tmp_path: Path) -> None:
    workspace, videos = rejected
    for name in ENDS:
        (tmp_path / "masks" / name).mkdir(parents=True)
        (tmp_path / "masks" / name / "500.png").write_bytes(encode_mask(np.ones((4, 4), bool)))

    def parts_of_masks() -> dict[str, str]:
        work = MasksPart(workspace, read_mask_folder(str(tmp_path / "masks")))
        for part in unlabelled_parts(workspace, "masks"):
            work(part)
        read = {part: workspace.read("masks", part, MASKS).to_pylist() for part in workspace.parts("masks")}
        return {row["video_id"].partition("-")[0]: part for part, rows in read.items() for row in rows}

    assert parts_of_masks() == check_books(workspace)
    plan(workspace, videos, PER_PART, retry=["missing", "timeout"])
    for part in ("00003", "00004"):
        cut(workspace, part, dict.fromkeys(ENDS, "kept"))
    assert parts_of_masks() == check_books(workspace)


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_a_retried_video_has_the_address_and_size_of_now_and_stays_if_it_is_listed_no_more(
    rejected: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace, _ = rejected
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.mp4").write_bytes(b"found again")
    planned = plan(workspace, str(tmp_path / "elsewhere"), PER_PART, retry=["missing"])
    assert planned.num_retried == 3
    rows = {row["video_id"][0]: row for row in workspace.read(COLLECTION_FOLDER, "00003", COLLECTION).to_pylist()}
    assert {name: row["uri"] for name, row in rows.items()} == {
        "b": str(tmp_path / "elsewhere" / "b.mp4"),
        "e": str(tmp_path / "videos" / "e.mp4"),
        "g": str(tmp_path / "videos" / "g.mp4"),
    }
    assert (rows["b"]["size_bytes"], rows["e"]["size_bytes"]) == (11, 5)


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_new_and_retried_videos_share_parts_and_what_was_retried_may_be_again(
    rejected: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace, videos = rejected
    fill(tmp_path / "videos", ["b2.mp4"])
    planned = plan(workspace, videos, PER_PART, retry=["timeout"])
    assert (planned.num_new, planned.num_retried) == (1, 1)
    assert check_books(workspace)["c"] == check_books(workspace)["b2"] == "00003"
    cut(workspace, "00003", ENDS | {"b2": "kept"})
    assert plan(workspace, videos, PER_PART, retry=["timeout"]).num_retried == 1
    assert check_books(workspace)["c"] == "00004"


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
@pytest.mark.parametrize(
    ("retry", "says"),
    [
        (["kept"], "retry kept: nothing is wrong"),
        (["missing", "mising"], "retry mising: no reason why a video is rejected. Expected one of missing, refused"),
        (["timeuot"], "Did you mean timeout?"),
    ],
)
def test_a_retry_of_what_no_video_can_end_as_is_refused_and_changes_nothing(
    retry: list[str], says: str, rejected: tuple[Workspace, str]
) -> None:
    workspace, videos = rejected
    before = check_books(workspace)
    with pytest.raises(ConfigError) as caught:
        plan(workspace, videos, PER_PART, retry=retry)
    assert says in str(caught.value)
    assert check_books(workspace) == before


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_a_retry_of_what_no_video_ended_as_or_was_planned_before_moves_nothing(rejected: tuple[Workspace, str]) -> None:
    workspace, videos = rejected
    assert plan(workspace, videos, PER_PART, retry=["killed"]).num_retried == 0
    assert plan(workspace, videos, PER_PART, retry=["missing"]).num_retried == 3
    moved = check_books(workspace)
    assert plan(workspace, videos, PER_PART, retry=["missing"]).num_retried == 0  # killed before it cut them
    assert check_books(workspace) == moved


def test_the_selections_forget_the_clips_of_a_retried_video_and_no_others(rejected: tuple[Workspace, str]) -> None:
    workspace, videos = rejected
    for name in ("main", "second"):
        for part in workspace.parts(CLIPS_FOLDER):
            clips = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
            rows = [
                sample(SELECTIONS, clip_id=clip["clip_id"], video_id=clip["video_id"], part=part, kept=False)
                for clip in clips
            ]
            workspace.commit(f"selections/{name}", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    files.commit_bytes(workspace.uri("selections", "main", "cutoffs.json"), b"{}")
    plan(workspace, videos, PER_PART, retry=["timeout"])  # c, of the first part
    for name in ("main", "second"):
        left = workspace.read_all(f"selections/{name}", SELECTIONS).column("video_id").to_pylist()
        assert [video_id[0] for video_id in left] == ["a", "a", "d", "d", "f", "f"]


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
@pytest.mark.parametrize("folder", [CLIPS_FOLDER, VIDEOS_FOLDER])
def test_a_part_whose_table_was_removed_to_cut_it_anew_does_not_stop_a_retry_that_was_half_done(
    folder: str, rejected: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, videos = rejected
    before = check_books(workspace)
    take_out = collecting._take_out
    monkeypatch.setattr(collecting, "_take_out", crash_if_moving)
    with pytest.raises(Crash):
        plan(workspace, videos, PER_PART, retry=["timeout"])
    monkeypatch.setattr(collecting, "_take_out", take_out)
    files.delete(workspace.part_uri(folder, "00000"))
    plan(workspace, videos, PER_PART)
    cut(workspace, "00000", ENDS)
    assert check_books(workspace) == before | {"c": "00003"}


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
@pytest.mark.parametrize("lost", ["00000", "00001", "00002"])
def test_the_loss_of_a_collection_whose_part_is_cut_is_refused_and_changes_nothing(
    lost: str, rejected: tuple[Workspace, str]
) -> None:
    workspace, videos = rejected
    files.delete(workspace.part_uri(COLLECTION_FOLDER, lost))
    left = list(files.list_files(workspace.root))
    with pytest.raises(DataError, match=f"collection/{lost}.parquet: missing, though part {lost} is cut"):
        plan(workspace, videos, PER_PART)
    assert list(files.list_files(workspace.root)) == left


@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_a_video_that_only_videos_knows_is_not_retried(rejected: tuple[Workspace, str]) -> None:
    workspace, videos = rejected
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    foreign = sample(VIDEOS, video_id="x", uri="x", part="00000", outcome="missing")
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows([*rows, foreign], VIDEOS, "00000"), VIDEOS)
    assert plan(workspace, videos, PER_PART, retry=["missing"]).num_retried == 3


class Crash(BaseException):
    """The process is gone."""


def crash_if_moving(_: Workspace, moved: dict[str, set[str]]) -> None:
    if moved:
        raise Crash


# four videos of three parts move into two new ones: 2 commits, then 3 tables in each of 3 parts
@pytest.mark.parametrize("num_commits", range(12))
@pytest.mark.parametrize("rejected", ["local"], indirect=True)
def test_a_crash_after_any_step_of_a_retry_is_mended_by_the_next_plan(
    num_commits: int, rejected: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, videos = rejected
    before = check_books(workspace)
    monkeypatch.setattr(collecting, "NUM_THREADS", 1)
    commit, left = Workspace.commit, [num_commits]

    def commit_or_crash(*args: Any) -> str:
        if not left[0]:
            raise Crash
        left[0] -= 1
        return commit(*args)

    monkeypatch.setattr(Workspace, "commit", commit_or_crash)
    if num_commits < 11:
        with pytest.raises(Crash):
            plan(workspace, videos, PER_PART, retry=["missing", "timeout"])
    else:
        plan(workspace, videos, PER_PART, retry=["missing", "timeout"])
    monkeypatch.setattr(Workspace, "commit", commit)
    moved = {"b": "00003", "c": "00003", "e": "00003"} if num_commits > 0 else {}
    moved |= {"g": "00004"} if num_commits > 1 else {}
    assert plan(workspace, videos, PER_PART).num_new == 0
    assert check_books(workspace) == before | moved
    if num_commits < 2:
        assert plan(workspace, videos, PER_PART, retry=["missing"]).num_retried == 3 - 2 * num_commits
        assert set(check_books(workspace)) == set(ENDS)
