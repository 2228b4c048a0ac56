"""Notes of `earshot shard`: each kind of video that someone should look at is counted and named, and no other."""

import pytest

from jobs.console.shard_notes import print_notes
from pipeline.clips.splitting import Splits
from pipeline.collection.collecting import Planned

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
