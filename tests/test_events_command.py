"""`earshot events`: several videos at once, the features that the model was trained on, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import MakeMedia
from PIL import Image

from jobs.console.event_model import load_event_model
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.features.extracting import FeaturesPart
from pipeline.features.feature_samples import decode
from pipeline.inference.locating import locate_events
from pipeline.learners.loading import load_model
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.features import FEATURES
from tests.helpers.command import earshot
from tests.helpers.event_models import CATEGORIES, SPEC, workspace_with_events
from tests.helpers.films import H264, LAVFI


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return workspace_with_events(tmp_path_factory.mktemp("events") / "workspace").root


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """9.5 s of a test picture that changes, and noise that swells."""
    sources = (*LAVFI, "testsrc2=s=64x48:r=10:d=9.5", *LAVFI, "anoisesrc=d=9.5:r=44100:a=0.3:seed=1")
    return make_media("noise_of_nine.mp4", *sources, *H264, "-af", "volume='0.05+t/10':eval=frame")


def test_a_video_has_the_seconds_that_the_model_gives_to_its_stored_features(
    root: str, video: Path, tmp_path: Path
) -> None:
    workspace, collection = Workspace(root), tmp_path / "collection.csv"
    collection.write_text(f"uri\n{video}\n")
    plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
    ShardPart(workspace, {"events": SPEC}, ShardingConfig(jpeg_quality=80))("00000")
    learner, network = load_model(workspace, "events", "events")
    FeaturesPart(workspace, "events", SPEC, "coincidence", lambda: load_model(workspace, "coincidence", "coincidence"))(
        "00000"
    )
    rows = workspace.read("features/events/coincidence", "00000", FEATURES)
    rows = rows.append_column("part", pa.array(["00000"] * len(rows)))
    stored = ClipSet(workspace, "features/events/coincidence", rows, decode)
    assert len(stored) == 2  # of 4 s each
    with torch.inference_mode():
        event, _ = learner.predict(network, learner.stack(stored.read_many(range(2))))
    locate_events(str(video), str(tmp_path / "out"), load_event_model(root, "events"), batch_size=2)
    record = json.loads((tmp_path / "out" / "events.json").read_text())
    assert len(record["event_probability"]) == 10  # the last is half a second
    np.testing.assert_allclose(record["event_probability"][:8], event.flatten(), atol=1e-4)
    assert np.ptp(record["event_probability"]) > 0.01


def test_a_batch_goes_on_when_one_fails_and_says_so_in_a_line_each(root: str, video: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(video.read_bytes())
    (folder / "broken.mp4").write_text("no video at all")
    code, said, err = earshot(
        "events", str(folder), f"{tmp_path}/gone.mp4", "--root", root, "--out", str(out), "-q", "--batch", "2"
    )
    assert code == 1, err
    lines = [line for line in err.splitlines() if line.startswith("earshot:")]
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        f"{folder}/broken.mp4", f"{tmp_path}/gone.mp4"
    ]  # fmt: skip
    first, last = said.splitlines()
    assert first.startswith(f"{folder}/a.mp4: 9.5 s; ")
    assert last.startswith("events: 2 of 3 failed; ")
    assert "times real time" in last
    assert [path.name for path in out.iterdir()] == ["a"]
    record = json.loads((out / "a" / "events.json").read_text())
    assert all(set(event) == {"start_s", "end_s", "category", "confidence"} for event in record["events"])
    assert {event["category"] for event in record["events"]} <= set(CATEGORIES)
    with Image.open(out / "a" / "timeline.png") as picture:
        assert picture.format == "PNG"


def test_what_is_there_is_kept_unless_asked(root: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text("mine")
    arguments = ("events", str(video), "--root", root, "--out", str(tmp_path), "-q")
    code, _, err = earshot(*arguments)
    assert (code, "is there already. Give --overwrite" in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["events.json"]
    assert earshot(*arguments, "--overwrite")[0] == 0
    assert json.loads((tmp_path / "events.json").read_text())["duration_s"] == pytest.approx(9.5, abs=0.03)


def test_without_a_model_one_line_says_how_to_get_one(root: str, video: Path, tmp_path: Path) -> None:
    events = ("events", str(video), "--out", f"{tmp_path}/out")
    for options in ((), ("--root", f"{tmp_path}/nowhere"), ("--root", root, "--model", "other")):
        code, _, err = earshot(*events, *options)
        assert code == 2
        assert "`earshot demo --system events --root my_demo` trains one" in err
        assert err.count("\n") == 1
    code, _, err = earshot(*events, "--root", root, "--model", "coincidence")
    assert (code, "a model of coincidence, expected one of events" in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []


def test_published_features_and_features_of_other_towers_are_refused(tmp_path: Path) -> None:
    published = workspace_with_events(tmp_path / "published", source="ave")
    with pytest.raises(ConfigError, match="published features features/events/coincidence, which cannot be made"):
        load_event_model(published.root, "events")
    other = workspace_with_events(tmp_path / "other")
    other.finish("models/coincidence", content="trained again")
    with pytest.raises(ConfigError, match="was made with another models/coincidence than there is now"):
        load_event_model(other.root, "events")
