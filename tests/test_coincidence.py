"""The coincidence learner: what a batch is made of, what its memory holds, and what its last word may touch."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import World

from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import STRONG, unpack_frames
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig, MemoryBankConfig
from pipeline.learners.matching import MatchingConfig
from pipeline.metrics.detection import matched_mismatched_auc
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import step_rng
from pipeline.training.loop import validate
from pipeline.training.protocols import LocalContext, TrainingConfig
from tests.helpers.clips import load_split

COINCIDENCE = CoincidenceLearnerConfig(
    model=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    training=TrainingConfig(num_steps=2, batch_size=3, validate_every=1, num_validation_batches=1),
    matching=MatchingConfig(num_batches=2, num_steps=5, num_held_out_batches=2),
    augmentation=STRONG,
)


def test_every_row_of_a_coincidence_batch_is_of_another_video(world: World) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    for step in range(10):
        learner = CoincidenceLearner(COINCIDENCE)
        batch = learner.unpack(learner.batch(clips, step_rng(0, step), 4, slice(None), augment=True))
        assert len(set(batch["video"].tolist())) == 4
        assert batch["waveform"].abs().max() <= 1
        assert 0 <= batch["frames"].min() <= batch["frames"].max() <= 1


def test_validation_does_not_augment_and_training_does(world: World) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    plain, again, varied = (
        unpack_frames(CoincidenceLearner(COINCIDENCE).batch(clips, step_rng(2), 4, slice(None), augment))["frames"]
        for augment in (False, False, True)
    )
    assert torch.equal(plain, again)
    assert not torch.equal(plain, varied)


NCE = dataclasses.replace(COINCIDENCE, objective="nce", memory_bank=MemoryBankConfig(size=12, num_negatives=12))


@pytest.mark.parametrize(("draw", "shape"), [("shared", [12]), ("per_example", [3, 12])])
def test_a_batch_for_nce_says_where_its_noise_lies(world: World, draw: str, shape: list[int]) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    config = dataclasses.replace(NCE, memory_bank=dataclasses.replace(NCE.memory_bank, draw=draw))
    learner = CoincidenceLearner(config)
    batch = learner.batch(clips, step_rng(0), 3, slice(None), augment=True)
    assert list(batch["negatives"].shape) == shape
    assert 0 <= batch["negatives"].min() < batch["negatives"].max() < 1
    second = learner.batch(clips, step_rng(0), 3, slice(1, None, 2), augment=True)  # what another worker draws
    wanted = batch["negatives"] if draw == "shared" else batch["negatives"][1::2]
    assert torch.equal(second["negatives"], wanted)
    assert "negatives" not in learner.batch(clips, step_rng(0), 3, slice(None), augment=False)


@pytest.mark.parametrize("directions", ["both", "visual"])
@pytest.mark.parametrize("draw", ["shared", "per_example"])
def test_nce_remembers_what_it_has_seen_and_reaches_both_towers(world: World, draw: str, directions: str) -> None:
    torch.manual_seed(0)
    clips = load_split(world.workspace, "train", SplittingConfig())
    memory = dataclasses.replace(NCE.memory_bank, draw=draw, directions=directions)
    learner = CoincidenceLearner(dataclasses.replace(NCE, memory_bank=memory))
    model = learner.model().train()
    remembered = learner.begin(LocalContext())
    seen: list[int] = []
    for step in range(4):
        batch = learner.unpack(learner.batch(clips, step_rng(0, step), 4, slice(None), augment=True))
        parts = learner.loss(model, batch)
        assert parts["nce"] > 0 or step == 0  # nothing to compare with yet
        parts["loss"].backward()
        learner.after_step()
        seen += batch["video"].tolist()
        assert sorted(remembered.videos.tolist()) == sorted([-1] * (12 - len(seen)) + seen[-12:])
    assert torch.isfinite(remembered.log_mean_noise).tolist() == [True, directions == "both"]
    for tower in (model.visual_tower, model.audio_tower):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.parameters())
    model.eval()
    assert "info_nce" in learner.loss(model, batch)  # held-out clips are in no memory


def bars_and_tones(num_videos: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright bar whose place is the pitch of a tone: frames [B, 2, 3, 32, 32], waveform [B, T] of 0.3 s."""
    generator = torch.Generator().manual_seed(seed)
    pitch = torch.rand(num_videos, generator=generator)
    bar = ((torch.arange(32) - (28 * pitch + 2)[:, None]).abs() < 2.5).float()[:, None, None, :, None]
    colour = 0.4 + 0.6 * torch.rand(num_videos, 1, 3, 1, 1, generator=generator)
    frames = bar * colour + 0.05 * torch.rand(num_videos, 2, 3, 32, 32, generator=generator)
    phase = 200 * 2 ** (4 * pitch[:, None]) * torch.arange(4800) / 16_000 + torch.rand(
        num_videos, 1, generator=generator
    )
    noise = 0.003 * torch.randn(num_videos, 4800, generator=generator)
    return frames.clamp(0, 1), 0.1 * torch.sin(2 * np.pi * phase) + noise


