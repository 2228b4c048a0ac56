"""The separation learner: what a recipe mixes, which loss reaches what, and what any model's rows must obey."""

import dataclasses
import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.hashing import as_dict
from pipeline.learners.separation import SeparationLearner
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.losses.mixit import best_assignment
from pipeline.losses.source_regularisers import covariance_loss, sparsity_loss
from pipeline.models.onscreen_classifier import OnScreenOutput
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage.workspace import Workspace
from tests.helpers.two_workers import WorkerContext, Workers

RATE_HZ = 16000
SEPARATION = SeparationLearnerConfig(
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
        towers=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    ),
)


def separation(**changes: object) -> SeparationLearner:
    return SeparationLearner(dataclasses.replace(SEPARATION, **changes))


# --- losses ---


def tiny_batch(singles: list[bool], on_screen: list[bool]) -> dict[str, torch.Tensor]:
    """Noise, two seconds of it."""
    generator = torch.Generator().manual_seed(1)
    references = 0.1 * torch.randn(len(singles), 2, 2 * RATE_HZ, generator=generator)
    single = torch.tensor(singles)
    references[single, 1] = 0
    frames = torch.rand(len(singles), 2, 2, 3, 32, 32, generator=generator)
    video = torch.arange(2 * len(singles)).unflatten(0, (-1, 2))
    video[single, 1] = -1
    both = torch.tensor([[on, True] for on in on_screen])
    weight = ~single / (~single).float().mean().clamp(min=1 / len(singles))
    return {"references": references, "mom_weight": weight, "frames": frames, "video": video, "on_screen": both}


def test_a_single_mixture_has_no_separation_loss_and_sends_no_gradient_of_it() -> None:
    torch.manual_seed(0)
    learner = separation()
    model = learner.model()
    parts = learner.loss(model, tiny_batch([True, True], [True, False]))
    assert parts["separation_db"] == 0
    parts["separation_db"].backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    parts["classification"].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.classifier.parameters())


def test_single_mixtures_do_not_change_the_separation_loss_of_the_others() -> None:
    torch.manual_seed(0)
    learner = separation()
    model = learner.model().eval()
    batch = tiny_batch([False, True, False], [True, True, False])
    others = {name: value[torch.tensor([0, 2])] for name, value in batch.items()}
    others["mom_weight"] = torch.ones(2)
    together, apart = (learner.loss(model, part)["separation_db"] for part in (batch, others))
    assert together.item() == pytest.approx(apart.item(), abs=1e-4)
    assert -60 <= apart.item() <= 6.1


