"""Evaluation of masks: the figures of a set beside AVSBench's own evaluation, trivial masks and other sounds."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.frame_rows import frame_rows
from pipeline.evaluation.mask_evaluation import MaskEvaluation
from pipeline.hashing import as_dict
from pipeline.learners.loading import load_model
from pipeline.learners.segmentation import SegmentationLearner, SegmentationLearnerConfig
from pipeline.learners.sources import load_sets
from pipeline.masks.masked_clips import MaskedClip
from pipeline.models.avs import AVSConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.reports.headline_metrics import list_figures
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_splits
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.frames import FRAMES
from schemas.videos import VIDEOS
from tests.helpers.masks import write_masked_world
from tests.helpers.official_masks import official_f, official_iou

SETS = ("test", "muted", "swapped", "empty_mask", "full_mask", "ellipse")
METRICS = ("miou", "official_miou", "f", "official_f")
SHARE = 0.3
TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
NETWORK = AVSConfig(backbone="plain", frame_size=32, channels=8, inter_channels=8, audio="tower", towers=TOWERS)


def clip_rows(number: int, masks: np.ndarray, logits: np.ndarray, sound: str = "own") -> list[dict[str, Any]]:
    """Rows of a clip of its own video, whose frames all have masks; the model's scores are sigmoids of the logits."""
    facts = {"video_id": f"v{number}", "frame_times_s": [k + 0.5 for k in range(len(masks))]}
    frames, waveform = np.zeros((len(masks), 3, *masks.shape[1:]), np.uint8), np.zeros(4, np.float32)
    clip = MaskedClip(f"v{number}_0", frames, waveform, masks, np.ones(len(masks), bool), facts)
    return frame_rows(clip, torch.sigmoid(torch.from_numpy(logits)).numpy(), sound, clip.key, SHARE)


def random_clips(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Masks and logits [count, 2, 12, 10]; in some frames nothing sounds."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 2, 12, 10)) < rng.random((count, 2, 1, 1))
    masks[rng.random((count, 2)) < 0.25] = False
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


def test_headlines_stand_beside_the_best_trivial_mask_and_beside_another_sound(tmp_path: Path) -> None:
    masks = np.zeros((4, 1, 10, 10), bool)
    masks[:, :, :, :4] = True
    half = np.where(masks & (np.arange(10) < 2), 9, -9).astype(np.float32)
    clips = [
        clip_rows(number, masks[number], logits[number], sound)
        for number in range(4)
        for sound, logits in (("own", half), ("muted", -half), ("swapped", np.full_like(half, -9)))
    ]
    summary = [row | {"model": "m", "mixtures": "-"} for row in evaluation(tmp_path, clips).summarise()]
    stage = {"stage": "models/m", "settings": {"learner": "segmentation"}}
    best = max(row["value"] for row in summary if row["metric"] == "miou" and row["eval_set"] in SETS[3:])
    shown = [(figure.value, figure.baseline) for figure in list_figures(summary, [stage])]
    assert shown[:2] == [pytest.approx((0.5, best)), pytest.approx((0.5, 0))]
    assert best > 0.39  # the whole picture
    whole = 1.3 * 0.4 / (0.3 * 0.4 + 1)
    assert shown[2][0] == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))  # P 1, R 1/2
    assert shown[2][1] >= whole
    assert shown[3:] == [pytest.approx(shown[0]), pytest.approx(shown[2])]  # one batch: official and not are the same


def test_without_a_test_clip_with_a_mask_no_figure_has_a_value(tmp_path: Path) -> None:
    found = evaluation(tmp_path, []).summarise()
    assert {(row["eval_set"], row["metric"]) for row in found} == set(itertools.product(SETS, METRICS))
    assert {(row["value"], row["n"], row["low"]) for row in found} == {(None, 0, None)}


