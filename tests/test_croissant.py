"""croissant.json: valid by the reference reader, which finds in it what the tables and tars have."""

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import WORLD_SPEC

from pipeline.reports.attribution import write_attribution
from pipeline.reports.card_facts import gather
from pipeline.reports.card_tables import write_tables
from pipeline.reports.croissant import Stated, make_croissant
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from tests.helpers.shuffled_shards import make_shards, state_licenses


@pytest.fixture(scope="module")
def folder(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of all of the world's clips, with their manifest."""
    workspace = Workspace(str(tmp_path_factory.mktemp("croissant") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    state_licenses(workspace)
    make_shards(workspace, WORLD_SPEC)
    stated = Stated("An archive", "https://example.org/s")
    text = make_croissant(
        gather(workspace, "s"), write_tables(workspace, "s"), write_attribution(workspace, "s"), stated
    )
    files.commit_bytes(workspace.uri("materialized/s/croissant.json"), text.encode())
    return Path(workspace.uri("materialized/s"))


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "croissant.json").read_text())


@pytest.fixture(scope="module")
def dataset(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The manifest as mlcroissant reads it; its cache, which goes by the names of files, is this test's own."""
    os.environ["CROISSANT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    mlcroissant = pytest.importorskip("mlcroissant")
    return mlcroissant.Dataset(str(folder / "croissant.json"))


def test_the_reference_reader_finds_nothing_wrong(dataset: Any) -> None:
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert dataset.metadata.ctx.is_v1_1()
    assert dataset.metadata.data_limitations  # of the vocabulary of responsible AI
    assert dataset.metadata.personal_sensitive_information


def test_the_reference_reader_gives_the_rows_of_the_clips_and_of_their_videos(dataset: Any, folder: Path) -> None:
    for name in ("clips", "videos"):
        expected = pq.read_table(folder / f"{name}.parquet").to_pylist()
        found = list(dataset.records(name))
        assert len(found) == len(expected) > 0
        for row, record in zip(expected, found, strict=True):
            values = {key.partition("/")[2]: value for key, value in record.items()}
            assert {name: v.decode() if isinstance(v, bytes) else v for name, v in values.items()} == row


def test_the_reference_reader_gives_sound_and_frames_out_of_the_tars(dataset: Any, folder: Path) -> None:
    clips = set(pq.read_table(folder / "clips.parquet")["clip_id"].to_pylist())
    sounds = {row["sounds/clip_id"].decode(): row["sounds/content"] for row in dataset.records("sounds")}
    assert sounds.keys() == clips
    for data in sounds.values():
        samples, rate_hz = soundfile.read(io.BytesIO(data))
        assert (len(samples), rate_hz) == (WORLD_SPEC.num_samples, WORLD_SPEC.sample_rate_hz)
    rows = list(dataset.records("frames"))
    frames = [(row["frames/clip_id"].decode(), row["frames/number"]) for row in rows]
    assert sorted(frames) == sorted((clip, i) for clip in clips for i in range(WORLD_SPEC.num_frames))
    picture = rows[0]["frames/content"]
    assert picture.size == (WORLD_SPEC.frame_width, WORLD_SPEC.frame_height)
    facts = [json.loads(row["facts/content"]) for row in dataset.records("facts")]
    assert {row["clip_id"] for row in facts} == clips


def test_the_splits_are_named_and_say_what_they_are_for(dataset: Any) -> None:
    found = {row["splits/name"]: row["splits/url"] for row in dataset.records("splits")}
    assert found == {"train": "cr:TrainingSplit", "validate": "cr:ValidationSplit", "test": "cr:TestSplit"}


def test_every_file_of_the_folder_is_there_with_its_sha256(manifest: dict[str, Any], folder: Path) -> None:
    found = {item["contentUrl"]: item for item in manifest["distribution"] if item["@type"] == "cr:FileObject"}
    assert found.keys() == {path.name for path in folder.iterdir()} - {"croissant.json"}
    for name, item in found.items():
        data = (folder / name).read_bytes()
        assert (item["sha256"], item["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")


def test_a_file_that_was_changed_is_refused_by_the_reference_reader(dataset: Any, folder: Path, tmp_path: Path) -> None:
    import mlcroissant

    shutil.copytree(folder, tmp_path / "copy")
    with (tmp_path / "copy" / "videos.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(mlcroissant.GenerationError) as raised:
        list(mlcroissant.Dataset(str(tmp_path / "copy" / "croissant.json")).records("videos"))
    assert "is not identical with the reference" in str(raised.value.__cause__)


def test_what_may_be_done_follows_from_the_licences(manifest: dict[str, Any]) -> None:
    *by_license, training = manifest["usageInfo"]
    assert training["name"] == "use for training: unknown"
    assert "neither a permission nor a refusal" in training["description"]
    free, none_stated, bought, evil = sorted(by_license, key=lambda item: len(item["name"]))
    assert free["url"] == "https://creativecommons.org/publicdomain/zero/1.0/"
    assert "odrl:duty" not in free["odrl:permission"]
    duties = [duty["odrl:action"]["@id"] for duty in bought["odrl:permission"]["odrl:duty"]]
    assert duties == ["cc:Notice", "cc:Attribution", "cc:ShareAlike"]
    assert bought["odrl:prohibition"]["odrl:action"] == [{"@id": "cc:CommercialUse"}]
    for unknown in (none_stated, evil):
        assert "odrl:permission" not in unknown
        assert "terms not known" in unknown["description"]
    assert sum(isinstance(each, str) for each in manifest["license"]) == 2


def test_each_stage_is_an_activity_that_used_those_before_it(manifest: dict[str, Any]) -> None:
    made = {activity["name"]: activity for activity in manifest["prov:wasGeneratedBy"]}
    assert list(made) == ["clips/base", "selections/s", "materialized/s"]
    used = {name: [each["@id"] for each in activity["prov:used"]] for name, activity in made.items()}
    assert used == {"clips/base": [], "selections/s": ["stages/clips/base"], "materialized/s": ["stages/selections/s"]}
    settings = json.loads(made["materialized/s"]["description"])["settings"]
    assert settings == {"materializing": {"clips_per_shard": 6}, "seed": 3}
    assert manifest["version"].endswith(made["materialized/s"]["identifier"])


def test_what_the_publisher_states_is_there_and_nothing_is_made_up(manifest: dict[str, Any]) -> None:
    assert (manifest["creator"]["name"], manifest["url"]) == ("An archive", "https://example.org/s")
    assert manifest["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
