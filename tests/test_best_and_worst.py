"""The clips with the highest and lowest scores: whose they are, and what a page shows of them."""

import base64
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.reports.best_and_worst import EXTREMES, Extreme, show_extremes
from pipeline.reports.querying import query
from pipeline.reports.reporting import make_report
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import COLLECTION, VIDEOS

EVIL = '"><img src=x onerror=alert(1)>.mp4'


@pytest.fixture
def scored(workspace: Workspace) -> Workspace:
    """Twelve videos of four clips: the clips of video number v have scores v/100 + 0, 0.2, 0.2 and 0.4, in no order."""
    numbers = {video: number for number, video in enumerate(videos(workspace))}
    for part in workspace.parts(CLIPS_FOLDER):
        rows = []
        for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            score = numbers[clip["video_id"]] / 100 + (0.2, 0.4, 0.0, 0.2)[int(clip["start_s"])]
            ids = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
            rows.append(ids | {"score": score, "audio_embedding": [], "visual_embedding": []})
        rows[0]["score"] = float("nan")
        workspace.commit("scores/m", part, from_rows(rows, SCORES, part), SCORES)
        # cut by another spec too: a video's second row doubles no clip
        workspace.commit("videos/events", part, workspace.read(VIDEOS_FOLDER, part, VIDEOS), VIDEOS)
    return workspace


def videos(workspace: Workspace) -> list[str]:
    return workspace.read_all(VIDEOS_FOLDER, VIDEOS, ["video_id"])["video_id"].to_pylist()


def extremes(workspace: Workspace) -> list[Extreme]:
    return show_extremes(workspace, query(workspace, EXTREMES))


def members(workspace: Workspace) -> dict[str, bytes]:
    """Every member of every tar by its name."""
    found = {}
    for part in workspace.parts(CLIPS_FOLDER):
        with tarfile.open(workspace.tar_uri(CLIPS_FOLDER, part)) as tar:
            found |= {header.name: tar.extractfile(header).read() for header in tar}  # type: ignore[union-attr]
    return found


def data(address: str, kind: str) -> bytes:
    head, _, text = address.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(text, validate=True)


def test_each_list_has_ten_videos_once_each_by_their_own_best_or_worst_clip(scored: Workspace) -> None:
    found = extremes(scored)
    highest, lowest = found[:10], found[10:]
    assert {clip.which for clip in highest} == {"highest"}
    np.testing.assert_allclose([clip.score for clip in highest], 0.4 + np.arange(11, 1, -1) / 100, rtol=1e-6)
    np.testing.assert_allclose([clip.score for clip in lowest], np.arange(10) / 100, atol=1e-7)
    assert {clip.start_s for clip in highest} == {1.0}
    assert {clip.start_s for clip in lowest} == {2.0}
    assert [clip.place for clip in found] == [*range(1, 11)] * 2
    stems = [clip.video.rpartition(".")[0] for clip in highest]
    assert [video.startswith(stem) for video, stem in zip(videos(scored)[:1:-1], stems, strict=True)] == [True] * 10
    clips = {(row["video_id"], row["start_s"]): row for row in scored.read_all(CLIPS_FOLDER, CLIPS).to_pylist()}
    assert highest[0].loudness_lufs == clips[videos(scored)[-1], 1.0]["loudness_lufs"]


def test_of_equal_scores_the_first_names_are_shown_and_another_model_has_lists_of_its_own(scored: Workspace) -> None:
    for part in scored.parts("scores/m"):
        table = scored.read("scores/m", part, SCORES)
        same = {"score": pa.array([0.5] * len(table), pa.float32())}
        for name, column in same.items():
            table = table.set_column(table.column_names.index(name), SCORES.field(name), column)
        scored.commit("scores/n", part, table, SCORES)
    found = [clip for clip in extremes(scored) if clip.model == "n"]
    assert [clip.start_s for clip in found] == [0.0] * 20
    names = sorted(row["uri"].rpartition("/")[2] for row in scored.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist())
    assert [clip.video for clip in found] == names[:10] * 2


def test_pictures_and_sound_are_the_bytes_of_the_clips_tar(scored: Workspace) -> None:
    best = extremes(scored)[0]
    there = members(scored)
    key = f"{videos(scored)[-1]}_00001000"
    assert [data(frame, "image/jpeg") for frame in best.frames] == [there[f"{key}.{index}.jpg"] for index in (0, 1)]
    assert data(best.sound, "audio/flac") == there[f"{key}.flac"]


def test_a_clip_that_does_not_decode_is_listed_and_not_shown(scored: Workspace) -> None:
    tar = Path(scored.tar_uri(CLIPS_FOLDER, "00001"))
    frame = members(scored)[f"{videos(scored)[-1]}_00001000.0.jpg"]
    tar.write_bytes(tar.read_bytes().replace(frame, b"<script>alert(1)</script>".ljust(len(frame))))
    Path(scored.tar_uri(CLIPS_FOLDER, "00000")).unlink()
    found = extremes(scored)
    assert len(found) == 20
    assert (found[0].frames, found[0].sound) == ((), "")
    assert len(found[1].frames) == 2
    assert {clip.frames for clip in found[10:16]} == {()}  # the tar of the first six videos is gone


def test_the_page_shows_them_from_data_alone_whatever_the_videos_are_called(scored: Workspace) -> None:
    rows = scored.read(COLLECTION_FOLDER, "00001", COLLECTION).to_pylist()
    rows[-1]["uri"] = f"/videos/{EVIL}"
    scored.commit(COLLECTION_FOLDER, "00001", from_rows(rows, COLLECTION, "here"), COLLECTION)
    report = make_report(scored)
    assert report.extremes[0].video == EVIL
    assert "onerror=alert" in report.page
    assert "<img src=x" not in report.page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', report.page)
    assert policy is not None
    assert policy[1] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    sources = re.findall(r'<(img|audio)[^>]* src="([^,"]*),[A-Za-z0-9+/=]*"', report.page)
    assert sources.count(("img", "data:image/jpeg;base64")) == 40
    assert sources.count(("audio", "data:audio/flac;base64")) == 20
    assert len(sources) == len(re.findall(r"\ssrc=\"", report.page)) == 60
