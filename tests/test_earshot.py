"""The module `earshot`: answers in every form, clips as samples, an order that goes on where it stopped."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow as pa
import pytest
from conftest import World
from torch.utils.data import DataLoader

import earshot
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.clips import load_split
from tests.helpers.command import earshot as command
from tests.helpers.selections import decide

NOTEBOOK = Path(__file__).parent.parent / "docs" / "python.ipynb"


@pytest.fixture
def root(workspace: Workspace) -> earshot.Root:
    settings = {"splitting": dataclasses.asdict(SplittingConfig())}
    files.commit_bytes(workspace.uri(SETTINGS_FILE), json.dumps(settings).encode())
    return earshot.open(workspace.root)


def test_an_answer_has_the_same_values_in_every_form(root: earshot.Root, tmp_path: Path) -> None:
    votes = tmp_path / "votes.csv"
    votes.write_text("name,n\na,9007199254740993\nb,\n")
    answer = root.sql("SELECT name, n FROM votes ORDER BY name", votes=str(votes))
    rows = [{"name": "a", "n": 2**53 + 1}, {"name": "b", "n": None}]
    assert len(answer) == 2
    assert answer.rows() == answer.arrow().to_pylist() == answer.polars().to_dicts() == rows
    assert answer.duckdb().fetchall() == [tuple(row.values()) for row in rows]
    frame = answer.pandas()
    assert frame["n"].iloc[0] == 2**53 + 1  # no float beside a gap
    assert frame["n"].isna().tolist() == [False, True]
    assert isinstance(answer.arrow(), pa.Table)
    assert isinstance(answer.polars(), polars.DataFrame)


def test_tables_are_there_by_name_and_a_typo_is_met_with_the_nearest(root: earshot.Root, world: World) -> None:
    assert len(root.table("videos")) == sum(map(len, world.video_ids.values()))
    assert len(root.table("best_by_metric")) == 0
    assert {"clips", "examples", "pairs"} <= set(root.names)
    with pytest.raises(ConfigError, match="videos"):
        root.table("vidoes")
    with pytest.raises(ConfigError, match="no Earshot workspace"):
        earshot.open(world.collection)


def test_an_imported_table_is_there_by_its_name_and_no_file_may_take_it(
    root: earshot.Root, workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    clip = root.table("clips").rows()[0]["clip_id"]
    file.write_text(f"clip_id,similarity\n{clip},0.5\n")
    workspace.begin("clips/base", {}, {})
    code, _, err = command("import", "--root", workspace.root, "--name", "peav", str(file))
    assert code == 0, err
    assert root.names[-1] == "peav"
    assert root.table("peav").rows() == [{"clip_id": clip, "similarity": 0.5}]
    code, out, _ = command("query", "--root", workspace.root, "--columns", "--format", "csv")
    assert (code, 'peav,similarity,double,"",as imported under the name peav' in out) == (0, True)
    with pytest.raises(ConfigError, match="table peav: an imported table has this name"):
        root.sql("SELECT 1", peav=str(file))
    for name in ("pairs", "mean_interval", "select", "clips"):  # a query that names it would fail from then on
        code, _, err = command("import", "--root", workspace.root, "--name", name, str(file))
        assert (code, "a view of the workspace or a word of SQL" in err) == (2, True), err
    for name, said in (("train", "as no_train, which is the reason of a rule"), ("Peav", "expected a-z, 0-9 and _")):
        code, _, err = command("import", "--root", workspace.root, "--name", name, str(file))
        assert (code, said in err) == (2, True), err


def test_clips_are_those_of_the_split_or_of_the_selection_and_labelled_ones_only_if_asked(
    root: earshot.Root, workspace: Workspace
) -> None:
    every = root.clips(split="test")
    assert (
        every.rows["clip_id"].to_pylist()
        == load_split(workspace, "test", SplittingConfig()).rows["clip_id"].to_pylist()
    )
    decided = decide(workspace, "strict")
    kept = {key for key, row in decided.items() if row["split"] == "test" and row["kept"]}
    both = {key for key, row in decided.items() if row["split"] == "test" and (row["kept"] or row["label"])}
    clips = root.clips("strict", "test")
    assert {clip.key for clip in clips} == kept
    assert {clip.key for clip in root.clips("strict", "test", labelled=True)} == both
    assert len(both) > len(kept) > 0
    clip = clips[0]
    assert clip.waveform.shape == (32_000,)
    assert clip.frames.shape == (2, 3, 32, 32)
    assert clip.facts["clip_id"] == clip.key
    assert clips[-1].key == clips[len(clips) - 1].key
    with pytest.raises(IndexError):
        clips[len(clips)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "dev"}, "expected one of train, validate, test"),
        ({"labelled": True}, "expected it with a selection"),
        ({"selection": "strict", "spec": "events"}, "expected base with a selection"),
        ({"selection": "nowhere"}, "selection=nowhere"),
        ({"spec": "events"}, "spec=events"),
    ],
)
def test_what_is_asked_wrongly_is_said(root: earshot.Root, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        root.clips(**arguments)


def test_an_order_is_another_one_in_each_epoch_and_goes_on_from_any_place() -> None:
    order = list(earshot.ClipOrder(7, seed=3, epochs=3))
    assert len(earshot.ClipOrder(7, seed=3, epochs=3)) == len(order) == 21
    assert [sorted(order[at : at + 7]) for at in (0, 7, 14)] == [list(range(7))] * 3
    assert order[:7] != order[7:14]
    for start in (0, 5, 7, 13, 20, 21):
        rest = earshot.ClipOrder(7, seed=3, start=start, epochs=3)
        assert list(rest) == order[start:]
        assert len(rest) == 21 - start
    of_three = [list(earshot.ClipOrder(7, seed=3, epochs=3, rank=rank, world_size=3)) for rank in range(3)]
    assert [number for numbers in zip(*of_three, strict=True) for number in numbers] == order
    assert list(earshot.ClipOrder(7, seed=4, epochs=3)) != order
    assert list(earshot.ClipOrder(0)) == []
    with pytest.raises(ConfigError, match="rank = 2"):
        earshot.ClipOrder(7, rank=2, world_size=2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_with_any_number_of_processes_gives_the_clips_in_that_order(
    root: earshot.Root, num_workers: int
) -> None:
    clips = root.clips(split="test")
    pickle.dumps(clips)
    order = clips.order(seed=1, start=4)
    loader = DataLoader(clips, 3, sampler=order, num_workers=num_workers, collate_fn=clips.collate)
    batches = list(loader)
    ids = clips.rows["clip_id"].to_pylist()
    assert [key for batch in batches for key in batch["clip_id"]] == [ids[number] for number in order]
    first = clips[next(iter(order))]
    assert np.array_equal(batches[0]["waveform"][0].numpy(), first.waveform)
    assert np.array_equal(batches[0]["frames"][0].numpy(), first.frames)


def test_the_notebook_runs_as_it_is(root: earshot.Root, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(workspace, "strict")
    opened = earshot.open
    monkeypatch.setattr(earshot, "open", lambda name: opened({"my_workspace": workspace.root}[name]))
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)  # nothing of a machine is in it
    names: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert names["batch"]["waveform"].shape == (4, 32_000)
    assert {row["split"] for row in names["hours"].rows()} == {"train", "validate", "test"}
