"""Evaluation of masks: the figures of a set beside AVSBench's own evaluation, trivial masks and other sounds."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.frame_rows import frame_rows
from pipeline.evaluation.mask_evaluation import MaskEvaluation
from pipeline.masks.masked_clips import MaskedClip
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.frames import FRAMES
from tests.helpers.official_masks import official_f, official_iou

SETS = ("test", "muted", "swapped", "empty_mask", "full_mask", "ellipse")
METRICS = ("miou", "official_miou", "f", "official_f")
SHARE = 0.3


def clip_rows(number: int, masks: np.ndarray, logits: np.ndarray, sound: str = "own") -> list[dict[str, Any]]:
    """Rows of a clip of its own video, whose frames all have masks; the model's scores are sigmoids of the logits."""
    facts = {"video_id": f"v{number}", "frame_times_s": [k + 0.5 for k in range(len(masks))]}
    frames, waveform = np.zeros((len(masks), 3, *masks.shape[1:]), np.uint8), np.zeros(4, np.float32)
    clip = MaskedClip(f"v{number}_0", frames, waveform, masks, np.ones(len(masks), bool), facts)
    return frame_rows(clip, torch.sigmoid(torch.from_numpy(logits)).numpy(), sound, clip.key, SHARE)


def random_clips(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Masks and logits [count, 3, 12, 10]; in some frames nothing sounds."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 3, 12, 10)) < rng.random((count, 3, 1, 1))
    masks[rng.random((count, 3)) < 0.25] = False
    return masks, (3 * rng.standard_normal(masks.shape) + 2 * masks - 1).astype(np.float32)


def evaluation(folder: Path, *parts: list[list[dict[str, Any]]]) -> MaskEvaluation:
    """The evaluation of a model `m` whose rows are there already: of each part its clips'."""
    workspace = Workspace(str(folder))
    workspace.begin("models/m", {"learner": "segmentation", "splitting": SplittingConfig()}, {})
    for number, clips in enumerate(parts):
        rows = list(itertools.chain.from_iterable(clips))
        workspace.commit("frames/m/-", f"{number:05d}", from_rows(rows, FRAMES, "here"), FRAMES)
    return MaskEvaluation(workspace, "m")


def figures(found: MaskEvaluation) -> dict[tuple[str, str], float | None]:
    return {(row["eval_set"], row["metric"]): row["value"] for row in found.summarise()}


def test_official_figures_are_those_of_avsbench_in_batches_of_four_clips_as_listed(tmp_path: Path) -> None:
    masks, logits = random_clips(9)
    clips = [clip_rows(number, masks[number], logits[number]) for number in range(9)]
    found = figures(evaluation(tmp_path, clips[:3], clips[3:]))
    batches = [slice(0, 4), slice(4, 8), slice(8, 9)]
    for metric, official in (("official_miou", official_iou), ("official_f", official_f)):
        values = [
            official(*(torch.from_numpy(of[batch].reshape(-1, 12, 10)) for of in (logits, masks))) for batch in batches
        ]
        assert found["test", metric] == pytest.approx(np.mean(values), abs=1e-6)
    everything = [torch.from_numpy(of.reshape(-1, 12, 10)) for of in (logits, masks)]
    assert found["test", "miou"] == pytest.approx(official_iou(*everything), abs=1e-6)
    assert found["test", "f"] == pytest.approx(official_f(*everything), abs=1e-6)


def test_the_order_of_clips_moves_official_figures_alone(tmp_path: Path) -> None:
    masks, logits = random_clips(9)
    clips = [clip_rows(number, masks[number], logits[number]) for number in range(9)]
    found = figures(evaluation(tmp_path / "listed", clips))
    turned = figures(evaluation(tmp_path / "turned", clips[5:], clips[:5]))
    for name in SETS[3:] + SETS[:1]:
        assert turned[name, "miou"] == pytest.approx(found[name, "miou"], abs=1e-9)
        assert turned[name, "f"] == pytest.approx(found[name, "f"], abs=1e-6)
    for metric in ("official_miou", "official_f"):
        assert abs(turned["test", metric] - found["test", metric]) > 1e-5


def test_each_sound_and_each_trivial_mask_is_a_set_of_the_same_frames(tmp_path: Path) -> None:
    masks = np.zeros((6, 2, 10, 10), bool)
    masks[:, 0, :5] = True  # half of each first frame sounds, and nothing in the second
    right = np.where(masks, 9, -9).astype(np.float32)
    nothing = np.full_like(right, -9)
    clips = [
        clip_rows(number, masks[number], logits[number], sound)
        for number in range(6)
        for sound, logits in (("own", right), ("muted", nothing), ("swapped", -right))
    ]
    found = evaluation(tmp_path, clips).summarise()
    assert [(row["eval_set"], row["metric"]) for row in found] == [
        (name, metric) for name in SETS for metric in METRICS
    ]
    of = {(row["eval_set"], row["metric"]): row for row in found}
    miou = {name: of[name, "miou"]["value"] for name in SETS}
    expected = {"test": 1, "muted": 1 / 2, "swapped": 0, "empty_mask": 1 / 2, "full_mask": 1 / 4}
    assert {name: miou[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    whole = 1.3 * 0.5 / (0.3 * 0.5 + 1)
    floor = {name: of[name, "f"]["value"] for name in ("muted", "swapped", "empty_mask", "full_mask")}
    assert floor == pytest.approx(dict.fromkeys(floor, whole))
    assert of["test", "f"]["value"] == pytest.approx(1)
    for name in SETS:
        assert (of[name, "miou"]["n"], of[name, "f"]["n"]) == (12, 6)
        assert of[name, "miou"]["num_videos"] == of[name, "f"]["num_videos"] == 6
        assert of[name, "official_miou"]["low"] is None
    assert of["muted", "miou"]["low"] == of["muted", "miou"]["high"] == pytest.approx(1 / 2)  # the same in each video


def test_without_a_test_clip_with_a_mask_no_figure_has_a_value(tmp_path: Path) -> None:
    found = evaluation(tmp_path, []).summarise()
    assert {(row["eval_set"], row["metric"]) for row in found} == set(itertools.product(SETS, METRICS))
    assert {(row["value"], row["n"], row["low"]) for row in found} == {(None, 0, None)}
