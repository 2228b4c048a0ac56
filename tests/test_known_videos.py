"""Videos of a collection that is listed again: which have changed, which are elsewhere, which are gone."""

import os
from pathlib import Path

import pytest

from pipeline.collection.collecting import CollectingConfig
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.videos import COLLECTION
from tests.helpers.planned_collections import fill, ids_by_part, plan


def touch(path: Path, data: bytes, later_s: float) -> None:
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, (before.st_atime + later_s, before.st_mtime + later_s))


def test_videos_that_changed_at_the_same_address_are_reported_and_keep_their_part(tmp_path: Path) -> None:
    names = ["same.mp4", "longer.mp4", "rewritten.mp4", "gone.mp4"]
    videos, workspace = fill(tmp_path / "videos", names), Workspace(str(tmp_path / "workspace"))
    assert plan(workspace, str(videos), CollectingConfig()).changed == ()
    before = workspace.read_all(COLLECTION_FOLDER, COLLECTION)
    touch(videos / "longer.mp4", b"longer", 0)
    touch(videos / "rewritten.mp4", b"x" * len("rewritten.mp4"), 10)
    (videos / "gone.mp4").unlink()
    for _ in range(2):  # for as long as it is so
        planned = plan(workspace, str(videos), CollectingConfig())
        assert planned.changed == (str(videos / "longer.mp4"), str(videos / "rewritten.mp4"))
        assert planned.num_new == 0
    assert workspace.read_all(COLLECTION_FOLDER, COLLECTION).equals(before)


def test_an_object_that_was_replaced_is_reported(tmp_path: Path, s3_bucket: str) -> None:
    workspace, videos = Workspace(str(tmp_path)), f"{s3_bucket}/{tmp_path.name}"
    for name, data in (("a.mp4", b"old"), ("b.mp4", b"old")):
        files.commit_bytes(f"{videos}/{name}", data)
    plan(workspace, videos, CollectingConfig())
    files.commit_bytes(f"{videos}/a.mp4", b"old")  # again, and the same
    files.commit_bytes(f"{videos}/b.mp4", b"new")
    assert plan(workspace, videos, CollectingConfig()).changed == (f"{videos}/b.mp4",)


def test_what_a_table_does_not_know_has_not_changed(tmp_path: Path) -> None:
    videos, workspace = fill(tmp_path / "videos", ["a.mp4"]), Workspace(str(tmp_path / "workspace"))
    plan(workspace, str(videos), CollectingConfig())
    (tmp_path / "list.csv").write_text("uri\na.mp4\n")
    planned = plan(workspace, str(tmp_path / "list.csv"), CollectingConfig(), media=str(videos))
    assert (planned.num_new, planned.changed) == (0, ())


@pytest.mark.parametrize(
    ("rows", "is_changed"),
    [("a.mp4,6,11\na.mp4,1,5\n", False), ("a.mp4,1,5\n", True), ("a.mp4,1,5\na.mp4,6,12\n", True), ("a.mp4,,\n", True)],
    ids=["in another order", "fewer", "longer", "the whole video"],
)
def test_a_video_of_a_table_whose_spans_changed_is_reported(rows: str, is_changed: bool, tmp_path: Path) -> None:
    workspace, table = Workspace(str(tmp_path / "workspace")), tmp_path / "list.csv"
    for text in ("a.mp4,1,5\na.mp4,6,11\n", rows):
        table.write_text(f"uri,start_s,end_s\n{text}b.mp4,0,5\n")
        planned = plan(workspace, str(table), CollectingConfig())
    assert planned.num_new == 0
    assert planned.changed == ((str(tmp_path / "a.mp4"),) if is_changed else ())


def test_another_collection_of_the_same_names_is_reported_where_sizes_differ(tmp_path: Path) -> None:
    workspace, there = Workspace(str(tmp_path / "workspace")), fill(tmp_path / "there", ["a.mp4", "b.mp4"])
    plan(workspace, str(fill(tmp_path / "here", ["a.mp4", "b.mp4"])), CollectingConfig())
    (there / "b.mp4").write_bytes(b"another video")
    assert plan(workspace, str(there), CollectingConfig()).changed == (str(there / "b.mp4"),)


