"""What `run` looks at before any work, beside what its own tests refuse."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.addresses import JOB_CONFIG
from jobs.console import preflight, run_checks
from jobs.console.run_checks import check_run


@pytest.mark.parametrize(("is_job", "looked_at"), [(True, ["10.0.0.1:6379"]), (False, [])])
def test_in_a_ray_job_the_nodes_are_looked_at_without_an_address(
    is_job: bool, looked_at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: list[str] = []
    monkeypatch.setattr(preflight, "check_nodes", lambda root, address: addresses.append(address))
    monkeypatch.setattr(preflight, "check_here", lambda root, address: None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    if is_job:
        monkeypatch.setenv(JOB_CONFIG, "{}")
    else:
        monkeypatch.delenv(JOB_CONFIG, raising=False)
    workspace = SimpleNamespace(root=str(tmp_path / "root"), is_finished=lambda folder: False)
    separation = SimpleNamespace(phase="joint", audio_from="selection")
    session: Any = SimpleNamespace(
        address=None,
        config=SimpleNamespace(separation=separation),
        workspace=workspace,
        check=lambda *folders: None,
        check_placement=lambda stages: None,
    )
    monkeypatch.setattr(run_checks, "of_sound_alone", lambda session: None)
    check_run(session, str(tmp_path), ["separation"], None, None, None)
    assert addresses == looked_at
