"""`earshot shard`, whole: a collection that grows, changes and loses files; a second driver; what it prints."""

import io
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import soundfile
from conftest import World

from cluster.faults import QuarantineError
from jobs.console.session import Session
from jobs.console.shard_notes import format_cutting
from pipeline.errors import DataError
from pipeline.reports.querying import query
from pipeline.storage.locking import claim
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.command import earshot
from tests.helpers.format_page import run_snippet

pytestmark = pytest.mark.usefixtures("ray_session")
LAVFI = ("-f", "lavfi", "-i")
SMALL = ("--set", "clips.base.clip_s=2", "--set", "clips.base.frame_height=32", "--set", "clips.base.frame_width=32")
MakeMedia = Callable[..., Path]


@pytest.fixture
def collection(make_media: MakeMedia, tmp_path: Path) -> Path:
    """a.mkv of 3 s (2 clips), b.mkv of 1 s (too short), c.mkv that is text."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, duration_s in (("a", 3), ("b", 1)):
        video = make_media(
            f"job_{duration_s}.mkv", *LAVFI, f"testsrc=s=32x32:r=10:d={duration_s}",
            *LAVFI, f"sine=d={duration_s}:r=16000", "-c:v", "libx264", "-c:a", "pcm_s16le",
        )  # fmt: skip
        shutil.copy(video, folder / f"{name}.mkv")
    (folder / "c.mkv").write_text("no video")
    return folder


def shard(collection: Path, root: Path, *options: str) -> tuple[int, str, str]:
    return earshot("shard", "--collection", str(collection), "--root", str(root), *SMALL, *options)


def outcomes(root: Path) -> dict[str, str]:
    rows = query(Workspace(str(root)), "SELECT uri, outcome FROM videos ORDER BY uri").to_pylist()
    return {Path(row["uri"]).name: row["outcome"] for row in rows}


def rights(root: Path) -> dict[str, str]:
    rows = query(Workspace(str(root)), "SELECT uri, rights FROM videos ORDER BY uri").to_pylist()
    return {Path(row["uri"]).name: row["rights"] for row in rows}


def parts_of(root: Path) -> dict[str, tuple[int, float]]:
    tables = (path for name in ("collection", "clips", "videos") for path in (root / "tables" / name).rglob("0*"))
    files = [*tables, *(root / "clips").rglob("0*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in files}


def count_reads(patched: pytest.MonkeyPatch, column: str) -> list[str]:
    """The parts of the table of videos that are read for a column and some others, as they are read."""
    read, parts = Workspace.read, list[str]()

    def counted(self: Workspace, folder: str, part: str, schema: Any, columns: list[str] | None = None) -> Any:
        parts.extend([part] if columns is not None and column in columns and schema is VIDEOS else [])
        return read(self, folder, part, schema, columns)

    patched.setattr(Workspace, "read", counted)
    return parts


def test_it_ends_with_a_count_of_every_video_and_clip(collection: Path, tmp_path: Path) -> None:
    code, out, err = shard(collection, tmp_path / "root")
    assert code == 0, err
    output = "shard: 3 new; 3 videos (1 kept, 1 too_short, 1 unreadable), 0.00 h; 2 clips (2 kept)"
    output += "; 1 train, 0 validate, 0 test"
    assert out == f"{output} -> {tmp_path}/root/clips/base\n"


def test_a_collection_that_has_grown_is_cut_where_it_is_new_and_a_changed_video_is_reported(
    collection: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shard(collection, root)
    before = parts_of(root)
    shutil.copy(collection / "a.mkv", collection / "new.mkv")
    os.utime(collection / "b.mkv", (1, 1))
    code, out, err = shard(collection, root)
    assert code == 0, err
    assert "shard: 1 new; 4 videos (2 kept, 1 too_short, 1 unreadable)" in out
    assert "changed since they were listed first, and left as they were cut: 1 videos" in err
    assert "b.mkv" in err
    assert before.items() <= parts_of(root).items()
    assert outcomes(root) == {"a.mkv": "kept", "b.mkv": "too_short", "c.mkv": "unreadable", "new.mkv": "kept"}


def test_an_opt_out_that_comes_later_takes_the_video_and_its_copy_out_of_the_selection_and_its_shards(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, table = str(tmp_path / "root"), tmp_path / "list.csv"
    for name, more in (("copy", b""), ("other", bytes(9))):  # nine zeros after the last element change no clip
        (collection / f"{name}.mkv").write_bytes((collection / "a.mkv").read_bytes() + more)
    table.write_text("uri,opt_out\nvideos/a.mkv,false\nvideos/copy.mkv,\nvideos/other.mkv,\n")
    tars = tmp_path / "root" / "clips" / "base" / "00000.tar"
    every = ("--set", "filtering.keep_fraction=1")
    assert shard(table, tmp_path / "root")[0] == 0
    before = tars.read_bytes()
    code, out, err = earshot("filter", "--root", root, *every)
    assert "6 kept; no scores; no duplicates looked for (2 videos have the bytes of another); audit" in out, err
    assert earshot("materialize", "--root", root)[0] == 0
    table.write_text(table.read_text().replace("false", "true"))
    code, out, err = shard(table, tmp_path / "root")
    assert (code, "shard: nothing to do; 3 videos (3 kept)" in out) == (0, True), err
    assert "shard: 2 videos are declared otherwise: 2 no_train; such as" in err
    assert "Until `earshot filter` decides anew, `default` keeps none of their clips." in err
    code, out, err = earshot("filter", "--root", root, *every)
    assert "filter: 2 kept, 4 no_train;" in out, err
    assert "none in two splits; 4 clips in materialized/default are refused now ->" in out
    assert tars.read_bytes() == before
    with monkeypatch.context() as patched:
        reads = count_reads(patched, "content_hash")
        assert "declared otherwise" not in shard(table, tmp_path / "root")[2]
    assert reads == ["00000", "00000"]  # once for a number of each key, once where numbers are equal
    assert "nothing to do, every clip is decided" in earshot("filter", "--root", root, *every)[1]
    code, _, err = earshot("materialize", "--root", root)
    assert code == 2
    assert "has 4 clips that selections/default refuses now: something else is declared of their videos." in err
    assert "`earshot clean --from materialized/default" in err
    assert earshot("clean", "--from", "materialized/default", "--root", root, "--yes")[0] == 0
    assert "2 clips in 1 shards" in earshot("materialize", "--root", root)[1]


def test_an_opt_out_is_heeded_though_a_part_that_is_new_fails(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, table = tmp_path / "root", tmp_path / "list.csv"
    table.write_text("uri,opt_out\nvideos/a.mkv,false\n")
    assert shard(table, root)[0] == 0
    shutil.copy(collection / "a.mkv", collection / "new.mkv")
    table.write_text("uri,opt_out\nvideos/a.mkv,true\nvideos/new.mkv,\n")

    def fail(*_: Any, **__: Any) -> None:
        raise QuarantineError({"00001": DataError("damaged")})

    with monkeypatch.context() as patched:
        patched.setattr(Session, "map", fail)
        code, _, err = shard(table, root)
    assert (code != 0, "1 video is declared otherwise: 1 no_train" in err) == (True, True), err
    assert rights(root) == {"a.mkv": "no_train"}
    code, _, err = shard(table, root)
    assert (code, "1 video is declared otherwise: 1 no_train" in err) == (0, True), err  # the copy
    assert rights(root) == {"a.mkv": "no_train", "new.mkv": "no_train"}


def test_while_a_moved_video_cannot_be_read_its_refusal_stays_whatever_has_its_old_address(
    collection: Path, tmp_path: Path
) -> None:
    root, moved = tmp_path / "root", tmp_path / "moved"
    (collection / "list.csv").write_text("uri,opt_out\na.mkv,true\n")
    assert shard(collection / "list.csv", root)[0] == 0
    moved.mkdir()
    shutil.copy(collection / "b.mkv", moved / "new.mkv")  # cut now, so that copies are looked for afterwards again
    (moved / "list.csv").write_text("uri,opt_out\na.mkv,false\nnew.mkv,\n")
    code, out, err = shard(moved / "list.csv", root)
    assert (code, "shard: 1 new; 2 videos (1 kept, 1 too_short)" in out) == (0, True), err
    assert "declared otherwise" not in err
    assert rights(root) == {"a.mkv": "no_train", "new.mkv": "unknown"}
    shutil.copy(collection / "a.mkv", moved / "a.mkv")
    assert "1 video is declared otherwise: 1 unknown" in shard(moved / "list.csv", root)[2]


def test_rejects_of_a_reason_are_cut_again_when_asked(collection: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shard(collection, root)
    shutil.copy(collection / "a.mkv", collection / "c.mkv")
    code, out, _ = shard(collection, root)
    assert (code, "shard: nothing to do; 3 videos" in out) == (0, True)
    assert outcomes(root)["c.mkv"] == "unreadable"
    code, out, err = shard(collection, root, "--retry", "unreadable")
    assert code == 0, err
    assert "shard: 1 retried; 3 videos (2 kept, 1 too_short)" in out
    assert outcomes(root) == {"a.mkv": "kept", "b.mkv": "too_short", "c.mkv": "kept"}
    assert shard(collection, root, "--retry", "unreadable")[0] == 0  # there are none left, as on most nights
    code, _, err = shard(collection, root, "--retry", "tiemout")
    assert (code, "tiemout" in err) == (2, True), err


def test_clip_specs_cut_later_or_together_have_the_same_bytes_and_are_retried_together(
    collection: Path, tmp_path: Path
) -> None:
    (collection / "b.mkv").unlink()
    changes = ("frame_height=16", "frame_width=16", "crop=none")  # faces: test_mouth_cutting
    small = [option for change in changes for option in ("--set", f"clips.speech.{change}")]
    roots = {name: tmp_path / name for name in ("together", "later")}
    code, out, err = shard(collection, roots["together"], *small, "--clips", "base", "--clips", "speech")
    assert code == 0, err
    assert "base: 2 videos (1 kept, 1 unreadable), 0.00 h; 2 clips (2 kept)" in out
    assert "speech: 2 videos (1 kept, 1 unreadable), 0.00 h; 1 clips (1 kept)" in out  # 2 of 3 s, every 2 s
    for spec in ("speech", "base"):
        assert shard(collection, roots["later"], *small, "--clips", spec)[0] == 0
    together, later = (
        {path.relative_to(root): path.read_bytes() for path in map(Path, parts_of(root))} for root in roots.values()
    )
    assert {str(path) for path in together if path.suffix == ".tar"} == {
        f"clips/{spec}/00000.tar" for spec in ("base", "speech")
    }
    assert together == later
    ids = query(Workspace(str(roots["later"])), "SELECT clip_id FROM clips WHERE spec = 'speech'")["clip_id"]
    assert [name[-16:] for name in ids.to_pylist()] == ["_00000000_speech"]

    shutil.copy(collection / "a.mkv", collection / "c.mkv")  # the file is good by now
    code, out, err = shard(collection, roots["later"], "--clips", "base", "--clips", "speech", "--retry", "unreadable")
    assert code == 0, err
    assert out.count("2 videos (2 kept)") == 2
    assert shard(collection, roots["later"], *small, "--clips", "evnts")[0] == 2


def test_a_spec_goes_on_with_the_settings_it_was_begun_with_and_no_two_are_cut_at_once(
    collection: Path, tmp_path: Path
) -> None:
    root, small = tmp_path / "root", [f"clips.events.{name}=16" for name in ("frame_height", "frame_width")]
    given = [option for setting in (*small, "clips.events.clip_s=2") for option in ("--set", setting)]
    assert shard(collection, root)[0] == 0
    assert shard(collection, root, *given, "--clips", "events")[0] == 0
    code, out, err = shard(collection, root, "--clips", "events")
    assert code == 0, err
    assert "shard: nothing to do; 3 videos (1 kept, 1 too_short, 1 unreadable)" in out
    usage = query(Workspace(str(root)), "SELECT DISTINCT stage FROM usage ORDER BY 1")["stage"].to_pylist()
    assert usage == ["shard-base", "shard-events"]
    code, out, err = shard(collection, root, "--clips", "events", "--retry", "too_short")
    assert (code, "shard: 1 retried; 3 videos" in out) == (0, True), err
    workspace = Workspace(str(root))
    part = "00000"
    rows = workspace.read("videos/events", part, VIDEOS).to_pylist()
    rows[0] |= {"outcome": "killed"}  # of a.mkv, which `base` keeps
    workspace.commit("videos/events", part, from_rows(rows, VIDEOS, part), VIDEOS)
    code, out, err = shard(collection, root, "--clips", "events", "--retry", "killed")
    assert "not cut again: 1 videos, of which another clip spec has clips, such as " in err, (code, err)
    with claim(workspace, "collection"):
        assert shard(collection, root, "--clips", "events", "--retry", "unreadable")[0] == 2


def test_missing_media_is_reported_as_coverage(collection: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("uri\nvideos/a.mkv\nvideos/gone.mkv\nvideos/lost.mkv\nvideos/b.mkv\n")
    code, out, err = shard(table, tmp_path / "root")
    assert code == 0, err
    assert "4 videos (2 missing, 1 kept, 1 too_short, media found for 50.0%)" in out


def test_a_second_driver_stops_and_names_the_first(collection: Path, tmp_path: Path) -> None:
    with claimed(str(tmp_path / "root"), "clips/base") as pid:
        code, _, err = shard(collection, tmp_path / "root")
        assert (code, f"process {pid}" in err) == (2, True), err
    assert shard(collection, tmp_path / "root")[0] == 0


@contextmanager
def claimed(root: str, folder: str) -> Iterator[int]:
    """Another process that holds a folder."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(root, folder, ready, done))
    process.start()
    assert ready.wait(60)
    try:
        yield process.pid or 0
    finally:
        done.set()
        process.join()


