"""The learner of lip reading: terms and their weights, windows, what it learns in seconds, settings it refuses."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from pipeline.clip_specs import ClipSpecs
from pipeline.errors import ConfigError
from pipeline.learners.lipreading import LipreadingLearner
from pipeline.learners.lipreading_config import ContrastConfig, LipreadingLearnerConfig
from pipeline.models.adversaries import AdversariesConfig
from pipeline.models.lips import LipReadingConfig
from pipeline.training.protocols import TrainingConfig
from tests.helpers.mouths import draw_mouths
from tests.helpers.two_workers import WorkerContext, Workers

MODEL = LipReadingConfig(frame_size=16, width=0.1, depth=1, step_dim=8, branch_dim=8, clip_dim=8, dropout=0.0)
CONFIG = LipreadingLearnerConfig(
    model=MODEL, training=TrainingConfig(num_steps=10, batch_size=4), num_frames=8, adversaries=AdversariesConfig()
)


def random_batch(learner: LipreadingLearner, num_frames: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return learner.unpack(
        {
            "frames": torch.randint(0, 256, (4, num_frames, 3, 16, 16), generator=generator, dtype=torch.uint8),
            "waveform": 0.1 * torch.randn(4, 640 * num_frames + 240, generator=generator),
            "video": torch.arange(4),
            "masks": torch.zeros(4, 2, dtype=torch.int64),
            "gain_db": torch.zeros(4),
        }
    )


def made(**changes: object) -> tuple[LipreadingLearner, torch.nn.Module]:
    learner = LipreadingLearner(dataclasses.replace(CONFIG, **changes))
    torch.manual_seed(0)
    return learner, learner.model()


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    learner, model = made(
        contrast=ContrastConfig(short_weight=0.5, long_weight=2.0),
        adversaries=AdversariesConfig(identity_weight=3.0, modality_weight=0.25),
    )
    terms = learner.loss(model, random_batch(learner))
    expected = 0.5 * terms["short"] + 2 * terms["long"] + 3 * terms["identity"] + 0.25 * terms["modality"]
    torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize("missing", ["short", "long", "identity", "modality"])
def test_a_weight_of_0_takes_its_term_out_whole(missing: str) -> None:
    contrast = {f"{name}_weight": float(name != missing) for name in ("short", "long")}
    adversaries = {f"{name}_weight": float(name != missing) for name in ("identity", "modality")}
    learner, model = made(contrast=ContrastConfig(**contrast), adversaries=AdversariesConfig(**adversaries))
    terms = learner.loss(model, random_batch(learner))
    assert terms.keys() == {"loss", "short", "long", "identity", "modality"} - {missing}
    terms["loss"].backward()
    names = {name for name, _ in model.named_parameters()}
    if missing == "long":
        assert not [name for name in names if "tcn" in name]
    elif missing != "short":
        assert not [name for name in names if name.startswith(f"adversaries.{missing}")]
    # whatever is there learns
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_validation_compares_by_contrast_alone() -> None:
    learner, model = made()
    terms = learner.loss(model.eval(), random_batch(learner, num_frames=20))
    assert terms.keys() == {"loss", "short", "long", "short_recall", "long_recall"}
    torch.testing.assert_close(terms["loss"], terms["short"] + terms["long"])


def test_an_adversary_misleads_the_encoders_and_leaves_their_lambda_to_say_how_much() -> None:
    gradients = {}
    for strength in (0.0, 0.5, 1.0):
        learner, model = made(
            adversaries=AdversariesConfig(lambda_identity=strength, lambda_modality=strength, momentum=0.0)
        )
        learner.loss(model, random_batch(learner))["loss"].backward()
        gradients[strength] = model.lip_encoder.net.stem.weight.grad
    by_adversaries = gradients[1.0] - gradients[0.0]
    rounding = 1e-4 * gradients[0.0].abs().max().item()
    assert by_adversaries.abs().max() > 100 * rounding
    torch.testing.assert_close(gradients[0.5] - gradients[0.0], by_adversaries / 2, rtol=0, atol=rounding)


def test_two_workers_compute_the_loss_of_one_with_the_whole_batch() -> None:
    one, model = made()
    model.eval()  # batch norm would show rows those of their own worker
    batch, workers = random_batch(one, num_frames=20), Workers()
    batch["is_used"][1, 4:9] = False
    whole = one.loss(model, batch)
    found: dict[int, dict[str, torch.Tensor]] = {}

    def work(rank: int) -> None:
        mine = LipreadingLearner(CONFIG)
        mine.begin(WorkerContext(rank, workers))
        with torch.no_grad():
            found[rank] = mine.loss(model, {name: value[rank::2] for name, value in batch.items()})

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rank in range(2):
        for name, value in found[rank].items():
            torch.testing.assert_close(value, whole[name].detach(), msg=name)


def test_embed_sees_the_middle_of_crops_and_leaves_the_model_as_it_was() -> None:
    learner, model = made()
    frames = torch.randint(0, 256, (2, 6, 3, 96, 96), dtype=torch.uint8)
    sound = 0.1 * torch.randn(2, 640 * 6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lips, speech = learner.embed(model.train(), frames, sound)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert lips.steps.shape == speech.steps.shape == (2, 6, 8)
    frames[..., :4] = frames[..., 92:] = 0  # outside of the 88 pixels in the middle
    frames[..., :4, :] = frames[..., 92:, :] = 0
    assert torch.equal(learner.embed_lips(model, frames).steps, lips.steps)
    assert not lips.steps.requires_grad


def test_in_seconds_lips_find_the_sound_of_their_time() -> None:
    # a mouth opens as loud as its voice is: whoever looks finds the time
    learner, model = made(
        model=dataclasses.replace(MODEL, step_dim=16),
        contrast=ContrastConfig(long_weight=0.0),
        adversaries=AdversariesConfig(identity_weight=0.0, modality_weight=0.0),
    )
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)

    def batch(seed: int, num_frames: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(seed)
        opening = [np.interp(np.arange(num_frames) / 3, np.arange(20), rng.uniform(size=20)) for _ in range(8)]
        pictures = np.stack([draw_mouths(rng, mouth, 16) for mouth in opening]).transpose(0, 1, 4, 2, 3)
        loudness = np.stack(
            [np.repeat(np.append(mouth, mouth[-1]), 640)[: 640 * num_frames + 240] for mouth in opening]
        )
        sound = 0.2 * loudness**2 * rng.standard_normal(loudness.shape)
        return learner.unpack(
            {
                "frames": torch.from_numpy(np.ascontiguousarray(pictures)),
                "waveform": torch.from_numpy(sound).float(),
                "video": torch.arange(8),
                "masks": torch.zeros(8, 2, dtype=torch.int64),
                "gain_db": torch.zeros(8),
            }
        )

    for step in range(80):
        optimiser.zero_grad()
        learner.loss(model, batch(step, 30))["loss"].backward()
        optimiser.step()
    with torch.no_grad():
        found = learner.loss(model.eval(), batch(1000, 50))
    assert found["short_recall"] > 0.4  # chance 0.1


def test_clips_of_other_rates_or_too_few_frames_are_refused() -> None:
    learner = LipreadingLearner(LipreadingLearnerConfig())
    learner.check_settings(ClipSpecs().speech, {})
    for changes, message in (
        ({"frame_rate_hz": 30.0}, r"clips\.speech\.frame_rate_hz = 30: expected 25"),
        ({"sample_rate_hz": 8000}, r"clips\.speech\.sample_rate_hz = 8000: expected 16000"),
        ({"clip_s": 1.0}, r"lipreading\.num_frames = 45: expected at most 25"),
    ):
        with pytest.raises(ConfigError, match=message):
            learner.check_settings(dataclasses.replace(ClipSpecs().speech, **changes), {})


def test_settings_that_contradict_each_other_are_refused() -> None:
    for changes, message in (
        ({"contrast": ContrastConfig(short_weight=0.0, long_weight=0.0)}, "expected one of them to be more"),
        ({"augmentation": dataclasses.replace(CONFIG.augmentation, speed=0.1)}, r"augmentation\.speed = 0\.1"),
        ({"training": TrainingConfig(num_steps=1, batch_size=1)}, r"training\.batch_size = 1"),
        (
            {
                "training": TrainingConfig(num_steps=1, batch_size=4, precision="fp16"),
                "adversaries": AdversariesConfig(momentum_rule="gradient"),
            },
            r"training\.precision = fp16",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(CONFIG, **changes)
