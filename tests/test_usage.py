"""Costs: what a part took is measured, in this process and in its children, and lies beside the result."""

import datetime
import pickle
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jobs.console.metering import Metered
from pipeline.estimate.usage import cpu_s, peak_bytes, usage_folder
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.usage import USAGE

BURN_S = 0.3
BURN = f"import time\nwhile time.process_time() < {BURN_S}: pass"


def burn(part: str) -> dict[str, str]:
    """Half a second of waiting, and CPU time here or in a child."""
    if part == "child":
        subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    elif part == "here":
        until_s = time.process_time() + BURN_S
        while time.process_time() < until_s:
            pass
    elif part == "waits":
        time.sleep(BURN_S)
    else:
        raise ValueError(part)
    return {"part": part}


def row(workspace: Workspace, stage: str, part: str) -> dict:
    (found,) = workspace.read(usage_folder(stage), part, USAGE).to_pylist()
    return found


@pytest.mark.parametrize("part", ["here", "child", "waits"])
def test_cpu_time_of_the_work_and_of_its_children_is_counted_and_waiting_is_not(part: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    before_s = cpu_s()
    assert Metered(workspace, "shard", burn)(part) == {"part": part}  # what the work returned
    spent_s, found = cpu_s() - before_s, row(workspace, "shard", part)
    assert found["cpu_s"] <= spent_s  # reading and writing the row is not the part's
    assert found["cpu_s"] == pytest.approx(0 if part == "waits" else BURN_S, abs=0.2)
    assert found["wall_s"] >= BURN_S * 0.9
    assert (found["gpu_s"], found["steps"]) == (0.0, None)
    assert (found["part"], found["host"]) == (part, platform.node())
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(found["finished"])
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_in_bytes_and_grows_with_what_was_held() -> None:
    held = bytearray(64 * 2**20)
    held[:] = b"x" * len(held)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    largest = int(status["VmHWM"].split()[0]) * 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak_bytes() == pytest.approx(max(largest, children), rel=0.02)
    assert peak_bytes() > len(held)


def test_a_part_that_fails_has_no_row_and_its_error_goes_on(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    with pytest.raises(ValueError, match="no_such"):
        Metered(workspace, "shard", burn)("no_such")
    assert workspace.parts(usage_folder("shard")) == []


def test_it_travels_to_a_worker(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    work = pickle.loads(pickle.dumps(Metered(workspace, "score-coincidence", burn)))  # noqa: S301  our own bytes
    assert work("waits") == {"part": "waits"}
    assert row(workspace, "score-coincidence", "waits")["part"] == "waits"


def test_rows_lie_in_a_bucket_as_they_do_on_disk_and_outside_the_stage_s_folder(s3_bucket: str) -> None:
    workspace = Workspace(f"{s3_bucket}/metered")
    Metered(workspace, "shard", burn)("waits")
    (entry,) = files.list_files(workspace.root)
    assert files.relative(entry.uri, workspace.root) == "tables/usage/stage=shard/waits.parquet"


def test_parts_done_together_have_a_row_each(tmp_path: Path) -> None:
    class Together:
        def __call__(self, part: str) -> str:
            raise AssertionError(part)

        def run_parts(self, parts: Sequence[str]) -> Iterator[str]:
            burn("here")  # for all of them
            yield from parts

    workspace, parts = Workspace(str(tmp_path)), ["00000", "00001"]
    assert list(Metered(workspace, "filter", Together()).run_parts(parts)) == parts
    first, second = (row(workspace, "filter", part)["cpu_s"] for part in parts)
    assert (first, second) == (pytest.approx(BURN_S, abs=0.2), pytest.approx(0, abs=0.2))
    assert list(Metered(workspace, "shard", str.upper).run_parts(["a", "b"])) == ["A", "B"]
    assert sorted(workspace.parts(usage_folder("shard"))) == ["a", "b"]
