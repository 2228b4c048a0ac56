"""A disk without room: the write waits, goes on where it stopped, or fails with where and what to do."""

import errno
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.clips.tars import TarWriter
from pipeline.errors import OutageError
from pipeline.storage import files, full_disks
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.usage import USAGE

DATA = np.random.default_rng(0).bytes(100_000)
USAGE_ROW = {"part": "0", "host": "h", "cpu_s": 1.0, "gpu_s": 0.0, "wall_s": 1.0, "peak_bytes": 1, "steps": None}
USAGE_ROW |= {"finished": "2026-11-30"}
Refuse = Callable[[int], list[float]]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """refuse(n): of every step n tries find no room; returns the waits that follow, which take no time."""
    patiently, waits = full_disks.patiently, list[float]()

    def refuse(count: int, number: int = errno.ENOSPC) -> list[float]:
        def with_refusals(folder: Path, step: Callable[[], Any]) -> Any:
            left = iter(range(count))

            def try_step() -> Any:
                if next(left, None) is not None:
                    raise OSError(number, os.strerror(number))
                return step()

            return patiently(folder, try_step)

        monkeypatch.setattr(full_disks, "patiently", with_refusals)
        return waits

    monkeypatch.setattr(time, "sleep", waits.append)
    return refuse


def commit_bytes(root: Path) -> None:
    files.commit_bytes(f"{root}/a/bytes", DATA)


def create_bytes(root: Path) -> None:
    assert files.create_bytes(f"{root}/a/created", DATA)


def commit_table(root: Path) -> None:
    Workspace(str(root)).commit("usage/x", "0", from_rows([USAGE_ROW], USAGE, "0"), USAGE)


def write_tar(root: Path) -> None:
    with files.building(f"{root}/a.tar") as path, TarWriter(path) as tar:
        for key in ("a", "b", "c"):
            tar.add(key, {"bin": DATA})
        tar.truncate(tar.size_bytes // 2)
        tar.add("d", {"bin": DATA})


def save_weights(root: Path) -> None:
    with files.building(f"{root}/model.pt") as path, files.open_patiently(path) as file:
        torch.save({"weights": torch.arange(30_000.0)}, file)


WRITERS = (commit_bytes, create_bytes, commit_table, write_tar, save_weights)


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_written_through_a_full_disk_has_the_same_bytes(tmp_path: Path, refuse: Refuse) -> None:
    for write in WRITERS:
        write(tmp_path / "undisturbed")
    waits = refuse(2)
    for write in WRITERS:
        write(tmp_path / "disturbed")
    assert content(tmp_path / "disturbed") == content(tmp_path / "undisturbed")
    assert len(waits) >= 2 * len(WRITERS)


@pytest.mark.parametrize("write", WRITERS)
def test_a_disk_that_stays_full_is_an_error_with_folder_room_and_remedy_and_leaves_nothing(
    write: Callable[[Path], None], tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")
    refuse(10**9)
    says = rf"{tmp_path}.*: cannot be written to, .* is full \(No space left on device; .* left\). Make room there."
    with pytest.raises(OutageError, match=says):
        write(tmp_path)
    assert content(tmp_path) == {}


def test_a_quota_is_a_full_disk_and_another_failure_is_not(tmp_path: Path, refuse: Any) -> None:
    refuse(1, errno.EDQUOT)
    files.commit_bytes(f"{tmp_path}/x", DATA)
    assert files.read_bytes(f"{tmp_path}/x") == DATA
    refuse(1, errno.EROFS)
    with pytest.raises(OSError, match="Read-only"):
        files.commit_bytes(f"{tmp_path}/x", b"other")
    assert files.read_bytes(f"{tmp_path}/x") == DATA


def test_a_file_that_gave_up_neither_waits_again_when_it_is_closed_nor_hides_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt), full_disks.open_patiently(Path("/dev/full")) as file:
        file.write(b"a" * 10 * io.DEFAULT_BUFFER_SIZE)
    assert file.closed
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")
    with pytest.raises(OutageError, match="/dev"), full_disks.open_patiently(Path("/dev/full")) as file:
        file.write(b"a")  # written by close
    assert file.closed


def test_what_a_disk_lost_while_it_was_forced_there_is_not_declared_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    files.commit_bytes(f"{tmp_path}/x", b"whole")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutageError, match="Disk quota exceeded"):
        files.commit_bytes(f"{tmp_path}/x", DATA)
    assert content(tmp_path) == {"x": b"whole"}


def test_a_copy_of_an_object_waits_for_room_too(s3_bucket: str, refuse: Refuse) -> None:
    files.commit_bytes(f"{s3_bucket}/full/x", DATA)
    waits = refuse(1)
    with files.local_copy(f"{s3_bucket}/full/x") as path:
        assert path.read_bytes() == DATA
    assert waits


def test_a_table_is_read_back_as_it_was(tmp_path: Path, refuse: Refuse) -> None:
    refuse(3)
    commit_table(tmp_path)
    table: pa.Table = Workspace(str(tmp_path)).read("usage/x", "0", USAGE)
    assert table.to_pylist() == [USAGE_ROW]