@pytest.fixture
def trained(workspace: Workspace) -> Workspace:
    """Two parts of masked clips, the second without masks, and a small model `m` of random weights.

    Of four videos one is for training, and the others for tests.
    """
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        rows = [row | {"split": "test" if number % 4 else "train"} for number, row in enumerate(rows)]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
    write_masked_world(workspace)
    last = workspace.parts(MASKS_FOLDER)[-1]
    Path(workspace.part_uri(MASKS_FOLDER, last)).unlink()
    config = SegmentationLearnerConfig(model=NETWORK, first_model=None)
    record = {"learner": "segmentation", "segmentation": config, "splitting": as_dict(SplittingConfig())}
    workspace.begin("models/m", record, {})
    torch.manual_seed(0)
    network = SegmentationLearner(config).model()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # far from an even answer
    with files.building(workspace.uri("models/m", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": network.state_dict()}, file)
    workspace.finish("models/m", content="m")
    return workspace


def test_each_frame_with_a_mask_is_judged_as_the_model_judges_its_clip_alone_with_each_sound(
    trained: Workspace,
) -> None:
    found = MaskEvaluation(trained, "m", seed=3)
    parts = trained.parts("clips/segmentation")
    assert found.pending() == parts[:-1]  # the last one waits for masks
    rows = [row for part in found.pending() for row in found.evaluate(part)["frames"]]
    learner, network = load_model(trained, "m", "segmentation")
    settings = trained.stage("models/m")["settings"]
    (test,) = load_sets(trained, learner, settings, ("test",), parts[:-1])
    clips = {clip.key: clip for clip in test.read_many(range(len(test)))}
    assert test.num_videos >= 3
    (lent,) = load_splits(trained, ("test",), SplittingConfig(), parts, "segmentation")
    sounds = {clip.key: clip.waveform for clip in lent.read_many(range(len(lent)))}
    assert [(row["clip_id"], row["sound"], row["frame"]) for row in rows] == [
        (clip.key, sound, frame)
        for clip in clips.values()
        for sound in ("own", "muted", "swapped")
        for frame in np.flatnonzero(clip.mask_valid)
    ]
    for row in rows:
        clip, other = clips[row["clip_id"]], row["sound_clip_id"]
        waveform = np.zeros_like(clip.waveform) if other is None else sounds[other]
        assert {"own": other == clip.key, "muted": other is None, "swapped": other != clip.key}[row["sound"]]
        frames = torch.from_numpy(clip.frames)[None].float() / 255
        with torch.inference_mode():
            scores = learner.predict(network, frames, torch.from_numpy(waveform)[None])[0, row["frame"]].numpy()
        stored = np.asarray(Image.open(io.BytesIO(row["predicted_mask"])))
        assert (stored != (scores > 0.5)).mean() < 0.01  # a batch rounds otherwise than one clip
        assert row["area"] == clip.masks[row["frame"]].sum()
    partners = {row["clip_id"]: row["sound_clip_id"] for row in rows if row["sound"] == "swapped"}
    assert len(set(partners.values())) > 1
    swapped_again = MaskEvaluation(trained, "m", seed=4).evaluate(parts[0])["frames"]
    assert partners != {row["clip_id"]: row["sound_clip_id"] for row in swapped_again if row["sound"] == "swapped"}


def test_the_ellipse_is_as_large_as_masks_of_training_videos_in_which_something_sounds(trained: Workspace) -> None:
    found = MaskEvaluation(trained, "m")
    (row, *_) = found.evaluate(found.pending()[0])["frames"]
    # squares of 10 pixels a side, in frames of 32 pixels
    assert row["ellipse"] / row["pixels"] == pytest.approx(100 / 1024, abs=0.02)


def test_what_is_seen_changes_when_masks_come_later(trained: Workspace) -> None:
    found = MaskEvaluation(trained, "m")
    before = found.facts()
    write_masked_world(trained)
    assert found.facts() != before
    assert found.pending() == trained.parts("clips/segmentation")


def test_a_test_video_with_an_upload_in_another_split_is_left_out(trained: Workspace) -> None:
    found = MaskEvaluation(trained, "m")
    for part in found.pending():
        found(part)
    rows, before = trained.read_all("frames/m/-", FRAMES).to_pylist(), found.facts()
    videos = trained.read_all(VIDEOS_FOLDER, VIDEOS, ["video_id", "split"]).to_pylist()
    torn = rows[0]["video_id"]
    facts = {"group_id": "g", "split": "test", "bridged_groups": None, "can_represent": True, "linked_video_ids": ["x"]}
    facts |= {"like_video_id": "x", "shared_fraction": 1.0}
    train = next(row["video_id"] for row in videos if row["split"] == "train")
    uploads = [facts | {"video_id": video} for video in (torn, train)]
    trained.commit("duplicates/s", "00000", from_rows(uploads, DUPLICATES, "here"), DUPLICATES)
    left = [row for row in rows if row["video_id"] != torn and row["sound"] == "own"]
    summary = {(row["eval_set"], row["metric"]): row for row in found.summarise()}
    assert summary["test", "miou"]["n"] == summary["ellipse", "official_miou"]["n"] == len(left)
    assert summary["test", "miou"]["value"] == pytest.approx(np.mean([row["iou"] for row in left]))
    assert found.facts() != before  # so that the summary is made again
