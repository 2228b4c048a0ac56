"""A command's session: how a stage is begun, and how parts are handed out. Without Ray."""

from pathlib import Path

import pytest

from cluster.faults import UnsharedError
from cluster.resources import FILTERING
from cluster.sharing import fingerprint
from jobs.console.session import Session, open_session
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from schemas.usage import USAGE


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is handed out, to this process instead of to Ray."""
    given: list[str] = []
    monkeypatch.setattr("cluster.connect.connect", lambda address, environment: given.append("Ray"))
    monkeypatch.setattr("cluster.metrics.publish_parts", lambda *output: None)
    monkeypatch.setattr(
        "cluster.mapping.map_parts",
        lambda work, parts, needs, per_task, on_change, **_: (
            (n, given.append(f"{n}*{per_task}") or work(n)) for n in parts
        ),
    )
    return given


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(str(tmp_path))


def test_with_no_part_to_do_ray_is_not_started(session: Session, batches: list[str]) -> None:
    assert session.map("label", lambda part: {"clips": 1}, [], FILTERING) == {}
    assert batches == []


def test_short_work_is_handed_out_together_and_every_part_is_done_and_measured(
    session: Session, batches: list[str]
) -> None:
    parts = [f"{number:05d}" for number in range(130)]
    counts = session.map(
        "filter s", lambda part: {"last": int(part) == 129, "n": 1}, parts, FILTERING, parts_per_task=16
    )
    assert counts == {"last": 1, "n": 130}
    assert batches[1:] == [f"{part}*16" for part in parts]
    costs = session.workspace.read_all("usage/filter-s", USAGE, ["part"]).to_pylist()
    assert costs == [{"part": part} for part in parts]


def test_the_gauges_and_the_bar_know_what_has_been_counted_so_far(
    session: Session, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output: list[tuple[str, int, int, dict[str, float]]] = []
    monkeypatch.setattr(
        "cluster.metrics.publish_parts",
        lambda stage, step, states, to_go_s, counts: output.append(
            (stage, states["done"], sum(states.values()), dict(counts))
        ),
    )
    with session.begin("labels/base", {}, {}):
        session.map("label", lambda part: {"clips": int(part)}, ["1", "2"], FILTERING)
    assert output == [("labels/base", 0, 2, {}), ("labels/base", 2, 2, {"clips": 3})]


def test_the_root_is_not_touched_by_opening_it(tmp_path: Path) -> None:
    open_session(str(tmp_path / "ws"))
    assert not files.exists(str(tmp_path / "ws" / "earshot.json"))
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_no_cluster_answers_for_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, environment: object) -> None:
        raise ConnectionError(f"--address {address}: no Ray cluster answers there.")

    monkeypatch.setattr("cluster.connect.connect", refuse)
    session, root = open_session(str(tmp_path / "ws"), address="host:1"), tmp_path / "ws"
    with pytest.raises(ConnectionError), session.begin("clips/base", {"hop_s": 1.0}, {}):
        pass
    assert not root.exists()
    monkeypatch.setattr("cluster.connect.connect", lambda address, environment: None)
    monkeypatch.setattr("cluster.sharing.look_everywhere", lambda paths: {"node b": [None]})
    unshared = pytest.raises(UnsharedError, match=r"root .*ws: the nodes .* node b sees no such file")
    with unshared, session.begin("clips/base", {"hop_s": 1.0}, {}):
        pass
    assert not session.workspace.has_stage("clips/base")
    assert not (root / SETTINGS_FILE).exists()
    monkeypatch.setattr("cluster.sharing.look_everywhere", lambda paths: {"node b": [fingerprint(paths[0])]})
    with session.begin("clips/base", {"hop_s": 2.0}, {}):
        assert (root / SETTINGS_FILE).exists()
        assert list(session.shared) == [f"{root}/.locks/clips/base.json"]  # the work of parts sees it too
    assert not session.shared


def test_on_one_machine_nothing_is_looked_for_elsewhere(session: Session, batches: list[str]) -> None:
    with session.begin("clips/base", {}, {}):
        session.share("collection c", "/nowhere/a.mp4")
        session.map("label", lambda part: {}, ["1"], FILTERING, verify=lambda part, counts: batches.append("verified"))
    assert batches == ["Ray", "Ray", "1*1"]
    assert not session.shared
