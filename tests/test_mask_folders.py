"""Folders of masks: which files are masks, of what, and what makes the whole folder unusable."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.masks.mask_folders import check_moments, read_mask_folder


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def found(folder: Path | str) -> list[tuple]:
    rows = read_mask_folder(str(folder)).table.to_pylist()
    return [(row["video"], row["ms"], row["category"]) for row in rows]


def test_a_name_says_the_video_the_moment_and_the_category(tmp_path: Path) -> None:
    names = ["a/500.png", "a/01500.PNG", "a/500.dog.png", "train/dog/b.mp4/0.male speech.png", "ü/7.v1.2.png"]
    masks = read_mask_folder(str(fill(tmp_path / "masks", *names)))
    assert sorted(found(tmp_path / "masks"), key=str) == [
        ("a", 1500, None),
        ("a", 500, "dog"),
        ("a", 500, None),
        ("train/dog/b.mp4", 0, "male speech"),
        ("ü", 7, "v1.2"),
    ]
    assert str(masks) == "5 masks"
    for row in masks.table.to_pylist():
        assert (tmp_path / "masks" / row["source"]).read_bytes() == row["source"].encode()
        assert row["size_bytes"] == len(row["source"].encode())
        assert row["file"] == "masks"


def test_masks_that_a_model_made_of_several_videos_are_found_where_it_wrote_them(tmp_path: Path) -> None:
    fill(tmp_path, "a/masks/500.png", "a/masks.json", "a/outlined.mp4", "masks/500.png")
    assert found(tmp_path) == [("a", 500, None), ("masks", 500, None)]
    assert read_mask_folder(str(tmp_path)).num_others == 2


def test_files_of_other_names_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    others = [
        "500.png",
        "a/frame_1.png",
        "a/500.jpg",
        "a/-5.png",
        "a/1e3.png",
        "a/5..png",
        "a/5.a\nb.png",
        "readme.txt",
    ]
    fill(tmp_path, "a/500.png", "a/._500.png", ".DS_Store", *others)
    masks = read_mask_folder(str(tmp_path))
    assert (len(masks.table), masks.num_others) == (1, len(others))
    assert str(masks) == "1 masks, 8 other files left out, first 500.png"


def test_a_folder_without_a_mask_or_that_is_none_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "videos", "500.png")
    for folder, says in (("gone", "found nothing"), ("videos", "1 files, none of them a mask, first 500.png")):
        with pytest.raises(ConfigError, match=rf"masks folder .*{folder}: {says}\. Expected <video>/<ms>.png"):
            read_mask_folder(str(tmp_path / folder))


def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a/500.png", "b/500.png")
    scandir = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(ConfigError, match=r"masks folder .*/b may not be read"):
        read_mask_folder(str(tmp_path))


def test_the_content_is_that_of_the_files_and_not_of_their_times(tmp_path: Path) -> None:
    contents = []
    for folder in ("one/masks", "two/masks"):
        fill(tmp_path / folder, "a/500.png", "b/1.png")
        os.utime(tmp_path / folder / "a/500.png", (len(contents), len(contents)))
        contents.append(read_mask_folder(str(tmp_path / folder)).contents)
    (tmp_path / "two/masks/b/1.png").write_bytes(b"b/1.pnG")
    contents.append(read_mask_folder(str(tmp_path / "two/masks")).contents)
    assert contents[0] == contents[1] != contents[2]
    assert list(contents[0]) == ["masks"]


def test_objects_are_found_as_files_are(s3_bucket: str) -> None:
    from pipeline.storage import files

    for name in ("a/500.png", "b/1.dog.png", "note.txt"):
        files.commit_bytes(f"{s3_bucket}/some/masks/{name}", b"x")
    masks = read_mask_folder(f"{s3_bucket}/some/masks/")
    assert found(f"{s3_bucket}/some/masks") == [("a", 500, None), ("b", 1, "dog")]
    assert masks.table["uri"][0].as_py() == f"{s3_bucket}/some/masks/a/500.png"
    assert (masks.contents.keys(), masks.num_others) == ({"masks"}, 1)


def test_two_masks_of_one_moment_are_refused_with_both_names(tmp_path: Path) -> None:
    masks = read_mask_folder(str(fill(tmp_path, "a/500.png", "a/0500.png", "a/500.x.png", "b/500.png")))
    sources = masks.table["source"].to_pylist()
    videos = np.array([0 if source.startswith("a") else 1 for source in sources])
    with pytest.raises(ConfigError, match=r"masks folder .*: a/0500.png and a/500.png: two masks of one moment"):
        check_moments(masks, videos)
    of_others = read_mask_folder(str(fill(tmp_path / "other", "a/500.png", "a.mp4/500.png", "a.mp4/600.png")))
    check_moments(of_others, np.array([0, 1, 1]))
    with pytest.raises(ConfigError, match=r"a.mp4/500.png and a/500.png: two masks of one moment of one video"):
        check_moments(of_others, np.array([0, 0, 0]))
