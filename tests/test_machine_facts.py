"""Facts of this machine, against what the kernel and the package index of this Python say."""

import importlib.metadata
import os
import re
import resource
import sys
import tomllib
from pathlib import Path

import pytest

from cluster.connect import PACKAGES, PROJECT
from cluster.machine_facts import DISTRIBUTIONS, hash_code, measure


def test_the_facts_are_those_of_the_kernel_and_of_this_python(tmp_path: Path) -> None:
    facts = measure(folders={"the root": str(tmp_path / "not" / "there" / "yet")})
    total_kb = int(re.findall(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())[0])
    assert 0 < facts["memory_bytes"] <= total_kb * 1024
    assert facts["python"] == "{}.{}.{}".format(*sys.version_info)
    assert facts["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert facts["open_files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    disk, room = os.statvfs(tmp_path), facts["rooms"]["the root"]
    assert room["total_bytes"] == disk.f_blocks * disk.f_frsize
    assert room["free_bytes"] <= disk.f_bfree * disk.f_frsize + 2**30  # others write meanwhile
    assert facts["shared_memory"] is None or facts["shared_memory"]["path"] == "/dev/shm"
    assert (facts["gpus"], facts["gpu_error"]) == ([], "")


def test_the_distributions_are_those_that_earshot_depends_on() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert set(DISTRIBUTIONS) == {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]


def test_the_hash_of_the_code_is_another_where_one_byte_is(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "module.py").write_text("number = 1\n")
    packages = [tmp_path / name for name in PACKAGES]
    before = hash_code(packages)
    (tmp_path / "notes.py").write_text("not part of it")
    (tmp_path / PACKAGES[0] / "notes.txt").write_text("not part of it")
    assert hash_code(packages) == before
    (tmp_path / PACKAGES[0] / "below" / "module.py").write_text("number = 2\n")
    assert hash_code(packages) != before


def test_the_least_limit_of_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.machine_facts._number", lambda path: 77 if path.name == "pids.max" else None)
    assert measure()["processes"] == 77