def _hold(root: str, folder: str, ready: object, done: object) -> None:
    with claim(Workspace(root), folder):
        ready.set()  # type: ignore[attr-defined]
        done.wait(60)  # type: ignore[attr-defined]


def test_ray_data_and_tar_read_the_clips(collection: Path, tmp_path: Path) -> None:
    shard(collection, tmp_path / "root")
    tar = tmp_path / "root" / "clips" / "base" / "00000.tar"
    kept = (
        query(Workspace(str(tmp_path / "root")), "SELECT clip_id FROM clips ORDER BY 1").column("clip_id").to_pylist()
    )
    rows = ray.data.read_webdataset(str(tar), decoder=False).take_all()
    assert sorted(row["__key__"] for row in rows) == kept
    for row in rows:
        waveform, rate_hz = soundfile.read(io.BytesIO(row["flac"]))
        assert (len(waveform), rate_hz) == (32_000, 16_000)
    listed = subprocess.run(["tar", "--list", "--file", tar], capture_output=True, text=True, check=True).stdout.split()
    assert listed == [f"{key}.{name}" for key in kept for name in ("0.jpg", "1.jpg", "flac", "json")]


def test_what_the_format_page_shows_for_ray_data_finds_all_kept_clips(world: World) -> None:
    rows = query(world.workspace, "SELECT clip_id FROM clips WHERE outcome = 'kept' ORDER BY 1")
    assert rows.num_rows == 12 * 4
    assert sorted(run_snippet("Ray Data", world.workspace.root)["keys"]) == rows["clip_id"].to_pylist()


