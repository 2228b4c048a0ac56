"""Whether nodes share a folder: what a file is known by, what differs, and videos that one node alone does not find."""

import os
from pathlib import Path

import pytest

from cluster.faults import UnsharedError
from cluster.sharing import OnShared, check_shared, compare, fingerprint
from jobs.console.missing_videos import check_missing
from pipeline.errors import DataError
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS


def test_a_file_is_known_by_size_and_beginning_and_what_is_no_file_by_nothing(tmp_path: Path) -> None:
    for name, data in {"a": b"1" * 5000, "b": b"1" * 5000, "c": b"1" * 5001, "d": b"2" + b"1" * 4999}.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe")  # would wait for a writer
    prints = {name: fingerprint(str(tmp_path / name)) for name in ("a", "b", "c", "d", "pipe", "", "none")}
    assert prints["a"] == prints["b"] is not None
    assert len({prints["a"], prints["c"], prints["d"]}) == 3
    assert prints["pipe"] is prints[""] is prints["none"] is None


@pytest.mark.parametrize(
    ("here", "there", "found"),
    [("x", None, "no such file"), ("x", "y", "another file"), (None, "y", "a file that is not here")],
)
def test_a_node_that_sees_something_else_is_named_with_the_remedy(here: str, there: str, found: str) -> None:
    with pytest.raises(UnsharedError) as caught:
        compare("root /ws", "/ws/a", here, {"node one": here, "node two": there})
    assert f"/ws/a: node two sees {found}, expected" in str(caught.value)
    assert "node one" not in str(caught.value)
    assert str(caught.value).endswith("Mount the same folder at the same path on every node, or use s3://.")
    compare("root /ws", "/ws/a", here, {"node one": here, "node two": here})


def test_of_many_nodes_three_are_named() -> None:
    with pytest.raises(UnsharedError, match=r": n0, n1, n2 and 7 more sees no such file"):
        compare("root /ws", "/ws/a", "x", {f"n{number}": None for number in range(10)})


def test_a_part_on_a_node_that_does_not_see_the_files_is_not_begun(tmp_path: Path) -> None:
    done: list[str] = []
    there = tmp_path / "a"
    there.write_bytes(b"1")
    work = OnShared(done.append, {str(there): fingerprint(str(there))})
    work("00000")
    there.unlink()  # as on a node that joins without the folder
    with pytest.raises(UnsharedError, match=r"node .* does not see .*/a as the driver does"):
        work("00001")
    with pytest.raises(UnsharedError, match=r"node .* does not see .*/a as the driver does"):
        list(work.run_parts(["00002", "00003"]))
    assert done == ["00000"]


def test_every_node_is_asked_itself(ray_session: None, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    assert check_shared("root", str(tmp_path / "a")) == fingerprint(str(tmp_path / "a")) is not None
    assert check_shared("root", str(tmp_path / "none")) is None


def test_a_part_with_missing_videos_is_taken_back_if_another_node_sees_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(str(tmp_path))
    uris = {"/a.mp4": "missing", "/b.mp4": "kept", "s3://b/c.mp4": "missing"}
    rows = [
        {"video_id": uri, "uri": uri, "part": "00000", "rights": "unknown", "num_clips": 0, "outcome": outcome}
        for uri, outcome in uris.items()
    ]
    asked: list[list[str]] = []

    def see(found: str | None) -> None:
        monkeypatch.setattr(
            "cluster.sharing.look_everywhere", lambda paths: asked.append(list(paths)) or {"node x": [found]}
        )

    for name in ("base", "events"):
        workspace.commit(f"videos/{name}", "00000", from_rows(rows, VIDEOS, "00000"), VIDEOS)
    see(None)
    check_missing(workspace, ("base", "events"), "00000", {"videos missing": 2})  # gone everywhere: a row, as it is
    check_missing(workspace, ("base", "events"), "00000", {"videos kept": 1})
    assert asked == [["/a.mp4"]]
    assert workspace.parts("videos/base") == ["00000"]
    see("1 byte")
    with pytest.raises(DataError, match=r"/a.mp4: missing where part 00000 was cut, and node x sees it"):
        check_missing(workspace, ("base", "events"), "00000", {"videos missing": 2})
    assert workspace.parts("videos/base") == workspace.parts("videos/events") == []