@pytest.mark.parametrize("kind", ["exact", "multiple_instance", "active_combinations"])
def test_off_screen_examples_teach_that_no_source_is_on_screen(kind: str) -> None:
    torch.manual_seed(0)
    learner = separation(cross_entropy=kind)
    model = learner.model().eval()
    batch = tiny_batch([False, True], [False, False])
    parts = learner.loss(model, batch)
    logits = model(batch["references"].sum(dim=1), batch["frames"][:, 0]).logits
    # all labels are 0: the sum over sources of -log(1 - p), whichever the cross-entropy
    expected = torch.nn.functional.softplus(logits).sum(dim=1).mean()
    assert parts["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("weigh_by_power", "expected"), [(False, 2 + 1), (True, 2 * 0.2 + 1 * 1.8)])
def test_a_verdict_counts_by_its_sources_share_of_the_power_where_that_is_asked_for(
    weigh_by_power: bool, expected: float
) -> None:
    torch.manual_seed(0)
    learner = separation(weigh_by_power=weigh_by_power)
    model = learner.model().eval()
    sources = torch.tensor([0.1, 0.3])[None, :, None].expand(1, 2, 1000)  # powers of 1 to 9: 0.2 and 1.8 of their mean
    logits = torch.tensor([[math.log(3), 0.0]])  # -log(1 - p) of p = 3/4 and 1/2, in log 2: 2 and 1
    model.separate = lambda *_: sources
    model.classifier.judge = lambda *_: OnScreenOutput(logits, torch.empty(0))
    batch = tiny_batch([True], [False]) | {"references": sources}
    parts = learner.loss(model, batch)
    assert parts["classification"].item() == pytest.approx(expected * math.log(2), rel=1e-5)


def test_a_single_on_screen_mixture_teaches_that_every_source_is_on_screen() -> None:
    torch.manual_seed(0)
    learner = separation(cross_entropy="exact")
    model = learner.model().eval()
    batch = tiny_batch([True], [True])
    logits = model(batch["references"].sum(dim=1), batch["frames"][:, 0]).logits
    expected = torch.nn.functional.softplus(-logits).sum()
    assert learner.loss(model, batch)["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_is_separation_plus_weighted_classification() -> None:
    torch.manual_seed(0)
    learner = separation(classification_weight=2.5)
    parts = learner.loss(learner.model(), tiny_batch([False, True], [True, False]))
    expected = parts["separation_db"] + 2.5 * parts["classification"]
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_sources_are_judged_against_both_videos_where_that_is_asked_for() -> None:
    torch.manual_seed(0)
    learner = separation(cross_entropy="exact", judge_both=True)
    model = learner.model().eval()
    batch = tiny_batch([False, True], [True, False])
    outputs = [model(batch["references"].sum(dim=1), batch["frames"][:, side]) for side in (0, 1)]
    given = best_assignment(batch["references"], outputs[0].sources)[0]
    softplus = torch.nn.functional.softplus
    first = torch.where(given[0] > 0.5, softplus(-outputs[0].logits[0]), softplus(outputs[0].logits[0])).sum()
    second = torch.where(given[1] > 0.5, softplus(-outputs[1].logits[0]), softplus(outputs[1].logits[0])).sum()
    single = softplus(outputs[0].logits[1]).sum()  # off screen, and there is no second video
    expected = ((first + single) / 2 + second) / 2
    assert learner.loss(model, batch)["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_two_workers_have_the_loss_of_one_however_the_mixtures_of_mixtures_divide() -> None:
    torch.manual_seed(0)
    changes = {"judge_both": True, "contrast_weight": 0.5, "weigh_by_power": True, "cross_entropy": "exact"}
    model = separation(**changes).model().eval()  # batch norm in training shows rows those of their worker
    batch = tiny_batch([False, True, False, True, True], [True, True, False, False, True])
    whole = separation(**changes).loss(model, batch)
    workers, parts, shares = Workers(), {}, {0: 3 / 5, 1: 2 / 5}

    def work(rank: int) -> None:
        learner = separation(**changes)
        learner.begin(WorkerContext(rank, workers))
        with torch.no_grad():
            parts[rank] = learner.loss(model, {name: value[rank::2] for name, value in batch.items()})

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, value in whole.items():
        together = sum(shares[rank] * parts[rank][name].item() for rank in (0, 1))
        assert together == pytest.approx(value.item(), rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize(("name", "regulariser"), [("sparsity", sparsity_loss), ("covariance", covariance_loss)])
def test_a_regulariser_of_the_sources_counts_by_its_weight(name: str, regulariser: Callable) -> None:
    torch.manual_seed(0)
    learner = separation(phase="audio", **{f"{name}_weight": 2.5})
    model = learner.model().eval()
    batch = tiny_batch([False, False], [True, True])
    parts = learner.loss(model, {key: batch[key] for key in ("references", "mom_weight")})
    expected = regulariser(model.separate(batch["references"].sum(dim=1))).mean()
    assert parts[name].item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts["loss"].item() == pytest.approx((parts["separation_db"] + 2.5 * expected).item(), rel=1e-5)


def test_the_model_that_training_starts_from_lends_its_weights_and_not_its_calibration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    workspace = Workspace(str(tmp_path))
    before = separation().model()
    before.classifier.calibrate(4.0, -2.0, 0.5)
    workspace.begin("models/old", {"learner": "separation", "separation": as_dict(SEPARATION)}, {})
    weights = Path(workspace.uri("models/old", "model.pt"))
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": before.state_dict()}, weights)
    workspace.finish("models/old")
    learner = separation(start_from="old")
    model = learner.model()
    learner.initialise(model, workspace)
    assert torch.equal(model.mask.weight, before.mask.weight)
    assert model.classifier.calibration.tolist() == [1.0, 0.0, 0.0]


def test_phase_audio_reads_no_frame_and_moves_the_separator_alone() -> None:
    torch.manual_seed(0)
    learner = separation(phase="audio")
    model = learner.model()
    batch = tiny_batch([False, False], [True, True])
    parts = learner.loss(model, {name: batch[name] for name in ("references", "mom_weight")})
    assert parts["loss"] == parts["separation_db"]
    parts["loss"].backward()
    moved = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert "classifier" not in moved
    assert {"tdcn", "mask"} <= moved
