"""`earshot doctor` as it is typed: on this machine's Ray, with a good root, and with what it has to find."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import World

from jobs.console import preflight
from jobs.console.findings import PROBLEM, Finding
from jobs.console.preflight import check_here, check_nodes
from pipeline.errors import ConfigError
from pipeline.media import sandbox
from tests.helpers.command import earshot


def findings(out: str) -> dict[str, Any]:
    """By check, level and text of its first finding."""
    found: dict[str, Any] = {}
    for each in json.loads(out)["findings"]:
        found.setdefault(each["check"], (each["level"], each["text"]))
    return found


@pytest.mark.usefixtures("ray_session")
def test_a_sound_machine_has_a_preset_that_wants_gpus_as_its_one_problem(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "NODE_S", 600.0)
    code, out, _ = earshot(
        "doctor", "--root", str(tmp_path / "root"), "--collection", world.collection, "--preset", "base", "--json"
    )
    found = findings(out)
    assert code == 1
    assert list(tmp_path.iterdir()) == []
    problems = {check: text for check, (level, text) in found.items() if level == "problem"}
    assert problems.keys() == {"preset"}
    assert "base have the published sizes, which want GPUs, and no node has one" in problems["preset"]
    check_nodes(str(tmp_path / "root"), "auto")  # the same node, as `run` looks at those of a cluster
    monkeypatch.setattr(preflight, "judge", lambda node, name: [Finding(PROBLEM, "ffmpeg", "too old", "", (name,))])
    with pytest.raises(ConfigError, match=r"no work was begun.*\n +problem  ffmpeg: too old"):
        check_nodes(str(tmp_path / "root"), "auto")
    looked_at = {"ray", "versions", "shared memory", "limits", "disk", "memory", "GPUs", "ffmpeg", "faces", "clock"}
    assert looked_at | {"placement", "root", "collection"} <= found.keys()


def test_a_missing_ffmpeg_is_found_in_a_process_that_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_here(str(tmp_path / "root"), None)
    monkeypatch.setenv("EARSHOT_FFMPEG", "/nowhere/ffmpeg")
    sandbox.ffmpeg_path.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"no work was begun.*\n.*problem  ffmpeg: /nowhere/ffmpeg"):
            check_here(str(tmp_path / "root"), None)
    finally:
        monkeypatch.undo()
        sandbox.ffmpeg_path.cache_clear()
    assert list(tmp_path.iterdir()) == []
