"""Parts of clips that follow faces: bytes, tables that must add up, retries, and what is refused before any work."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clip_specs import ClipSpecs
from pipeline.clips import mouth_cutting
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.reconciling import reconcile
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import DataError
from pipeline.estimate.estimating import probe
from pipeline.media import face_files
from pipeline.media.tracking import TrackedFace
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.lineage import list_outputs
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import WorldConfig
from pipeline.synthetic.rendering import render_scene
from pipeline.synthetic.truth import load_truth
from pipeline.training.clipsets import load_splits
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.tracks import TRACKS
from schemas.videos import COLLECTION, VIDEOS
from tests.helpers.command import earshot
from tests.helpers.cutting import LAVFI, files_of, sound
from tests.helpers.scripted_tracker import ScriptedTracker, face

MakeMedia = Callable[..., Path]
NAME = "speech"
SPEC = dataclasses.replace(ClipSpecs().speech, decode_side=64, frame_height=16, frame_width=16)
PART = "00000"
NO_SPLIT = SplittingConfig(validate_fraction=0.0, test_fraction=0.0)
# What a part's commits write, in their order.
COMMITS = ("clips/speech.tar", "clips/speech", "tracks/speech", "videos/speech")


def of_video(number: int) -> list[TrackedFace]:
    """Two faces, of whom one goes after three seconds."""
    return [face(0), face(1)] if number < 75 else [face(0)]


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every video shows `of_video`."""
    monkeypatch.setattr(mouth_cutting, "face_finder", lambda: None)
    monkeypatch.setattr(mouth_cutting, "FaceTracker", lambda finder, most: ScriptedTracker(of_video))


