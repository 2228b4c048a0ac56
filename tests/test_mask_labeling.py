"""`earshot label --masks` in process: which masks are kept, what their rows say, and a collection that grows."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cut_videos import unlabelled_parts
from pipeline.clips.tars import parse_sample
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.labels.video_names import FileFacts
from pipeline.masks.mask_folders import read_mask_folder
from pipeline.masks.mask_labeling import MasksPart, is_alike, summarize_masks
from pipeline.masks.mask_pictures import MAX_BYTES, decode_mask, encode_mask
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.masks import MASKS, MaskRow
from schemas.videos import VIDEOS, VideoRow


def first_video(workspace: Workspace) -> VideoRow:
    return workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()[0]


def save(folder: Path, name: str, pixels: np.ndarray | bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(pixels if isinstance(pixels, bytes) else encode_mask(pixels))


def square(height: int, width: int) -> np.ndarray:
    """A mask whose upper left quarter is white."""
    mask = np.zeros((height, width), bool)
    mask[: height // 2, : width // 2] = True
    return mask


def label(workspace: Workspace, folder: Path) -> MasksPart:
    work = MasksPart(workspace, read_mask_folder(str(folder)))
    for part in unlabelled_parts(workspace, MASKS_FOLDER):
        work(part)
    return work


def rows(workspace: Workspace) -> dict[str, MaskRow]:
    """Of all parts, by the file's name without its folder."""
    found = workspace.read_all(MASKS_FOLDER, MASKS).to_pylist()
    return {row["source"].rpartition("/")[2]: row for row in found}


@pytest.mark.parametrize(
    ("size", "other", "expected"),
    [
        ((90, 160), (1080, 1920), True),
        ((126, 224), (718, 1280), True),  # 125.65 rounded up
        ((125, 224), (718, 1280), True),
        ((124, 224), (718, 1280), False),
        ((128, 224), (718, 1280), False),
        ((224, 224), (120, 160), False),
        ((240, 320), (120, 160), True),
        ((1, 1), (120, 160), True),
        ((160, 120), (120, 160), False),
    ],
)
def test_sizes_are_alike_if_one_is_the_other_scaled_and_rounded(
    size: tuple[int, int], other: tuple[int, int], expected: bool
) -> None:
    assert is_alike(size, other) == expected
    assert is_alike(size[::-1], other[::-1]) == expected


