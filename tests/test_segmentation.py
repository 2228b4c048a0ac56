"""The segmentation learner: what it starts from, what its loss sees, and that masks follow the sound."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners.augmentation import AugmentationConfig
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.segmentation import TINY, SegmentationLearner, SegmentationLearnerConfig
from pipeline.losses.masks import mapping_loss, masked_bce, sound_contrast
from pipeline.masks.masked_clips import MaskedClip
from pipeline.models.avs import AVSConfig, AVSModel
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import step_rng
from pipeline.training.protocols import LocalContext, TrainingConfig
from tests.helpers.masked_sets import KINDS, NUM_FRAMES, SIDE, MemoryClips, draw_things, tone, two_things

TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
MODEL = AVSConfig(backbone="plain", frame_size=32, channels=16, inter_channels=16, audio="tower", towers=TOWERS)
CONFIG = SegmentationLearnerConfig(model=MODEL, training=TrainingConfig(num_steps=4, batch_size=4), first_model=None)
SPEC = ClipSpec(frame_offset_s=0.5, frame_height=224, frame_width=224)


def variant(**changes: Any) -> SegmentationLearner:
    return SegmentationLearner(dataclasses.replace(CONFIG, **changes))


@pytest.fixture(scope="module")
def clips() -> MemoryClips:
    return two_things(6)


def both_ways() -> MemoryClips:
    """Two pictures of two things, each with the sound of either."""
    made, rng = [], np.random.default_rng(0)
    for number in range(2):
        frames, seen = draw_things(rng)
        for kind in KINDS:
            known = np.ones(NUM_FRAMES, bool)
            made.append(MaskedClip(f"v{number}_{kind}", frames, tone(kind, rng), seen[kind], known, {}))
    return MemoryClips(made)


def test_the_same_picture_gets_another_mask_with_another_sound() -> None:
    pairs = both_ways()
    learner = variant()
    torch.manual_seed(0)
    model = learner.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.004)
    for step in range(45):
        optimiser.zero_grad()
        batch = learner.unpack(learner.batch(pairs, step_rng(0, step), 4, slice(None), True))
        learner.loss(model, batch)["loss"].backward()
        optimiser.step()
    model.eval()
    found = predicted(learner, model, pairs)
    for number, clip in enumerate(pairs.made):
        other = pairs.made[number ^ 1]
        assert found[number][clip.masks].mean() > 0.5 > found[number][other.masks].mean() + 0.2


def predicted(learner: SegmentationLearner, model: AVSModel, clips: MemoryClips) -> np.ndarray:
    """[clips, K, H, W] probabilities."""
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips.made])).float() / 255
    with torch.no_grad():
        out = learner.predict(model, frames, torch.from_numpy(np.stack([clip.waveform for clip in clips.made])))
    return out.numpy()


# --- loss ---


def test_the_loss_is_the_cross_entropy_and_the_weighted_mapping_loss(clips: MemoryClips) -> None:
    for mapping in ("none", "per_sample", "released"):
        learner = variant(mapping=mapping, mapping_weight=0.25)
        model = learner.model().eval()
        batch = learner.unpack(learner.batch(clips, step_rng(0, 0), 4, slice(None), False))
        output = model(batch["frames"], batch["waveform"])
        expected = masked_bce(output.logits, batch["masks"], batch["mask_valid"])
        if mapping != "none":
            expected = expected + 0.25 * mapping_loss(output.logits, output.maps, output.sounds, mapping)
        torch.testing.assert_close(learner.loss(model, batch)["loss"], expected)


def test_the_contrast_is_that_of_both_sides_of_each_stages_attention(clips: MemoryClips) -> None:
    learner = variant(contrast_weight=0.3)
    model = learner.model()
    batch = learner.unpack(learner.batch(clips, step_rng(0, 0), 3, slice(None), False))
    parts = learner.loss(model, batch)
    output = model(batch["frames"], batch["waveform"])
    losses = []
    for fusion, level, sound in zip(model.fusions, output.unfused, output.sounds, strict=True):
        share = torch.nn.functional.adaptive_avg_pool2d(batch["masks"].float(), level.shape[-2:])
        mean = (level * share.unsqueeze(2)).sum(dim=(3, 4)) / share.sum(dim=(2, 3)).unsqueeze(2)
        losses.append(sound_contrast(fusion.theta(mean), fusion.phi(sound), batch["mask_valid"]))
    torch.testing.assert_close(parts["contrast"], torch.stack(losses).mean())
    torch.testing.assert_close(parts["loss"], parts["cross_entropy"] + 0.3 * parts["contrast"])


def test_the_released_mapping_loss_of_two_workers_is_that_of_one_with_the_whole_batch(clips: MemoryClips) -> None:
    learner = variant(mapping="released")
    model = learner.model().eval()
    whole = learner.unpack(learner.batch(clips, step_rng(0, 0), 4, slice(None), False))
    expected = learner.loss(model, whole)["loss"]
    two = LocalContext()
    two.world_size = 2
    learner.begin(two)
    halves = [{name: value[rank::2] for name, value in whole.items()} for rank in range(2)]
    mean = sum(learner.loss(model, half)["loss"] for half in halves) / 2
    torch.testing.assert_close(mean, expected)
    assert learner.needs_whole_batch
    assert not variant(mapping="per_sample").needs_whole_batch


def test_iou_is_that_of_frames_with_a_mask_and_an_empty_one_counts_what_is_not_found(clips: MemoryClips) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, frames: torch.Tensor, waveform: torch.Tensor) -> Any:
            logits = torch.full((1, 3, 4, 4), -1.0)
            logits[:, :, :2] = 1.0  # the upper half
            return type("Output", (), {"logits": logits, "maps": [], "sounds": []})()

    masks = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    masks[0, 0, :, :2] = 1  # the left half: 4 of 12 pixels in common
    masks[0, 2] = 1
    batch = {"frames": masks, "waveform": masks, "masks": masks, "mask_valid": torch.tensor([[True, True, False]])}
    parts = variant().loss(Fixed(), batch)  # type: ignore
    assert parts["iou"].item() == pytest.approx((4 / 12 + 8 / 16) / 2)


# --- batches ---


def test_first_masks_only_are_for_training_and_validation_uses_all(clips: MemoryClips) -> None:
    learner = variant(supervision="first")
    trained = learner.batch(clips, step_rng(0, 0), 4, slice(None), True)
    validated = learner.batch(clips, step_rng(0, 0), 4, slice(None), False)
    assert trained["mask_valid"].tolist() == [[True, False]] * 4
    assert validated["mask_valid"].all()


def test_validation_sees_clips_as_they_are(clips: MemoryClips) -> None:
    learner = SegmentationLearner(dataclasses.replace(TINY, model=MODEL, first_model=None))
    numbers = clips.draw(step_rng(0, 1), 4)
    batch = learner.unpack(learner.batch(clips, step_rng(0, 1), 4, slice(None), False))
    for row, clip in enumerate(clips.read_many(numbers)):
        np.testing.assert_allclose(batch["frames"][row], clip.frames / np.float32(255), rtol=1e-6)
        np.testing.assert_array_equal(batch["masks"][row], clip.masks)
        np.testing.assert_array_equal(batch["waveform"][row], clip.waveform)


def test_a_training_batch_has_the_names_shapes_and_types_that_the_loss_takes(clips: MemoryClips) -> None:
    learner = SegmentationLearner(dataclasses.replace(TINY, model=MODEL, first_model=None))
    batch = learner.batch(clips, step_rng(0, 0), 4, slice(None), True)
    assert batch["frames"].dtype == batch["masks"].dtype == torch.uint8
    assert batch["frames"].shape == (4, NUM_FRAMES, 3, SIDE, SIDE)
    assert batch["masks"].shape == (4, NUM_FRAMES, SIDE, SIDE)
    assert learner.unpack(batch).keys() == {"frames", "waveform", "masks", "mask_valid"}


# --- what it starts from ---


def test_it_starts_from_the_audio_tower_of_the_first_model(tmp_path: Path) -> None:
    workspace, before = Workspace(str(tmp_path)), CoincidenceLearnerConfig(model=TOWERS)
    towers = CoincidenceLearner(before).model()
    workspace.begin("models/first", {"learner": "coincidence", "coincidence": as_dict(before)}, {})
    with files.building(workspace.uri("models", "first", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": towers.state_dict()}, file)
    workspace.finish("models/first", content="x")
    learner = variant(first_model="first")
    assert learner.builds_on() == {"first": "coincidence"}
    model = learner.model()
    learner.initialise(model, workspace)
    expected = towers.audio_tower.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.sound.audio_tower.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.sound.audio_tower.parameters())
    other = variant(
        model=dataclasses.replace(MODEL, towers=dataclasses.replace(TOWERS, width=0.5)), first_model="first"
    )
    with pytest.raises(ConfigError, match=r"models/first has towers of .*'width': 0.25.*towers of .*'width': 0.5"):
        other.initialise(other.model(), workspace)


@pytest.mark.parametrize("changes", [{"audio": "vggish"}, {"fusion": "none"}])
def test_without_a_tower_it_builds_on_nothing(changes: dict[str, str]) -> None:
    assert variant(model=dataclasses.replace(MODEL, **changes), first_model="first").builds_on() == {}


def test_settings_that_do_not_fit_are_refused_before_anything_is_trained() -> None:
    learner, configs = variant(), {}
    learner.check_settings(SPEC, configs)
    with pytest.raises(ConfigError, match=r"sample_rate_hz = 22050, segmentation.model.towers.rate_hz = 16000"):
        learner.check_settings(dataclasses.replace(SPEC, sample_rate_hz=22050), configs)
    with pytest.raises(ConfigError, match=r"frames of 224x16, segmentation.model.frame_size = 32: expected frames at"):
        learner.check_settings(dataclasses.replace(SPEC, frame_height=16), configs)


@pytest.mark.parametrize(
    ("change", "found"),
    [({"sample_rate_hz": 22050}, "22050 Hz and 1"), ({"frame_rate_hz": 2.0, "frame_offset_s": 0.25}, "2 f")],
)
def test_vggish_is_refused_clips_whose_frames_have_not_its_times(change: dict[str, Any], found: str) -> None:
    learner, spec = variant(model=dataclasses.replace(MODEL, audio="vggish")), dataclasses.replace(SPEC, **change)
    learner.check_settings(SPEC, {})
    with pytest.raises(ConfigError, match=rf"clips.segmentation: .*{found}.*; expected 16000 and 1 where"):
        learner.check_settings(spec, {})
    variant(model=dataclasses.replace(MODEL, audio="vggish", fusion="none")).check_settings(spec, {})


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"augmentation.gap = 0.1: expected 0"):
        variant(augmentation=AugmentationConfig(gap=0.1))
    with pytest.raises(ConfigError, match=r"mapping = per_sample: expected none with model.fusion = none"):
        variant(model=dataclasses.replace(MODEL, fusion="none"), mapping="per_sample")
    with pytest.raises(ConfigError, match=r"contrast_weight = 0.3: expected 0 with model.fusion = none"):
        variant(model=dataclasses.replace(MODEL, fusion="none"), contrast_weight=0.3)


# --- weights from files ---


def test_public_weights_of_the_backbone_are_what_the_model_starts_from(tmp_path: Path) -> None:
    torch.manual_seed(3)
    public = {}
    for name, value in AVSModel(dataclasses.replace(MODEL, backbone="pvt_v2_b0")).pyramid.state_dict().items():
        _, stage, part, rest = name.split(".", 3)
        public[f"{part}{int(stage) + 1}.{rest}"] = value
    path = tmp_path / "pvt_v2_b0.pth"
    torch.save(public | {"head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}, path)
    learner = variant(model=dataclasses.replace(MODEL, backbone="pvt_v2_b0"), backbone_weights=str(path))
    assert learner.weight_files() == {"backbone": str(path)}
    model = learner.model()
    learner.initialise(model, Workspace(str(tmp_path / "workspace")))
    for name, value in model.pyramid.state_dict().items():
        _, stage, part, rest = name.split(".", 3)
        assert torch.equal(value, public[f"{part}{int(stage) + 1}.{rest}"]), name


def test_weights_of_another_network_are_refused_by_the_tensors_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"patch_embed1.proj.weight": torch.zeros(64, 3, 7, 7)}, path)
    learner = variant(model=dataclasses.replace(MODEL, backbone="pvt_v2_b0"), backbone_weights=str(path))
    with pytest.raises(ConfigError, match=r"other.pth: not pvt_v2_b0: .* is 64 x 3 x 7 x 7, expected 32 x 3 x 7 x 7; "):
        learner.initialise(learner.model(), Workspace(str(tmp_path / "workspace")))


@pytest.mark.parametrize("name", ["backbone_weights", "audio_weights"])
def test_weights_for_a_part_that_the_model_has_not_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected none"):
        variant(**{name: "/file.pth"})


def test_weights_at_an_address_that_workers_have_not_are_refused() -> None:
    model = dataclasses.replace(MODEL, backbone="resnet50")
    for uri in ("/a/w.pth", "s3://b/w.pth", "file:///a/w.pth"):
        variant(model=model, backbone_weights=uri)
    with pytest.raises(ConfigError, match=r"backbone_weights = w.pth: expected an address that holds in every folder"):
        variant(model=model, backbone_weights="w.pth")
