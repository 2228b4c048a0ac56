"""Refused objects: a row for each where others can be read, and a part that stays to be cut where none can."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from pipeline.clip_specs import ClipSpec
from pipeline.clips.sharding import ShardingConfig, ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import OutageError, UnreadError
from pipeline.storage import files, ranges, s3_clients
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.videos import VIDEOS
from tests.helpers.refusal_answers import refusal

SPEC = ClipSpec(clip_s=1.0, frame_height=32, frame_width=32)
LAVFI = ("-f", "lavfi", "-i")
# What a store says of one object, and why a part that met it stays to be cut although others can be read, if it does.
ANSWERS = {
    (403, "AccessDenied"): True,
    (403, "AllAccessDisabled"): True,
    (400, "KMS.DisabledException"): True,
    (400, "InvalidRequest"): True,  # stored under a customer's key
    (400, "ExpiredToken"): False,
    (403, "InvalidAccessKeyId"): False,
    (403, "RequestTimeTooSkewed"): False,
    (400, "KMS.ThrottlingException"): False,
}
Deny = Callable[..., None]


@pytest.fixture
def deny(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deny]:
    """deny("a.mkv", status=403, code="AccessDenied"): the store answers so to a GET of every key that ends so."""
    monkeypatch.setattr(ranges, "read", lambda *_: None)  # left to botocore
    refused: dict[str, tuple[int, str]] = {}

    def answer(request: AWSRequest, **_: Any) -> AWSResponse | None:
        for end, (status, code) in refused.items():
            if request.url.partition("?")[0].endswith(end):
                return refusal(request, status, code)
        return None

    events = s3_clients.client("earshot").meta.events
    events.register("before-send.s3.GetObject", answer, "deny")
    yield lambda end, status=403, code="AccessDenied": refused.update({end: (status, code)})
    events.unregister("before-send.s3.GetObject", unique_id="deny")


@pytest.fixture
def folder(s3_bucket: str, tmp_path: Path, make_media: Callable[..., Path]) -> str:
    """A prefix with a.mkv, b.mkv and c.mkv of 1 s."""
    video = make_media(
        "refused.mkv", *LAVFI, "testsrc=s=32x32:r=5:d=1", *LAVFI, "sine=d=1:r=16000", "-c:v", "libx264", "-c:a", "flac"
    )
    for name in "abc":
        files.commit_bytes(f"{s3_bucket}/{tmp_path.name}/{name}.mkv", video.read_bytes())
    return f"{s3_bucket}/{tmp_path.name}"


def cut(root: Path, collection: str, videos_per_part: int = 80, retry: tuple[str, ...] = ()) -> dict[str, str]:
    """The outcome of each video by its name."""
    workspace = Workspace(str(root))
    plan_parts(workspace, list_videos(collection), CollectingConfig(videos_per_part=videos_per_part), retry)
    for part in workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER):
        ShardPart(workspace, {"base": SPEC}, ShardingConfig())(part)
    rows = workspace.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()
    return {row["uri"].rpartition("/")[2]: f"{row['outcome']} {row['detail'] or ''}".strip() for row in rows}


def test_an_archived_object_is_a_row_with_the_stores_code_and_is_cut_again_when_it_is_restored(
    folder: str, tmp_path: Path
) -> None:
    bucket, _, key = f"{folder}/b.mkv".removeprefix("s3://").partition("/")
    body = files.read_bytes(f"{folder}/b.mkv")
    s3_clients.client(bucket).put_object(Bucket=bucket, Key=key, Body=body, StorageClass="GLACIER")
    found = cut(tmp_path / "root", folder)
    assert (found["a.mkv"], found["c.mkv"]) == ("kept", "kept")
    assert found["b.mkv"].startswith("refused s3://")
    assert "InvalidObjectState" in found["b.mkv"]
    files.commit_bytes(f"{folder}/b.mkv", body)
    assert set(cut(tmp_path / "root", folder, retry=("refused",)).values()) == {"kept"}


@pytest.mark.parametrize(("status", "code"), ANSWERS)
def test_one_object_that_is_refused_is_a_row_and_an_outage_leaves_its_part_to_be_cut(
    status: int, code: str, folder: str, tmp_path: Path, deny: Deny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")  # throttling would be waited for
    deny("b.mkv", status, code)
    if ANSWERS[status, code]:
        found = cut(tmp_path / "root", folder)
        assert [found[name].partition(" ")[0] for name in ("a.mkv", "b.mkv", "c.mkv")] == ["kept", "refused", "kept"]
        assert code in found["b.mkv"]
    else:
        with pytest.raises((UnreadError, OutageError), match=rf"b.mkv: .*{code}"):
            cut(tmp_path / "root", folder)
        assert Workspace(str(tmp_path / "root")).parts(VIDEOS_FOLDER) == []


@pytest.mark.parametrize("denied", ["a.mkv", "c.mkv"])
def test_a_part_of_its_own_is_refused_if_videos_of_other_parts_can_be_read(
    denied: str, folder: str, tmp_path: Path, deny: Deny
) -> None:
    deny(denied)
    found = cut(tmp_path / "root", folder, videos_per_part=1)
    assert [name for name, outcome in found.items() if outcome != "kept"] == [denied]


def test_a_store_that_refuses_everything_stops_the_run_and_writes_no_row(
    folder: str, tmp_path: Path, deny: Deny
) -> None:
    deny(".mkv")
    with pytest.raises(UnreadError, match=r"AccessDenied.* So are all 3 videos that were tried\. Expected"):
        cut(tmp_path / "root", folder, videos_per_part=2)
    assert Workspace(str(tmp_path / "root")).parts(VIDEOS_FOLDER) == []
