"""Declared rights that come later: they reach the rows of videos that are cut, and copies of refused bytes."""

import collections
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.clips import declaring
from pipeline.clips.declaring import Changes
from pipeline.collection.collecting import CollectingConfig, Planned, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.hashing import hash_bytes
from pipeline.rights.statements import Statement
from pipeline.rights.training_entries import MAX_BOXES, read_training_entries
from pipeline.selection.deciding import undecided
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.selections import SELECTIONS
from schemas.videos import COLLECTION, DECLARED, VIDEOS
from tests.helpers.credentials import MP4, box, entries, in_mp4, store
from tests.helpers.declared_videos import apply, cut, select

HEADER = "uri,license,author,source_url,opt_out"
OLD = {"a": "CC BY,ann,https://x/a,false", "b": "CC0,,,", "c": "CC BY,cat,https://x/c,true", "d": ",,,", "e": ",,,"}
REFUSING = MP4 + in_mp4(store(entries(ai_training="notAllowed")))


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    bucket = request.getfixturevalue("s3_bucket") if request.param == "s3" else ""
    return Workspace(f"{bucket}/{tmp_path.name}" if bucket else str(tmp_path / "workspace"))


@pytest.fixture
def local(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


def write_list(folder: Path, rows: Mapping[str, str], header: str = HEADER) -> str:
    """A table of videos, and their files where they are not there yet."""
    for name in rows:
        if not (folder / f"{name}.mp4").exists():
            (folder / f"{name}.mp4").write_bytes(MP4 + name.encode())
    path = folder / "list.csv"
    path.write_text("\n".join([header, *(f"{name}.mp4,{values}" for name, values in rows.items())]) + "\n")
    return str(path)


def plan(workspace: Workspace, collection: str) -> Planned:
    return plan_parts(workspace, list_videos(collection, workspace.root), CollectingConfig(videos_per_part=2))


def declared(workspace: Workspace, spec: str = "base") -> dict[str, tuple[Any, ...]]:
    """License, rights and where these were read of each video, by its file's stem."""
    rows = workspace.read_all(f"videos/{spec}", VIDEOS).to_pylist()
    return {Path(row["uri"]).stem: (row["license"], row["rights"], row["rights_from"]) for row in rows}


def kinds(changes: Changes) -> dict[str, str]:
    """What changed of each video, by its file's stem: of five or fewer."""
    found = {Path(uri).stem: kind for uri, kind in changes.examples}
    assert collections.Counter(found.values()) == changes.num_by_kind
    return found


def tables(workspace: Workspace) -> dict[str, str]:
    return {
        files.relative(entry.uri, workspace.root): hash_bytes(files.read_bytes(entry.uri))
        for entry in files.list_files(workspace.uri("tables"))
    }


NEW = OLD | {"a": "CC BY-NC,ann,https://x/a,true", "c": "CC BY,cat,https://x/c2,false", "d": ",dan,,"}


def test_what_a_list_declares_later_gives_the_rows_that_it_would_have_given_first(
    place: Workspace, tmp_path: Path
) -> None:
    plan(place, write_list(tmp_path, OLD))
    cut(place)
    before = tables(place)
    assert kinds(apply(place, plan(place, write_list(tmp_path, OLD)))) == {}
    assert tables(place) == before
    changes = apply(place, plan(place, write_list(tmp_path, NEW)))
    assert kinds(changes) == {"a": "no_train", "c": "unknown", "d": "author"}
    fresh = Workspace(str(tmp_path / "fresh"))
    plan(fresh, write_list(tmp_path, NEW))
    cut(fresh)
    collection, expected = (
        each.read_all(COLLECTION_FOLDER, COLLECTION).drop_columns("extra") for each in (place, fresh)
    )
    assert collection.equals(expected)  # columns that are carried along stay as they were
    videos, expected = (
        {name: found for name, found in tables(each).items() if "/videos/" in name} for each in (place, fresh)
    )
    assert len(videos) == 6
    assert videos == expected
    assert kinds(apply(place, plan(place, write_list(tmp_path, NEW)))) == {}


def test_what_a_listing_leaves_open_stays_as_it_was_declared(local: Workspace, tmp_path: Path) -> None:
    plan(local, write_list(tmp_path, OLD))
    cut(local)
    before = tables(local)
    assert kinds(apply(local, plan(local, write_list(tmp_path, dict.fromkeys(OLD, ",,,"))))) == {}
    assert kinds(apply(local, plan(local, write_list(tmp_path, dict.fromkeys(OLD, "x"), "uri,title")))) == {}
    (tmp_path / "list.csv").unlink()
    assert kinds(apply(local, plan(local, str(tmp_path)))) == {}  # the folder itself says nothing
    assert tables(local) == before


def test_what_a_listing_leaves_open_of_a_retried_video_stays_as_it_was_declared(
    local: Workspace, tmp_path: Path
) -> None:
    plan(local, write_list(tmp_path, {"a": "CC BY,ann,,true", "b": ",,,true", "c": "CC0,,,true"}))
    cut(local)
    for part in local.parts(VIDEOS_FOLDER):
        rows = local.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        for spec in ("base", "events"):
            gone = from_rows([row | {"outcome": "missing"} for row in rows], VIDEOS, part)
            local.commit(f"videos/{spec}", part, gone, VIDEOS)
    listed = list_videos(write_list(tmp_path, {"b": ",bob,false", "c": ",,"}, "uri,license,author,opt_out"), local.root)
    assert plan_parts(local, listed, CollectingConfig(videos_per_part=2), ["missing"]).num_retried == 3
    cut(local)
    assert declared(local) == {
        "a": ("CC BY", "no_train", "column opt_out"),
        "b": (None, "unknown", "column opt_out"),  # said anew
        "c": ("CC0", "no_train", "column opt_out"),
    }
    assert kinds(apply(local)) == {}


def test_a_refusal_that_is_withdrawn_counts_no_longer_unless_the_file_has_one_too(
    local: Workspace, tmp_path: Path
) -> None:
    old = dict.fromkeys("abc", ",,,true")
    (tmp_path / "b.mp4").write_bytes(REFUSING)
    plan(local, write_list(tmp_path, old))
    cut(local)
    (tmp_path / "c.mp4").unlink()  # whether it refuses cannot be read: it is left as it is
    path = tmp_path / "list.csv"
    path.write_text(path.read_text().replace("true", "false"))
    assert kinds(apply(local, plan(local, str(path)))) == {"a": "unknown", "b": "rights_from"}
    assert declared(local) == {
        "a": (None, "unknown", "column opt_out"),
        "b": (None, "no_train", "file cawg.training-mining"),
        "c": (None, "no_train", "column opt_out"),
    }
    (tmp_path / "c.mp4").write_bytes(MP4)
    assert kinds(apply(local, plan(local, str(path)))) == {"c": "unknown"}


def test_a_refusal_that_is_withdrawn_counts_no_longer_where_the_collection_moved_unless_the_file_has_one_too(
    local: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "b.mp4").write_bytes(REFUSING)
    plan(local, write_list(tmp_path / "there", dict.fromkeys("ab", ",,,true")))
    cut(local)
    (tmp_path / "there").rename(tmp_path / "here")
    moved = write_list(tmp_path / "here", dict.fromkeys("ab", ",,,false"))
    assert kinds(apply(local, plan(local, moved))) == {"a": "unknown", "b": "rights_from"}
    assert declared(local)["b"] == (None, "no_train", "file cawg.training-mining")
    assert kinds(apply(local, plan(local, moved))) == {}


def test_after_a_refusal_that_is_withdrawn_a_file_in_a_store_is_read_in_pieces(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, videos = Workspace(f"{s3_bucket}/{tmp_path.name}"), f"{s3_bucket}/{tmp_path.name}-videos"
    media = MP4 + box(b"mdat", bytes(1 << 20))
    for name, data in (("a", media), ("b", media + in_mp4(store(entries(ai_training="notAllowed"))))):
        files.commit_bytes(f"{videos}/{name}.mp4", data)
    plan(workspace, videos)
    for rights, folder, schema in (("no_train", VIDEOS_FOLDER, VIDEOS), ("unknown", COLLECTION_FOLDER, COLLECTION)):
        rows = workspace.read(COLLECTION_FOLDER, "00000", COLLECTION).to_pylist()
        said = {"rights": rights, "rights_from": "column opt_out"}
        more = {"part": "00000", "num_clips": 1, "outcome": "kept"} if schema is VIDEOS else {}
        names = [field.name for field in schema]
        made = [{name: value for name, value in (row | said | more).items() if name in names} for row in rows]
        workspace.commit(folder, "00000", from_rows(made, schema, "here"), schema)
    pieces: list[int] = []
    read_bytes, local_copy = files.read_bytes, files.local_copy

    def read(uri: str, offset: int = 0, length: int | None = None) -> bytes:
        data = read_bytes(uri, offset, length)
        pieces.extend([len(data)] if uri.endswith(".mp4") else [])
        return data

    def download(uri: str) -> contextlib.AbstractContextManager[Path]:
        assert not uri.endswith(".mp4"), f"the whole of {uri} is read"
        return local_copy(uri)

    monkeypatch.setattr(files, "read_bytes", read)
    monkeypatch.setattr(files, "local_copy", download)
    assert kinds(apply(workspace)) == {"a": "unknown", "b": "rights_from"}
    assert declared(workspace)["b"] == (None, "no_train", "file cawg.training-mining")
    assert 0 < sum(pieces) < 10_000


def test_a_file_that_was_not_readable_stays_so_and_changes_nothing(local: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4 + box(b"free", b"") * (MAX_BOXES + 1))
    plan(local, write_list(tmp_path, {"a": ",,,"}))
    cut(local)
    assert declared(local) == {"a": (None, "unknown", "file, not readable")}
    assert kinds(apply(local)) == {}
    assert kinds(apply(local, plan(local, write_list(tmp_path, {"a": "CC0,,,"})))) == {"a": "license"}
    assert declared(local) == {"a": ("CC0", "unknown", "file, not readable")}


def test_a_file_that_was_replaced_by_one_that_refuses_is_read_again(
    place: Workspace, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    videos = f"{place.root}-videos" if place.root.startswith("s3://") else str(tmp_path / "videos")
    for name in ("a", "b"):
        files.commit_bytes(f"{videos}/{name}.mp4", MP4 + name.encode())
    plan(place, videos)
    rows = {row["video_id"]: row for row in place.read(COLLECTION_FOLDER, "00000", COLLECTION).to_pylist()}
    made = [
        {name: row[name] for name in ("video_id", "uri", *DECLARED)}
        | {"part": "00000", "num_clips": 1, "outcome": "kept"}
        for row in rows.values()
    ]
    place.commit(VIDEOS_FOLDER, "00000", from_rows(made, VIDEOS, "here"), VIDEOS)
    files.commit_bytes(f"{videos}/b.mp4", REFUSING)
    for expected in ({"b": "no_train"}, {}):  # the second time nothing is new
        assert kinds(apply(place, plan(place, videos))) == expected
    assert declared(place)["b"] == (None, "no_train", "file cawg.training-mining")
    files.commit_bytes(f"{videos}/a.mp4", MP4 + box(b"free", b"") * (MAX_BOXES + 1) + REFUSING)
    assert kinds(apply(place, plan(place, videos))) == {"a": "rights_from"}
    assert declared(place)["a"] == (None, "unknown", "file, not readable")
    files.commit_bytes(f"{videos}/b.mp4", MP4 + bytes(9))  # no word of it any more: nobody has permitted anything
    assert kinds(apply(place, plan(place, videos))) == {}


def test_a_copy_of_refused_bytes_is_refused_and_says_of_which(local: Workspace, tmp_path: Path) -> None:
    rows = {"a": "CC0,,,false", "b": ",,,true", "c": ",,,", "d": ",,,", "e": ",,,true"}
    hashes = {"a": "1", "b": "1", "c": "1", "d": "2", "e": None}
    plan(local, write_list(tmp_path, rows))
    cut(local, hashes=hashes)
    ids = {Path(row["uri"]).stem: row["video_id"] for row in local.read_all(COLLECTION_FOLDER, COLLECTION).to_pylist()}
    assert kinds(apply(local)) == {"a": "no_train", "c": "no_train"}
    of_copy = (None, "no_train", f"copy {ids['b']}, column opt_out")
    assert declared(local, "events") == declared(local) == {
        "a": ("CC0", *of_copy[1:]), "b": (None, "no_train", "column opt_out"), "c": of_copy,
        "d": (None, "unknown", None), "e": (None, "no_train", "column opt_out"),
    }  # fmt: skip
    assert kinds(apply(local)) == {}
    assert kinds(apply(local, plan(local, write_list(tmp_path, rows | {"b": ",,,false"})))) == dict.fromkeys(
        "abc", "unknown"
    )
    assert declared(local)["a"] == ("CC0", "unknown", "column opt_out")


def test_a_video_that_is_refused_by_its_own_file_is_no_copy_of_itself_where_the_file_can_be_read_only_once(
    local: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list(tmp_path, {"a": ",,,", "b": ",,,"})
    plan(local, str(tmp_path))  # a folder has sizes: a file that is replaced is noticed
    cut(local, hashes=dict.fromkeys("ab", "1"))
    (tmp_path / "b.mp4").write_bytes(REFUSING)

    def read_once(path: Path) -> Statement:
        found = read_training_entries(path)
        path.unlink()
        return found

    monkeypatch.setattr(declaring, "read_training_entries", read_once)
    assert kinds(apply(local, plan(local, str(tmp_path)))) == {"a": "no_train", "b": "no_train"}
    assert declared(local)["b"] == (None, "no_train", "file cawg.training-mining")
    assert declared(local)["a"][2].endswith(", file cawg.training-mining")


def test_a_copy_that_comes_later_refuses_for_those_that_are_there(local: Workspace, tmp_path: Path) -> None:
    hashes = dict.fromkeys("ac", "1")
    plan(local, write_list(tmp_path, {"a": ",,,", "b": ",,,"}))
    cut(local, hashes=hashes)
    plan(local, write_list(tmp_path, {"a": ",,,", "b": ",,,", "c": ",,,true"}))
    cut(local, hashes=hashes)
    assert kinds(apply(local)) == {"a": "no_train"}


def test_clips_of_changed_videos_leave_every_selection_at_once(local: Workspace, tmp_path: Path) -> None:
    plan(local, write_list(tmp_path, OLD))
    cut(local)
    for name in ("s", "t"):
        select(local, name)
    before = local.read_all("selections/s", SELECTIONS).to_pylist()
    part = local.read("selections/t", "00000", SELECTIONS).to_pylist()
    silent = [row | ({"kept": False, "reason": "silent"} if row["video_id"][0] == "a" else {}) for row in part]
    local.commit("selections/u", "00000", from_rows(silent, SELECTIONS, "00000"), SELECTIONS)
    changes = apply(local, plan(local, write_list(tmp_path, NEW)))
    assert changes.selections == ("s", "t")  # u kept none of a
    for name in ("s", "t"):
        rows = local.read_all(f"selections/{name}", SELECTIONS).to_pylist()
        changed = [row["video_id"][0] for row in rows if row["reason"] == "rights_changed"]
        assert changed == ["a", "c", "d"] == sorted(kinds(changes))
        for row, old in zip(rows, before, strict=True):
            said = {"kept": False, "reason": "rights_changed", "unique_s": None} if row["video_id"][0] in "acd" else {}
            assert row == old | said
        assert undecided(local, VIDEOS_FOLDER, f"selections/{name}") == ["00000", "00001"]  # e alone is in the last


@pytest.mark.parametrize("crash", range(1, 9))
def test_killed_between_any_two_commits_the_next_run_comes_to_the_same_end(
    crash: int, local: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, commit, left = Workspace(str(tmp_path / "whole")), Workspace.commit, [crash]
    for workspace in (local, whole):
        plan(workspace, write_list(tmp_path, OLD))
        cut(workspace)
        select(workspace)
    apply(whole, plan(whole, write_list(tmp_path, NEW)))

    def dying(self: Workspace, partition: str, part: str, table: pa.Table, schema: pa.Schema) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return commit(self, partition, part, table, schema)

    monkeypatch.setattr(Workspace, "commit", dying)
    try:
        apply(local, plan(local, write_list(tmp_path, NEW)))
    except KeyboardInterrupt:
        monkeypatch.setattr(Workspace, "commit", commit)
        refused = [row["rights"] == "no_train" for row in local.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()]
        kept = [row["kept"] for row in local.read_all("selections/s", SELECTIONS).to_pylist()]
        assert not (refused[0] and kept[0])  # a, which refuses now: never known to refuse and kept
        apply(local, plan(local, write_list(tmp_path, NEW)))
    else:
        assert crash == 8  # 2 parts of the collection, 2 of the selection, 2 of each of 2 clip specs
    assert tables(local) == tables(whole)


def test_a_selection_at_which_another_command_works_is_named_and_nothing_is_changed(
    local: Workspace, tmp_path: Path
) -> None:
    plan(local, write_list(tmp_path, OLD))
    cut(local)
    for name in ("s", "t", "u"):
        select(local, name)
    other = plan(local, write_list(tmp_path, NEW))
    before = tables(local)
    for name in ("s", "t", "u"):
        with claim(local, f"selections/{name}"), pytest.raises(ConfigError, match=f"selection={name}"):
            apply(local, other)
        assert tables(local) == before
    assert apply(local, other).num_videos == 3
