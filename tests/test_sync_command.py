"""`earshot sync`: several videos at once, where the score from which a face speaks comes from, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from jobs.console.lipreading_model import load_sync_model
from jobs.world import TALKING_HEADS
from pipeline.errors import ConfigError
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import WorldConfig
from pipeline.synthetic.rendering import render_scene
from tests.helpers.command import earshot
from tests.helpers.films import H264, LAVFI
from tests.helpers.lipreading_models import add_model, workspace_with_lipreading
from tests.helpers.mouths import write_speech_world


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return workspace_with_lipreading(tmp_path_factory.mktemp("lipreading") / "workspace").root


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.6 s of two people who speak in turns."""
    fields = TALKING_HEADS | {"two_faces_fraction": 1.0, "silent_face_fraction": 0.0, "webm_fraction": 0.0}
    config = WorldConfig(num_videos=1, duration_s=1.6, **fields)
    return render_scene(config, 0, tmp_path_factory.mktemp("talk"))


def test_several_videos_have_a_folder_each_and_one_without_a_face_or_a_sound_is_named(
    root: str, talk: Path, make_media: MakeMedia, tmp_path: Path
) -> None:
    noise = (*LAVFI, "anoisesrc=d=1.5:r=16000:a=0.3:seed=1")
    faceless = make_media("faceless.mp4", *LAVFI, "color=steelblue:s=128x96:r=25:d=1.5", *noise, *H264)
    mute = make_media("mute_talk.mp4", "-i", str(talk), "-an", "-c:v", "copy")
    out = tmp_path / "out"
    given = ("sync", str(talk), str(faceless), str(mute), "--root", root, "--out", str(out), "--min-score", "0.2", "-q")
    code, said, err = earshot(*given)
    assert code == 1, err
    named = {path: [line for line in err.splitlines() if str(path) in line] for path in (faceless, mute)}
    assert "no_face: no face was found" in named[faceless][0]
    assert "no_audio: " in named[mute][0]
    first, last = said.splitlines()
    assert first.startswith(f"{talk}: 1.6 s; 2 faces: 0 at ")
    assert last.startswith("sync: 2 of 3 failed; 2 faces in 1.6 s of video, followed in ")
    record = json.loads((out / talk.stem / "sync.json").read_text())
    assert [track["track"] for track in record["tracks"]] == [0, 1]
    assert all(track["end_s"] - track["start_s"] > 1.4 for track in record["tracks"])
    assert [set(second["scores"]) for second in record["seconds"][:1]] == [{"0", "1"}]
    assert record["min_score"] == 0.2
    assert {path.name for path in (out / talk.stem).iterdir()} == {"sync.json", "boxes.mp4"}
    assert not (out / "faceless").exists()
    code, _, err = earshot(*given)
    assert (code, "--overwrite" in err) == (2, True)


def test_the_score_from_which_a_face_speaks_is_taken_from_validation_clips(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace_with_lipreading(tmp_path / "trained").root
    write_speech_world(workspace, load_sync_model(root, "lipreading", 0.5).spec)
    for folder in ("clips/speech", "tables"):
        shutil.copytree(workspace.uri(folder), Path(root) / folder, dirs_exist_ok=True)
    found = load_sync_model(root, "lipreading", None)
    assert found.min_score != 0.5
    assert f"sync: a face of a score of {found.min_score:.3f} or more speaks" in capsys.readouterr().out
    assert load_sync_model(root, "lipreading", None).min_score == found.min_score


def test_the_model_is_given_mouths_and_sound_as_its_learner_takes_them(root: str) -> None:
    rng = np.random.default_rng(0)
    model = load_sync_model(root, "lipreading", 0.0)
    assert (model.spec.num_frames, model.spec.decode_side, model.jpeg_quality) == (50, 640, 80)
    lips = model.lips(rng.integers(0, 256, (2, 7, 3, 96, 96), dtype=np.uint8))
    speech = model.speech(0.1 * rng.normal(size=(2, 640 * 7 + 240)).astype(np.float32))
    for found in (lips, speech):
        assert found.shape == (2, 7, 8)
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_models_of_words_and_roots_without_clips_or_models_are_refused(root: str, talk: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"0 videos of the validation split .*Give --min-score"):
        load_sync_model(root, "lipreading", None)
    add_model(Workspace(root), "words", task="words", vocabulary=("bell",))
    with pytest.raises(ConfigError, match="a model of words, which does not compare lips with sound"):
        load_sync_model(root, "words", 0.5)
    code, _, err = earshot("sync", str(talk), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "sync needs a model" in err
    assert "earshot demo --system lipreading" in err
