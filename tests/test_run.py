"""The jobs, whole: every stage on a small world through Ray, then again; and what bad input gets."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import webdataset
from conftest import World

from jobs.cli import COMMANDS
from jobs.console.scoring_while_cutting import score_while_cutting
from jobs.console.session import open_session
from jobs.run import run
from pipeline.errors import ConfigError
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.reports import EXAMPLES
from tests.helpers.command import earshot
from tests.helpers.readers import open_with_each

SMALL = [
    "clips.base.clip_s=2",
    "clips.base.frame_height=32",
    "clips.base.frame_width=32",
    "collecting.videos_per_part=6",
    "coincidence.training.num_steps=4",
    "coincidence.training.batch_size=4",
    "coincidence.training.validate_every=2",
    "coincidence.matching.num_steps=5",
    "coincidence.matching.num_batches=2",
    "separation.training.num_steps=2",
    "separation.training.batch_size=2",
    "separation.training.validate_every=1",
    "separation.mixtures.crop_frames=1",
    "separation.audio_training.num_steps=2",
    "separation.audio_training.batch_size=2",
    "separation.audio_training.validate_every=1",
    "separation.calibration.num_examples=4",
    "mixing.max_clips_per_video=1",
]


@pytest.fixture(scope="module")
def finished(world: World, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace after `earshot run` with labels, trained in this process, each stage's parts on one worker."""
    root = tmp_path_factory.mktemp("run")
    session = open_session(str(root), "tiny", SMALL, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.placement.num_workers", lambda needs: 1)  # each of a pool imports torch, for 4 s
        run(session, world.collection, [str(world.folder / "labels.csv")], workers=0)
    return session.workspace


def test_every_video_has_a_row_and_every_kept_clip_decodes_with_plain_webdataset(finished: Workspace) -> None:
    assert query(finished, "SELECT count(*) AS n FROM videos").to_pylist() == [{"n": 12}]
    kept = {row["clip_id"] for row in finished.read_all("clips/base", CLIPS).to_pylist() if row["outcome"] == "kept"}
    found = set()
    for part in finished.parts("clips/base"):
        for sample in webdataset.WebDataset(finished.tar_uri("clips/base", part), shardshuffle=False):
            waveform, rate_hz = soundfile.read(io.BytesIO(sample["flac"]))
            assert (len(waveform), rate_hz) == (32_000, 16_000)
            assert sample["0.jpg"][:2] == b"\xff\xd8"
            found.add(sample["__key__"])
    assert found == kept


def test_every_table_is_opened_by_pandas_polars_duckdb_and_pyarrow_as_a_folder(finished: Workspace) -> None:
    names = sorted(path.name for path in Path(finished.uri("tables")).iterdir())
    assert len(names) == 13  # duplicates and materialized, which the preset does not make, are opened in test_docs.py
    for name in names:
        rows = query(finished, f"FROM {name}")
        for tool, found in open_with_each(finished.uri("tables", name)).items():
            assert (len(found), set(found.column_names)) == (len(rows), set(rows.column_names)), (name, tool)


def test_every_view_answers(finished: Workspace) -> None:
    views = [
        "videos",
        "clips",
        "scores",
        "labels",
        "selections",
        "mixtures",
        "examples",
        "sources",
        "summary",
        "training",
        "usage",
    ]
    counts = {view: query(finished, f"SELECT count(*) AS n FROM {view}").to_pylist()[0]["n"] for view in views}
    assert all(counts.values()), counts
    assert counts["clips"] == 12 * 4  # starts at 0, 1, 2 and 3 s of 5 s
    assert counts["selections"] == counts["clips"]
    assert counts["sources"] == counts["examples"] * 4
    usage = query(
        finished, "SELECT stage, count(*) AS n, min(cpu_s) > 0 AS measured FROM usage GROUP BY ALL"
    ).to_pylist()
    parts = {"shard-base": 2, "score-coincidence": 2, "label": 2, "survey-default": 2, "filter-default": 2}
    assert {row["stage"]: row["n"] for row in usage if row["stage"] in parts} == parts
    assert all(row["measured"] for row in usage)


def test_evaluation_only_sees_test_videos(finished: Workspace, world: World) -> None:
    sql = (
        "SELECT DISTINCT video_id FROM mixtures JOIN clips ON clip_id IN (first_clip_id, sound_clip_id, second_clip_id)"
    )
    assert {row["video_id"] for row in query(finished, sql).to_pylist()} <= set(world.video_ids["test"])


def test_a_second_run_schedules_no_work_and_says_so(
    finished: Workspace, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("work was scheduled")

    monkeypatch.setattr(
        "cluster.placement.num_workers", refuse
    )  # whoever maps a part asks for it, however it was imported
    monkeypatch.setattr("cluster.training.fit", refuse)
    before = digest(finished)
    run(open_session(finished.root), world.collection, [str(world.folder / "labels.csv")], workers=0)
    assert digest(finished) == before
    assert capsys.readouterr().out.count("nothing to do") == 10


@pytest.mark.parametrize("setting", ["separation.phase=audio", "separation.audio_from=sounds"])
def test_what_run_cannot_train_is_refused_before_any_work(setting: str, world: World, tmp_path: Path) -> None:
    session = open_session(str(tmp_path / "new"), "tiny", [setting])
    with pytest.raises(ConfigError, match="run trains both phases on its selection"):
        run(session, world.collection, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_streaming_scores_what_has_no_scores_with_a_trained_model_and_nothing_without(
    finished: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = open_session(finished.root)
    with score_while_cutting(session) as cutting:
        assert cutting.follow is not None
        assert sorted(cutting.follow.done) == finished.parts("scores/coincidence")
        with pytest.raises(ConfigError, match="scores"), score_while_cutting(session):
            pass  # another command may not score meanwhile
    untrained = open_session(str(tmp_path / "new"))
    with score_while_cutting(untrained) as cutting:
        assert cutting is untrained
    assert "clips are scored once it is trained" in capsys.readouterr().out


def test_a_separator_of_sound_alone_has_no_report(finished: Workspace) -> None:
    code, out, err = earshot("evaluate", "--root", finished.root)
    assert code == 0, err
    assert "evaluate separation: nothing to do" in out
    assert "separator" not in out
    assert finished.names("reports") == ["coincidence/-", "separation/default"]


def test_a_lost_part_is_made_again_with_the_same_rows(finished: Workspace, world: World) -> None:
    folder = "examples/separation/default"
    part = finished.parts(folder)[0]
    before = finished.read(folder, part, EXAMPLES)
    os.remove(finished.part_uri(folder, part))
    stage = Path(finished.record_uri("reports/separation/default"))
    record = json.loads(stage.read_text())
    del record["finished"]
    stage.write_text(json.dumps(record))
    run(open_session(finished.root), world.collection, [str(world.folder / "labels.csv")], workers=0)
    assert finished.read(folder, part, EXAMPLES).equals(before)


def test_other_settings_on_a_finished_root_are_refused(finished: Workspace, world: World) -> None:
    code, _, err = earshot(
        "shard", "--root", finished.root, "--collection", world.collection, "--set", "clips.base.hop_s=2"
    )
    assert code == 2
    assert "clips.base.hop_s: 1.0 there, 2.0 asked for" in err
    assert open_session(finished.root).config.clips.base.hop_s == 1  # the refused setting was not remembered


def test_settings_said_for_one_command_are_not_remembered(finished: Workspace) -> None:
    code, out, err = earshot("filter", "--root", finished.root, "--name", "strict", "--set", "filtering.min_score=0.99")
    assert code == 0, err
    assert "low_score" in out
    assert open_session(finished.root).config.filtering.min_score == 0


def test_a_named_selection_keeps_its_settings_until_others_are_given(finished: Workspace) -> None:
    select = ["filter", "--root", finished.root, "--name", "capped"]
    assert earshot(*select, "--set", "filtering.top_clips=3", "--set", "filtering.keep_fraction=1")[0] == 0
    code, out, err = earshot(*select)
    assert code == 0, err
    assert "nothing to do, every clip is decided" in out
    code, out, err = earshot("materialize", "--root", finished.root, "--selection", "capped")
    assert code == 0, err
    assert "materialize: 3 clips in" in out
    code, _, err = earshot(*select, "--set", "filtering.top_clips=4")
    assert code == 2
    assert "other settings or inputs (filtering.top_clips: 3 there, 4 asked for)." in err


def test_a_label_file_of_other_videos_leaves_no_trace(finished: Workspace, tmp_path: Path) -> None:
    votes = tmp_path / "votes.csv"
    votes.write_text("video,on_screen,off_screen\nunknown.mp4,1,0\n")
    code, _, err = earshot("label", "--root", finished.root, "--labels", str(votes))
    assert code == 2
    assert "`unknown.mp4` is not in" in err


def test_a_join_keeps_both_columns_of_one_name(finished: Workspace) -> None:
    code, out, _ = earshot("query", "--root", finished.root, "SELECT * FROM clips JOIN scores USING (clip_id) LIMIT 2")
    assert code == 0
    assert "video_id_1" in out


def test_a_coincidence_model_cannot_separate(finished: Workspace, tmp_path: Path) -> None:
    video = tmp_path / "x.mp4"
    arguments = ["separate", str(video), "--root", finished.root, "--out", str(tmp_path), "--model", "coincidence"]
    code, _, err = earshot(*arguments)
    assert (code, f"{video}: no such file" in err) == (2, True), err
    video.touch()
    code, _, err = earshot(*arguments)
    assert (code, "a model of coincidence, expected one of separation" in err) == (2, True), err


def test_a_root_that_is_the_collection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    code, _, err = earshot("shard", "--root", str(tmp_path), "--collection", str(tmp_path))
    assert (code, "is the root too" in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--root", "R", "--collection", "nowhere"], "collection nowhere: found nothing. Expected a folder"),
        (["run", "--root", "R", "--collection", "."], "collection .: no files there"),
        (
            ["shard", "--root", "/dev/null/x", "--collection", str(Path(__file__).parent)],
            "root /dev/null/x: cannot be written to",
        ),
        (
            ["shard", "--root", "R", "--collection", ".", "--preset", "huge"],
            "--preset huge: expected one of tiny, small, base",
        ),
        (
            ["shard", "--root", "R", "--collection", ".", "--set", "clips.base.hops=1"],
            "Did you mean clips.base.hop_s?",
        ),
        (["train", "coincidence", "--root", "R"], "Run `earshot shard"),
        (
            ["train", "coincidence", "--root", "R", "--address", "ray://head:10001"],
            "but nothing is trained. Send the command as a job, `ray job submit",
        ),
        (["score", "--root", "R"], "Run `earshot shard"),
        (["filter", "--root", "R"], "Run `earshot score"),
        (["duplicates", "--root", "R"], "Run `earshot score"),
        (["materialize", "--root", "R"], "Run `earshot filter"),
        (["mix", "--root", "R"], "Run `earshot filter"),
        (["evaluate", "--root", "R"], "Run `earshot train"),
        (["query", "--root", "R", "SELECT 1"], "no Earshot workspace there"),
        (["shard", "--root", "R"], "Missing option '--collection'"),
        (["shard", "--root", "R", "--collection", ".", "--seed", "-1"], "--seed"),
        (
            ["shard", "--root", "R", "--collection", ".", "--set", "sharding.min_rms_db=nan"],
            "nan: expected a number",
        ),
        (["shard", "--root", "R", "--collection", ".", "--set", "coincidence.model.width=1"], "expected the same"),
        (["filter", "--root", "R", "--name", "../../evil"], "name '../../evil': expected"),
        (["run", "--root", "R", "--collection", ".", "--labels", "votes.csv"], "labels file votes.csv: no such file"),
        (["run", "--root", "R", "--collection", ".", "--system", "events"], "no spans. Give --spans FILE"),
        (["run", "--root", "R", "--collection", ".", "--system", "segmentation"], "no masks. Give --masks FOLDER"),
        (["run", "--root", "R", "--collection", ".", "--masks", "pngs"], "pngs"),
        (
            ["run", "--root", "R", "--collection", ".", "--system", "lipreading", "--stream"],
            "--stream is for systems on top of a coincidence model",
        ),
        (
            ["run", "--root", "R", "--collection", ".", "--system", "lipreading", "--set", "lipreading.task=words"],
            "lipreading.task = words: run trains it without labels",
        ),
        (["run", "--root", "R", "--collection", ".", "--system", "event"], "Did you mean events?"),
        (["run", "--root", "R", "--collection", ".", "--spans", "x.csv"], "spans file x.csv: no such file"),
        (
            ["demo", "--root", "R", "--system", "event"],
            "--system event: expected one of separation, events, segmentation, lipreading",
        ),
        (["plan", "--collection", ".", "--sample", "0"], "--sample"),
        (["settings", "filter"], "earshot settings filter: no such field. Expected one of collecting, clips,"),
        (["filter", "--root", "R", "--model", "nope"], "Run `earshot score --model nope --root"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = earshot(*arguments)
    assert (code, message in err) == (2, True), err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_is_read_and_written_with_an_example(command: str) -> None:
    code, out, _ = earshot(command, "--help")
    assert code == 0
    assert "Writes" in out
    assert f"Example: earshot {command}" in out


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.storage.workspace.open_workspace", interrupt)
    code, _, err = earshot("query", "--root", str(tmp_path), "SELECT 1")
    assert (code, err) == (130, "earshot: stopped. The same command goes on from here.\n")


def test_the_installed_command_ends_with_the_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "query", "--root", "R", "SELECT 1"]
    path = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | path, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("earshot: root R: no Earshot workspace there.")


def test_sql_and_the_report_wait_for_neither_torch_nor_ray(tmp_path: Path) -> None:
    imports = "import sys, jobs.cli, jobs.query, jobs.report; from pipeline.reports.querying import tables; tables()"
    program = f"{imports}; print(*sorted({{'torch', 'ray'}} & sys.modules.keys()))"
    path = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | path, timeout=120)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_settings_are_listed_as_set_takes_them_with_their_meaning(finished: Workspace) -> None:
    code, out, err = earshot("settings", "coincidence.training", "--root", finished.root)
    assert code == 0, err
    assert "coincidence.training.num_steps=4\n    " in out
    assert "filtering" not in out


def digest(workspace: Workspace) -> dict[str, tuple[int, float]]:
    """Size and time of change of every file but the page and the locks, which each run writes again."""
    files = (path for path in Path(workspace.root).rglob("*") if path.is_file() and path.suffix != ".html")
    files = (path for path in files if not {".locks", "logs"} & set(path.parts))
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in files}
