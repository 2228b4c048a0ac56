"""The events learner on features that hold what there is to find."""

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, DataError
from pipeline.features.feature_samples import FeatureClip
from pipeline.learners.event_objectives import BACKGROUND, UNKNOWN, decide
from pipeline.learners.event_probe import ProbeConfig
from pipeline.learners.events import EventsLearner, EventsLearnerConfig
from pipeline.losses.cpsp import NO_CATEGORY
from pipeline.metrics.segments import segment_accuracy
from pipeline.models.psp import PSPConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.protocols import LocalContext, TrainingConfig
from tests.helpers.event_clips import AUDIO_DIM, CATEGORIES, NUM_CELLS, NUM_SEGMENTS, SIZES, VISUAL_DIM, event_clips
from tests.helpers.two_workers import WorkerContext, Workers

MODEL = PSPConfig(embedding_dim=16, segment_dim=12, lstm_dim=8, attention_dim=16, map_dim=8, joint_dim=16, dropout=0.0)
CONFIG = EventsLearnerConfig(
    model=MODEL,
    training=TrainingConfig(num_steps=4, batch_size=32, learning_rate=0.01, warmup_steps=0),
    **SIZES,
)


def variant(**changes: Any) -> EventsLearner:
    return EventsLearner(dataclasses.replace(CONFIG, **changes))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(str(tmp_path_factory.mktemp("events")))


@pytest.fixture(scope="module")
def clips(workspace: Workspace) -> ClipSet[FeatureClip]:
    return event_clips(workspace, 128)


@pytest.fixture(scope="module")
def held_out(workspace: Workspace) -> ClipSet[FeatureClip]:
    return event_clips(workspace, 64, seed=1)


def trained(learner: EventsLearner, clips: ClipSet[FeatureClip], num_steps: int) -> torch.nn.Module:
    torch.manual_seed(0)
    model = learner.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(num_steps):
        optimiser.zero_grad()
        learner.loss(model, learner.batch(clips, step_rng(0, step), 32, slice(None), True))["loss"].backward()
        optimiser.step()
    return model.eval()


def accuracies(learner: EventsLearner, model: torch.nn.Module, clips: ClipSet[FeatureClip]) -> tuple[float, float]:
    """Of segments, and the share of them that always saying background gets."""
    batch = learner.batch(clips, step_rng(0, 0), len(clips), slice(None), False)
    with torch.no_grad():
        decided, _ = decide(*learner.predict(model, batch))
    truth = batch["labels"].numpy()
    return segment_accuracy(truth, decided.numpy()).of(), float((truth == BACKGROUND).mean())


@pytest.mark.parametrize("head", ["separate", "joint"])
def test_full_labels_teach_which_second_holds_what(
    head: str, clips: ClipSet[FeatureClip], held_out: ClipSet[FeatureClip]
) -> None:
    learner = variant(model=dataclasses.replace(MODEL, head=head))
    found, background = accuracies(learner, trained(learner, clips, 90), held_out)
    assert background < 0.7
    assert found > 0.9


def test_tags_alone_teach_categories_and_segments_are_not_looked_at(
    clips: ClipSet[FeatureClip], held_out: ClipSet[FeatureClip]
) -> None:
    learner = variant(supervision="weak")
    model = trained(learner, clips, 40)
    batch = learner.batch(held_out, step_rng(0, 0), 64, slice(None), False)
    with torch.no_grad():
        _, category = learner.predict(model, batch)
    has_tag = batch["tag"] != NO_CATEGORY
    assert (category[has_tag, 0].argmax(dim=1) == batch["tag"][has_tag]).float().mean() > 0.9
    hidden = batch | {"labels": torch.full_like(batch["labels"], 2)}
    one, other = (learner.loss(model, given) for given in (batch, hidden))
    assert one["loss"] == other["loss"]


def test_without_labels_the_network_learns_and_the_probe_finds_events_in_it(
    workspace: Workspace, held_out: ClipSet[FeatureClip]
) -> None:
    clips = event_clips(workspace, 128, seed=2, unlabelled=64)
    learner = variant(supervision="self", probe=ProbeConfig(weight_decay=1e-3))
    before = learner.loss(trained(learner, clips, 0), learner.batch(held_out, step_rng(0, 0), 64, slice(None), False))
    model = trained(learner, clips, 30)
    after = learner.loss(model, learner.batch(held_out, step_rng(0, 0), 64, slice(None), False))
    assert after["loss"] < before["loss"] - 0.3
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    figures = learner.conclude(model, clips, held_out, 0, LocalContext())
    assert figures.keys() == {"segment_accuracy", "category_accuracy"}
    found, background = accuracies(learner, model, held_out)
    assert found == pytest.approx(figures["segment_accuracy"])
    assert found > background + 0.15
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])}
    assert changed == {"head.event.weight", "head.event.bias", "head.category.weight", "head.category.bias"}
    assert learner.conclude(model, clips, held_out, 0, LocalContext()) == figures


def test_the_probe_learns_from_labelled_clips_alone_and_from_no_more_than_it_is_to(workspace: Workspace) -> None:
    clips = event_clips(workspace, 128, seed=2, unlabelled=64)
    learner = variant(supervision="self", probe=ProbeConfig(max_clips=20))
    model = trained(learner, clips, 0)
    fused, labels, tag = learner._fused(model, clips, 0, LocalContext())
    assert (len(fused), labels.shape, len(tag)) == (20, (20, NUM_SEGMENTS), 20)
    assert not torch.equal(learner._fused(model, clips, 1, LocalContext())[1], labels)
    every = variant(supervision="self")._fused(model, clips, 0, LocalContext())
    assert len(every[0]) == 64


