"""Notes of `earshot shard`: each kind of video that someone should look at is counted and named, and no other."""

import pytest

from jobs.console.exit_codes import PartialError
from jobs.console.shard_notes import check_rejects, print_changes, print_notes
from pipeline.clips.declaring import Changes
from pipeline.clips.reconciling import Totals
from pipeline.clips.splitting import Splits
from pipeline.collection.collecting import Planned
from pipeline.errors import DataError

NONE = Splits(num_videos={"train": 3, "validate": 0, "test": 0}, copies=[], num_moved=0)


def planned(num_elsewhere: int, elsewhere: tuple[str, str] | None) -> Planned:
    return Planned(
        num_new=2, num_retried=0, not_retried=(), changed=(), gone=(), num_elsewhere=num_elsewhere, elsewhere=elsewhere
    )


def test_videos_at_other_addresses_are_counted_and_one_is_named_then_and_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_notes(planned(3, ("/A/clip\x1b.mp4", "/B/clip\x1b.mp4")), NONE)
    assert capsys.readouterr().err == (
        "shard: 3 videos are at other addresses than when they were cut, such as /A/clip?.mp4, now /B/clip?.mp4: taken "
        "for moved, and left as they were cut. If they are other videos, use another root.\n"
    )


def test_nothing_is_said_where_there_is_nothing_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes(planned(0, None), NONE)
    assert capsys.readouterr().err == ""


def totals(num_kept: int, **videos: int) -> Totals:
    return Totals(
        num_videos=sum(videos.values()),
        num_clips=num_kept,
        num_kept=num_kept,
        video_s=0.0,
        tar_bytes=0,
        videos_by_outcome=videos,
        clips_by_outcome={"kept": num_kept},
    )


def test_more_rejects_than_allowed_of_what_was_cut_now_are_partial_and_as_many_are_not() -> None:
    years = [totals(900, kept=990, missing=10)]
    night = {"videos kept": 15, "videos missing": 4, "videos no_audio": 1, "clips kept": 99, "video_s": 8.0}
    check_rejects("ws", "c", years, night, None)
    check_rejects("ws", "c", years, night, 0.25)  # 5 of 20
    with pytest.raises(PartialError, match=r"5 of 20 videos are rejected \(.*4 missing.*\): 25.0%, allowed 24.0%"):
        check_rejects("ws", "c", years, night, 0.24)


def test_where_nothing_was_cut_all_videos_count() -> None:
    years = [totals(900, kept=990, missing=10)]
    check_rejects("ws", "c", years, {}, 0.01)
    with pytest.raises(PartialError, match=r"10 of 1000 videos are rejected"):
        check_rejects("ws", "c", years, {}, 0.0)


def test_a_collection_without_a_clip_has_failed_whatever_is_allowed() -> None:
    with pytest.raises(DataError, match=r"none of 2 files gave a clip .*earshot query --root 'my ws' 'SELECT uri"):
        check_rejects("my ws", "c", [totals(0, missing=2)], {"videos missing": 2}, 1.0)


def test_it_is_said_how_many_changed_to_what_and_which_selections_wait(capsys: pytest.CaptureFixture[str]) -> None:
    examples = (("/a\x1b.mp4", "no_train"), ("/b", "no_train"), ("/c", "license"))
    print_changes(Changes({"no_train": 2, "license": 1}, examples, ("default", "top")))
    assert capsys.readouterr().err == (
        "shard: 3 videos are declared otherwise: 2 no_train, 1 license; such as /a?.mp4, /b, /c. Until `earshot "
        "filter` decides anew, `default`, `top` keep none of their clips.\n"
    )
    print_changes(Changes({"author": 1}, (("/c", "author"),), ("default",)))
    assert capsys.readouterr().err == (
        "shard: 1 video is declared otherwise: 1 author; such as /c. Until `earshot filter` decides anew, `default` "
        "keeps none of their clips.\n"
    )
    print_changes(Changes({"author": 1}, (("/c", "author"),), ()))
    assert capsys.readouterr().err == "shard: 1 video is declared otherwise: 1 author; such as /c.\n"
    print_changes(Changes({}, (), ()))
    assert capsys.readouterr().err == ""