def test_a_mask_of_the_pictures_shape_is_kept_at_its_own_size_and_any_other_is_a_mismatch(
    workspace: Workspace, tmp_path: Path
) -> None:
    video, folder = first_video(workspace), tmp_path / "masks"
    height, width = video["height"], video["width"]
    assert height is not None
    assert width is not None
    assert height < width
    sizes = {
        500: (height, width),
        1500: (height // 2, width // 2),
        2500: (4 * height, 4 * width),
        3500: (width, height),
        250: (60, 60),
        750: (40, 120),
    }
    for ms, size in sizes.items():
        save(folder, f"{video['video_id']}/{ms}.png", square(*size))
    save(folder, f"{video['video_id']}/6001.png", square(height, width))  # the video lasts 5 s
    label(workspace, folder)
    found = rows(workspace)
    assert [found[f"{ms}.png"]["outcome"] for ms in sizes] == ["kept"] * 4 + ["mask_mismatch"] * 2
    for ms, size in sizes.items():
        row = found[f"{ms}.png"]
        assert (row["height"], row["width"], row["time_s"]) == (*size, ms / 1000)
    assert found["250.png"]["detail"] == f"60x60 pixels; expected the shape of {width}x{height}"
    late = found["6001.png"]
    assert (late["outcome"], late["tar_offset"], late["area"]) == ("mask_mismatch", None, None)
    assert late["detail"] == f"at 6.001 s of a video that lasts {video['duration_s']:g} s"


def test_a_mask_of_the_shape_of_stretched_frames_is_kept_too(workspace: Workspace, tmp_path: Path) -> None:
    for name, size, fit in (("base", (32, 32), "stretch"), ("events", (20, 100), "pad")):
        spec = ClipSpec(frame_height=size[0], frame_width=size[1], fit=fit)
        workspace.begin(f"clips/{name}", {"clips": {name: as_dict(spec)}}, {})
    for part in workspace.parts(VIDEOS_FOLDER):
        workspace.commit("videos/events", part, workspace.read(VIDEOS_FOLDER, part, VIDEOS), VIDEOS)
    video = first_video(workspace)["video_id"]
    for ms, size in ((500, (224, 224)), (1500, (20, 100))):
        save(tmp_path / "masks", f"{video}/{ms}.png", square(*size))
    label(workspace, tmp_path / "masks")
    assert [row["outcome"] for row in rows(workspace).values()] == ["kept", "mask_mismatch"]
    assert rows(workspace)["1500.png"]["detail"].endswith(" or 32x32")


def test_a_file_that_is_no_mask_is_a_row_that_says_so(workspace: Workspace, tmp_path: Path) -> None:
    video, folder = first_video(workspace), tmp_path / "masks"
    place = folder / video["video_id"]
    good = encode_mask(square(video["height"] or 0, video["width"] or 0))
    save(place, "0.png", good)
    save(place, "1.png", b"a text")
    save(place, "2.png", good[: len(good) // 2])
    save(place, "3.png", encode_mask(np.ones((4097, 1), bool)))
    save(place, "4.png", b"")
    (place / "5.png").symlink_to(place / "gone.png")
    save(place, "6.png", b"")
    os.truncate(place / "6.png", MAX_BYTES + 1)
    label(workspace, folder)
    found = rows(workspace)
    assert [found[f"{ms}.png"]["outcome"] for ms in range(7)] == ["kept"] + ["unreadable"] * 6
    details = [found[f"{ms}.png"]["detail"] or "" for ms in range(7)]
    expected = ["begins with b'a text'", "no whole PNG", "1x4097 pixels; expected at most 4096", "begins with b''"]
    for detail, says in zip(
        details, ["", *expected, "nothing that can be read", f"{MAX_BYTES + 1} bytes"], strict=True
    ):
        assert says in detail
    assert (found["2.png"]["height"], found["2.png"]["width"]) == (video["height"], video["width"])
    summary = summarize_masks(workspace)
    assert (summary.num_masks, summary.num_mismatches, summary.num_unreadable) == (1, 0, 6)
    assert "\nnot kept: 0 mask_mismatch, 6 unreadable, first " in str(summary)
    assert str(summary).count(".png: ") == 3


def test_what_is_stored_is_what_was_given_and_the_summary_counts_it(workspace: Workspace, tmp_path: Path) -> None:
    first, second, third = (row for row in workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()[:3])
    folder = tmp_path / "masks"
    rng = np.random.default_rng(0)
    given = {}
    for video, names in ((first, ["1500.png", "500.png", "500.dog.png"]), (second, ["500.cat.png", "500.dog.png"])):
        stem = Path(video["uri"]).stem
        for name in names:
            given[f"{stem}/{name}"] = rng.random((video["height"], video["width"])) < 0.3
    given[f"{Path(third['uri']).name}/500.png"] = np.zeros((third["height"], third["width"]), bool)
    for name, pixels in given.items():
        save(folder, name, pixels)
    save(folder, "unknown/500.png", square(3, 4))
    save(folder, "other/500.png", square(3, 4))
    work = label(workspace, folder)
    assert work.files == {"masks": FileFacts(num_rows=8, num_videos=5, num_matched=3)}
    assert work.unknown == ["other", "unknown"]
    found = workspace.read(MASKS_FOLDER, "00000", MASKS).to_pylist()
    assert [(row["video_id"], row["time_s"], row["category"]) for row in found] == [
        (first["video_id"], 0.5, None),
        (first["video_id"], 0.5, "dog"),
        (first["video_id"], 1.5, None),
        (second["video_id"], 0.5, "cat"),
        (second["video_id"], 0.5, "dog"),
        (third["video_id"], 0.5, None),
    ]
    uri = workspace.tar_uri(MASKS_FOLDER, "00000")
    for row in found:
        _, members = parse_sample(files.read_bytes(uri, row["tar_offset"], row["tar_bytes"]), uri, "a mask")
        np.testing.assert_array_equal(decode_mask(*members.values()), given[row["source"]])
        assert row["area"] == given[row["source"]].sum()
    assert str(summarize_masks(workspace)) == (
        "masks: 3 of all that sounds, 3 of 2 categories, at 4 moments of 3 videos; 1 empty: nothing sounds"
    )
    sql = "SELECT count(*) AS n FROM masks JOIN videos USING (video_id) WHERE area = 0"
    assert query(workspace, sql)["n"].to_pylist() == [1]


def test_a_part_that_runs_twice_has_the_same_bytes_and_a_grown_collection_gets_only_what_is_missing(
    workspace: Workspace, tmp_path: Path
) -> None:
    for part in ("00000", "00001"):
        for video in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist():
            save(tmp_path / "masks", f"{video['video_id']}/500.png", square(video["height"], video["width"]))
    work = label(workspace, tmp_path / "masks")
    places = [place for part in ("00000", "00001") for place in (part, f"{part}.tar")]

    def content() -> list[bytes]:
        return [
            files.read_bytes(workspace.uri(MASKS_FOLDER, place) if "." in place else workspace.part_uri("masks", place))
            for place in places
        ]

    before = content()
    work("00000")
    files.delete(workspace.part_uri(MASKS_FOLDER, "00001"))
    assert unlabelled_parts(workspace, MASKS_FOLDER) == ["00001"]
    label(workspace, tmp_path / "masks")
    assert content() == before


def test_masks_in_an_object_store_are_read_as_those_of_a_folder(
    workspace: Workspace, tmp_path: Path, s3_bucket: str
) -> None:
    video, tables = first_video(workspace), []
    save(tmp_path / "masks", f"{video['video_id']}/500.png", square(video["height"] or 0, video["width"] or 0))
    save(tmp_path / "masks", f"{video['video_id']}/1500.png", b"no mask")
    for path in (tmp_path / "masks" / video["video_id"]).iterdir():
        files.commit_bytes(f"{s3_bucket}/labels/masks/{video['video_id']}/{path.name}", path.read_bytes())
    for folder in (str(tmp_path / "masks"), f"{s3_bucket}/labels/masks"):
        assert MasksPart(workspace, read_mask_folder(folder))("00000") == {"kept": 1, "unreadable": 1}
        tables.append(workspace.read(MASKS_FOLDER, "00000", MASKS))
    assert tables[0].equals(tables[1])


def test_folders_of_no_video_a_name_of_two_and_a_moment_twice_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    save(tmp_path / "a", "gone/500.png", square(3, 4))
    with pytest.raises(ConfigError, match=r"masks folder a: gone/500.png: `gone` is not in"):
        label(workspace, tmp_path / "a")
    video = first_video(workspace)
    for name in (video["video_id"], Path(video["uri"]).stem):
        save(tmp_path / "b", f"{name}/500.png", square(3, 4))
    with pytest.raises(ConfigError, match=r"masks folder b: .*/500.png and .*/500.png: two masks of one moment"):
        label(workspace, tmp_path / "b")
    assert workspace.parts(MASKS_FOLDER) == []
    with pytest.raises(ConfigError, match="nothing there yet") as caught:
        unlabelled_parts(Workspace(str(tmp_path / "empty")), MASKS_FOLDER)
    assert caught.value.topic == "missing"
