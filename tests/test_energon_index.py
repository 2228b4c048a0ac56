"""The index for Megatron-Energon: what tarfile finds in the tars, and Energon's own loader reads every clip by it."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import WORLD_SPEC

from pipeline.errors import DataError
from pipeline.reports.card_facts import gather
from pipeline.reports.energon_index import write_index
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from tests.helpers.shuffled_shards import make_shards


@pytest.fixture(scope="module")
def workspace(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("energon") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    make_shards(workspace, WORLD_SPEC)
    write_index(workspace, gather(workspace, "s"))
    return workspace


def test_a_tars_index_has_where_each_sample_begins_and_the_last_one_ends(workspace: Workspace) -> None:
    folder = Path(workspace.uri("materialized/s"))
    tars = sorted(folder.glob("*.tar"))
    counts = json.loads((folder / ".nv-meta" / ".info.json").read_text())["shard_counts"]
    assert counts.keys() == {path.name for path in tars}
    for path in tars:
        begins: dict[str, int] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                begins.setdefault(member.name.partition(".")[0], member.offset)
                end = member.offset_data + member.size + -member.size % 512
        found = np.fromfile(f"{path}.idx", "<u8").tolist()
        assert found == [*begins.values(), end]
        assert counts[path.name] == len(begins)
    assert sum(counts.values()) == 48


def test_every_tar_is_in_its_split_under_energons_name(workspace: Workspace) -> None:
    folder = Path(workspace.uri("materialized/s"))
    found = yaml.safe_load((folder / ".nv-meta" / "split.yaml").read_text())
    assert found["exclude"] == []
    names = {"train": "train", "val": "validate", "test": "test"}
    expected = {name: sorted(path.name for path in folder.glob(f"{split}-*.tar")) for name, split in names.items()}
    assert {name: sorted(tars) for name, tars in found["split_parts"].items()} == expected
    assert all(expected.values())


def test_rows_that_leave_a_gap_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.root, tmp_path / "copy")
    copy = Workspace(str(tmp_path / "copy"))
    facts = gather(copy, "s")
    rows = copy.read("materialized/s", "test-00000", MATERIALIZED).to_pylist()
    copy.commit("materialized/s", "test-00000", from_rows(rows[:1] + rows[2:], MATERIALIZED, "here"), MATERIALIZED)
    with pytest.raises(DataError, match="do not follow one another"):
        write_index(copy, facts)


def test_energons_own_loader_gives_every_clip_once(workspace: Workspace) -> None:
    energon = pytest.importorskip("megatron.energon", reason="Energon wants an older botocore than the pinned one")

    @energon.stateless
    def cook(sample: Any) -> Any:
        return energon.TextSample(**energon.basic_sample_keys(sample), text=json.loads(sample["json"])["clip_id"])

    class Encoder(energon.DefaultTaskEncoder):  # type: ignore[misc]
        cookers = (energon.Cooker(cook),)
        decoder = None

    seen = []
    for split, name in (("train", "train"), ("val", "validate"), ("test", "test")):
        dataset = energon.get_val_dataset(
            workspace.uri("materialized/s"),
            split_part=split,
            batch_size=1,
            worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
            task_encoder=Encoder(),
        )
        found = [clip for batch in energon.get_loader(dataset) for clip in batch.text]
        rows = workspace.read_all("materialized/s", MATERIALIZED).to_pylist()
        assert sorted(found) == sorted(row["clip_id"] for row in rows if row["split"] == name)
        seen += found
    assert len(set(seen)) == 48
