"""Features of clips: one row per kept clip, each the towers' own for that clip alone, in equal bytes each time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import World

from jobs.cli import main
from jobs.console.presets import preset
from jobs.console.session import Session
from jobs.features import extract as extract_all
from pipeline.audio import level_gain
from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.clips.tars import TarWriter
from pipeline.errors import ConfigError, DataError
from pipeline.features import extracting
from pipeline.features.extracting import FeaturesPart, check_clips
from pipeline.features.feature_samples import FeatureClip, decode
from pipeline.hashing import as_dict
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.models.towers import INPUT_DB, CoincidenceConfig, CoincidenceModel
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.features import FEATURES
from schemas.fields import from_rows

TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
FOLDER = "features/base/c"
Extract = Callable[..., dict[str, int]]


@pytest.fixture(scope="module")
def model() -> CoincidenceModel:
    torch.manual_seed(0)
    return CoincidenceModel(TOWERS).eval()


@pytest.fixture
def extract(model: CoincidenceModel, world: World) -> Extract:
    """Extracts one part of a workspace's clips."""
    return lambda at, part="00000": FeaturesPart(at, "base", world.spec, "c", lambda: (None, model))(part)


def features_of(workspace: Workspace, part: str) -> ClipSet[FeatureClip]:
    rows = workspace.read(FOLDER, part, FEATURES)
    return ClipSet(workspace, FOLDER, rows.append_column("part", pa.array([part] * len(rows))), decode)


def test_every_kept_clip_has_the_towers_features_of_it_alone(
    workspace: Workspace,
    extract: Extract,
    model: CoincidenceModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extracting, "BATCH_FRAMES", 14)  # 7 clips of 2 frames at once
    clips = workspace.read(CLIPS_FOLDER, "00000", CLIPS)
    assert extract(workspace) == {"clips": len(clips), "damaged": 0}
    found = features_of(workspace, "00000")
    same = ["clip_id", "video_id", "start_s"]
    assert found.rows.select(same).to_pylist() == clips.select(same).to_pylist()
    sizes = {"num_segments": 2, "num_cells": 4, "visual_dim": 128, "audio_dim": 16, "split": None}
    assert all(row | sizes == row for row in found.rows.to_pylist())
    read = ClipSet(workspace, CLIPS_FOLDER, clips)
    for number in (0, 5, 8, len(clips) - 1):
        clip, features = read.read(number), found.read(number)
        assert features.facts == {name: clip.facts[name] for name in same}
        with torch.no_grad():
            frames = torch.from_numpy(clip.frames).unsqueeze(0).float() / 255
            visual = model.visual_tower(frames).local  # one frame in each second
            sound = torch.from_numpy(clip.waveform).unsqueeze(0)
            rows = model.audio_tower(sound * level_gain(sound, INPUT_DB)).embeddings[0].numpy()
        # half floats have 11 bits
        np.testing.assert_allclose(features.visual, visual.view(2, 4, 128).numpy(), rtol=2**-11, atol=1e-6)
        first = 0.16 * rows[:6].sum(axis=0) + 0.04 * rows[6]  # 6 steps of 0.16 s and a quarter of the seventh
        np.testing.assert_allclose(features.audio[0], first, rtol=2**-10, atol=1e-5)


def test_two_runs_write_the_same_bytes(workspace: Workspace, extract: Extract) -> None:
    def written() -> list[bytes]:
        extract(workspace)
        uris = (workspace.tar_uri(FOLDER, "00000"), workspace.part_uri(FOLDER, "00000"))
        return [files.read_bytes(uri) for uri in uris]

    assert written() == written()


def test_a_part_without_kept_clips_has_an_empty_table(workspace: Workspace, extract: Extract) -> None:
    rows = workspace.read(CLIPS_FOLDER, "00001", CLIPS).to_pylist()
    rows = [row | {"outcome": "silent", "tar_offset": None, "tar_bytes": None} for row in rows]
    workspace.commit(CLIPS_FOLDER, "00001", from_rows(rows, CLIPS, "here"), CLIPS)
    with files.building(workspace.tar_uri(CLIPS_FOLDER, "00001")) as path, TarWriter(path):
        pass
    assert extract(workspace, "00001") == {"clips": 0, "damaged": 0}
    assert workspace.read(FOLDER, "00001", FEATURES).num_rows == 0


