"""Rows of utterances: ranks by hand, planted offsets found with their sign, and nothing but content betrays them."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.evaluation.utterance_rows import (
    MAX_OFFSET,
    Utterances,
    find_planted,
    long_rank,
    most_frames,
    plant,
    ranks,
    short_ranks,
    sounding_s,
)
from tests.helpers.spoken_clips import ReadingLearner, spoken_clip

VIDEOS = [f"v{number:02d}" for number in range(40)]


def judge(learner: ReadingLearner, num_videos: int = 40, seed: int = 0) -> Utterances:
    gallery = [spoken_clip(video) for video in VIDEOS[:num_videos]]
    return Utterances(learner, nn.Linear(1, 1), [batch for batch in (gallery[:16], gallery[16:]) if batch], seed)


def test_ranks_count_who_is_as_good_or_better() -> None:
    scores = torch.tensor([[4.0, 1, 2, 3], [9, 8, 1, 2], [5, 6, 4, 0], [3, 4, 2, 1]])
    assert ranks(scores).tolist() == [1, 2, 3, 4]
    assert ranks(scores.T).tolist() == [3, 1, 1, 3]
    assert ranks(torch.zeros(5, 5)).tolist() == [5] * 5  # what says nothing finds nothing


def test_windows_of_the_short_scale_are_every_fifth_frame_from_the_third_on() -> None:
    lips = torch.nn.functional.one_hot(torch.arange(50), 50).float()
    assert short_ranks(lips, lips) == ([1] * 10, [1] * 10)
    moved = lips.clone()
    moved[[2, 7]] = lips[[7, 2]]  # the first two windows are exchanged
    assert short_ranks(lips, moved)[0] == [10, 10] + [1] * 8
    moved = lips.clone()
    moved[[3, 8]] = lips[[8, 3]]  # frames that stand for no window
    assert short_ranks(lips, moved) == ([1] * 10, [1] * 10)


def test_a_counterpart_is_ranked_among_the_others() -> None:
    query, own = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    others = torch.tensor([[0.8, 0.6], [0.0, 1.0], [0.6, -0.8]])
    assert long_rank(query, own, others) == 3  # one is better, one is as good
    assert long_rank(query, own, others[1:2]) == 1


@pytest.mark.parametrize("frames", range(-MAX_OFFSET, MAX_OFFSET + 1))
def test_a_planted_offset_is_found_with_its_sign(frames: int) -> None:
    clip = spoken_clip("v")
    learner, waveform = ReadingLearner(), torch.from_numpy(clip.waveform)
    lips, _ = learner.embed(nn.Identity(), torch.from_numpy(clip.frames)[None], waveform[None])
    late = plant(waveform, frames)
    if frames > 0:  # what was heard in frame 0 is heard `frames` frames later, and what comes last is lost
        assert torch.equal(late, waveform[: (50 - frames) * 640])
    heard = learner.embed_speech(nn.Identity(), late[None]).steps[0]
    found, confidence = find_planted(lips.steps[0], heard, frames)
    assert found == frames
    assert confidence > 0.8


@pytest.mark.parametrize(("num_frames", "most"), [(50, 10), (24, 9), (11, 3), (7, 1), (6, 0), (3, 0)])
def test_a_short_clip_has_room_for_smaller_offsets(num_frames: int, most: int) -> None:
    """With `most` frames missing, and two at both ends left out, one is left for the offset at the other end."""
    assert most_frames(num_frames) == most
    steps = torch.randn(num_frames, 16, generator=torch.Generator().manual_seed(0))
    for frames in range(-most, most + 1) if most else ():
        heard = steps[: num_frames - frames] if frames >= 0 else steps[-frames:]
        assert find_planted(steps, heard, frames)[0] == frames


def test_an_offset_is_found_by_chance_where_lips_and_speech_have_nothing_in_common() -> None:
    rng = torch.Generator().manual_seed(0)
    hits, trials = 0, 1500
    for trial in range(trials):
        planted = trial % 21 - 10
        lips, speech = torch.randn(50, 8, generator=rng), torch.randn(50 - abs(planted), 8, generator=rng)
        hits += abs(find_planted(lips, speech, planted)[0] - planted) <= 1
    chance = (19 * 3 + 2 * 2) / 21 / 21
    assert hits / trials == pytest.approx(chance, abs=3 * (chance * (1 - chance) / trials) ** 0.5)


def test_quiet_is_30_db_below_the_loudest_frame_or_below_minus_60_dbfs() -> None:
    levels = np.array([1.0] * 10 + [0.1] * 5 + [0.02] * 20 + [0.0] * 15, np.float32)  # 0, -20, -34 dB, silence
    assert sounding_s(np.repeat(levels, 640)) == pytest.approx(15 * 0.04)
    assert sounding_s(np.repeat(0.0005 * levels, 640)) == 0.0
    assert sounding_s(np.zeros(32000, np.float32)) == 0.0
    assert sounding_s(np.full(32000, 0.1, np.float32)) == 2.0


def test_rows_of_a_model_that_reads_exactly_are_all_first() -> None:
    clips = [spoken_clip(video, 1, speaker="Ann") for video in VIDEOS[:20]]
    rows = judge(ReadingLearner()).rows(clips)
    for clip, row in zip(clips, rows, strict=True):
        assert (row["clip_id"], row["video_id"], row["speaker"]) == (clip.key, clip.facts["video_id"], "Ann")
        assert row["rank_short"] == row["rank_short_lips"] == [1] * 10
        assert (row["rank_long"], row["rank_long_lips"], row["num_long"]) == (1, 1, 32)
        assert row["found_ms"] == row["planted_ms"]
        assert row["lips_step"] == row["speech_step"]
    planted = {row["planted_ms"] for row in rows}
    assert len(planted) > 10
    assert planted <= set(np.arange(-400.0, 401.0, 40.0))


def test_what_is_heard_in_another_clip_is_found_by_chance() -> None:
    clips = [spoken_clip(video, number, heard=9) for video in VIDEOS for number in (1, 2)]
    rows = judge(ReadingLearner()).rows(clips)
    firsts = np.mean([rank == 1 for row in rows for rank in row["rank_short"]])
    assert firsts == pytest.approx(0.1, abs=0.04)  # 2.7 standard deviations of 800 windows, each of its own
    assert np.mean([row["rank_long"] for row in rows]) == pytest.approx(16.5, abs=3.1)  # 3 standard deviations


def test_others_are_of_other_videos_and_fewer_where_there_are_fewer() -> None:
    found = judge(ReadingLearner(), num_videos=5).rows([spoken_clip("v00", 1), spoken_clip("w", 1)])
    assert [row["num_long"] for row in found] == [5, 6]  # v00 is in the gallery itself
    assert [row["rank_long"] for row in found] == [1, 1]
    (alone,) = judge(ReadingLearner(), num_videos=1).rows([spoken_clip("v00", 1)])
    assert (alone["rank_long"], alone["num_long"]) == (1, 1)


def test_rows_are_a_function_of_the_clip_and_the_seed_and_not_of_the_batch() -> None:
    clips = [spoken_clip(video, 1) for video in VIDEOS[:6]]
    utterances = judge(ReadingLearner())
    together = utterances.rows(clips)
    assert together == [row for clip in clips for row in utterances.rows([clip])]
    other = judge(ReadingLearner(), seed=1).rows(clips)
    assert [row["planted_ms"] for row in other] != [row["planted_ms"] for row in together]