@pytest.mark.parametrize(
    ("backbone", "score", "directions"), [("small_cnn", "cosine", "both"), ("stem3d", "bilinear", "visual")]
)
def test_nce_learns_what_sounds_how_for_videos_it_has_not_seen(backbone: str, score: str, directions: str) -> None:
    shape = CoincidenceConfig(backbone=backbone, frame_size=32, width=0.125, embedding_dim=16, score=score)
    memory = MemoryBankConfig(size=512, num_negatives=256, directions=directions)
    learner = CoincidenceLearner(dataclasses.replace(NCE, model=shape, memory_bank=memory))
    torch.manual_seed(0)
    model = learner.model().train()
    learner.begin(LocalContext())
    frames, waveform = bars_and_tones(200, seed=0)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 10, (80 - step) / 40)
        rng = np.random.default_rng(step)
        video = torch.from_numpy(rng.permutation(200)[:16])
        negatives = torch.from_numpy(rng.random(256))
        batch = {"frames": frames[video], "waveform": waveform[video], "video": video, "negatives": negatives}
        optimiser.zero_grad()
        learner.loss(model, batch)["loss"].backward()
        optimiser.step()
        learner.after_step()
    with torch.no_grad():
        logits = model.eval().logits(*model(*bars_and_tones(100, seed=1))).numpy()
    is_pair = np.eye(100, dtype=bool)
    assert matched_mismatched_auc(logits[is_pair], logits[~is_pair]) > 0.85


class OneSecond:
    """A clip set whose clips of 5 s flash white and hiss in second `number`, and are black and silent otherwise."""

    video_index = np.arange(5)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.permutation(5)[:count]

    def open_many(self, numbers: np.ndarray) -> list[Clip]:
        return [self.clip(int(number)) for number in numbers]

    def clip(self, number: int) -> Clip:
        frames, sound = np.zeros((5, 3, 32, 32), np.uint8), np.zeros((5, 16_000), np.float32)
        frames[number], sound[number] = 255, np.random.default_rng(number).uniform(-0.3, 0.3, 16_000)
        return Clip(str(number), {"flac": sound.ravel()}, frames, {})


def test_frames_and_sound_of_a_crop_are_of_one_time() -> None:
    learner = CoincidenceLearner(dataclasses.replace(COINCIDENCE, crop=0.4))
    num_lit = 0
    for step in range(12):
        batch = learner.unpack(learner.batch(OneSecond(), step_rng(step), 5, slice(None), augment=True))
        assert batch["frames"].shape[:2] == (5, 2)  # neighbours: at most one of them is lit
        lit = batch["frames"].mean(dim=(2, 3, 4)) > 0.2
        power = batch["waveform"].unflatten(1, (2, 16_000)).square().mean(dim=2)
        num_lit += int(lit.sum())
        # a change of speed may move a second's border, and a gap may silence a third of it
        assert (power[lit] > 0.4 * power.max()).all()
        assert (power[~lit & lit.any(dim=1, keepdim=True)] < 0.2 * power.max()).all()
    assert num_lit > 12  # of the seconds in 60 crops, 2 in 5 are kept


def test_towers_do_not_move_while_the_match_classifier_learns(world: World) -> None:
    torch.manual_seed(0)
    learner = CoincidenceLearner(COINCIDENCE)
    model = learner.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sets = [load_split(world.workspace, split, SplittingConfig()) for split in ("train", "validate")]
    learner.conclude(model, *sets, 0, LocalContext())
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    layers = {f"matcher.{layer}.{kind}" for layer in ("hidden", "dense") for kind in ("weight", "bias")}
    assert moved == layers | {"match_scale", "match_bias"}


