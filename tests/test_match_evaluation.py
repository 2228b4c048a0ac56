"""Evaluation of coincidence: which pairs are compared, and when the summary is made again."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from conftest import World

from jobs.console.presets import preset
from jobs.console.session import Session
from jobs.evaluate import evaluate
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.evaluation.match_evaluation import MatchEvaluation, draw_others
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.scores import SCORES
from schemas.videos import VIDEOS


def write_embeddings(workspace: Workspace, audio: np.ndarray, visual: np.ndarray) -> None:
    """Scores of model `c` for every clip: embeddings by video, in the order of the videos."""
    videos = [row["video_id"] for row in workspace.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()]
    for part in workspace.parts(CLIPS_FOLDER):
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
        places = [videos.index(clip["video_id"]) for clip in clips]
        columns = {
            "clip_id": pa.array([clip["clip_id"] for clip in clips], pa.string()),
            "video_id": pa.array([clip["video_id"] for clip in clips], pa.string()),
            "score": pa.array([0.5] * len(clips), pa.float32()),
            "audio_embedding": pa.array(
                [audio[i].astype(np.float16).astype(np.float32) for i in places], pa.list_(pa.float32())
            ),
            "visual_embedding": pa.array(
                [visual[i].astype(np.float16).astype(np.float32) for i in places], pa.list_(pa.float32())
            ),
        }
        workspace.commit("scores/c", part, pa.table(columns, schema=SCORES), SCORES)


def summarise(workspace: Workspace) -> list[dict]:
    workspace.begin("models/c", {"learner": "coincidence", "splitting": SplittingConfig()}, {})
    return MatchEvaluation(workspace, "c").summarise()


@pytest.mark.parametrize(("sign", "auc"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_own_sounds_that_are_nearer_or_farther_than_others_give_an_area_of_one_or_zero(
    sign: float, auc: float, workspace: Workspace, world: World
) -> None:
    audio = np.eye(12)
    write_embeddings(workspace, audio, sign * audio)
    (row,) = summarise(workspace)
    assert (row["eval_set"], row["metric"]) == ("held_out_pairs", "match_auc")
    assert row["value"] == pytest.approx(auc)
    assert row["n"] == 2 * 4 * len(world.video_ids["test"])  # every test clip, matched and mismatched


def test_where_clips_have_labels_the_score_is_measured_beside_them(workspace: Workspace, world: World) -> None:
    write_embeddings(workspace, np.eye(12), np.eye(12))
    test = world.video_ids["test"]
    for part in workspace.parts(CLIPS_FOLDER):
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
        rows = [
            {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "num_raters": 1, "label_source": "l.csv"}
            | {"label": "on_screen" if clip["video_id"] == test[0] else "off_screen", "static_image": True}
            for clip in clips
            if clip["video_id"] in test
        ]
        workspace.commit(LABELS_FOLDER, part, from_rows(rows, LABELS, part), LABELS)
    workspace.begin(LABELS_FOLDER, {}, {})
    found = {(row["eval_set"], row["metric"]): row for row in summarise(workspace)}
    auc = found["labelled_test", "label_auc"]  # every score is 0.5
    assert (auc["value"], auc["n"], auc["num_videos"]) == (0.5, 4 * len(test), len(test))
    assert found["labelled_test", "refused_static_image_by_score"]["value"] == 0.0
    assert {of for of, _ in found} == {"held_out_pairs", "labelled_test"}


def test_a_test_video_with_an_upload_in_another_split_is_not_evaluated_on(workspace: Workspace, world: World) -> None:
    write_embeddings(workspace, np.eye(12), np.eye(12))
    torn, whole = world.video_ids["test"][:2], world.video_ids["test"][2:]
    groups = {torn[0]: "one", world.video_ids["train"][0]: "one", torn[1]: world.video_ids["validate"][0]}
    groups |= dict.fromkeys(whole, whole[0])  # two uploads of the same content, both test
    facts = {"split": "test", "can_represent": True, "linked_video_ids": ["x"], "like_video_id": "x"}
    facts |= {"shared_fraction": 1.0}
    rows = [facts | {"video_id": video, "group_id": group} for video, group in groups.items()]
    workspace.commit("duplicates/s", "00000", from_rows(rows, DUPLICATES, "here"), DUPLICATES)
    (row,) = summarise(workspace)
    assert row["n"] == 2 * 4 * len(whole)


def test_the_other_sound_is_of_another_video_and_of_each_alike() -> None:
    videos = np.array([0, 2, 0, 1, 0, 2] * 400)
    others = draw_others(videos, np.random.default_rng(0))
    drawn = np.bincount(3 * videos + videos[others], minlength=9).reshape(3, 3) / np.bincount(videos)[:, None]
    assert not drawn.diagonal().any()
    tolerance = 4 * (1 / 4 / np.bincount(videos).min()) ** 0.5
    np.testing.assert_allclose(drawn[~np.eye(3, dtype=bool)], 1 / 2, atol=tolerance)
    # any clip of the other: each video gets half of the draws of the other two, on its own number of clips
    distinct = sum(n * (1 - np.exp(-(2400 - n) / 2 / n)) for n in (1200, 400, 800))
    assert len(np.unique(others)) == pytest.approx(distinct, rel=0.05)


def test_a_summary_is_written_once_all_clips_are_scored_and_again_when_more_is_known(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    session, report = Session(workspace, preset("tiny"), 0), "reports/c/-"
    workspace.begin("models/c", {"learner": "coincidence", "splitting": SplittingConfig()}, {})
    evaluate(session, "c", "default")
    assert "Run `earshot score --model c --root " in capsys.readouterr().out
    write_embeddings(workspace, np.eye(12), np.eye(12))
    files.delete(workspace.part_uri("scores/c", "00001"))
    workspace.begin("scores/c", {}, {"models/c": "one"})
    evaluate(session, "c", "default")
    assert "Run `earshot score --model c --root " in capsys.readouterr().out
    assert not workspace.has_stage(report)

    write_embeddings(workspace, np.eye(12), np.eye(12))
    evaluate(session, "c", "default")
    assert "match_auc 1.000 of 32 (held_out_pairs)" in capsys.readouterr().out
    assert workspace.is_finished(report)
    assert workspace.stage(report)["inputs"] == {"scores/c": workspace.stage("scores/c")["hash"]}
    evaluate(session, "c", "default")
    assert "nothing to do" in capsys.readouterr().out
    group = {
        "group_id": "gone",
        "split": "test",
        "bridged_groups": None,
        "can_represent": True,
        "linked_video_ids": ["gone"],
        "like_video_id": "gone",
        "shared_fraction": 1.0,
    }
    uploads = [{"video_id": name} | group for name in ("gone", "gone_too")]
    workspace.commit("duplicates/s", "00000", from_rows(uploads, DUPLICATES, "00000"), DUPLICATES)
    evaluate(session, "c", "default")
    assert "match_auc 1.000 of 32 (held_out_pairs)" in capsys.readouterr().out

    shutil.rmtree(workspace.table("scores/c"))
    files.delete(workspace.record_uri("scores/c"))
    workspace.begin("scores/c", {}, {"models/c": "trained anew"})
    write_embeddings(workspace, np.eye(12), np.eye(12))
    with pytest.raises(ConfigError, match=r"summary/model=c/mixtures=-: holds work of other"):
        evaluate(session, "c", "default")


def test_one_test_video_has_nothing_to_be_compared_with(workspace: Workspace) -> None:
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = [row | {"split": "train"} for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
    write_embeddings(workspace, np.eye(12), np.eye(12))
    (row,) = summarise(workspace)
    assert (row["value"], row["n"]) == (None, 0)
