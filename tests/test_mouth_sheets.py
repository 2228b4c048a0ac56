"""Strips of mouths in the report: whose they are, which frames they show, and what is shown of damaged files."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.reports.mouth_sheets import MOUTHS, NUM_CROPS, NUM_VIDEOS, MouthSheet, show_mouths
from pipeline.reports.querying import query
from pipeline.reports.reporting import make_report
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.tracks import TRACKS
from tests.helpers.mouths import FOLDER, SPEC, write_speech_world


def write_tracks(workspace: Workspace) -> list[str]:
    """A row for each clip, whose confidence falls from video to video; returns the videos, the surest first."""
    videos: list[str] = []
    for part in workspace.parts(FOLDER):
        clips = workspace.read(FOLDER, part, CLIPS, ["clip_id", "video_id"]).to_pylist()
        videos += dict.fromkeys(clip["video_id"] for clip in clips)
        rows = [
            {
                "clip_id": clip["clip_id"],
                "video_id": clip["video_id"],
                "track": int(clip["clip_id"].rpartition("f")[2]),
                "tracked_fraction": 1.0,
                "eye_distance_px": 40.0,
                "confidence": 1 - 0.01 * videos.index(clip["video_id"]),
                "box": [0.0, 0.0, 1.0, 1.0],
            }
            for clip in clips
        ]
        workspace.commit("tracks/speech", part, from_rows(rows, TRACKS, part), TRACKS)
    return videos


def sheets(workspace: Workspace) -> list[MouthSheet]:
    return show_mouths(workspace, query(workspace, MOUTHS))


def picture(address: str) -> np.ndarray:
    head, _, text = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True)))).astype(int)


def read_clips(workspace: Workspace, video: str) -> list[np.ndarray]:
    """[T, 3, H, W] of each clip of a video, in the order of their starts."""
    rows = query(workspace, f"SELECT * FROM clips WHERE spec = 'speech' AND video_id = '{video}' ORDER BY start_s")
    clips = ClipSet(workspace, FOLDER, rows)
    return [clip.frames.astype(int) for clip in clips.read_many(range(len(rows)))]


def test_a_video_is_among_the_least_sure_or_the_surest_but_never_both(workspace: Workspace) -> None:
    write_speech_world(workspace)
    videos = write_tracks(workspace)
    assert len(videos) == 2 * NUM_VIDEOS
    found = sheets(workspace)
    assert [sheet.which for sheet in found] == ["least sure"] * NUM_VIDEOS + ["surest"] * NUM_VIDEOS
    assert [sheet.mean_confidence for sheet in found] == pytest.approx([1 - 0.01 * n for n in reversed(range(12))])
    assert {(sheet.track, sheet.num_clips, sheet.eyes_px) for sheet in found} == {(0, 1, 40.0)}


@pytest.mark.parametrize("num_clips", [1, 2, 5, 12])
def test_a_strip_shows_five_frames_evenly_from_the_first_clip_to_the_last(workspace: Workspace, num_clips: int) -> None:
    write_speech_world(workspace, starts_s=tuple(map(float, range(num_clips))))
    video = write_tracks(workspace)[-1]
    (sheet, *_) = sheets(workspace)
    assert sheet.num_clips == num_clips
    clips = read_clips(workspace, video)
    chosen = {1: [0], 2: [0, 1], 5: [0, 1, 2, 3, 4], 12: [0, 3, 5, 8, 10]}[num_clips]  # the first of each fifth
    shown = [place for clip in chosen for place in ((clip, frame) for frame in range(SPEC.num_frames))]
    step = len(shown) / NUM_CROPS
    expected = [shown[int((place + 0.5) * step)] for place in range(NUM_CROPS)]
    strip = picture(sheet.crops)
    assert strip.shape == (24, NUM_CROPS * 24, 3)
    for place, (clip, frame) in enumerate(expected):
        crop = strip[:, 24 * place : 24 * (place + 1)]
        assert np.abs(crop - clips[clip][frame].transpose(1, 2, 0)).mean() < 6  # JPEG, twice


def test_faces_whose_tar_is_gone_or_no_jpeg_are_listed_without_a_picture(workspace: Workspace) -> None:
    write_speech_world(workspace)
    write_tracks(workspace)
    gone, *others = workspace.parts(FOLDER)
    Path(workspace.tar_uri(FOLDER, gone)).unlink()
    for part in others:
        uri = workspace.tar_uri(FOLDER, part)
        files.commit_bytes(uri, files.read_bytes(uri).replace(b"\xff\xd8\xff", b"<svg"[:3]))
    assert {sheet.crops for sheet in sheets(workspace)} == {""}
    page = make_report(workspace).page
    assert page.count("cannot be read") == 2 * NUM_VIDEOS
    assert "data:image" not in page


def test_the_page_has_a_place_for_them_only_where_there_are_any(workspace: Workspace) -> None:
    assert 'id="mouths"' not in make_report(workspace).page
    write_speech_world(workspace)
    write_tracks(workspace)
    page = make_report(workspace).page
    assert page.count('class="strip"') == 2 * NUM_VIDEOS
    assert re.findall(r"Faces that were followed (\w+ \w+)", page) == ["least surely", "most surely"]
    assert '<a href="#mouths">' in page