def test_scores_are_probabilities_and_embeddings_unit_vectors(world: World) -> None:
    torch.manual_seed(0)
    learner = CoincidenceLearner(COINCIDENCE)
    clips = load_split(world.workspace, "test", SplittingConfig())
    score, audio, visual = learner.embed(learner.model().eval(), [clips.read(number) for number in range(5)])
    assert score.shape == (5,)
    assert ((score > 0) & (score < 1)).all()
    for embeddings in (audio, visual):
        assert embeddings.shape == (5, 16)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


class Alike(LocalContext):
    """One of eight workers that all have the same rows, as they do where there are fewer videos than workers."""

    rank, world_size = 7, 8

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if self.is_alone else rows.repeat(self.world_size, *[1] * (rows.ndim - 1))


def test_validation_on_fewer_videos_than_workers_has_the_figure_of_one_process(world: World) -> None:
    held_out = load_split(world.workspace, "validate", SplittingConfig())
    assert held_out.num_videos < Alike.world_size
    learner, eight = CoincidenceLearner(COINCIDENCE), Alike()
    model = learner.model()
    learner.begin(LocalContext())
    expected = validate(learner, model, held_out, 0, LocalContext())
    learner.begin(eight)
    assert validate(learner, model, held_out, 0, eight) == expected
    assert not eight.is_alone


def test_towers_start_from_a_file_of_weights_and_one_of_other_shapes_is_named(tmp_path: Path) -> None:
    before, path = CoincidenceLearner(COINCIDENCE).model(), tmp_path / "weights.pt"
    torch.save(before.state_dict() | {"classifier.weight": torch.zeros(3)}, path)
    learner = CoincidenceLearner(dataclasses.replace(COINCIDENCE, weights=str(path)))
    assert learner.weight_files() == {"towers": str(path)}
    model = learner.model()
    learner.initialise(model, Workspace(str(tmp_path)))
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, before.state_dict()[name]) or name.startswith("matcher."), name

    other = dataclasses.replace(COINCIDENCE.model, width=0.5)
    wide = CoincidenceLearner(dataclasses.replace(COINCIDENCE, weights=str(path), model=other))
    message = r"weights\.pt: not the visual_tower of coincidence\.model: .* expected 32 x 3 x"
    with pytest.raises(ConfigError, match=message):
        wide.initialise(wide.model(), Workspace(str(tmp_path)))
    with pytest.raises(ConfigError, match="expected none with inputs, which have no towers"):
        dataclasses.replace(COINCIDENCE, weights=str(path), inputs=("clip.image", "clap.audio"))


def test_the_bound_is_the_logarithm_of_the_negatives_less_the_loss(world: World) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    torch.manual_seed(0)
    learner = CoincidenceLearner(NCE)
    model, memory = learner.model().train(), learner.begin(LocalContext())
    for step in range(2):  # the first has nothing to compare with
        batch = learner.unpack(learner.batch(clips, step_rng(0, step), 4, slice(None), augment=True))
        figures = learner.loss(model, batch)
        if not step:
            learner.after_step()
    with torch.no_grad():
        bounds = []
        noise = memory.rows(batch["negatives"])
        for row in range(4):
            others = [place for place in noise.tolist() if memory.videos[place] not in (-1, batch["video"][row])]
            visual, audio = model(batch["frames"], batch["waveform"])
            for queries, keys, bank in (
                (model.audio_queries(visual), audio, memory.audio),
                (model.visual_queries(audio), visual, memory.visual),
            ):
                logits = [
                    queries[row] @ (keys - keys.mean(dim=0))[row],
                    *(queries[row] @ bank[place] for place in others),
                ]
                loss = -torch.stack(logits).log_softmax(dim=0)[0]
                bounds.append(np.log(max(1, len(others))) - loss.item())
    assert figures["information_bound"].item() == pytest.approx(np.mean(bounds), abs=1e-2)
    model.eval()
    figures = learner.loss(model, batch)
    assert figures["information_bound"].item() == pytest.approx(np.log(3) - figures["info_nce"].item(), abs=1e-6)
