"""Rows of an example: the figures of its set, and nulls where a figure has no value."""

import numpy as np
import pytest
import torch

from pipeline.clips.samples import Clip
from pipeline.errors import DataError
from pipeline.evaluation.onscreen_rows import example_row, separate_examples, source_rows
from pipeline.metrics.signal_products import CAP_DB
from pipeline.models.separator import SeparationOutput
from pipeline.models.towers import CoincidenceConfig, CoincidenceModel
from tests.helpers.si_snr import si_snr

RATE_HZ, NUM_SAMPLES = 16000, 8000
SETS = ("on_single", "off_single", "on_mom", "off_mom")
# Of the first and of the second mixture in each source: two sources of the first, one of the second, an empty one.
SHARES = np.array([[0.75, 0.25, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
LOGITS = [8.0, -1.0, -3.0, 0.0]


TOWERS = CoincidenceModel(CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)).eval()


class KnownModel(torch.nn.Module):
    """A perfect separator: it knows the sounds of `example`."""

    def __init__(self, *sounds: np.ndarray, logits: list[float] = LOGITS) -> None:
        super().__init__()
        self.sounds = torch.nn.Parameter(torch.from_numpy(np.stack(sounds)), requires_grad=False)
        self.verdicts = torch.tensor(logits)
        self.attention = torch.rand(len(logits), 2, 2, 3, generator=torch.Generator().manual_seed(0))
        self.attention /= self.attention.sum(dim=(1, 2, 3), keepdim=True)

    def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> SeparationOutput:
        sources = torch.from_numpy(SHARES.T.astype(np.float32)) @ self.sounds
        batch = len(mixture)
        return SeparationOutput(sources.expand(batch, -1, -1), self.verdicts.expand(batch, -1), self.attention[None])


def sound(seed: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).normal(size=NUM_SAMPLES)).astype(np.float32)


def example(eval_set: str, first: np.ndarray, second: np.ndarray | None, uri: str = "s3://bucket/a.mp4") -> Clip:
    sounds = {"first.flac": first} | ({} if second is None else {"second.flac": second})
    facts = {"eval_set": eval_set, "first_clip_id": "a_video_003000"}
    frames = np.random.default_rng(9).integers(0, 255, (2, 3, 32, 32), np.uint8)
    return Clip(f"{eval_set}_00000", sounds, frames, facts | {"sources": [{"uri": uri}], "frame_times_s": [0.0, 1.0]})


def rows_of(eval_set: str, first: np.ndarray, second: np.ndarray | None) -> tuple[dict, list[dict]]:
    model = KnownModel(first, np.zeros_like(first) if second is None else second)
    clip = example(eval_set, first, second)
    (found,) = separate_examples(model, TOWERS, [clip])
    return example_row(clip, found), source_rows(clip, found)


def present(row: dict) -> set[str]:
    return {name for name, value in row.items() if name.endswith("_db") and value is not None}


def test_a_mixture_of_mixtures_has_every_figure_and_each_is_what_the_waveforms_give() -> None:
    first, second = sound(0), sound(1, 0.2)
    row, sources = rows_of("on_mom", first, second)
    p = 1 / (1 + np.exp(-np.array(LOGITS)))
    estimate = (p[0] * 0.75 + p[1] * 0.25) * first + p[2] * second
    expected = float(si_snr(torch.from_numpy(first), torch.from_numpy(estimate)))
    assert row["si_snr_db"] == pytest.approx(expected, abs=1e-4)
    untouched = float(si_snr(torch.from_numpy(first), torch.from_numpy(first + second)))
    assert row["si_snr_input_db"] == pytest.approx(untouched, abs=1e-4)
    assert row["si_snr_improvement_db"] == pytest.approx(expected - untouched, abs=1e-4)
    assert row["si_snr_oracle_db"] == CAP_DB
    ratio = 10 * np.log10(np.square(first).sum() / np.square(first - estimate).sum())
    gain = ratio - 10 * np.log10(np.square(first).sum() / np.square(second).sum())
    assert row["snr_db"] == pytest.approx(ratio, abs=1e-4)
    assert row["snr_gain_db"] == row["capi_sdri_db"] == pytest.approx(gain, abs=1e-4)
    level = 10 * np.log10(np.square(estimate).sum() / np.square(first).sum())
    assert row["level_db"] == pytest.approx(level, abs=1e-4)
    assert (row["num_references"], row["num_active_sources"]) == (2, 3)  # the first was split: over-separation
    assert row["video_id"] == "a_video"
    assert "osr_db" not in row
    assert [source["on_screen"] for source in sources] == [True, True, False, True]  # silence goes to the first
    total = np.square(first + second).sum()
    weights = [np.square(0.75 * first).sum() / total, np.square(0.25 * first).sum() / total]
    assert [source["weight"] for source in sources[:2]] == pytest.approx(weights, rel=1e-5)


@pytest.mark.parametrize("eval_set", SETS)
def test_a_row_has_the_figures_of_its_set_and_no_gain_where_the_input_is_the_target(eval_set: str) -> None:
    row, sources = rows_of(eval_set, sound(0), sound(1) if eval_set.endswith("mom") else None)
    of_target = {"si_snr_db", "snr_db", "level_db"}
    gains = {"si_snr_input_db", "si_snr_improvement_db", "si_snr_oracle_db", "snr_gain_db", "capi_sdri_db"}
    expected = {"on_single": of_target, "on_mom": of_target | gains}.get(eval_set, {"osr_db", "capi_sdri_db"})
    assert present(row) == expected
    if eval_set == "on_single":
        assert row["si_snr_db"] > 60  # both sources are copies of the target: only the level is lost
        level_db = 20 * np.log10(0.75 / (1 + np.exp(-8.0)) + 0.25 / (1 + np.exp(1.0)))
        assert row["level_db"] == pytest.approx(level_db, abs=1e-4)
    if eval_set.startswith("off"):
        assert row["capi_sdri_db"] == 0  # most of it passes: an answer where nothing is on screen
        assert row["is_answered"] is True
    truths = {source["on_screen"] for source in sources}
    assert truths == {"on_single": {True}, "off_single": {False}, "off_mom": {False}}.get(eval_set, truths)


@pytest.mark.parametrize("eval_set", SETS)
def test_a_silent_example_has_rows_with_nulls(eval_set: str) -> None:
    silence = np.zeros(NUM_SAMPLES, np.float32)
    row, sources = rows_of(eval_set, silence, silence if eval_set.endswith("mom") else None)
    assert present(row) == set()
    assert row["is_answered"] is row["similarity_input"] is row["similarity_estimate"] is None
    assert (row["num_references"], row["num_active_sources"]) == (0, 0)
    assert [source["weight"] for source in sources] == [None] * 4


def test_similarity_is_the_cosine_of_the_picture_with_the_mixture_and_with_the_estimate_at_any_level() -> None:
    first, second = sound(0), sound(1, 0.2)
    row, _ = rows_of("on_mom", first, second)
    p = 1 / (1 + np.exp(-np.array(LOGITS)))
    estimate = (p[0] * 0.75 + p[1] * 0.25) * first + p[2] * second
    frames = torch.from_numpy(example("on_mom", first, second).frames)[None] / 255
    with torch.no_grad():
        embedded = {
            name: TOWERS(frames, torch.from_numpy(heard.astype(np.float32))[None])
            for name, heard in (("similarity_input", first + second), ("similarity_estimate", 0.1 * estimate))
        }
    for name, (visual, audio) in embedded.items():
        assert row[name] == pytest.approx(float((visual * audio).sum()), abs=1e-4)


def test_attention_is_that_of_the_sources_in_the_estimate_by_their_energy_in_it() -> None:
    first = sound(0)
    model, p = KnownModel(first, np.zeros_like(first)), 1 / (1 + np.exp(-np.array(LOGITS)))
    (found,) = separate_examples(model, TOWERS, [example("on_single", first, None)])
    energy = np.array([p[0] * 0.75, p[1] * 0.25, 0, 0]) ** 2  # of two copies of the sound and two empty sources
    expected = np.einsum("s,skhw->khw", energy / energy.sum(), model.attention.numpy())
    np.testing.assert_allclose(found.attention, expected, atol=1e-6)
    row, _ = rows_of("on_single", first, None)
    assert "attention_mass" not in row  # nothing is known of what is seen to sound


def test_silence_in_one_part_of_a_mixture_leaves_what_is_defined_without_it() -> None:
    silence = np.zeros(NUM_SAMPLES, np.float32)
    row, _ = rows_of("on_mom", sound(0), silence)
    assert present(row) == {"si_snr_db", "snr_db", "level_db"}  # the input is the target, as in on_single
    row, _ = rows_of("on_mom", silence, sound(1))
    assert present(row) <= {"capi_sdri_db"}  # nothing is on screen: a zero-target mixture
    row, _ = rows_of("off_mom", silence, sound(1))
    assert "osr_db" in present(row)


def test_outputs_that_are_not_finite_are_refused_with_the_example() -> None:
    first = sound(0)
    model = KnownModel(first, first, logits=[0.0, np.nan, 0.0, 0.0])
    with pytest.raises(DataError, match=r"on_mom_00000.*not finite"):
        separate_examples(model, TOWERS, [example("on_mom", first, first)])