def test_a_clip_that_cannot_be_decoded_has_a_row_without_a_place_and_costs_no_other(
    workspace: Workspace, extract: Extract
) -> None:
    extract(workspace)
    whole = features_of(workspace, "00000")
    clips, uri = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist(), workspace.tar_uri(CLIPS_FOLDER, "00000")
    before = whole.read_many(range(len(whole)))
    data = bytearray(files.read_bytes(uri))
    data[data.index(b"fLaC", clips[3]["tar_offset"])] ^= 0x5A
    files.commit_bytes(uri, bytes(data))
    assert extract(workspace) == {"clips": len(clips) - 1, "damaged": 1}
    found = features_of(workspace, "00000")
    places = [row["tar_offset"] for row in found.rows.to_pylist()]
    assert [number for number, place in enumerate(places) if place is None] == [3]
    for number in (2, 4, len(clips) - 1):
        np.testing.assert_allclose(found.read(number).visual, before[number].visual, rtol=2**-10, atol=1e-6)


def test_features_beyond_half_floats_are_an_error_and_leave_nothing(workspace: Workspace, world: World) -> None:
    torch.manual_seed(0)
    model = CoincidenceModel(TOWERS).eval()
    model.audio_tower.net.dense.weight.data *= 1e7
    with pytest.raises(DataError, match=r"audio\.npy has the feature .* expected numbers of at most 65 504"):
        FeaturesPart(workspace, "base", world.spec, "c", lambda: (None, model))("00000")
    assert not workspace.parts(FOLDER)
    assert not files.exists(workspace.tar_uri(FOLDER, "00000"))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (ClipSpecs().sounds, "clips/x: clips of sound alone have no visual features"),
        (ClipSpec(clip_s=2.5, frame_rate_hz=2.0, hop_s=1.0), r"clips\.x\.clip_s = 2\.5: expected a whole number of s"),
        (
            ClipSpec(clip_s=2.0, hop_s=2.0, frame_rate_hz=1.5),
            r"clips\.x\.frame_rate_hz = 1\.5: expected a whole",
        ),
        (
            ClipSpec(clip_s=2.0, hop_s=2.0, frame_rate_hz=0.5),
            r"clips\.x\.frame_rate_hz = 0\.5: expected a whole",
        ),
        (ClipSpec(sample_rate_hz=48_000), r"clips\.x\.sample_rate_hz = 48000: expected 16000, the rate of the model"),
    ],
)
def test_clips_without_features_per_second_are_refused(spec: ClipSpec, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_clips("x", spec, 16_000)


def test_every_clip_spec_with_frames_has_features() -> None:
    for name in ("base", "events", "segmentation", "speech"):
        check_clips(name, getattr(ClipSpecs(), name), 16_000)


def begin(workspace: Workspace, model: CoincidenceModel, spec: ClipSpec) -> None:
    """The records of the clips and of a trained model `c`."""
    workspace.begin(CLIPS_FOLDER, {"clips": {"base": as_dict(spec)}}, {})
    settings = {"learner": "coincidence", "coincidence": as_dict(CoincidenceLearnerConfig(model=TOWERS))}
    workspace.begin("models/c", settings, {})
    with files.building(workspace.uri("models/c/model.pt")) as path, path.open("wb") as file:
        torch.save({"model": model.state_dict()}, file)
    workspace.finish("models/c", content="123")


def test_features_whose_command_was_killed_after_the_last_part_are_declared_finished(
    workspace: Workspace, world: World, model: CoincidenceModel, extract: Extract
) -> None:
    begin(workspace, model, world.spec)
    for part in workspace.parts(CLIPS_FOLDER):
        extract(workspace, part)
    inputs = {"models/c": "123", CLIPS_FOLDER: workspace.stage(CLIPS_FOLDER)["hash"]}
    workspace.begin(FOLDER, {"model": "c"}, inputs)
    extract_all(Session(workspace, preset("tiny"), 0), "c", "base")
    assert workspace.is_finished(FOLDER)
    with pytest.raises(ConfigError, match="model: c there, d asked for"):
        workspace.begin(FOLDER, {"model": "d"}, inputs)


def test_what_is_missing_names_the_command_that_makes_it(
    workspace: Workspace, world: World, model: CoincidenceModel, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*options: str) -> str:
        assert main(["features", "--root", workspace.root, *options]) == 2
        return capfd.readouterr().err

    assert "Run `earshot shard --collection COLLECTION --clips events --root" in refused()
    assert "--clips evnts: expected one of base, events," in refused("--clips", "evnts")
    assert "Run `earshot train coincidence --name coincidence --root" in refused("--clips", "base")
    begin(workspace, model, world.spec)
    half = ClipSpec(clip_s=2.5, hop_s=0.5, frame_rate_hz=2.0)
    (Path(workspace.root) / "stages" / "clips" / "base.json").unlink()
    workspace.begin(CLIPS_FOLDER, {"clips": {"base": as_dict(half)}}, {})
    assert "clips.base.clip_s = 2.5: expected a whole number" in refused("--clips", "base", "--model", "c")
    assert not workspace.has_stage(FOLDER)
