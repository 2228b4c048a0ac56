"""A run goes on with the clips that it began with, and a model says what it is and what it has learned from."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.console.progress import progress_bar
from jobs.console.session import Session, open_session
from jobs.train import train_model
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import begun_with, describe
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext
from tests.helpers.clips import load_split
from tests.helpers.line_learner import FOLDER, Interrupted, LineLearner, curve, run

SETTINGS = [
    *(f"coincidence.model.{field}" for field in ("frame_size=32", "embedding_dim=16")),
    *(f"coincidence.training.{field}" for field in ("num_steps=2", "batch_size=3", "validate_every=1")),
    *("coincidence.matching.num_batches=1", "coincidence.matching.num_steps=2", "separation.first_separator=none"),
    "separation.first_model=none",
]


def sets(workspace: Workspace) -> list[ClipSet]:
    return [load_split(workspace, split, SplittingConfig()) for split in ("train", "validate")]


def of(clips: ClipSet, rows: pa.Table) -> ClipSet:
    return ClipSet(clips._workspace, CLIPS_FOLDER, rows)


@pytest.mark.parametrize("change", ["fewer", "reordered", "other validation"])
def test_a_checkpoint_goes_on_with_no_other_clips_than_its_own(workspace: Workspace, change: str) -> None:
    with pytest.raises(Interrupted):
        run(workspace, LineLearner(fail_at=5))
    clips, held_out = sets(workspace)
    if change == "other validation":
        held_out = of(held_out, held_out.rows.slice(1))
    else:
        rows = clips.rows.slice(0, 12) if change == "fewer" else clips.rows.take(list(range(len(clips)))[::-1])
        clips = of(clips, rows)
    now = f"{len(clips)} clips of {clips.num_videos} videos \\(train, .*{len(held_out)} clips of 3 videos \\(validate"
    with pytest.raises(ConfigError, match=f"has learned from 20 clips of 5 videos .*; there are {now}.*another model"):
        train(LineLearner(), clips, held_out, workspace, FOLDER, 0, LocalContext())


def test_a_fingerprint_is_of_the_rows_and_not_of_how_they_are_stored(workspace: Workspace) -> None:
    clips, _ = sets(workspace)
    whole = describe(clips)
    assert (whole["num_clips"], whole["num_videos"]) == (20, 5)
    chunks = pa.concat_tables([clips.rows.slice(0, 7), clips.rows.slice(7)])
    assert describe(of(clips, chunks)) == whole
    moved = clips.rows.set_column(3, "tar_offset", pa.array([0] * len(clips)))  # cut again by another ffmpeg
    assert describe(of(clips, moved)) == whole
    labels = [pa.array(["a", None] * 10), pa.array([None, "a"] * 10)]
    assert len({str(describe(of(clips, clips.rows.append_column("label", label)))) for label in labels}) == 2


def test_a_model_is_named_by_its_bytes_which_other_clips_change(workspace: Workspace) -> None:
    for name in ("a", "b"):
        run(workspace, LineLearner(), f"models/{name}")
    clips, held_out = sets(workspace)
    workspace.begin("models/c", workspace.stage("models/a")["settings"], {})
    fewer = of(clips, clips.rows.slice(0, 16))
    train(LineLearner(), fewer, held_out, workspace, "models/c", 0, LocalContext())
    a, b, c = (workspace.stage(f"models/{name}") for name in "abc")
    assert a["content"] == b["content"] != c["content"]
    assert a["hash"] == c["hash"]  # the config alone
    data = files.read_bytes(workspace.uri("models/a", "model.pt"))
    assert a["content"] == hashlib.sha256(data).hexdigest()[:12]
    assert (a["clips"]["train"]["num_videos"], c["clips"]["train"]["num_videos"]) == (5, 4)


def test_all_figures_of_a_model_are_of_its_best_step_and_of_its_own_last_word(workspace: Workspace) -> None:
    class Speaking(LineLearner):
        def conclude(self, *arguments: object) -> dict[str, float]:
            return {"word": 7.0}

    # validation asks for the opposite of what training teaches: the first weights that are validated are the best
    run(workspace, Speaking(dropout=0.0, sign=-1.0))
    first = {f"{row['split']}_{row['metric']}": row["value"] for row in curve(workspace) if row["step"] == 3}
    stage = workspace.stage(FOLDER)
    assert (stage["step"], stage["best_step"], stage["figures"]) == (11, 3, first)
    assert first["validate_word"] == 7.0


def part_files(workspace: Workspace) -> list[str]:
    """Those of the second part of clips."""
    return [
        workspace.part_uri(CLIPS_FOLDER, "00001"),
        workspace.tar_uri(CLIPS_FOLDER, "00001"),
        workspace.part_uri(VIDEOS_FOLDER, "00001"),
    ]


def test_a_part_that_a_run_began_with_and_that_is_gone_is_named(workspace: Workspace) -> None:
    assert begun_with(workspace, FOLDER, CLIPS_FOLDER) == ["00000", "00001"]
    files.delete(part_files(workspace)[0])
    with pytest.raises(ConfigError, match=r"began with part 00001, which is no longer in .*/clips/spec=base"):
        begun_with(workspace, FOLDER, CLIPS_FOLDER)


@pytest.fixture
def session(workspace: Workspace) -> Session:
    workspace.begin(CLIPS_FOLDER, {}, {})
    return open_session(workspace.root, "tiny", SETTINGS)


def test_what_was_added_meanwhile_is_left_to_another_model_and_that_is_said(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = session.workspace
    added = {uri: files.read_bytes(uri) for uri in part_files(workspace)}
    for uri in added:
        files.delete(uri)
    begun_with(workspace, "models/m", CLIPS_FOLDER)  # as a run does that is then killed
    for uri, data in added.items():
        files.commit_bytes(uri, data)
    for name in ("m", "m", "all"):
        train_model(session, "coincidence", name, None, workers=0)
    output = capsys.readouterr().out.splitlines()
    beside = "on 1 of the 2 parts there are now (--name trains another on all)"
    assert output[0] == f"train coincidence: begun {beside}"
    assert output[1].startswith(f"train coincidence: 2 steps {beside}, ")
    assert output[2] == f"train coincidence: nothing to do, it is trained {beside} -> {workspace.uri('models/m')}"
    assert "there are now" not in output[3]
    assert len(output) == 4
    assert workspace.stage("models/m")["clips"]["validate"]["num_videos"] == 1  # of the first part
    assert workspace.stage("models/all")["clips"]["validate"]["num_videos"] == 3


def test_a_separation_model_asks_for_the_trained_towers_before_it_claims_a_folder(session: Session) -> None:
    settings = [*SETTINGS[:-1], "separation.model.towers.frame_size=32", "separation.model.towers.embedding_dim=16"]
    other = open_session(session.workspace.root, "tiny", settings)
    for folder in ("selections/s", "models/coincidence"):
        session.workspace.begin(folder, {"learner": "coincidence"}, {})
    files.commit_bytes(session.workspace.part_uri("selections/s", "00000"), b"")
    with pytest.raises(ConfigError, match="models/coincidence: not trained yet"):
        train_model(other, "separation", "separation", "s", workers=0)
    assert not session.workspace.has_stage("models/separation")


def test_steps_of_an_earlier_run_do_not_count_for_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("jobs.console.progress.time.monotonic", lambda: now_s[0])
    with progress_bar("train", 1000) as advance:
        now_s[0] = 5.0
        advance(900, "", are_new=False)
        now_s[0] = 25.0  # ten steps in 20 s
        advance(10, "loss 1")
    assert capsys.readouterr().err == "train: 0 of 1000\ntrain: 910 of 1000, 180 s to go; loss 1\n"


def test_the_parts_file_names_parts_and_no_path(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "root"))
    files.commit_bytes(workspace.record_uri("models/m", "parts"), b'["../../outside"]')
    with pytest.raises(ConfigError, match="no longer in"):
        begun_with(workspace, "models/m", CLIPS_FOLDER)
