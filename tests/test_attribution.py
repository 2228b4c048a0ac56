"""ATTRIBUTION.csv: a row for each video of a materialised set, as its tables have it, and no formulas."""

import csv
import hashlib
import io
import json

import pytest
from conftest import WORLD_SPEC

from pipeline.reports.attribution import COLUMNS, FILE, FORMULA, safe, write_attribution
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.videos import VIDEOS
from tests.helpers.shuffled_shards import EVIL, make_shards, state_licenses


@pytest.fixture
def shards(workspace: Workspace) -> Workspace:
    """A selection whose videos have every kind of licence, and one title and page."""
    state_licenses(workspace)
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    rows[0] |= {"extra": json.dumps({"Title": "=cmd|' /C calc'!A0"}), "source_url": "https://h/1", "author": "+1\nx"}
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    make_shards(workspace, WORLD_SPEC)
    return workspace


def test_each_video_has_its_row_and_the_file_its_hash(shards: Workspace) -> None:
    written = write_attribution(shards, "s")
    data = files.read_bytes(shards.uri("materialized", "s", FILE))
    assert (written.size_bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    assert tuple(header) == COLUMNS
    clips = shards.read_all("materialized/s", MATERIALIZED).to_pylist()
    videos = {row["video_id"]: row for row in shards.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()}
    assert written.num_rows == len(rows)
    assert [row[0] for row in rows] == sorted({clip["video_id"] for clip in clips})
    for row in (dict(zip(header, values, strict=True)) for values in rows):
        video = videos[row["video_id"]]
        assert int(row["clips"]) == sum(clip["video_id"] == row["video_id"] for clip in clips)
        assert row["license"] == (video["license"] or "")
        assert row["license_url"].startswith("https://creativecommons.org/") == (video["license"] not in (None, EVIL))
        assert (row["rights"], row["uri"]) == ("unknown", video["uri"])
        assert "cut into clips" in row["changes"]
    (titled,) = (dict(zip(header, row, strict=True)) for row in rows if row[header.index("source_url")])
    assert (titled["title"], titled["author"]) == ("'=cmd|' /C calc'!A0", "'+1\nx")
    assert not [value for row in rows for value in row if value.startswith(FORMULA)]
    assert write_attribution(shards, "s") == written  # the same bytes again


def test_only_what_begins_like_a_formula_is_changed() -> None:
    assert [safe(value) for value in ("a=b", "", "1-2", "'x", " =1")] == ["a=b", "", "1-2", "'x", " =1"]
    assert all(safe(f"{mark}1") == f"'{mark}1" for mark in "=+-@\t\r\n")
