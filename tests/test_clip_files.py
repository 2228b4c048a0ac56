"""Clips as files: a wav has the very samples of the tar's FLAC, an mp4 its length; a killed run goes on."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import WORLD_SPEC, World

from pipeline.clips.tars import parse_sample
from pipeline.errors import ConfigError, DataError
from pipeline.outside.clip_files import ClipFiles, to_int16
from pipeline.outside.clip_listing import list_clips
from pipeline.storage.workspace import Workspace
from tests.helpers.separated import picture_times_s


@pytest.fixture
def workspace(world: World, tmp_path: Path) -> Workspace:
    shutil.copytree(world.workspace.root, tmp_path / "root")
    made = Workspace(str(tmp_path / "root"))
    made.begin("clips/base", {"clips": {"base": WORLD_SPEC}}, {})
    return made


def test_every_16_bit_sample_survives_the_way_through_floats() -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_int16(samples.astype(np.float32) / 32768), samples)


def test_a_wav_has_exactly_the_samples_of_the_tar_and_is_written_once(workspace: Workspace, tmp_path: Path) -> None:
    (part, rows), *_ = list_clips(workspace, "base")
    made, new = ClipFiles(workspace, "base", str(tmp_path / "wav"), "wav"), list[bool]()
    assert made.write(part, rows, new.append) == {}
    assert new == [True] * len(rows)
    paths = made.add_paths(part, rows, ())["path"].to_pylist()
    for row, path in zip(rows.to_pylist(), paths, strict=True):
        tar = Path(row["tar"]).read_bytes()[row["tar_offset"] :][: row["tar_bytes"]]
        flac = parse_sample(tar, "", "")[1]["flac"]
        expected, rate_hz = soundfile.read(io.BytesIO(flac), dtype="int16")
        found, found_hz = soundfile.read(path, dtype="int16")
        assert found_hz == rate_hz
        np.testing.assert_array_equal(found, expected)
    before = {path: Path(path).read_bytes() for path in paths}
    Path(paths[0]).unlink()  # killed before its first and while it wrote its last
    unfinished = Path(paths[1]).parent / ".tmp-1"
    unfinished.write_bytes(b"half")
    new.clear()
    ClipFiles(workspace, "base", str(tmp_path / "wav"), "wav").write(part, rows, new.append)
    assert sorted(new) == [False] * (len(rows) - 1) + [True]
    assert {path: Path(path).read_bytes() for path in paths} == before
    assert not unfinished.exists()


def test_an_mp4_shows_the_clips_frames_over_its_length(workspace: Workspace, tmp_path: Path) -> None:
    (part, rows), *_ = list_clips(workspace, "base")
    made = ClipFiles(workspace, "base", str(tmp_path / "mp4"), "mp4")
    assert made.write(part, rows[:1], lambda _: None) == {}
    row = rows.to_pylist()[0]
    times = picture_times_s(Path(made.uri(part, row["clip_id"])))
    np.testing.assert_allclose(times, np.arange(len(times)) * (row["end_s"] - row["start_s"]) / len(times), atol=1e-3)
    with pytest.raises(ConfigError, match=r"export\.json: the folder has files of other clips, or of another kind"):
        ClipFiles(workspace, "base", str(tmp_path / "mp4"), "wav")


def test_a_damaged_clip_has_no_file_and_is_named_and_where_all_are_the_part_is_an_error(
    workspace: Workspace, tmp_path: Path
) -> None:
    (part, rows), *_ = list_clips(workspace, "base")
    tar = Path(workspace.tar_uri("clips/base", part))
    data = bytearray(tar.read_bytes())
    offsets = rows["tar_offset"].to_pylist()
    data[data.index(b"fLaC", offsets[1])] ^= 0x5A
    tar.write_bytes(data)
    made = ClipFiles(workspace, "base", str(tmp_path / "wav"), "wav")
    failed = made.write(part, rows, lambda _: None)
    damaged = rows["clip_id"].to_pylist()[1]
    assert list(failed) == [damaged]
    paths = made.add_paths(part, rows, failed)["path"].to_pylist()
    assert [path is None for path in paths] == [number == 1 for number in range(len(rows))]
    assert all(Path(path).is_file() for path in paths if path)
    tar.write_bytes(b"")
    with pytest.raises(DataError, match="truncated"):
        ClipFiles(workspace, "base", str(tmp_path / "other"), "wav").write(part, rows, lambda _: None)


def test_a_clip_that_is_no_name_for_a_file_writes_none(workspace: Workspace, tmp_path: Path) -> None:
    (part, rows), *_ = list_clips(workspace, "base")
    outside = rows[:1].set_column(0, "clip_id", [["../../../evil"]])
    failed = ClipFiles(workspace, "base", str(tmp_path / "a" / "b"), "wav").write(part, outside, lambda _: None)
    assert "no name for a file" in str(failed["../../../evil"])
    assert not list(tmp_path.rglob("evil*"))
