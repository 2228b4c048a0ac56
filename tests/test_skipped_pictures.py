"""Pictures that no other refers to are not decoded, and are where a tick is theirs."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig
from pipeline.clips.video_cutting import Restart, VideoCutting
from tests.helpers.cutting import EXACT, SMALL, SPECS, Cut, files_of, picture, sound, span_of, sparse, steady


def test_where_pictures_lie_too_far_apart_every_one_is_decoded(
    make_media: MakeMedia, cut: Callable[..., Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.storage.growing_tables.ROWS_AT_ONCE", 2)
    spec = ClipSpec(clip_s=2.0, frame_rate_hz=4.0, **SMALL)
    paths = steady(make_media, 3.0), sparse(make_media), steady(make_media, 5.0)
    fast, exact = (cut(*paths, spec=each) for each in (spec, dataclasses.replace(spec, exact_frames=True)))
    # `steady` has no pictures that no other refers to
    assert files_of(fast.workspace)["clips/base/00000.tar"] == files_of(exact.workspace)["clips/base/00000.tar"]
    assert [(row["clip_id"], row["tar_offset"]) for row in fast.clips] == [
        (row["clip_id"], row["tar_offset"]) for row in exact.clips
    ]
    assert fast.counts == exact.counts
    for sample in fast.samples().values():
        facts = json.loads(sample["json"])
        np.testing.assert_allclose(facts["frame_times_s"], facts["start_s"] + np.arange(8) / 4, atol=0.051)


def ends_skipped(make_media: MakeMedia, sound_s: float = 4.85) -> Path:
    """All pictures up to 4.0 s are decoded, and none of the 16 that follow: the one that they refer to is cut off."""
    listed = sparse(make_media).with_suffix(".mkv.txt").name
    drop = ("-c:v", "copy", "-c:a", "pcm_s16le", "-bsf:v", "noise=drop='gte(pts*tb,4.84)'")
    return make_media(f"ends_skipped_{sound_s}.mkv", "-f", "concat", "-i", listed, *sound(sound_s), *drop)


def restarts_and_times(path: Path, spec: ClipSpec, end_s: float = 60.0) -> tuple[int, list[float]]:
    """How often a file is cut anew, and the times of the frames of the clips that count."""
    items = list(VideoCutting(span_of(path, 0.0, end_s), {BASE: spec}, ShardingConfig()))
    anew = [k for k, item in enumerate(items) if isinstance(item, Restart)]
    clips = [item for item in items[anew[-1] + 1 if anew else 0 :] if isinstance(item, CutClip) and item.members]
    return len(anew), [time_s for clip in clips for time_s in json.loads(clip.members["json"])["frame_times_s"]]


def test_pictures_left_out_at_the_end_are_decoded_if_a_tick_is_theirs(make_media: MakeMedia) -> None:
    spec = ClipSpec(clip_s=0.5, hop_s=0.5, frame_rate_hz=4.0, **SMALL)
    path = ends_skipped(make_media)
    restarts, times_s = restarts_and_times(path, spec)
    assert restarts == 1
    np.testing.assert_allclose(times_s, np.arange(18) / 4, atol=0.001)
    assert restarts_and_times(path, spec, end_s=4.0)[0] == 0
    by_1 = ClipSpec(clip_s=1.0, hop_s=1.0, **SMALL)  # tick 4 has its picture, and there is none at 5 s
    assert restarts_and_times(path, by_1) == (0, pytest.approx([0, 1, 2, 3], abs=0.001))


def test_a_picture_that_ends_before_the_sound_is_not_cut_anew(make_media: MakeMedia) -> None:
    spec = ClipSpec(clip_s=0.5, hop_s=0.5, frame_rate_hz=4.0, **SMALL)
    path = make_media("short_picture.mkv", *picture(2), *sound(5), *EXACT)
    restarts, times_s = restarts_and_times(path, spec)
    assert restarts == 0
    np.testing.assert_allclose(times_s, np.minimum(np.arange(20) / 4, 1.75), atol=0.001)


def test_a_gap_after_the_last_span_does_not_matter(make_media: MakeMedia) -> None:
    path = sparse(make_media)
    for end_s, restarts in ((3.0, 0), (6.0, 1)):
        items = list(VideoCutting(span_of(path, 0.0, end_s), {BASE: SPECS[BASE]}, ShardingConfig()))
        assert sum(isinstance(item, Restart) for item in items) == restarts


@pytest.mark.parametrize(
    ("num_between", "anew"), [(1, []), (2, ["events"]), (9, ["events"]), (10, ["base", "events", "segmentation"])]
)
def test_a_picture_may_stand_in_for_those_that_are_half_a_tick_from_it(
    num_between: int, anew: list[str], make_media: MakeMedia
) -> None:
    params = f"bframes={num_between}:b-adapt=0:b-pyramid=none:scenecut=0"
    path = make_media(
        f"between_{num_between}.mkv", *picture(4), *sound(4), *EXACT, "-preset", "fast", "-x264-params", params
    )  # at 20 fps 0.1, 0.15, 0.5 and 0.55 s apart, at 1 and 4 ticks per s
    specs = {name: SPECS[name] for name in ("base", "events", "segmentation")}
    items = list(VideoCutting(span_of(path, 0.0, 4.0), specs, ShardingConfig()))
    assert [item.specs for item in items if isinstance(item, Restart)] == [anew] * bool(anew)
    alone = {
        name: list(VideoCutting(span_of(path, 0.0, 4.0), {name: spec}, ShardingConfig()))
        for name, spec in specs.items()
    }
    for name, of_spec in alone.items():
        begins = [
            found.index(Restart(list(names))) if name in anew else 0
            for found, names in ((items, anew), (of_spec, [name]))
        ]
        together, by_itself = (
            [item for item in found[begin:] if isinstance(item, CutClip) and item.spec == name]
            for found, begin in zip((items, of_spec), begins, strict=True)
        )
        assert together == by_itself
