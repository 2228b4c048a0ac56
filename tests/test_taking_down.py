"""Takedown: nothing is left of the videos, whatever stops it and wherever the root is; the rest keeps its bytes."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import World

from jobs.console import card_files
from pipeline.clips.copies import find_copies
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.declaring import apply_declared
from pipeline.clips.reconciling import reconcile
from pipeline.clips.sharding import ShardPart
from pipeline.clips.tars import parse_sample
from pipeline.clips.withdrawing import read_withdrawn
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import DataError
from pipeline.selection.leakage import audit
from pipeline.selection.materializing import MaterializingConfig, plan_shards
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.tombstones import read_tombstones
from pipeline.storage.workspace import Workspace
from pipeline.takedown.taking_down import TakeDown
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SOURCES
from schemas.selections import SELECTIONS
from schemas.videos import COLLECTION
from tests.helpers.command import earshot
from tests.helpers.takedown_roots import all_files, left_of, make_copy, make_root, media_of

NOT_COMPARED = ("tombstones/", ".locks/")  # they have times


@pytest.fixture(scope="module")
def root(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Read it, or copy it; do not write to it."""
    return make_root(world.workspace, world.spec, tmp_path_factory.mktemp("takedown") / "root")


@pytest.fixture
def own(root: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(root.root, tmp_path / "root")
    return Workspace(str(tmp_path / "root"))


def chosen(world: World) -> list[str]:
    """The first of a part, which names a group; one that validates; one that is in the frozen sets."""
    return [world.video_ids["train"][0], world.video_ids["validate"][0], world.video_ids["test"][0]]


def ask(workspace: Workspace, folder: Path, names: list[str], *more: str) -> tuple[int, str, str]:
    (folder / "asked.txt").write_text("\n".join(names) + "\n")
    asked = ("--videos", str(folder / "asked.txt"), "--reason", "asked by the author")
    return earshot("-q", "takedown", "--root", workspace.root, *asked, *more)


def comparable(workspace: Workspace) -> dict[str, bytes]:
    return {path: data for path, data in all_files(workspace.root).items() if not path.startswith(NOT_COMPARED)}


def words_of(workspace: Workspace, names: list[str]) -> list[str]:
    rows = workspace.read_all(COLLECTION_FOLDER, COLLECTION, ["video_id", "uri"]).to_pylist()
    return [*names, *(row["uri"] for row in rows if row["video_id"] in names)]


@pytest.mark.parametrize("place", ["local", "s3"])
def test_no_byte_and_no_name_is_left_and_what_was_not_touched_keeps_its_bytes(
    root: Workspace, world: World, tmp_path: Path, request: pytest.FixtureRequest, place: str
) -> None:
    own = Workspace(str(tmp_path / "root"))
    if place == "s3":
        own = Workspace(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")
        for path, data in all_files(root.root).items():
            if not path.startswith(
                ("features/", "masks/", "tables/features", "tables/masks", "materialized/", "logs/")
            ):
                files.commit_bytes(own.uri(path), data)
    else:
        shutil.copytree(root.root, own.root)
    before, names = all_files(own.root), chosen(world)
    words, media = words_of(own, names), media_of(before, set(names))
    assert len(media) > 3 * 4
    assert len(left_of(before, words, media)) > 25
    code, out, err = ask(own, tmp_path, names)
    assert code == 0, err
    after = all_files(own.root)
    assert left_of(after, words, media) == []
    examples = {row["example_id"] for row in root.read_all("mixtures/m", MIXTURES).to_pylist()}
    examples -= set(own.read_all("mixtures/m", MIXTURES)["example_id"].to_pylist())
    untouched = {path for path in before if not left_of({path: before[path]}, [*words, *examples], media)}
    changed = {path for path in untouched if before[path] != after.get(path)}
    remade = ("tables/summary", "tables/operating_points", "stages/", "materialized/s/", "models/", ".locks/")
    assert [path for path in sorted(changed) if not path.startswith(remade)] == []
    assert {f"clips/base/{part}.tar" for part in ("00000", "00001")} <= before.keys() - untouched
    assert "proof: " in out
    assert "takedown: these are " in out
    assert ", report.html, " in out
    card = root.uri("materialized", "s", "README.md")
    assert b"earshot card --selection s --root ROOT --creator Someone --energon\n" in files.read_bytes(card)
    assert "models/m: 1 videos trained it (any of its 7 steps may have drawn them); 1 chose its best step" in out
    assert "models/half was not finished" in out


def test_wherever_it_is_stopped_the_same_command_ends_the_same(
    root: Workspace, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, steps = chosen(world), 0
    whole = Workspace(str(tmp_path / "whole"))
    shutil.copytree(root.root, whole.root)
    real = {name: getattr(files, name) for name in ("building", "commit_bytes", "delete")}

    def limited(most: int, name: str) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps > most:
                raise KeyboardInterrupt
            return real[name](*arguments)

        return step

    for name in real:
        monkeypatch.setattr(files, name, limited(10**9, name))
    assert ask(whole, tmp_path, names)[0] == 0
    total, expected = steps, comparable(whole)
    assert total > 50
    for stop in np.random.default_rng(0).choice(np.arange(1, total), 2, replace=False).tolist():
        own = Workspace(str(tmp_path / f"stopped_{stop}"))
        shutil.copytree(root.root, own.root)
        steps = 0
        for name in real:
            monkeypatch.setattr(files, name, limited(stop, name))
        assert ask(own, tmp_path, names)[0] == 130
        code, _, err = earshot("-q", "shard", "--collection", world.collection, "--root", own.root)
        assert (code, "earshot takedown --root" in err) == (2, True)
        code, _, err = earshot("-q", "report", "--root", own.root)
        assert (code, "earshot takedown --root" in err) == (2, True)
        code, out, err = earshot("-q", "query", "--root", own.root, "SELECT 7 AS seven")
        assert (code, "seven" in out, "earshot takedown --root" in err) == (0, True, True), err
        for name in real:
            monkeypatch.setattr(files, name, real[name])
        code, _, err = earshot("-q", "takedown", "--root", own.root)
        assert code == 0, err
        assert comparable(own) == expected, f"stopped at step {stop} of {total}"


def test_a_later_run_continues_without_them(own: Workspace, world: World, tmp_path: Path) -> None:
    names = chosen(world)
    ask(own, tmp_path, names)
    before = comparable(own)
    planned = plan_parts(own, list_videos(world.collection), CollectingConfig(videos_per_part=6))
    assert (planned.num_new, planned.num_taken_down, planned.gone) == (0, 3, ())
    assert not own.pending(COLLECTION_FOLDER, VIDEOS_FOLDER)
    assert reconcile(own).num_videos == 12 - 3
    shards = plan_shards(own, "s", MaterializingConfig(clips_per_shard=6), 3).shards
    assert set(shards) <= set(own.parts("materialized/s"))
    audit(own)
    assert comparable(own) == before
    # a part that is cut anew, without them, has the bytes that the takedown left
    files.delete(own.part_uri(VIDEOS_FOLDER, "00000"))
    ShardPart(own, {"base": world.spec}, ShardingConfig())("00000")
    assert {path: data for path, data in comparable(own).items() if before[path] != data} == {}


def test_a_model_that_learnt_from_a_video_before_it_was_refused_is_listed(
    own: Workspace, world: World, tmp_path: Path
) -> None:
    (name, *_), place = chosen(world), "models/m: 1 videos trained it"
    assert place in ask(own, tmp_path, [name], "--dry-run")[1]
    for part in own.parts(COLLECTION_FOLDER):
        rows = own.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist()
        said = {"rights": "no_train", "rights_from": "column rights"}
        rows = [row | (said if row["video_id"] == name else {}) for row in rows]
        own.commit(COLLECTION_FOLDER, part, from_rows(rows, COLLECTION, part), COLLECTION)
    assert apply_declared(own, find_copies(own, cut_parts(own))).num_videos == 1
    assert not any(
        row["kept"] for row in own.read_all("selections/s", SELECTIONS).to_pylist() if row["video_id"] == name
    )
    assert place in ask(own, tmp_path, [name], "--dry-run")[1]
    assert ask(own, tmp_path, [name])[0] == 0
    assert read_withdrawn(own, "selections/s") == []


def test_without_a_reason_nothing_is_even_read(tmp_path: Path) -> None:
    code, _, err = earshot("takedown", "--root", str(tmp_path / "nowhere"), "--videos", "a.txt")
    assert (code, "takedown: no reason. Give --reason TEXT" in err) == (2, True)


def test_places_in_tars_are_those_of_the_samples(own: Workspace, world: World, tmp_path: Path) -> None:
    ask(own, tmp_path, chosen(world))
    for stage, schema in ((CLIPS_FOLDER, CLIPS), ("materialized/s", MATERIALIZED)):
        for part in own.parts(stage):
            uri = own.tar_uri(stage, part)
            for row in own.read(stage, part, schema, ["clip_id", "tar_offset", "tar_bytes"]).to_pylist():
                data = files.read_bytes(uri, row["tar_offset"], row["tar_bytes"])
                assert parse_sample(data, uri, "")[0] == row["clip_id"]


def test_a_copy_of_the_bytes_goes_too_and_near_duplicates_stay_in_their_split(
    own: Workspace, world: World, tmp_path: Path
) -> None:
    first, copy = world.video_ids["train"][0], world.video_ids["test"][1]
    make_copy(own, first, copy)
    code, _, err = ask(own, tmp_path, [first])
    assert (code, "1 videos more have the same bytes" in err) == (0, True)
    (tombstone,) = read_tombstones(own).values()
    assert {row["video_id"] for row in tombstone["videos"]} == {first, copy}
    assert left_of(all_files(own.root), [first, copy], set()) == []
    rows = own.read("duplicates/s", "00000", DUPLICATES).to_pylist()
    assert len(rows) == 2
    assert first < min(row["video_id"] for row in rows)
    assert {row["group_id"] for row in rows} == {min(row["video_id"] for row in rows)}
    assert [row["like_video_id"] for row in rows] == [row["video_id"] for row in rows]
    assert {(row["split"], row["shared_fraction"]) for row in rows} == {("train", 1.0)}


def test_an_example_goes_as_a_whole_with_its_rows_and_figures_that_pooled_it(
    own: Workspace, world: World, tmp_path: Path
) -> None:
    (*_, second) = filter(None, own.read_all("mixtures/m", MIXTURES)["second_clip_id"].to_pylist())
    name = second.rpartition("_")[0]
    kept = [
        row["example_id"]
        for row in own.read_all("mixtures/m", MIXTURES).to_pylist()
        if not any((row[clip] or "").startswith(name) for clip in ("first_clip_id", "sound_clip_id", "second_clip_id"))
    ]
    ask(own, tmp_path, [name])
    assert own.read_all("mixtures/m", MIXTURES)["example_id"].to_pylist() == kept
    assert own.read_all("examples/m/m", EXAMPLES)["example_id"].to_pylist() == kept
    assert own.read_all("sources/m/m", SOURCES)["example_id"].to_pylist() == [name for name in kept for _ in range(2)]
    assert not own.is_finished("reports/m/m")
    assert own.parts("summary/m/m") == own.parts("operating_points/m/m") == []
    manifest = json.loads(files.read_bytes(own.uri("materialized/s/croissant.json")))
    assert manifest["creator"]["name"] == "Someone"
    assert files.exists(own.uri("materialized/s/README.md"))


def test_an_unknown_name_changes_nothing_and_all_videos_need_a_word(
    own: Workspace, world: World, tmp_path: Path
) -> None:
    before = comparable(own)
    code, _, err = ask(own, tmp_path, [world.video_ids["train"][0], "nobody.mp4"])
    assert (code, "1 of 2 names are no video" in err) == (2, True)
    everyone = [name for names in world.video_ids.values() for name in names]
    code, _, err = ask(own, tmp_path, everyone)
    assert (code, "all 12 videos" in err) == (2, True)
    code, out, _ = ask(own, tmp_path, everyone[:2], "--dry-run")
    assert (code, "nothing is removed yet. 2 videos" in out) == (0, True)
    assert comparable(own) == before
    assert ask(own, tmp_path, everyone, "--yes")[0] == 0
    assert reconcile(own).num_videos == 0
    planned = plan_parts(own, list_videos(world.collection), CollectingConfig(videos_per_part=6))
    assert (planned.num_new, planned.num_taken_down) == (0, 12)


def test_it_waits_for_nobody_and_repeats_its_proof(own: Workspace, world: World, tmp_path: Path) -> None:
    with claim(own, "scores/c"):
        code, _, err = ask(own, tmp_path, chosen(world))
    assert (code, "is at work on it" in err) == (2, True)
    assert read_tombstones(own) == {}
    assert ask(own, tmp_path, chosen(world))[0] == 0
    before = comparable(own)
    code, out, err = ask(own, tmp_path, chosen(world), "--every-byte")
    assert (code, "taken down, by an earlier command" in out) == (0, True), err
    assert comparable(own) == before


def test_names_that_came_back_since_go_when_it_is_asked_again(own: Workspace, world: World, tmp_path: Path) -> None:
    names = chosen(world)
    assert ask(own, tmp_path, names)[0] == 0
    log = Path(own.uri("logs", "20991231.log"))
    log.parent.mkdir(exist_ok=True)
    log.write_text(f"rows of no kept clip, such as {names[0]}_00001000\nand more\n")
    code, out, _ = ask(own, tmp_path, names)
    assert code == 0
    assert "none but the tombstone names them" in out
    assert log.read_text() == "and more\n"
    assert all("finished" in tombstone for tombstone in read_tombstones(own).values())


def test_a_video_that_was_not_cut_yet_is_known_by_the_bytes_of_its_file(tmp_path: Path) -> None:
    own, folder = Workspace(str(tmp_path / "root")), tmp_path / "videos"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"{name}.mp4").write_bytes(name.encode())
    listed = list(list_videos(str(folder)))
    plan_parts(own, listed, CollectingConfig())
    (folder / "second.mp4").unlink()
    files.commit_bytes(own.uri("earshot.json"), b"{}")
    code, _, err = ask(own, tmp_path, ["first.mp4", "second.mp4"], "--yes")
    assert (code, "of 1 videos no hash is known" in err) == (0, True), err
    hashes = {row["uri"]: row["content_hash"] for row in read_tombstones(own)["00000"]["videos"]}
    assert list(hashes.values()) == [hashlib.sha256(b"first").hexdigest(), None]


def test_what_it_cannot_read_or_describe_does_not_stop_it_and_where_it_stopped_nothing_is_given_out(
    own: Workspace, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root" / "videos").mkdir()
    (tmp_path / "root" / "videos" / "part.parquet").touch()
    index = [path for path in all_files(own.root) if path.endswith(".idx") or "/.nv-meta/" in path]
    assert len(index) > 3

    def fail(*_: object) -> None:
        raise DataError("no figure")

    monkeypatch.setattr(card_files, "write_card", fail)
    monkeypatch.setattr(TakeDown, "finish", lambda _: None)
    assert ask(own, tmp_path, chosen(world))[0] == 0
    assert not [path for path in index if files.exists(own.uri(path))]
    for command in (("export",), ("card", "--selection", "s")):
        code, out, err = earshot("-q", *command, "--root", own.root)
        assert (code, out, "has not ended" in err) == (2, "", True)
    monkeypatch.undo()
    code, _, err = earshot("-q", "takedown", "--root", own.root)
    assert (code, "1 other files in the root cannot be read, and are yours" in err) == (0, True), err
    assert earshot("-q", "export", "--root", own.root)[0] == 0


def test_a_bucket_that_keeps_versions_is_said_to(root: Workspace, world: World, tmp_path: Path, versioned: str) -> None:
    own = Workspace(f"{versioned}/w")
    for path, data in all_files(root.root).items():
        if path.startswith(("clips/", "tables/c", "tables/videos", "stages/clips", "earshot.json")):
            files.commit_bytes(own.uri(path), data)
    code, _, err = ask(own, tmp_path, [world.video_ids["train"][1]])
    assert (code, "the bucket keeps versions" in err) == (0, True), err
