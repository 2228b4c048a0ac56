"""AVSBench's lists: each line at the published places, by header or by place; names that lead elsewhere refused."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.avsbench_lists import DATA_SETS, ListedVideo, find_list, read_list

S4, MS3, SEMANTIC = (DATA_SETS[f"avsbench-{name}"] for name in ("s4", "ms3", "semantic"))


def read(folder: Path, text: str, name: str = "avsbench-s4") -> list[ListedVideo]:
    path = folder / "list.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    return read_list(path, DATA_SETS[name])


def test_a_line_of_s4_has_five_frames_by_split_and_category_and_in_training_one_mask(tmp_path: Path) -> None:
    train, test = read(tmp_path, "-aB_c,3,dog_barking,train\nd-e,0,lawn_mowing,test\n")
    assert train.places is not None
    assert test.places is not None
    below = "train/dog_barking/-aB_c"
    assert train.places.frames == tuple(f"s4_data/visual_frames/{below}/-aB_c_{k}.png" for k in (1, 2, 3, 4, 5))
    assert train.places.sound == f"s4_data/audio_wav/{below}.wav"
    assert train.places.masks == (f"s4_data/gt_masks/{below}/-aB_c_1.png",)
    assert train.folder == f"s4_data/visual_frames/{below}"
    below = "test/lawn_mowing/d-e"
    assert test.places.masks == tuple(f"s4_data/gt_masks/{below}/d-e_{k}.png" for k in (1, 2, 3, 4, 5))
    assert [video.split for video in (train, test)] == ["train", "test"]


def test_frames_of_ms3_have_no_split_and_a_name_of_a_film(tmp_path: Path) -> None:
    (video,) = read(tmp_path, "x1,val\n", "avsbench-ms3")
    assert video.places is not None
    assert video.places.frames == tuple(f"ms3_data/visual_frames/x1/x1.mp4_{k}.png" for k in (1, 2, 3, 4, 5))
    assert video.places.sound == "ms3_data/audio_wav/val/x1.wav"
    assert video.places.masks == tuple(f"ms3_data/gt_masks/val/x1/x1_{k}.png" for k in (1, 2, 3, 4, 5))
    assert video.split == "validate"


@pytest.mark.parametrize(
    ("subset", "split", "frames", "masks"),
    [("v1s", "train", 5, 1), ("v1s", "test", 5, 5), ("v1m", "train", 5, 5), ("v2", "train", 10, 10)],
)
def test_a_video_of_the_semantic_set_has_ten_frames_or_those_of_its_first_set(
    tmp_path: Path, subset: str, split: str, frames: int, masks: int
) -> None:
    text = f"vid,uid,s_min,s_sec,a_obj,split,label\na,a_5_15,0,5,dog,{split},{subset}\n"
    (video,) = read(tmp_path, text, "avsbench-semantic")
    assert video.places is not None
    assert video.places.frames == tuple(f"{subset}/a_5_15/frames/{k}.jpg" for k in range(frames))
    assert video.places.masks == tuple(f"{subset}/a_5_15/labels_rgb/{k}.png" for k in range(masks))
    assert video.places.sound == f"{subset}/a_5_15/audio.wav"


def test_columns_are_found_by_name_where_there_is_a_header_and_by_place_where_there_is_none(tmp_path: Path) -> None:
    by_place = read(tmp_path, "abc,3,cat,val\n")
    for text in (
        "name,start_time,category,split\nabc,3,cat,val\n",
        "\ufeffSplit, Category ,start_time,id\nval,cat,3,abc\n",
        "whatever,start_time,category,split\nabc,3,cat,val\n",  # the first column's published name is not known
    ):
        (video,) = read(tmp_path, text)
        assert (video.places, video.values) == (by_place[0].places, by_place[0].values)
    assert read(tmp_path, "name,category,split\nabc,cat,val\n")[0].places == by_place[0].places  # times are not needed


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("../x,0,cat,train", "name '../x', expected letters"),
        ("x/y,0,cat,train", "name 'x/y'"),
        ("x\\y,0,cat,train", "name"),
        ("..,0,cat,train", "name '..'"),
        ("a..b,0,cat,train", "name 'a..b'"),
        (".x,0,cat,train", "name '.x'"),
        (",0,cat,train", "name ''"),
        ("x\0,0,cat,train", "name"),
        ("x" * 201 + ",0,cat,train", "name"),
        ("x,0,../cat,train", "category '../cat'"),
        ("x,0,/etc,train", "category '/etc'"),
        ("x,0,cat,../train", "split '../train', expected one of train, val, test"),
        ("x,0,cat", "split ''"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_and_the_other_lines_stay(tmp_path: Path, line: str, says: str) -> None:
    refused, kept = read(tmp_path, f"{line}\nok,0,cat,train\n")
    assert refused.places is None
    assert says in refused.refusal
    assert refused.folder == "line 1"
    assert kept.places is not None


def test_a_subset_that_is_none_and_a_line_that_comes_twice_are_refused(tmp_path: Path) -> None:
    header = "vid,uid,s_min,s_sec,a_obj,split,label\n"
    text = header + "a,b,0,0,x,train,v3\na,b,0,0,x,train,v2\na,b,0,0,x,test,v2\n"
    odd, first, second = read(tmp_path, text, "avsbench-semantic")
    assert (odd.refusal, first.refusal) == ("label 'v3', expected one of v1s, v1m, v2.", "")
    assert second.refusal == "line 3 has this video too."
    assert second.split == "test"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no lines"),
        ("name,start_time,category,split\n", "no lines"),
        ("name,start_time,kind,split\nabc,3,cat,val\n", "columns name, start_time, kind, split; expected category"),
        ("\udce9", "cannot be read"),
        ('a,"b\nc,d\n', "cannot be read"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, text)


def test_the_list_is_found_in_its_folder_and_in_that_of_all_sets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither s4_meta_data.csv nor Single-source/s4_meta_data.csv is there"):
        find_list(tmp_path, S4)
    (tmp_path / "Single-source").mkdir()
    path = tmp_path / "Single-source" / "s4_meta_data.csv"
    path.touch()
    assert find_list(tmp_path, S4) == find_list(path.parent, S4) == path


def test_published_counts_add_up() -> None:
    assert sum(S4.published.values()) == 4932
    assert sum(MS3.published.values()) == 424
    assert not SEMANTIC.published
