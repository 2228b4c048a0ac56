"""The tar and the rows of a part's masks: one range holds a video's, and the bytes are those of their content."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clips.tars import parse_sample, read_sequence
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.masks.mask_pictures import decode_mask
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.masks import MASKS


def mask(number: int, shape: tuple[int, int] = (6, 9)) -> np.ndarray:
    return np.random.default_rng(number).random(shape) < 0.5


MADE = [
    Mask(video_id="b", time_s=0.5, source="b/500.png", pixels=mask(0)),
    Mask(video_id="b", time_s=0.5, source="b/500.dog.png", category="dog", pixels=mask(1)),
    Mask(video_id="b", time_s=1.5, source="b/1500.png", outcome="unreadable", detail="no PNG", size=(7, None)),
    Mask(video_id="b", time_s=12.9375, source="b/12938.male speech.png", category="male speech", pixels=mask(2)),
    Mask(video_id="a", time_s=0.0, source="a/0.png", pixels=np.zeros((4, 4), bool)),
]


def test_rows_say_where_each_mask_lies_and_what_it_is(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    rows = write_masks(workspace, "00000", MADE)
    assert workspace.read(MASKS_FOLDER, "00000", MASKS).to_pylist() == rows
    uri = workspace.tar_uri(MASKS_FOLDER, "00000")
    keys = []
    for row, made in zip(rows, MADE, strict=True):
        given = (row["video_id"], row["time_s"], row["source"], row["category"])
        assert given == (made.video_id, made.time_s, made.source, made.category)
        if made.pixels is None:
            assert (row["tar_offset"], row["tar_bytes"], row["area"]) == (None, None, None)
            assert (row["height"], row["width"], row["outcome"], row["detail"]) == (7, None, "unreadable", "no PNG")
            continue
        data = files.read_bytes(uri, row["tar_offset"], row["tar_bytes"])
        key, members = parse_sample(data, uri, "a mask")
        keys.append((key, *members))
        np.testing.assert_array_equal(decode_mask(next(iter(members.values()))), made.pixels)
        assert (row["height"], row["width"], row["area"]) == (*made.pixels.shape, made.pixels.sum())
    assert keys == [
        ("b_00000500", "png"),
        ("b_00000500", "dog.png"),
        ("b_00012938", "male speech.png"),
        ("a_00000000", "png"),
    ]
    expected = ["b_00000500", "b_00012938", "a_00000000"]
    with files.local_copy(uri) as path:  # any reader of WebDataset finds a sample per moment
        found = {key: set(members) for key, members in read_sequence(path, expected)}
    assert found == {"b_00000500": {"png", "dog.png"}, "b_00012938": {"male speech.png"}, "a_00000000": {"png"}}


def test_equal_masks_give_equal_bytes(tmp_path: Path) -> None:
    for root in ("one", "two"):
        write_masks(Workspace(str(tmp_path / root)), "00000", iter(MADE))
    for name in ("masks/00000.tar", "tables/masks/00000.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_masks_out_of_order_or_of_a_category_that_is_no_name_are_a_defect(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    for order in ([0, 4, 3], [3, 0]):
        with pytest.raises(ValueError, match=r"b/.*png: a mask of b at .* out of order"):
            write_masks(workspace, "00000", [MADE[number] for number in order])
    for category in ("../up", "", "a/b", ".png", "a\n"):
        with pytest.raises(ValueError, match="expected letters, digits"):
            write_masks(workspace, "00000", [Mask(video_id="a", time_s=0, source="s", category=category)])
    assert workspace.parts(MASKS_FOLDER) == []
    assert not list(tmp_path.rglob("*.tar"))
