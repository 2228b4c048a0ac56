"""Which videos the addresses name, and where their stems go."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.inference.inputs import list_jobs
from pipeline.storage import files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(folder: Path, *given: str) -> list[tuple[str, str]]:
    """Addresses and folders of the jobs, below a folder and its `out`."""
    jobs = list_jobs([f"{folder}/{name}" for name in given], f"{folder}/out")
    return [(job.uri.removeprefix(f"{folder}/"), job.folder.removeprefix(f"{folder}/")) for job in jobs]


def test_one_video_goes_to_the_folder_itself_several_to_one_each(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mkv", "dots.in.name.wav")
    assert listed(tmp_path, "a.mp4") == [("a.mp4", "out")]
    expected = [("b.mkv", "out/b"), ("a.mp4", "out/a"), ("dots.in.name.wav", "out/dots.in.name")]
    assert listed(tmp_path, "b.mkv", "a.mp4", "dots.in.name.wav", "a.mp4") == expected


def test_a_folders_videos_keep_their_places_and_other_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "in/x.mp4", "in/sub/x.MP4", "in/notes.txt", "in/.hidden/y.mp4", "in/lonely.mov")
    assert listed(tmp_path, "in") == [
        ("in/lonely.mov", "out/lonely"),
        ("in/sub/x.MP4", "out/sub/x"),
        ("in/x.mp4", "out/x"),
    ]
    touch(tmp_path, "one/x.mp4")
    assert listed(tmp_path, "one") == [("one/x.mp4", "out/x")]  # a folder is a folder, whatever it holds


def test_stems_of_an_earlier_time_are_no_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "out/a/on_screen.mp4", "out/a/on_screen.flac")
    jobs = list_jobs([str(tmp_path)], str(tmp_path / "out"))
    assert [job.uri for job in jobs] == [str(tmp_path / "a.mp4")]


def test_equal_names_get_folders_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "1/x.mp4", "2/x.webm", "3/x.mp4", "x_2")
    folders = [folder for _, folder in listed(tmp_path, "1/x.mp4", "2/x.webm", "3/x.mp4")]
    assert folders == ["out/x.mp4", "out/x.webm", "out/x.mp4_2"]


def test_a_missing_one_of_several_is_an_error_of_its_own_and_all_missing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    jobs = list_jobs([f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4"], "out")
    assert [job.error is None for job in jobs] == [True, False]
    assert "b.mp4: no such file or folder" in str(jobs[1].error)
    with pytest.raises(ConfigError, match=r"b\.mp4: no such file or folder"):
        list_jobs([f"{tmp_path}/b.mp4", f"{tmp_path}/c.mp4"], "out")


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/notes.txt")
    with pytest.raises(ConfigError, match="no video there"):
        list_jobs([str(tmp_path / "in")], "out")


def test_objects_and_prefixes_are_listed_too(s3_bucket: str) -> None:
    for name in ("a.mp4", "in/b.mp4", "in/c.txt"):
        files.commit_bytes(f"{s3_bucket}/videos/{name}", b"x")
    jobs = list_jobs([f"{s3_bucket}/videos/a.mp4", f"{s3_bucket}/videos/in"], f"{s3_bucket}/out")
    assert [(job.uri, job.folder) for job in jobs] == [
        (f"{s3_bucket}/videos/a.mp4", f"{s3_bucket}/out/a"),
        (f"{s3_bucket}/videos/in/b.mp4", f"{s3_bucket}/out/b"),
    ]
