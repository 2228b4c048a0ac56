"""What a list and a tree lack of each other, by names alone: nothing is opened, and no link is followed."""

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.avsbench_lists import DATA_SETS
from pipeline.ingest.published_trees import Finding, PublishedTree

S4 = DATA_SETS["avsbench-s4"]
LINES = "whole,0,cat,train\nfour,0,cat,train\nmute,0,cat,val\ngone,0,cat,test\n../up,0,cat,test\nbare,0,cat,test\n"


def touch(path: Path, size_bytes: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree of S4 with a fault of each kind; its files hold nothing."""
    (tmp_path / "s4_meta_data.csv").write_text(LINES)
    data = tmp_path / "s4_data"
    for name, split, frames in (("whole", "train", 5), ("four", "train", 4), ("mute", "val", 5), ("bare", "test", 5)):
        below = f"{split}/cat/{name}"
        for number in range(1, frames + 1):
            touch(data / "visual_frames" / below / f"{name}_{number}.png")
        for number in range(1, 2 if split == "train" else 6):
            touch(data / "gt_masks" / below / f"{name}_{number}.png")
        if name != "mute":
            touch(data / "audio_wav" / f"{below}.wav")
    for number in (2, 4):
        (data / "gt_masks" / "test" / "cat" / "bare" / f"bare_{number}.png").unlink()
    touch(data / "visual_frames" / "train" / "cat" / "stray" / "stray_1.png")
    touch(data / "audio_log_mel" / "train" / "cat" / "whole.pkl")
    return tmp_path


def test_every_fault_is_one_finding_with_its_videos_and_the_others_are_whole(folder: Path) -> None:
    tree = PublishedTree(folder, S4)
    assert {finding.what: list(finding.names) for finding in tree.findings} == {
        "refused (line of the list)": ["line 5"],
        "without a folder of frames (missing)": ["s4_data/visual_frames/test/cat/gone"],
        "without a wav (no_audio)": ["s4_data/visual_frames/val/cat/mute"],
        "without some of the frames (no_frame)": ["s4_data/visual_frames/train/cat/four"],
        "that lack masks, and are kept": ["s4_data/visual_frames/test/cat/bare"],
        "folders without a line, left out": ["s4_data/visual_frames/train/cat/stray"],
    }
    assert {line: (fault.outcome, fault.detail) for line, fault in tree.faults.items()} == {
        2: ("no_frame", "4 of 5 frames; s4_data/visual_frames/train/cat/four/four_5.png is not there."),
        3: ("no_audio", "s4_data/audio_wav/val/cat/mute.wav is not there."),
        4: ("missing", "s4_data/visual_frames/test/cat/gone: no frame is there."),
        5: ("refused", "line 5: name '../up', expected letters, digits, _, - and single dots."),
    }
    assert not any(path.endswith(".pkl") for path in tree.sizes)


def test_counts_stand_beside_the_published_ones(folder: Path) -> None:
    assert PublishedTree(folder, S4).counts() == (
        "6 videos are listed (2 train, 1 validate, 3 test); published are 4 932 (3 452 train, 740 validate, 740 test)"
    )


def test_links_lead_nowhere_and_the_users_own_link_to_the_data_does(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for number in range(1, 6):
        touch(elsewhere / f"gone_{number}.png")
    touch(elsewhere / "gone.wav")
    (folder / "s4_data" / "visual_frames" / "test" / "cat" / "gone").symlink_to(elsewhere)
    (folder / "s4_data" / "audio_wav" / "test" / "cat" / "gone.wav").symlink_to(elsewhere / "gone.wav")
    (folder / "s4_data").rename(elsewhere / "s4_data")
    (folder / "s4_data").symlink_to(elsewhere / "s4_data")
    tree = PublishedTree(folder, S4)
    (links,) = (finding for finding in tree.findings if finding.what == "links, not followed")
    assert list(links.names) == ["s4_data/visual_frames/test/cat/gone", "s4_data/audio_wav/test/cat/gone.wav"]
    assert tree.faults[4].outcome == "missing"
    assert 1 not in tree.faults


def test_a_folder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def deny(path: Path) -> object:
        if Path(path).name == "mute":
            raise PermissionError(13, "denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(ConfigError, match=r"visual_frames/val/cat/mute: cannot be listed \(.*denied"):
        PublishedTree(folder, S4)


def test_clips_of_one_video_in_several_splits_are_told(folder: Path) -> None:
    whole = PublishedTree(folder, S4)
    (folder / "s4_meta_data.csv").write_text(LINES + "a,0,cat,train\na,0,dog,test\nb,0,dog,test\n")
    found = {finding.what: list(finding.names) for finding in PublishedTree(folder, S4).findings}
    assert not [finding for finding in whole.findings if "splits" in finding.what]
    assert found["videos with clips in several splits, left as published"] == ["a"]


def test_content_follows_from_the_list_and_from_names_and_sizes_of_files(folder: Path) -> None:
    before = PublishedTree(folder, S4).content()
    assert PublishedTree(folder, S4).content() == before
    touch(folder / "s4_data" / "audio_log_mel" / "train" / "cat" / "whole.pkl", 9)
    assert PublishedTree(folder, S4).content() == before  # nobody looks at it
    touch(folder / "s4_data" / "audio_wav" / "train" / "cat" / "whole.wav", 2)
    changed = PublishedTree(folder, S4).content()
    assert changed["files"] != before["files"]
    assert changed["s4_meta_data.csv"] == before["s4_meta_data.csv"]
    (folder / "s4_meta_data.csv").write_text(LINES.replace("whole", "other"))
    assert PublishedTree(folder, S4).content()["s4_meta_data.csv"] != before["s4_meta_data.csv"]


def test_a_folder_without_one_whole_video_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "s4_meta_data.csv").write_text("../a,0,cat,train\nb,0,cat,train\n")
    with pytest.raises(ConfigError) as caught:
        PublishedTree(tmp_path, S4)
    assert "no whole video there (1 refused (line of the list): line 1; 1 without a folder of" in str(caught.value)
    assert "Expected files such as s4_data/visual_frames/train/cat/b/b_1.png." in str(caught.value)


def test_a_finding_names_the_first_of_many() -> None:
    assert str(Finding("links", ["a", "b", "c", "d", "e"])) == "5 links: a, b, c and 2 more"
    assert str(Finding("links", ["a"])) == "1 links: a"