@pytest.fixture
def collection(make_media: MakeMedia, tmp_path: Path) -> Path:
    moving = (*LAVFI, "testsrc2=s=64x48:r=25:d=6.2")
    film = make_media("heard.mp4", *moving, *sound(6.2), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    mute = make_media(
        "unheard.mp4", *moving, *sound(6.2, "0"), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"
    )
    table = tmp_path / "collection.csv"
    table.write_text(f"uri\n{film}\n{mute}\n{tmp_path}/gone.mp4\n")
    return table


def cut(root: Path, collection: Path) -> Workspace:
    """The parts that are pending, as the command cuts them."""
    workspace = Workspace(str(root))
    workspace.begin("clips/speech", {"clips": {NAME: SPEC}}, {})
    plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
    for part in workspace.pending("collection", f"videos/{NAME}"):
        ShardPart(workspace, {NAME: SPEC}, ShardingConfig())(part)
    return workspace


def rows(workspace: Workspace, table: str, schema: Any) -> list[dict[str, Any]]:
    return workspace.read(f"{table}/{NAME}", PART, schema).to_pylist()


def test_every_face_of_every_span_is_a_row_of_clips_and_of_tracks(
    collection: Path, two_faces: None, tmp_path: Path
) -> None:
    workspace = cut(tmp_path / "root", collection)
    ended = {
        row["clip_id"].partition("-")[0] + row["clip_id"][-19:]: row["outcome"]
        for row in rows(workspace, "clips", CLIPS)
    }
    assert ended == {
        "heard_00000000_speech_f0": "kept",
        "heard_00000000_speech_f1": "kept",
        "heard_00002000_speech_f0": "kept",
        "heard_00002000_speech_f1": "partly_tracked",  # 25 of the 50 frames
        "heard_00004000_speech_f0": "kept",
        "unheard_00000000_speech_f0": "silent",
        "unheard_00000000_speech_f1": "silent",
        "unheard_00002000_speech_f0": "silent",
        "unheard_00002000_speech_f1": "silent",
        "unheard_00004000_speech_f0": "silent",
    }
    videos = {
        row["uri"].rpartition("/")[2]: (row["outcome"], row["num_clips"]) for row in rows(workspace, "videos", VIDEOS)
    }
    assert videos == {"heard.mp4": ("kept", 5), "unheard.mp4": ("silent", 5), "gone.mp4": ("missing", 0)}
    totals = reconcile(workspace, NAME)
    assert (totals.num_clips, totals.num_kept, totals.num_videos) == (10, 4, 3)
    joined = query(
        workspace,
        "SELECT track, round(tracked_fraction, 6) AS share, box, confidence FROM tracks JOIN clips USING (clip_id) "
        "WHERE outcome = 'partly_tracked'",
    ).to_pylist()
    assert joined == [{"track": 1, "share": 0.5, "box": [12.0, 12.0, 52.0, 52.0], "confidence": 1.0}]
    hours = query(workspace, "SELECT sum(unique_s) AS s FROM clips WHERE spec = 'speech'")["s"].to_pylist()
    assert hours == [6.0]  # of a video of 6.2 s, whatever the number of faces


def test_between_any_two_commits_of_a_part_a_kill_costs_nothing(
    collection: Path, two_faces: None, tmp_path: Path
) -> None:
    whole = cut(tmp_path / "whole", collection)
    for first in range(len(COMMITS)):
        workspace = Workspace(str(shutil.copytree(whole.root, tmp_path / f"killed_{first}")))
        for name in COMMITS[first:]:
            stage, _, tar = name.partition(".")
            files.delete(workspace.tar_uri(stage, PART) if tar else workspace.part_uri(stage, PART))
        assert reconcile(workspace, NAME).num_videos == 0
        cut(Path(workspace.root), collection)
        assert files_of(workspace) == files_of(whole)


def test_a_clip_of_a_face_without_its_track_is_found_at_the_end(
    collection: Path, two_faces: None, tmp_path: Path
) -> None:
    workspace = cut(tmp_path / "root", collection)
    tracks = rows(workspace, "tracks", TRACKS)
    workspace.commit("tracks/speech", PART, from_rows(tracks[1:], TRACKS, PART), TRACKS)
    with pytest.raises(
        DataError, match=r"tables/tracks/spec=speech/00000\.parquet: 9 rows are not the 10 clips of fac"
    ):
        reconcile(workspace, NAME)
    files.delete(workspace.part_uri("tracks/speech", PART))
    with pytest.raises(DataError, match=r"tables/tracks/spec=speech/00000\.parquet: missing, though"):
        reconcile(workspace, NAME)


def test_the_tracks_of_a_retried_video_move_with_it(collection: Path, two_faces: None, tmp_path: Path) -> None:
    workspace = cut(tmp_path / "root", collection)
    planned = plan_parts(workspace, list_videos(str(collection)), CollectingConfig(), retry=["silent"])
    assert planned.num_retried == 1
    assert len(rows(workspace, "tracks", TRACKS)) == 5
    cut(Path(workspace.root), collection)
    assert reconcile(workspace, NAME).num_clips == 10
    moved = workspace.read("tracks/speech", "00001", TRACKS).to_pylist()
    assert {row["video_id"].partition("-")[0] for row in moved} == {"unheard"}


def test_what_the_clips_of_faces_wrote_goes_with_them(collection: Path, two_faces: None, tmp_path: Path) -> None:
    workspace = cut(tmp_path / "root", collection)
    names = {files.relative(uri, workspace.root) for uri in list_outputs(workspace, "clips/speech")}
    assert names >= {f"tables/{table}/spec=speech/00000.parquet" for table in ("clips", "tracks", "videos")}


def test_an_estimate_counts_a_clip_for_each_face_and_the_bytes_that_cutting_writes(
    collection: Path, two_faces: None, tmp_path: Path
) -> None:
    workspace = cut(tmp_path / "root", collection)
    film = workspace.read("collection", PART, COLLECTION).to_pylist()[0]
    found = probe(film, {NAME: SPEC}, ShardingConfig())
    assert (found.outcome, found.num_kept) == ("kept", 4)
    clips = [row for row in rows(workspace, "clips", CLIPS) if row["outcome"] == "kept"]
    assert found.tar_bytes == sum(row["tar_bytes"] for row in clips)


@pytest.mark.parametrize("command", ["shard", "plan"])
def test_without_the_models_that_find_faces_no_work_is_begun(
    command: str, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mouth_cutting.face_finder.cache_clear()
    monkeypatch.setattr(face_files, "faces_folder", lambda *_: tmp_path / "nowhere")
    root = tmp_path / "root"
    options = ("--root", str(root)) if command == "shard" else ()
    code, _, err = earshot(command, "--collection", str(collection), "--clips", "base", "--clips", "speech", *options)
    assert code == 2
    assert "nowhere/face_landmark.tflite: not there." in err
    assert face_files.COMMAND in err
    assert not root.exists()
    mouth_cutting.face_finder.cache_clear()


def test_a_real_speaker_gives_clips_of_one_face_with_the_mouth_in_their_middle(
    shared_media: Path, tmp_path: Path
) -> None:
    films = [shared_media / "videos" / name for name in ("LipNet__bbaf2n.mpg", "openl3__bento.mp4")]
    table = tmp_path / "collection.csv"
    table.write_text("\n".join(["uri", *map(str, films)]) + "\n")
    spec = ClipSpecs().speech
    workspace = Workspace(str(tmp_path / "root"))
    plan_parts(workspace, list_videos(str(table)), CollectingConfig())
    ShardPart(workspace, {NAME: spec}, ShardingConfig())(PART)
    found = {row["video_id"][:6]: (row["clip_id"][-19:], row["outcome"]) for row in rows(workspace, "clips", CLIPS)}
    assert found == {"lipnet": ("_00000000_speech_f0", "kept")}  # of 3 s; the other film has 1.1 s
    (track,) = rows(workspace, "tracks", TRACKS)
    assert track["tracked_fraction"] == 1.0
    assert track["confidence"] > 0.9
    left, top, right, bottom = track["box"]
    (clips,) = load_splits(workspace, ("train",), NO_SPLIT, [PART], NAME)
    (clip,) = clips.read_many(range(len(clips)))
    assert clip.frames.shape == (50, 3, 96, 96)
    assert clip.waveform.shape == (32_000,)
    transforms = np.array(clip.facts["transforms"]).reshape(50, 2, 3)
    middle = transforms @ [47.5, 47.5, 1.0]
    assert (left < middle[:, 0]).all()
    assert (middle[:, 0] < right).all()
    assert ((top + bottom) / 2 < middle[:, 1]).all()  # a mouth is in the lower half of a face
    assert (middle[:, 1] < bottom).all()
    assert np.linalg.norm(np.diff(middle, axis=0), axis=1).max() < 0.2 * track["eye_distance_px"]


def test_of_two_drawn_faces_each_is_a_clip_with_the_mouth_in_the_middle_of_its_crops(tmp_path: Path) -> None:
    world = WorldConfig(
        num_videos=1, seed=4, duration_s=2.0, frame_scale=2, talking_fraction=1.0, two_faces_fraction=1.0,
        silent_face_fraction=0.0,
    )  # fmt: skip
    film = render_scene(world, 0, tmp_path)
    truth = load_truth(tmp_path, film.stem)
    table = tmp_path / "collection.csv"
    table.write_text(f"uri\n{film}\n")
    workspace = Workspace(str(tmp_path / "root"))
    plan_parts(workspace, list_videos(str(table)), CollectingConfig())
    ShardPart(workspace, {NAME: ClipSpecs().speech}, ShardingConfig())(PART)
    assert [row["outcome"] for row in rows(workspace, "clips", CLIPS)] == ["kept", "kept"]
    (clips,) = load_splits(workspace, ("train",), NO_SPLIT, [PART], NAME)
    width, height = truth.scene.width, truth.scene.height
    scale = 640 / max(width, height)
    bars = [(640 - scale * width) / 2, (640 - scale * height) / 2]
    in_clips = [np.array(clip.facts["transforms"]).reshape(50, 2, 3) for clip in clips.read_many(range(2))]
    shown = np.stack(in_clips) @ [47.5, 47.5, 1.0]  # what is in the middle of each crop
    boxes = truth.mouths[:, :50].astype(float)
    drawn = (boxes[..., :2] + boxes[..., 2:]) / 2 * scale + bars
    eyes = np.array([row["eye_distance_px"] for row in rows(workspace, "tracks", TRACKS)])
    assert len(drawn) >= 1
    for mouth in drawn:
        far = np.linalg.norm(shown - mouth, axis=2).max(axis=1) / eyes
        assert sorted(far < 0.25) == [False, True], far
