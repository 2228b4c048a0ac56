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
    "clips/base": [],
    "labels/base": [],
    "models/c": ["clips/base"],
    "models/d": ["clips/base"],
    "scores/c": ["models/c"],
    "scores/d": ["models/d"],
    "duplicates/s": ["scores/c"],
    "selections/s": ["clips/base", "scores/c", "labels/base", "duplicates/s"],
    "materialized/s": ["selections/s", "selections/s parts"],
    "mixtures/m": ["selections/s"],
    "models/separation": ["clips/base", "selections/s", "models/c"],
    "reports/separation/m": ["mixtures/m", "models/separation"],
    "reports/c/-": ["scores/c"],
}
BESIDE = ["training/c", "usage/score-c", "usage/filter-s", "videos/base", "collection", "usage/shard-base"]


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    root = tmp_path if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"
    workspace = Workspace(str(root))
    for folder, inputs in STAGES.items():
        workspace.begin(folder, {}, dict.fromkeys(inputs, "1"))
        kind, _, name = folder.partition("/")
        table = f"summary/{name}" if kind == "reports" else folder
        is_model = kind == "models"
        files.commit_bytes(
            workspace.uri(folder, "model.pt") if is_model else workspace.part_uri(table, "00000"), b"rows"
        )
    for partition in BESIDE:
        files.commit_bytes(workspace.part_uri(partition, "00000"), b"rows")
    for name in ("earshot.json", "report.html"):
        files.commit_bytes(workspace.uri(name), b"{}")
    return workspace


def found(workspace: Workspace) -> set[str]:
    return {files.relative(entry.uri, workspace.root) for entry in files.list_files(workspace.root)}


def test_everything_follows_from_clips_and_only_a_report_from_mixtures(place: Workspace) -> None:
    stages = list_stages(place)
    assert stages.keys() == STAGES.keys()
    assert set(dependents(stages, "collection")) == STAGES.keys()
    assert set(dependents(stages, "clips/base")) == STAGES.keys() - {"clips/base"}
    assert dependents(stages, "mixtures/m") == ["reports/separation/m"]
    assert dependents(stages, "scores/d") == []
    selection = {"materialized/s", "mixtures/m", "models/separation", "reports/separation/m"}
    assert set(dependents(stages, "selections/s")) == selection
    assert set(dependents(stages, "duplicates/s")) == {"selections/s", *selection}
    assert set(dependents(stages, "labels/base")) == {"selections/s", *selection}
    assert dependents(stages, "labels/bsae") == []  # of a mistyped name nothing is removed


def test_a_model_is_not_trained_again_while_others_are_made_from_it(place: Workspace) -> None:
    check_unused(place, "models/new")
    with pytest.raises(ConfigError, match=r"models/d: would be made anew, but scores/d were made from") as caught:
        check_unused(place, "models/d")
    assert caught.value.topic == "stale"


def test_the_records_are_the_last_of_a_stages_files(place: Workspace) -> None:
    names = [files.relative(uri, place.root) for uri in list_outputs(place, "models/c")]
    assert names == ["models/c/model.pt", "tables/training/model=c/00000.parquet", "stages/models/c.json"]


def test_clean_lists_and_then_removes_exactly_what_follows(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = found(place)
    arguments = ["clean", "--root", place.root, "--from", "models/c"]
    assert main(arguments) == 0
    assert "nothing is removed yet" in capsys.readouterr().out
    assert found(place) == before
    assert main([*arguments, "--yes"]) == 0
    names = ("base", "collection/", "shard", "models/d", "scores/d", "model=d", "earshot.json", "report.html")
    expected = {path for path in before if any(name in path for name in names)}
    assert len(expected) == 2 * len(("clips/base", "labels/base", "models/d", "scores/d")) + len(BESIDE[3:]) + 2
    assert {name for name in found(place) if not name.startswith(".locks")} == expected
    assert main([*arguments, "--yes"]) == 2
    assert "Expected one of collection, clips/base, labels/base, models/d, scores/d" in capsys.readouterr().err


def test_clean_from_the_collection_starts_the_workspace_over(place: Workspace, tmp_path: Path) -> None:
    files.commit_bytes(place.uri("world/videos/a.mp4"), b"a user's own")
    assert main(["clean", "--root", place.root, "--from", "collection", "--yes"]) == 0
    left = {name for name in found(place) if not name.startswith((".locks", "logs"))}
    assert left == {"report.html", "world/videos/a.mp4"}


def test_masks_follow_from_the_collection_alone_and_models_from_them(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    inputs = {"clips/base": [], "clips/segmentation": [], "masks": [], "models/other": ["clips/base"]}
    inputs |= {"models/s": ["masks", "clips/segmentation"], "reports/s/-": ["models/s", "masks"]}
    for stage, sources in inputs.items():
        workspace.begin(stage, {}, dict.fromkeys(sources, "1"))
    stages = list_stages(workspace)
    assert dependents(stages, "masks") == ["models/s", "reports/s/-"]
    assert dependents(stages, "clips/segmentation") == ["models/s", "reports/s/-"]
    assert "masks" not in dependents(stages, "clips/base")
    assert "masks" in dependents(stages, "collection")
    expected = [workspace.tar_uri("masks", "00000")]
    expected += [workspace.part_uri(partition, "00000") for partition in ("masks", "usage/label-masks")]
    for uri in expected:
        files.commit_bytes(uri, b"x")
    assert list_outputs(workspace, "masks") == [*expected, workspace.record_uri("masks")]


def test_features_follow_from_their_clips_and_model_and_published_ones_from_nothing(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    inputs = {"clips/base": [], "clips/events": [], "models/c": ["clips/base"], "features/events/ave": []}
    inputs |= {"features/events/c": ["clips/events", "models/c"], "models/e": ["features/events/ave"]}
    for stage, sources in inputs.items():
        workspace.begin(stage, {}, dict.fromkeys(sources, "1"))
    stages = list_stages(workspace)
    assert dependents(stages, "clips/events") == ["features/events/c"]
    assert dependents(stages, "clips/base") == ["models/c", "features/events/c"]
    assert dependents(stages, "features/events/ave") == ["models/e"]
    partitions = ("features/events/c", "usage/features-events-c")
    expected = [workspace.tar_uri("features/events/c", "00000")]
    expected += [workspace.part_uri(partition, "00000") for partition in partitions]
    for uri in (*expected, workspace.tar_uri("features/events/ave", "00000")):
        files.commit_bytes(uri, b"x")
    assert list_outputs(workspace, "features/events/c") == [*expected, workspace.record_uri("features/events/c")]
    assert workspace.names("features") == ["events/ave", "events/c"]
