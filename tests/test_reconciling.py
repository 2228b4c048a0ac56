"""Totals: every video and clip is counted once; what was lost, cut short or made up is reported."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.clips.reconciling import Totals, reconcile
from pipeline.clips.tars import TarWriter
from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER, table_folder
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import COLLECTION, VIDEOS

SCHEMAS = {COLLECTION_FOLDER: COLLECTION, VIDEOS_FOLDER: VIDEOS, CLIPS_FOLDER: CLIPS}
# Members of 9 000 bytes: the tar of one clip fills two records of 10 240 bytes, that of three clips three.
MEMBER = bytes(9000)
PARTS = {
    "00000": {"dog": ["kept", "silent", "kept"], "cat": [], "owl": ["kept"]},
    "00001": {"bat": ["silent", "no_frame"]},
    "00002": {"fox": ["kept"]},
}
LENGTHS_S = {"dog": 7.5, "cat": None, "owl": 5.25, "bat": 6.0, "fox": 5.0}


def write(workspace: Workspace, part: str, videos: dict[str, list[str]]) -> None:
    """A part in which each video has these clips."""
    clips: list[dict[str, Any]] = []
    with files.building(workspace.tar_uri(CLIPS_FOLDER, part)) as path, TarWriter(path) as tar:
        for video_id, outcomes in videos.items():
            for index, outcome in enumerate(outcomes):
                clip = {"clip_id": f"{video_id}_{index}", "video_id": video_id, "start_s": 1.0 * index, "part": part}
                if outcome == "kept":
                    clip["tar_offset"], clip["tar_bytes"] = tar.add(clip["clip_id"], {"flac": MEMBER})
                clips.append(clip | {"duration_s": 5.0, "num_frames": 5, "outcome": outcome})
    collection = [{"video_id": video_id, "uri": video_id, "rights": "unknown"} for video_id in videos]
    rows = [
        {
            "video_id": video_id,
            "uri": video_id,
            "part": part,
            "duration_s": LENGTHS_S[video_id],
            "rights": "unknown",
            "num_clips": len(outcomes),
            "outcome": "kept" if "kept" in outcomes else (outcomes or ["corrupt"])[0],
        }
        for video_id, outcomes in videos.items()
    ]
    for folder, table in ((COLLECTION_FOLDER, collection), (CLIPS_FOLDER, clips), (VIDEOS_FOLDER, rows)):
        workspace.commit(folder, part, from_rows(table, SCHEMAS[folder], folder), SCHEMAS[folder])


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """Three parts with five videos and seven clips."""
    local = request.param == "local"
    root = str(tmp_path / "100%s") if local else f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"
    for part, videos in PARTS.items():
        write(Workspace(root), part, videos)
    return Workspace(root)


@pytest.fixture
def parts(tmp_path: Path) -> Workspace:
    """The same on this machine alone."""
    for part, videos in PARTS.items():
        write(Workspace(str(tmp_path)), part, videos)
    return Workspace(str(tmp_path))


def test_every_video_and_clip_is_counted_once(store: Workspace) -> None:
    assert reconcile(store) == Totals(
        num_videos=5,
        num_clips=7,
        num_kept=4,
        video_s=7.5 + 5.25 + 6.0 + 5.0,
        tar_bytes=(3 + 1 + 2) * 10240,
        videos_by_outcome={"kept": 3, "corrupt": 1, "silent": 1},
        clips_by_outcome={"kept": 4, "silent": 2, "no_frame": 1},
    )


def test_a_real_cut_adds_up(workspace: Workspace) -> None:
    found = reconcile(workspace)
    tars = sorted(Path(workspace.root).glob("clips/base/*.tar"))
    num_members = sum(path.read_bytes().count(b".json\0") for path in tars)  # names in the headers
    assert (found.num_videos, found.num_clips) == (12, 48)  # twelve videos of 5 s, clips of 2 s every 1 s
    assert found.num_kept == num_members
    assert found.tar_bytes == sum(path.stat().st_size for path in tars)
    assert found.video_s == pytest.approx(12 * 5.0, abs=0.5)


def test_a_part_without_videos_is_pending_and_in_no_count(store: Workspace) -> None:
    files.delete(store.part_uri(VIDEOS_FOLDER, "00001"))
    found = reconcile(store)
    assert (found.num_videos, found.num_clips) == (4, 5)
    files.delete(store.tar_uri(CLIPS_FOLDER, "00001"))  # as a run leaves it that was killed before the part began
    files.delete(store.part_uri(CLIPS_FOLDER, "00001"))
    assert reconcile(store) == found


def test_before_anything_is_cut_everything_is_zero(tmp_path: Path) -> None:
    found = reconcile(Workspace(str(tmp_path)))
    assert (found.num_videos, found.num_clips, found.tar_bytes) == (0, 0, 0)
    assert (found.videos_by_outcome, found.clips_by_outcome) == ({}, {})


def refusal(workspace: Workspace) -> str:
    with pytest.raises(DataError) as error:
        reconcile(workspace)
    return str(error.value).removeprefix(f"{workspace.root}/")


@pytest.mark.parametrize("size", [0, 1, 512, 10240, 20480, 30719, 30721, 40960])
def test_a_tar_of_another_size_is_named_with_what_was_found_and_expected(store: Workspace, size: int) -> None:
    uri = store.tar_uri(CLIPS_FOLDER, "00000")
    files.commit_bytes(uri, files.read_bytes(uri)[:size].ljust(size, b"\0"))
    output = refusal(store)
    assert output.startswith(f"clips/base/00000.tar: {size} bytes, expected 30720.")
    assert ("truncated" in output) == (size < 30720)
    assert f"Delete {store.part_uri(VIDEOS_FOLDER, '00000')}: the next run cuts this part anew" in output


@pytest.mark.parametrize(
    "name", ["clips/base/00002.tar", "tables/clips/spec=base/00002.parquet", "tables/collection/00002.parquet"]
)
def test_a_missing_file_of_a_finished_part_is_named(store: Workspace, name: str) -> None:
    files.delete(store.uri(name))
    assert refusal(store).startswith(f"{name}: missing")


@pytest.mark.parametrize("folder", [COLLECTION_FOLDER, VIDEOS_FOLDER, CLIPS_FOLDER])
def test_a_table_cut_short_is_named(parts: Workspace, folder: str) -> None:
    path = Path(parts.part_uri(folder, "00001"))
    os.truncate(path, path.stat().st_size - 1)
    assert refusal(parts).startswith(f"{table_folder(folder)}/00001.parquet: ")


def change(
    workspace: Workspace, folder: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], part: str = "00000"
) -> None:
    rows: pa.Table = workspace.read(folder, part, SCHEMAS[folder])
    workspace.commit(folder, part, from_rows(edit(rows.to_pylist()), SCHEMAS[folder], folder), SCHEMAS[folder])


def with_field(index: int, **values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [row | values if k == index else row for k, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("folder", "edit", "output"),
    [
        (
            VIDEOS_FOLDER,
            lambda rows: rows[:-1],
            "tables/videos/spec=base/00000.parquet: 2 rows are not the 3 videos of its collection",
        ),
        (
            VIDEOS_FOLDER,
            lambda rows: rows + rows[:1],
            "tables/videos/spec=base/00000.parquet: 4 rows are not the 3 videos",
        ),
        (VIDEOS_FOLDER, lambda rows: rows[::-1], "tables/videos/spec=base/00000.parquet: 3 rows are not the 3 videos"),
        (
            VIDEOS_FOLDER,
            with_field(1, video_id="cow"),
            "tables/videos/spec=base/00000.parquet: 3 rows are not the 3 videos",
        ),
        (
            VIDEOS_FOLDER,
            with_field(0, num_clips=2),
            "tables/clips/spec=base/00000.parquet: 4 rows are not the 3 clips of its videos",
        ),
        (
            CLIPS_FOLDER,
            lambda rows: rows[:-1],
            "tables/clips/spec=base/00000.parquet: 3 rows are not the 4 clips of its videos",
        ),
        (CLIPS_FOLDER, lambda rows: [], "tables/clips/spec=base/00000.parquet: 0 rows are not the 4 clips"),
        (
            CLIPS_FOLDER,
            with_field(0, video_id="owl"),
            "tables/clips/spec=base/00000.parquet: 4 rows are not the 4 clips",
        ),
        (
            CLIPS_FOLDER,
            with_field(1, outcome="kept"),
            "tables/clips/spec=base/00000.parquet: `tar_offset` is set for other clips",
        ),
        (
            CLIPS_FOLDER,
            with_field(0, outcome="silent"),
            "tables/clips/spec=base/00000.parquet: `tar_offset` is set for other clips",
        ),
        (
            CLIPS_FOLDER,
            with_field(0, tar_bytes=None),
            "tables/clips/spec=base/00000.parquet: `tar_bytes` is set for other clips",
        ),
        (
            CLIPS_FOLDER,
            with_field(2, tar_offset=0),
            "tables/clips/spec=base/00000.parquet: the clips' places in the tar leave gaps",
        ),
        (
            CLIPS_FOLDER,
            with_field(0, tar_bytes=9000),
            "tables/clips/spec=base/00000.parquet: the clips' places in the tar leave gaps",
        ),
        (CLIPS_FOLDER, with_field(3, tar_bytes=19000), "clips/base/00000.tar: 30720 bytes, expected 40960."),
    ],
)
def test_a_table_that_tells_another_story_is_named(
    parts: Workspace, folder: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], output: str
) -> None:
    change(parts, folder, edit)
    assert refusal(parts).startswith(output)


def test_two_numbers_that_cancel_out_are_still_found(parts: Workspace) -> None:
    change(parts, VIDEOS_FOLDER, lambda rows: [row | {"num_clips": n} for row, n in zip(rows, (1, 0, 3), strict=True)])
    assert refusal(parts).startswith("tables/clips/spec=base/00000.parquet: 4 rows are not the 4 clips of its videos")


def test_a_retry_that_is_half_done_is_not_reported_as_damage(parts: Workspace) -> None:
    collection = from_rows([{"video_id": "cat", "uri": "cat", "rights": "unknown"}], COLLECTION, COLLECTION_FOLDER)
    parts.commit(COLLECTION_FOLDER, "00003", collection, COLLECTION)
    change(parts, VIDEOS_FOLDER, lambda rows: [row for row in rows if row["video_id"] != "cat"])
    assert (
        refusal(parts)
        == "tables/collection: video cat is in two parts: a retry is half done. The next run completes it."
    )


def test_a_video_in_two_parts_is_named(parts: Workspace) -> None:
    write(parts, "00003", {"owl": ["kept"]})
    assert refusal(parts).startswith("tables/collection: video owl is in more than one part.")