def test_a_collection_that_moved_has_not_changed(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    plan(workspace, str(fill(tmp_path / "here", ["a.mp4"])), CollectingConfig())
    planned = plan(workspace, str(fill(tmp_path / "there", ["a.mp4"])), CollectingConfig())
    assert (planned.num_new, planned.changed) == (0, ())
    assert (planned.num_elsewhere, planned.elsewhere) == (1, (f"{tmp_path}/here/a.mp4", f"{tmp_path}/there/a.mp4"))


def test_where_a_moved_video_is_now_is_kept_where_its_file_may_have_to_be_read_for_a_refusal(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    for folder in ("here", "there"):
        table = fill(tmp_path / folder, ["a.mp4", "bb.mp4", "ccc.mp4"]) / "list.csv"
        table.write_text("uri,opt_out\na.mp4,false\nbb.mp4,true\nccc.mp4,\n")
        planned = plan(workspace, str(table), CollectingConfig())
    assert {Path(uri).name for uri, _ in planned.moved_files.values()} == {"a.mp4"}


def test_an_unrelated_table_of_the_same_names_is_reported_as_elsewhere(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path / "workspace")), CollectingConfig()
    for name, num_videos in (("A", 3), ("B", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "list.csv").write_text("uri\n" + "".join(f"clip_{i}.mp4\n" for i in range(num_videos)))
    for _ in range(2):
        planned = plan(workspace, str(tmp_path / "A" / "list.csv"), config)
        assert (planned.num_elsewhere, planned.elsewhere) == (0, None)
    for num_new in (2, 0):  # for as long as it is so
        planned = plan(workspace, str(tmp_path / "B" / "list.csv"), config)
        assert (planned.num_new, planned.changed, planned.gone) == (num_new, (), ())
        assert planned.num_elsewhere == 3
        assert planned.elsewhere == (f"{tmp_path}/A/clip_0.mp4", f"{tmp_path}/B/clip_0.mp4")


def test_a_video_that_is_listed_another_way_is_not_elsewhere(tmp_path: Path) -> None:
    videos, workspace = fill(tmp_path / "videos", ["a.mp4", "b.mp4"]), Workspace(str(tmp_path / "workspace"))
    plan(workspace, str(videos), CollectingConfig())
    (tmp_path / "link").symlink_to(videos)
    (tmp_path / "list.csv").write_text(f"uri\nlink/a.mp4\nfile://{videos}/./b.mp4\n")
    for collection in (tmp_path / "list.csv", tmp_path / "link"):
        planned = plan(workspace, str(collection), CollectingConfig())
        assert (planned.num_new, planned.num_elsewhere, planned.gone) == (0, 0, ())


# --- the collection that a root was made from ---


def test_an_unrelated_collection_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path / "workspace")), CollectingConfig(videos_per_part=1)
    plan(workspace, str(fill(tmp_path / "one", ["a.mp4", "b.mp4"])), config)
    before = ids_by_part(workspace)
    fill(tmp_path / "two", [f"{i}.mp4" for i in range(20)])
    with pytest.raises(ConfigError, match=r"none of its 2 videos, such as .*one/a.mp4, is among the 20 of this"):
        plan(workspace, str(tmp_path / "two"), config)
    assert ids_by_part(workspace) == before
    fill(tmp_path / "two", ["zz.mp4"])
    (tmp_path / "both.csv").write_text("uri\n" + "\n".join(f"two/{i}.mp4" for i in range(20)) + "\none/b.mp4\n")
    assert plan(workspace, str(tmp_path / "both.csv"), config).num_new == 20


def test_a_video_is_known_by_its_address_however_it_is_listed_and_those_gone_are_named(tmp_path: Path) -> None:
    videos, workspace = fill(tmp_path / "videos", ["a.mp4", "b.mp4", "c.mp4"]), Workspace(str(tmp_path / "workspace"))
    plan(workspace, str(videos), CollectingConfig())
    (tmp_path / "list.csv").write_text(f"uri\nvideos/a.mp4\nfile://{videos}/./c.mp4\nvideos/new.mp4\n")
    planned = plan(workspace, str(tmp_path / "list.csv"), CollectingConfig())
    assert (planned.num_new, planned.gone) == (1, (f"{videos}/b.mp4",))
    ids = [name for part in ids_by_part(workspace).values() for name in part]
    assert ids == [video_id(name) for name in ("a.mp4", "b.mp4", "c.mp4", "videos/new.mp4")]
