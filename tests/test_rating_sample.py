"""The sample for raters: deciles alike, strata in them alike, videos before second clips, and their order."""

import collections

import pytest

from pipeline.errors import ConfigError
from pipeline.reports.rating_sample import RatingSample, draw_sample
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from tests.helpers.selections import decide


def score(workspace: Workspace) -> None:
    """Of 48 clips: 40 with scores 0, 1/40, ... in an order that is not that of their names, others NaN or null."""
    number = 0
    for part in workspace.parts(CLIPS_FOLDER):
        rows = []
        for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            place = number * 29 % 48
            value = place / 40 if place < 40 else (None, float("nan"))[place % 2]
            ids = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
            rows.append(ids | {"score": value, "audio_embedding": [], "visual_embedding": []})
            number += 1
        workspace.commit("scores/coincidence", part, from_rows(rows, SCORES, part), SCORES)


def draw(workspace: Workspace, num_clips: int, seed: int = 0, selection: str | None = None) -> RatingSample:
    return draw_sample(workspace, num_clips, seed, "coincidence", selection)


def test_each_decile_gives_as_many_clips_and_says_of_how_many(workspace: Workspace) -> None:
    score(workspace)
    rows = draw(workspace, 22).clips.to_pylist()
    counts = collections.Counter(row["decile"] for row in rows)
    assert counts == dict.fromkeys(range(11), 2)  # 0: those without a score
    for row in rows:
        assert row["num_in_stratum"] == (8 if row["decile"] == 0 else 4)
        assert row["num_drawn"] == 2
        if row["decile"]:
            assert round(row["score"] * 40) // 4 == row["decile"] - 1
    assert len({row["clip_id"] for row in rows}) == 22


def test_clips_of_other_videos_come_before_a_second_one(workspace: Workspace) -> None:
    rows = draw(workspace, 12).clips.to_pylist()
    assert len({row["video_id"] for row in rows}) == 12
    assert {row["decile"] for row in rows} == {0}


def test_the_same_seed_draws_the_same_and_another_seed_draws_others(workspace: Workspace) -> None:
    first, again, other = draw(workspace, 10), draw(workspace, 10), draw(workspace, 10, seed=1)
    assert first.clips.equals(again.clips)
    assert first.order == again.order
    assert set(first.clips["clip_id"].to_pylist()) != set(other.clips["clip_id"].to_pylist())
    everything = draw(workspace, 1000).clips
    assert len(everything) == len(workspace.read_all(CLIPS_FOLDER, CLIPS))


def test_splits_and_verdicts_of_a_selection_share_a_decile_evenly(workspace: Workspace) -> None:
    decide(workspace, "strict")  # every score is 0.5: one decile; of each video two clips kept, two not
    rows = draw(workspace, 12, selection="strict").clips.to_pylist()
    strata = collections.Counter((row["split"], row["kept"]) for row in rows)
    assert strata == {(split, kept): 2 for split in ("train", "validate", "test") for kept in (False, True)}
    assert {row["num_in_stratum"] for row in rows if row["split"] == "train"} == {10}  # of five videos of four clips
    with pytest.raises(ConfigError, match="nothing there yet"):
        draw(workspace, 12, selection="other")


@pytest.mark.parametrize(("num_clips", "num_repeated"), [(1, 0), (2, 1), (10, 1), (40, 4)])
def test_every_clip_is_shown_once_and_a_tenth_again_much_later(
    num_clips: int, num_repeated: int, workspace: Workspace
) -> None:
    order = draw(workspace, num_clips).order
    assert sorted(number for number, is_repeat in order if not is_repeat) == list(range(num_clips))
    repeats = [(place, number) for place, (number, is_repeat) in enumerate(order) if is_repeat]
    assert len(repeats) == num_repeated
    for place, number in repeats:
        assert place - order.index((number, False)) >= num_clips // 6
