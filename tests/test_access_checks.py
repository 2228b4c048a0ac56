"""From what was tried at a root to findings."""

from typing import Any

import pytest

from jobs.console.access_checks import check_bucket, check_reading, check_root
from jobs.console.findings import Finding
from pipeline.storage.access import CREATE, DELETE, REACH, REFUSE, WRITE, Access


def access(**changes: Any) -> Access:
    whole: Any = {
        "uri": "s3://bucket/root", "refused": {}, "clock_ahead_s": 0.4, "keeps_versions": False,
        "leaves_versions": False, "drops_old_locks": False, "drops_uploads": True,
    }  # fmt: skip
    return whole | changes


def one(**changes: Any) -> Finding:
    (found,) = [each for each in check_root(access(**changes), "a node") if each.level != "ok"]
    assert found.nodes == ("a node",)
    return found


def test_a_root_that_allows_all_is_ok() -> None:
    (found,) = check_root(access(), "a node")
    assert (found.level, found.remedy) == ("ok", "")


def test_what_is_denied_is_one_problem_with_the_names_of_the_rights() -> None:
    found = one(refused={WRITE: "AccessDenied", CREATE: "AccessDenied", DELETE: "AccessDenied"})
    assert (found.level, found.check) == ("problem", "root")
    assert found.text == "s3://bucket/root: no right to write, create if absent, delete (AccessDenied)"
    assert "Allow s3:PutObject, s3:DeleteObject on the bucket" in found.remedy


def test_a_local_root_that_is_read_only_is_mended_without_s3() -> None:
    found = one(uri="/data/root", refused={WRITE: "[Errno 30] Read-only file system"})
    assert "Read-only file system" in found.text
    assert "s3" not in found.remedy


@pytest.mark.parametrize(("step", "remedy"), [(REACH, "AWS_ENDPOINT_URL"), (REFUSE, "honours If-None-Match")])
def test_a_store_that_is_away_or_ignores_conditions_has_its_own_remedy(step: str, remedy: str) -> None:
    found = one(refused={step: "why"})
    assert found.level == "problem"
    assert remedy in found.remedy


@pytest.mark.parametrize(("ahead_s", "level"), [(61, "warning"), (-61, "warning"), (901, "problem"), (-901, "problem")])
def test_a_clock_that_the_store_does_not_share_is_found(ahead_s: float, level: str) -> None:
    found = one(clock_ahead_s=ahead_s)
    assert (found.level, found.check) == (level, "clock")
    assert ("ahead of" if ahead_s > 0 else "behind") in found.text


def test_a_bucket_that_keeps_versions_of_locks_is_a_warning_and_unknown_is_none() -> None:
    assert list(check_bucket(access())) == []
    both = check_bucket(access(keeps_versions=True, leaves_versions=True, drops_uploads=False))
    assert [each.check for each in both] == ["bucket"] * 2
    assert list(check_bucket(access(keeps_versions=True))) == []  # who may delete them by their ids leaves none
    assert list(check_bucket(access(keeps_versions=True, leaves_versions=True, drops_old_locks=True))) == []
    assert list(check_bucket(access(keeps_versions=None, drops_old_locks=None, drops_uploads=None))) == []


def test_a_video_that_cannot_be_read_says_what_to_do_for_its_kind_of_address() -> None:
    assert check_reading("s3://bucket/a.mp4", "", "a node").level == "ok"
    assert "s3:GetObject" in check_reading("s3://bucket/a.mp4", "AccessDenied.", "a node").remedy
    found = check_reading("/videos/a.mp4", "no such file.", "a node")
    assert found.level == "problem"
    assert "same path on every node" in found.remedy