def test_another_supervision_is_over_after_the_last_step(clips: ClipSet[FeatureClip]) -> None:
    learner = variant()
    model = learner.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert learner.conclude(model, clips, clips, 0, LocalContext()) == {}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- batches ---


def test_a_batch_has_features_labels_and_tags_of_its_clips(clips: ClipSet[FeatureClip]) -> None:
    learner = variant()
    batch = learner.batch(clips, step_rng(0, 3), 16, slice(None), True)
    numbers = clips.draw(step_rng(0, 3), 16)
    assert batch["visual"].shape == (16, NUM_SEGMENTS, NUM_CELLS, VISUAL_DIM)
    assert batch["audio"].shape == (16, NUM_SEGMENTS, AUDIO_DIM)
    assert batch["visual"].dtype == batch["audio"].dtype == torch.float16
    for row, number in enumerate(numbers):
        clip, facts = clips.read(number), clips.rows.slice(int(number), 1).to_pylist()[0]
        np.testing.assert_array_equal(batch["visual"][row], clip.visual)
        np.testing.assert_array_equal(batch["audio"][row], clip.audio)
        names = [None if label == BACKGROUND else CATEGORIES[label] for label in batch["labels"][row].tolist()]
        assert names == facts["categories"]
        tag = int(batch["tag"][row])
        assert (None if tag == NO_CATEGORY else CATEGORIES[tag]) == facts["tag"]


def test_a_category_that_training_has_not_is_an_event_of_no_category(clips: ClipSet[FeatureClip]) -> None:
    whole, fewer = variant(), variant(categories=CATEGORIES[1:])
    one, other = (learner.batch(clips, step_rng(0, 0), 32, slice(None), True) for learner in (whole, fewer))
    assert (one["tag"] == 0).any()
    for name, missing in (("labels", UNKNOWN), ("tag", NO_CATEGORY)):
        expected = torch.where(one[name] == 0, missing, torch.where(one[name] > 0, one[name] - 1, one[name]))
        assert torch.equal(other[name], expected)
    assert fewer.loss(fewer.model(), other)["loss"].isfinite()


def test_two_workers_compute_the_loss_of_one_with_the_whole_batch(clips: ClipSet[FeatureClip]) -> None:
    for supervision in ("full", "weak", "self"):
        learner, workers = variant(supervision=supervision), Workers()
        model = learner.model()
        whole = learner.loss(model, learner.batch(clips, step_rng(0, 0), 15, slice(None), True))
        found: dict[int, dict[str, torch.Tensor]] = {}

        def work(rank: int, supervision: str = supervision, model: Any = model, workers: Workers = workers) -> None:
            mine = variant(supervision=supervision)
            mine.begin(WorkerContext(rank, workers))
            with torch.no_grad():
                found[rank] = mine.loss(model, mine.batch(clips, step_rng(0, 0), 15, slice(rank, None, 2), True))  # noqa: B023

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for rank in range(2):
            assert found[rank].keys() == whole.keys()
            for name, value in whole.items():
                torch.testing.assert_close(found[rank][name], value.detach(), msg=f"{supervision} {name}")


# --- settings ---


def test_thresholds_are_the_published_ones_for_ten_segments_and_just_below_an_even_share_for_others() -> None:
    for supervision, expected in (("full", 0.099), ("weak", 0.095), ("self", 0.099)):
        ten = dataclasses.replace(CONFIG, supervision=supervision, num_segments=10)
        assert ten.threshold == pytest.approx(expected)
        assert dataclasses.replace(ten, num_segments=5).threshold == pytest.approx(2 * expected)
    own = dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, threshold=0.3))
    assert own.threshold == 0.3
    assert EventsLearner(own).model().propagation.threshold == 0.3


def test_only_weak_labels_give_a_joint_head_weights_of_segments() -> None:
    joint = dataclasses.replace(MODEL, head="joint")
    assert variant(model=joint).model().head.weight is None
    assert variant(model=joint, supervision="weak").model().head.weight is not None
    with pytest.raises(ConfigError, match=r"model.head = joint: expected separate with supervision = self"):
        variant(model=joint, supervision="self")


def test_a_model_without_categories_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"events.categories: none"):
        variant(categories=()).model()


def test_features_of_another_shape_are_refused(clips: ClipSet[FeatureClip]) -> None:
    with pytest.raises(ConfigError, match=r"features of 6 x 5 x 8 x 7 .* the model is for 6 x 5 x 9 x 7"):
        variant(visual_dim=9).batch(clips, step_rng(0, 0), 4, slice(None), True)


def test_labels_of_another_number_of_segments_are_refused(workspace: Workspace) -> None:
    clips = event_clips(workspace, 8, seed=3)
    shorter = [names[:-1] for names in clips.rows["categories"].to_pylist()]
    index = clips.rows.column_names.index("categories")
    clips.rows = clips.rows.set_column(index, "categories", [shorter])
    with pytest.raises(DataError, match="labels of 5 segments, expected 6"):
        variant().batch(clips, step_rng(0, 0), 4, slice(None), True)


def test_the_published_sizes_are_the_default() -> None:
    config = EventsLearnerConfig()
    assert (config.num_segments, config.num_cells, config.visual_dim, config.audio_dim) == (10, 49, 512, 128)
    training = config.training
    assert (training.batch_size, training.clip_norm, training.learning_rate) == (64, 0.1, 1e-3)
