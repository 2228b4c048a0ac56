"""`earshot segment`: several videos at once, what the model is given, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MakeMedia
from PIL import Image

from jobs.console.segmentation_model import load_segmentation_model
from pipeline.learners.loading import load_model
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot
from tests.helpers.films import H264, LAVFI
from tests.helpers.segmentation_models import SPEC, workspace_with_segmentation


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return workspace_with_segmentation(tmp_path_factory.mktemp("segmentation") / "workspace").root


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """3.5 s of a test picture, and noise."""
    sources = (*LAVFI, "testsrc2=s=64x48:r=10:d=3.5", *LAVFI, "anoisesrc=d=3.5:r=44100:a=0.3:seed=1")
    return make_media("noise_of_three.mp4", *sources, *H264)


def test_several_videos_have_a_folder_each_and_one_that_fails_is_named(root: str, video: Path, tmp_path: Path) -> None:
    broken, out = tmp_path / "broken.mp4", tmp_path / "out"
    broken.write_bytes(b"no video")
    given = ("segment", str(video), str(broken), "--root", root, "--out", str(out), "-q")
    code, said, err = earshot(*given)
    assert code == 1, err
    assert [line for line in err.splitlines() if str(broken) in line]
    first, last = said.splitlines()
    assert first.startswith(f"{video}: 3.5 s; ")
    assert last.startswith("segment: 1 of 2 failed; 3 masks of 3.5 s of video in ")
    folder = out / video.stem
    assert sorted(path.name for path in (folder / "masks").iterdir()) == ["1500.png", "2500.png", "500.png"]
    rows = json.loads((folder / "masks.json").read_text())["frames"]
    assert [row["time_s"] for row in rows] == [0.5, 1.5, 2.5]
    with Image.open(folder / "masks" / "500.png") as mask:
        assert mask.size == (64, 48)
    assert not (out / "broken").exists()
    code, _, err = earshot(*given)
    assert (code, "--overwrite" in err) == (2, True)
    assert earshot(*given, "--overwrite")[0] == 1


def test_the_model_is_given_pixels_between_0_and_1_and_gives_probabilities(root: str) -> None:
    _, network = load_model(Workspace(root), "segmentation", "segmentation")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (1, 2, 3, 32, 32), dtype=np.uint8)
    sound = 0.1 * rng.normal(size=(1, 32_000)).astype(np.float32)
    found = load_segmentation_model(root, "segmentation").predict(frames, sound)
    with torch.inference_mode():
        logits = network(torch.from_numpy(frames) / 255, torch.from_numpy(sound)).logits
    np.testing.assert_allclose(found, torch.sigmoid(logits), rtol=0, atol=1e-6)
    assert np.ptp(found) > 0.01


def test_a_model_of_published_clips_is_given_frames_as_they_are_stored(tmp_path: Path, root: str) -> None:
    published = workspace_with_segmentation(tmp_path / "workspace", is_published=True).root
    found = [load_segmentation_model(each, "segmentation") for each in (root, published)]
    assert [(model.spec, model.jpeg_quality) for model in found] == [(SPEC, 80), (SPEC, 95)]


def test_without_a_model_it_says_how_to_get_one(video: Path, tmp_path: Path) -> None:
    code, _, err = earshot("segment", str(video), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "segment needs a model" in err
    assert "earshot demo --system segmentation" in err
