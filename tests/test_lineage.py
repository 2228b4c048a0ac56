"""What follows from a stage, and `earshot clean`: a chain of stages made by hand, in a folder and in a bucket."""

from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.lineage import check_unused, dependents, list_outputs, list_stages
from pipeline.storage.workspace import Workspace

# stage -> its inputs: the graph of `earshot run`, with a second coincidence model that only has scores
STAGES = {
    "clips": [],
    "labels": [],
    "models/c": ["clips"],
    "models/d": ["clips"],
    "scores/c": ["models/c"],
    "scores/d": ["models/d"],
    "duplicates/s": ["scores/c"],
    "selections/s": ["clips", "scores/c", "labels", "duplicates/s"],
    "materialized/s": ["selections/s", "selections/s parts"],
    "mixtures/m": ["selections/s"],
    "models/separation": ["clips", "selections/s", "models/c"],
    "reports/model=separation": ["mixtures/m", "models/separation"],
    "reports/model=c": ["scores/c"],
}
BESIDE = ["training/c.parquet", "usage/score-c/00000.parquet", "usage/filter-s/00000.parquet", "earshot.json", "report"]


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    root = tmp_path if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"
    workspace = Workspace(str(root))
    for folder, inputs in STAGES.items():
        workspace.begin(folder, {}, dict.fromkeys(inputs, "1"))
        files.commit_bytes(workspace.uri(folder, "00000.parquet"), b"rows")
    for name in BESIDE:
        files.commit_bytes(workspace.uri(name), b"{}")
    return workspace


def found(workspace: Workspace) -> set[str]:
    return {files.relative(entry.uri, workspace.root) for entry in files.list_files(workspace.root)}


def test_everything_follows_from_clips_and_only_a_report_from_mixtures(place: Workspace) -> None:
    stages = list_stages(place)
    assert stages.keys() == STAGES.keys()
    assert set(dependents(stages, "clips")) == STAGES.keys() - {"clips"}
    assert dependents(stages, "mixtures/m") == ["reports/model=separation"]
    assert dependents(stages, "scores/d") == []
    selection = {"materialized/s", "mixtures/m", "models/separation", "reports/model=separation"}
    assert set(dependents(stages, "selections/s")) == selection
    assert set(dependents(stages, "duplicates/s")) == {"selections/s", *selection}
    assert set(dependents(stages, "labels")) == {"selections/s", *selection}


def test_a_model_is_not_trained_again_while_others_are_made_from_it(place: Workspace) -> None:
    check_unused(place, "models/new")
    with pytest.raises(ConfigError, match=r"models/d: would be made anew, but scores/d were made from") as caught:
        check_unused(place, "models/d")
    assert caught.value.topic == "stale"


def test_the_records_are_the_last_of_a_stages_files(place: Workspace) -> None:
    names = [files.relative(uri, place.root) for uri in list_outputs(place, "models/c")]
    assert names == ["training/c.parquet", "models/c/00000.parquet", "models/c/_stage.json"]


def test_clean_lists_and_then_removes_exactly_what_follows(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = found(place)
    arguments = ["clean", "--root", place.root, "--from", "models/c"]
    assert main(arguments) == 0
    assert "nothing is removed yet" in capsys.readouterr().out
    assert found(place) == before
    assert main([*arguments, "--yes"]) == 0
    kept = {"clips", "labels", "models/d", "scores/d"}
    expected = {name for name in before if name.rpartition("/")[0] in kept} | {"earshot.json", "report"}
    assert {name for name in found(place) if not name.startswith(".locks")} == expected
    assert main([*arguments, "--yes"]) == 2
    assert "Expected one of clips, models/d" in capsys.readouterr().err


def test_clean_from_clips_starts_the_workspace_over(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.begin("clips", {}, {})
    for name in ("earshot.json", "collection/00000.parquet", "videos/00000.parquet", "world/videos/a.mp4"):
        files.commit_bytes(workspace.uri(name), b"{}")
    assert main(["clean", "--root", str(tmp_path), "--from", "clips", "--yes"]) == 0
    assert {name for name in found(workspace) if not name.startswith(".locks")} == {"world/videos/a.mp4"}
