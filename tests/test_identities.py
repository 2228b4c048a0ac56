"""Who is seen: classes and folds of a probe, and pairs, by the collection's speakers or by videos."""

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.evaluation import identities
from pipeline.evaluation.identities import draw_clips, draw_pairs, probed_identities
from schemas.fields import from_rows
from schemas.utterances import UTTERANCES


def table(*clips: tuple[str, str | None, int]) -> pa.Table:
    """Rows of (video, speaker, track)."""
    rows: list[dict[str, Any]] = [
        {"clip_id": f"{video}_{number}_f{track}", "video_id": video, "speaker": speaker, "track": track}
        for number, (video, speaker, track) in enumerate(clips)
    ]
    return from_rows(rows, UTTERANCES, "here")


def test_speakers_are_tried_in_other_videos() -> None:
    clips = [(f"{speaker}{video}", speaker, 0) for speaker in "ABC" for video in range(3) for _ in range(2)]
    known = probed_identities(table(*clips, ("x", "D", 0), ("x", "D", 0), ("y", None, 0)), 0)
    assert len(known.classes) == 18  # D has one video, and nobody knows who y is
    videos, speakers = known.rows["video_id"].to_numpy(), known.rows["speaker"].to_numpy()
    for video in set(videos):
        assert len(set(known.folds[videos == video])) == 1
    for speaker in set(speakers):
        assert len(set(known.classes[speakers == speaker])) == 1
        assert len(set(known.folds[speakers == speaker])) == 3
    first, second, is_same = draw_pairs(known, 0)
    assert len(first) == 36
    assert is_same.sum() == 18
    assert np.array_equal(known.classes[first] == known.classes[second], is_same)
    assert (videos[first] != videos[second]).all()


def test_without_speakers_a_video_is_an_identity_and_is_tried_on_its_other_clips() -> None:
    known = probed_identities(
        table(*[(f"v{video}", None, 0) for video in range(4) for _ in range(3)], ("w", None, 0)), 0
    )
    videos = known.rows["video_id"].to_numpy()
    assert sorted(set(videos)) == ["v0", "v1", "v2", "v3"]  # w has one clip
    for video in set(videos):
        assert sorted(known.folds[videos == video]) == [0, 1, 2]
    first, second, is_same = draw_pairs(known, 0)
    assert (first != second).all()
    assert np.array_equal(videos[first] == videos[second], is_same)


def test_of_two_faces_of_a_video_the_one_with_more_clips_takes_part() -> None:
    clips = [("v", None, 1), ("v", None, 0), ("v", None, 1), ("w", None, 0), ("w", None, 1), ("w", None, 0)]
    known = probed_identities(table(*clips), 0)
    assert list(zip(known.rows["video_id"].to_pylist(), known.rows["track"].to_pylist(), strict=True)) == [
        ("v", 1), ("v", 1), ("w", 0), ("w", 0),
    ]  # fmt: skip


def test_there_are_bounds_on_clips_and_identities(monkeypatch: Any) -> None:
    monkeypatch.setattr(identities, "MAX_IDENTITIES", 2)
    clips = [(f"v{video}", None, 0) for video in range(5) for _ in range(2 + video)]
    known = probed_identities(table(*clips), 0)
    assert set(known.rows["video_id"].to_pylist()) == {"v4", "v3"}  # those with the most clips
    assert draw_clips(3, 0).tolist() == [0, 1, 2]
    monkeypatch.setattr(identities, "MAX_CLIPS", 10)
    drawn = draw_clips(100, 0)
    assert (len(drawn), len(set(drawn.tolist()))) == (10, 10)
    assert np.array_equal(drawn, draw_clips(100, 0))
    assert not np.array_equal(drawn, draw_clips(100, 1))


def test_nobody_known_is_no_class_and_no_pair() -> None:
    for clips in ((), (("v", None, 0),), (("v", "A", 0), ("v", "A", 0))):
        known = probed_identities(table(*clips), 0)
        assert len(known.rows) == len(known.classes) == 0
        assert [len(each) for each in draw_pairs(known, 0)] == [0, 0, 0]
