"""`earshot match`: one pair, and what is refused in one line."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import World

from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.scores import SCORES
from schemas.videos import VIDEOS
from tests.helpers.command import earshot
from tests.helpers.match_models import add_scores


@pytest.fixture
def root(workspace: Workspace, world: World) -> str:
    return add_scores(workspace, world.spec).root


def videos(root: str) -> dict[str, str]:
    """Addresses of the first part's videos by id."""
    rows = Workspace(root).read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    return {row["video_id"]: row["uri"] for row in rows}


def test_a_pair_is_printed_for_people_and_for_programs(root: str, tmp_path: Path) -> None:
    (video, uri), (_, other), *_ = videos(root).items()
    scores = Workspace(root).read("scores/coincidence", "00000", SCORES).to_pylist()
    own = [row["score"] for row in scores if row["video_id"] == video]
    code, said, err = earshot("match", "--root", root, "--picture", uri, "--sound", uri, "--format", "json")
    assert code == 0, err
    (row,) = json.loads(said)
    assert row["clip_probabilities"] == pytest.approx(own, rel=1e-3)
    code, said, err = earshot("match", "--root", root, "--picture", uri, "--sound", other)
    assert code == 0, err
    assert "probability" in said
    out = tmp_path / "pair.parquet"
    assert earshot("match", "--root", root, "--picture", uri, "--sound", other, "--out", str(out))[0] == 0
    assert pq.read_table(out)["num_clips"].to_pylist() == [4]


def test_what_cannot_be_judged_is_said_in_one_line(root: str, tmp_path: Path) -> None:
    uri = next(iter(videos(root).values()))
    for options, message in (
        (("--picture", uri), "expected --picture and --sound"),
        (("--picture", uri, "--sound", "gone.wav"), "missing: sound gone.wav"),
        (("--picture", uri, "--sound", uri, "--model", "other"), "nothing there yet"),
        (("--picture", uri, "--sound", uri, "--out", f"{root}/x.csv"), "expected a place outside the root"),
    ):
        code, said, err = earshot("match", "--root", root, *options)
        assert (code, said) == (2, ""), err
        assert message in err
        assert err.count("\n") == 1
    code, _, err = earshot("match", "--root", f"{tmp_path}/nowhere", "--picture", uri, "--sound", uri)
    assert (code, "no Earshot workspace there" in err) == (2, True), err
