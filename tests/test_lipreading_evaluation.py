"""Evaluation of lip reading: figures of rows beside chance; a model that reads lips exactly, and one that does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.lipreading_evaluation import LipreadingEvaluation
from pipeline.evaluation.utterance_rows import Utterances
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.utterances import UTTERANCES
from schemas.videos import VIDEOS
from tests.helpers.spoken_clips import ReadingLearner, spoken_clip

METRICS = {
    *("short_sound_recall_at_1", "short_lips_recall_at_1", "short_chance"),
    *("long_sound_recall_at_1", "long_lips_recall_at_1", "long_chance", "offset_found", "offset_chance"),
    *("identity_probe", "identity_chance", "modality_probe", "lips_verification_eer", "speech_verification_eer"),
}


def evaluation(folder: Path, rows: list[dict[str, Any]]) -> LipreadingEvaluation:
    """The evaluation of a model `m` whose rows are there already."""
    workspace = Workspace(str(folder))
    workspace.begin("models/m", {"learner": "lipreading", "splitting": SplittingConfig()}, {})
    workspace.commit("utterances/m/-", "00000", from_rows(rows, UTTERANCES, "here"), UTTERANCES)
    return LipreadingEvaluation(workspace, "m")


def figures(found: LipreadingEvaluation) -> dict[str, dict[str, Any]]:
    rows = found.summarise()
    assert {row["eval_set"] for row in rows} == {"test"}
    return {row["metric"]: dict(row) for row in rows}


def judged(noise: float = 0.0, num_videos: int = 40, **facts: Any) -> list[dict[str, Any]]:
    """Rows of two clips of each of some videos."""
    clips = [spoken_clip(f"v{video:02d}", number, **facts) for video in range(num_videos) for number in (1, 2)]
    return Utterances(ReadingLearner(noise), nn.Linear(1, 1), [clips[::2]], 0).rows(clips)


def test_a_model_that_reads_lips_exactly_finds_every_sound_and_offset(tmp_path: Path) -> None:
    rows = judged()
    for row in rows:
        row["sound_s"] = 1.5
    found = figures(evaluation(tmp_path, rows))
    assert set(found) == METRICS
    for metric in ("short_sound_recall_at_1", "short_lips_recall_at_1"):
        assert (found[metric]["value"], found[metric]["n"], found[metric]["num_videos"]) == (1.0, 800, 40)
        assert (found[metric]["low"], found[metric]["high"]) == (1.0, 1.0)
    for metric in ("long_sound_recall_at_1", "long_lips_recall_at_1", "offset_found"):
        assert (found[metric]["value"], found[metric]["n"]) == (1.0, 80)
    assert found["short_chance"]["value"] == pytest.approx(0.1)
    assert found["long_chance"]["value"] == pytest.approx(1 / 32)
    assert found["modality_probe"]["value"] < 0.65  # lips and speech are the same: 0.5 but for noise of 160 examples


def test_a_model_that_sees_noise_is_at_chance(tmp_path: Path) -> None:
    found = figures(evaluation(tmp_path, judged(noise=1.0)))
    assert found["short_sound_recall_at_1"]["value"] == pytest.approx(0.1, abs=0.04)
    assert found["long_sound_recall_at_1"]["value"] == pytest.approx(1 / 32, abs=0.06)
    for metric in ("lips_verification_eer", "speech_verification_eer"):
        assert found[metric]["value"] == pytest.approx(0.5, abs=0.15)


def row_of(video: str, number: int, **values: Any) -> dict[str, Any]:
    """A row of a clip: everything is second, and found 80 ms beside."""
    ranks = {"rank_short": [2] * 10, "rank_short_lips": [2] * 10, "rank_long": 2, "rank_long_lips": 2, "num_long": 32}
    offset = {"planted_ms": 0.0, "found_ms": 80.0, "confidence": 0.1, "sound_s": 2.0}
    embeddings = {name: [1.0, 0.0] for name in ("lips_mean", "speech_mean", "lips_step", "speech_step")}
    return {"clip_id": f"{video}_{number}", "video_id": video} | ranks | offset | embeddings | values


def test_figures_are_shares_of_windows_of_clips_and_of_clips_with_a_second_of_sound(tmp_path: Path) -> None:
    rows = [
        row_of("a", 0, rank_short=[1] * 4 + [2] * 6, rank_long=1, found_ms=-40.0),
        row_of("a", 1, rank_short_lips=[1] * 5 + [7] * 5, rank_long_lips=1, num_long=8),
        row_of("b", 0, found_ms=40.0, sound_s=0.96),
        row_of("b", 1, planted_ms=400.0, found_ms=360.0),
    ]
    found = {metric: (row["value"], row["n"]) for metric, row in figures(evaluation(tmp_path, rows)).items()}
    assert found["short_sound_recall_at_1"] == pytest.approx((0.1, 40))
    assert found["short_lips_recall_at_1"] == pytest.approx((0.125, 40))
    assert found["long_sound_recall_at_1"] == found["long_lips_recall_at_1"] == (0.25, 4)
    assert found["long_chance"][0] == pytest.approx((3 / 32 + 1 / 8) / 4)
    assert found["offset_found"] == pytest.approx((2 / 3, 3))  # the third clip is too quiet
    assert found["offset_chance"][0] == pytest.approx((3 + 3 + 2) / 21 / 3)  # beside 400 ms there is one neighbour


def test_identity_is_read_from_embeddings_that_name_it_and_not_from_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(240):
        who, kind = number % 4, np.eye(6)[number % 4]
        noise = 0.1 * rng.standard_normal((2, 6))
        lips, speech = kind + noise[0], noise[1]
        rows.append(
            row_of(
                f"v{number:03d}",
                0,
                speaker=f"s{who}",
                lips_mean=lips.tolist(),
                speech_mean=speech.tolist(),
                lips_step=lips.tolist(),
                speech_step=(-lips).tolist(),
            )
        )
    found = figures(evaluation(tmp_path, rows))
    assert found["identity_probe"]["value"] > 0.98
    assert found["identity_chance"]["value"] == pytest.approx(0.25)
    assert found["lips_verification_eer"]["value"] < 0.02
    assert found["speech_verification_eer"]["value"] == pytest.approx(0.5, abs=0.08)
    assert found["modality_probe"]["value"] > 0.98
    assert found["identity_probe"]["num_videos"] == 240
    assert found["lips_verification_eer"]["low"] <= found["lips_verification_eer"]["value"]


def test_without_a_clip_no_figure_has_a_value(tmp_path: Path) -> None:
    found = figures(evaluation(tmp_path, []))
    assert set(found) == METRICS
    assert {(row["value"], row["n"], row["low"]) for row in found.values()} == {(None, 0, None)}


def test_a_test_video_with_an_upload_in_another_split_is_left_out(tmp_path: Path) -> None:
    rows = [row_of("a", 0, rank_long=1), row_of("b", 0)]
    found = evaluation(tmp_path, rows)
    workspace, before = found.workspace, found.facts()
    facts: dict[str, Any] = {
        "group_id": "g",
        "split": "test",
        "bridged_groups": None,
        "can_represent": True,
        "linked_video_ids": ["x"],
    }
    facts |= {"like_video_id": "x", "shared_fraction": 1.0}
    videos = [{"video_id": video, "uri": video, "split": split} for video, split in (("a", "test"), ("c", "train"))]
    known = {field.name: None for field in VIDEOS if field.nullable}
    blank = {
        field.name: {"string": "", "int64": 0, "int32": 0, "double": 0.0, "bool": False}.get(str(field.type))
        for field in VIDEOS
        if not field.nullable
    }
    workspace.commit(
        "videos/speech", "00000", from_rows([blank | known | video for video in videos], VIDEOS, "here"), VIDEOS
    )
    uploads = [facts | {"video_id": video} for video in ("a", "c")]
    workspace.commit("duplicates/s", "00000", from_rows(uploads, DUPLICATES, "here"), DUPLICATES)
    summary = figures(found)
    assert summary["long_sound_recall_at_1"]["n"] == 1
    assert summary["long_sound_recall_at_1"]["value"] == 0.0
    assert found.facts() != before


def test_every_headline_is_a_figure_beside_chance(tmp_path: Path) -> None:
    found = figures(evaluation(tmp_path, judged(num_videos=8)))
    values = {metric: row["value"] for metric, row in found.items()}
    for headline in LipreadingEvaluation.headlines:
        assert headline.metric in values or headline.eval_set == "validation"
        baseline = headline.baseline(values) if callable(headline.baseline) else headline.baseline
        assert baseline is not None
        assert 0 < baseline <= 0.5
    assert set(LipreadingEvaluation.columns) == METRICS