def test_progress_shows_videos_hours_per_minute_clips_and_rejects() -> None:
    counts = {"video_s": 5400.0, "videos kept": 30, "videos no_audio": 2, "clips kept": 5000, "clips silent": 7}
    assert format_cutting(counts, elapsed_s=90.0) == (
        "32 videos, 1.50 h (1.00 h/min), 5000 clips; rejected: 2 videos no_audio, 7 clips silent"
    )


def test_a_collection_without_one_usable_video_fails_and_says_where_each_reason_is(tmp_path: Path) -> None:
    folder, root = tmp_path / "texts", tmp_path / "root"
    folder.mkdir()
    for name in ("a.txt", "b.md"):
        (folder / name).write_text("no video")
    code, _, err = shard(folder, root)
    assert code == 1  # the work was done
    assert f"collection {folder}: none of 2 files gave a clip (2 unreadable)" in err
    assert f"earshot query --root {root} 'SELECT uri, outcome, detail FROM videos'" in err
    assert outcomes(root) == {"a.txt": "unreadable", "b.md": "unreadable"}


def test_copies_and_videos_gone_are_named_and_a_second_collection_is_refused(collection: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (collection / ".Trash-1000").mkdir()
    for name in ("z.mkv", ".Trash-1000/withdrawn.mkv"):
        shutil.copy(collection / "a.mkv", collection / name)
    code, out, err = shard(collection, root, "--set", "splitting.test_fraction=0.5")
    assert code == 0, err
    assert "1 hidden files and folders left out: '.Trash-1000'\n" in err
    assert f"in 1 groups: 2 videos, such as {collection}/a.mkv, {collection}/z.mkv.\n" in err
    assert out.rpartition("; ")[2].startswith(("2 train, 0 validate, 0 test", "0 train, 0 validate, 2 test"))
    (collection / "b.mkv").unlink()
    code, _, err = shard(collection, root)
    assert (code, f"kept as they were cut: 1 videos, such as {collection}/b.mkv." in err) == (0, True), err
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(collection / "a.mkv", other / "else.mkv")
    code, _, err = shard(other, root)
    assert (code, "none of its 4 videos" in err) == (2, True), err
