"""Probes of frozen embeddings: what is planted is read off, what is not is chance; classes of the user's tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import World

from pipeline.errors import ConfigError
from pipeline.evaluation.embedding_probe import labelled_embeddings, probe_embeddings, read_classes
from pipeline.storage.workspace import Workspace
from schemas.scores import SCORES
from tests.helpers.command import earshot
from tests.helpers.match_models import add_scores


@pytest.fixture
def planted(workspace: Workspace, world: World) -> Workspace:
    """Scores whose sounds say which third of the videos a clip is of, and whose pictures say nothing."""
    add_scores(workspace, world.spec)
    rng = np.random.default_rng(0)
    for part in workspace.parts("scores/coincidence"):
        rows = workspace.read("scores/coincidence", part, SCORES).to_pylist()
        for row in rows:
            row["audio_embedding"] = np.eye(16)[third(workspace, row["video_id"])].tolist()
            row["visual_embedding"] = (np.round(8 * rng.normal(size=16)) / 8).tolist()  # exact as half floats
        workspace.commit("scores/coincidence", part, pa.Table.from_pylist(rows, SCORES), SCORES)
    return workspace


def videos(workspace: Workspace) -> list[str]:
    return sorted(set(workspace.read_all("scores/coincidence", SCORES)["video_id"].to_pylist()))


def third(workspace: Workspace, video: str) -> int:
    return videos(workspace).index(video) % 3


def classes_file(workspace: Workspace, folder: Path) -> str:
    lines = [f"{video},{'abc'[third(workspace, video)]}" for video in videos(workspace)]
    (folder / "classes.csv").write_text("\n".join(["video_id,kind", *lines]) + "\n")
    return f"{folder}/classes.csv"


def test_what_the_sounds_say_is_read_off_them_and_nothing_off_the_pictures(planted: Workspace, tmp_path: Path) -> None:
    classes = read_classes(classes_file(planted, tmp_path), "kind")
    found = {
        each.embedding: each for each in probe_embeddings(labelled_embeddings(planted, "coincidence", classes, "all"))
    }
    assert found["sound"].accuracy == 1.0
    assert (found["sound"].low, found["sound"].high) == (1.0, 1.0)
    assert found["picture"].accuracy < 0.7
    assert found["sound"][4:] == (pytest.approx(1 / 3), 48, 12, 3)  # four clips of each of twelve videos


def test_only_clips_of_the_split_count(planted: Workspace, world: World, tmp_path: Path) -> None:
    classes = read_classes(classes_file(planted, tmp_path), "kind")
    for split in ("test", "train"):
        rows = labelled_embeddings(planted, "coincidence", classes, split)
        assert set(rows["video_id"].to_pylist()) == set(world.video_ids[split])
    clip = rows["clip_id"][0].as_py()
    one = labelled_embeddings(planted, "coincidence", {"clip_id": {clip: "x"}, "video_id": {}}, "all")
    assert one["class"].to_pylist() == ["x"]
    with pytest.raises(ConfigError, match="1 labelled clips of 1 videos and 1 classes"):
        probe_embeddings(one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,kind\na,b\n", "columns clip, kind: expected clip_id or video_id, and kind"),
        ("clip_id,label\na,b\n", "expected clip_id or video_id, and kind"),
        ("clip_id,kind\na,b\na,c\n", "a has two classes of kind"),
    ],
)
def test_a_table_that_names_no_classes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_classes(f"{tmp_path}/c.csv", "kind")
    with pytest.raises(ConfigError, match="no such file"):
        read_classes(f"{tmp_path}/gone.csv", "kind")


def test_the_command_prints_figures_and_exports_what_numpy_and_any_reader_of_parquet_opens(
    planted: Workspace, tmp_path: Path
) -> None:
    options = ("--labels", classes_file(planted, tmp_path), "--column", "kind", "--split", "all", "--format", "csv")
    for name in ("e.npz", "e.parquet"):
        code, said, err = earshot("probe", "--root", planted.root, *options, "--export", f"{tmp_path}/{name}")
        assert code == 0, err
        assert "sound,1.0," in said
    arrays = np.load(tmp_path / "e.npz", allow_pickle=False)
    table = pq.read_table(tmp_path / "e.parquet")
    assert arrays["clip_id"].tolist() == table["clip_id"].to_pylist()
    np.testing.assert_array_equal(arrays["visual_embedding"], table["visual_embedding"].to_pylist())
    assert arrays["class"].tolist() == table["class"].to_pylist()
    code, _, err = earshot("probe", "--root", planted.root)
    assert (code, "labels" in err) == (2, True), err
