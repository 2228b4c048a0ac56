"""Export: the listing finds every clip again, goes back through import with columns added, and changes with no run."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import WORLD_SPEC, World

from jobs.console.presets import preset
from pipeline.clips.samples import decode_clip
from pipeline.clips.tars import parse_sample
from pipeline.hashing import as_dict
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot


@pytest.fixture
def root(world: World, tmp_path: Path) -> str:
    """A copy of the world's workspace, with the settings that commands look for."""
    shutil.copytree(world.workspace.root, tmp_path / "root")
    made = Workspace(str(tmp_path / "root"))
    made.begin("clips/base", {"clips": {"base": WORLD_SPEC}}, {})
    settings = as_dict(preset("tiny")) | {"seed": 0}
    files.commit_bytes(made.uri(SETTINGS_FILE), json.dumps(settings).encode())
    return str(tmp_path / "root")


def test_a_row_says_where_the_clips_bytes_and_seconds_are(root: str) -> None:
    code, out, _ = earshot("export", "--root", root)
    rows = [json.loads(line) for line in out.splitlines()]
    kept = query(Workspace(root), "FROM clips WHERE spec = 'base' AND outcome = 'kept' ORDER BY part, tar_offset")
    assert (code, [row["clip_id"] for row in rows]) == (0, kept["clip_id"].to_pylist())
    for row, clip in zip(rows, kept.to_pylist(), strict=True):
        with open(row["tar"], "rb") as tar:
            tar.seek(row["tar_offset"])
            key, members = parse_sample(tar.read(row["tar_bytes"]), row["tar"], "")
        facts = decode_clip(key, members, row["tar"]).facts
        assert (key, facts["video_id"], facts["uri"]) == (row["key"], row["video_id"], row["uri"])
        assert (row["start_s"], row["end_s"]) == (clip["start_s"], clip["start_s"] + clip["duration_s"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_listing_is_the_same_bytes_each_time_in_each_format(root: str, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
    for out in (first, second):
        assert earshot("export", "--root", root, "--out", str(out))[0] == 0
    assert first.read_bytes() == second.read_bytes()
    if suffix == "parquet":
        assert pq.read_table(first).to_pylist() == [
            json.loads(line) for line in earshot("export", "--root", root)[1].splitlines()
        ]


def test_what_another_tool_adds_to_the_listing_goes_straight_back(root: str, tmp_path: Path) -> None:
    listing, scored = tmp_path / "clips.csv", tmp_path / "scored.csv"
    assert earshot("export", "--root", root, "--out", str(listing), "--media", str(tmp_path / "wav"))[0] == 0
    with listing.open() as file, scored.open("w") as made:
        rows = list(csv.DictReader(file))
        writer = csv.DictWriter(made, [*rows[0], "peak", "tag"])
        writer.writeheader()
        writer.writerows(row | {"peak": abs(soundfile.read(row["path"])[0]).max(), "tag": "x"} for row in rows)
    code, out, err = earshot("import", "--root", root, "--name", "tool", str(scored))
    assert (code, f"peak DOUBLE, tag VARCHAR; {len(rows)} of {len(rows)} kept clips" in out) == (0, True), err + out
    joined = query(Workspace(root), "SELECT peak, peak_db FROM tool JOIN clips USING (clip_id) WHERE spec = 'base'")
    for row in joined.to_pylist():
        assert row["peak"] == pytest.approx(10 ** (row["peak_db"] / 20), abs=2e-5)


def test_what_cannot_be_given_is_refused_before_anything_is_written(root: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    for options, said in (
        (("--out", f"{root}/tables/x.csv"), "--out"),
        (("--out", f"{tmp_path}/link/x.csv"), "--out"),
        (("--media", f"{root}/clips/wav"), "--media"),
        (("--out", f"{tmp_path}/x.xlsx"), "x.xlsx: expected a name"),
        (("--out", f"{tmp_path}/x.md"), "x.md: expected a name"),
        (("--format", "parquet"), "--format parquet is no text"),
        (("--selection", "gone"), "Run `earshot filter --name gone"),
        (("--selection", "top", "--clips", "events"), "selections are of clips/base"),
        (("--clips", "events"), "Run `earshot shard"),
    ):
        code, out, err = earshot("export", "--root", root, *options)
        assert (code, out, said in err) == (2, "", True), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "root"]


def test_a_damaged_part_in_the_middle_is_named_and_leaves_no_listing(root: str, tmp_path: Path) -> None:
    Path(Workspace(root).part_uri("clips/base", "00001")).write_bytes(b"no table")
    for out in ("x.csv", "x.parquet"):
        code, _, err = earshot("export", "--root", root, "--out", str(tmp_path / out))
        assert (code, "spec=base/00001.parquet" in err) == (1, True), err
        assert not (tmp_path / out).exists()
