"""The frames whose masks are best and worst: which they are, and what a page shows of them."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.frame_rows import frame_rows
from pipeline.masks.masked_clips import load_masked
from pipeline.reports.mask_overlays import NUM_FRAMES, OVERLAYS, TRUE_RGB, MaskOverlay, draw_overlay, show_overlays
from pipeline.reports.querying import query
from pipeline.reports.reporting import make_report
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.frames import FRAMES
from schemas.videos import COLLECTION, SPLITS
from tests.helpers.masks import FOLDER, write_masked_world

EVIL = '"><img src=x onerror=alert(1)>.mp4'


@pytest.fixture
def judged(workspace: Workspace) -> Workspace:
    """Model m finds of the n-th masked clip the first n rows of pixels, and with another sound nothing."""
    write_masked_world(workspace)
    parts = workspace.parts(VIDEOS_FOLDER)
    rows = []
    for split in load_masked(workspace, SPLITS, SplittingConfig(), parts, "segmentation"):
        for clip in split.read_many(range(len(split))):
            scores = np.zeros(clip.masks.shape, np.float32)
            rows += frame_rows(clip, scores, "swapped", "other", 0.1)
            scores[:, : 2 + len(rows) % 13] = 1
            rows += frame_rows(clip, scores, "own", clip.key, 0.1)
    workspace.commit("frames/m/-", "00000", from_rows(rows, FRAMES, "here"), FRAMES)
    return workspace


def overlays(workspace: Workspace) -> dict[str, list[MaskOverlay]]:
    found = show_overlays(workspace, query(workspace, OVERLAYS))
    return {which: [each for each in found if each.which == which] for which in ("best", "worst")}


def picture(address: str) -> np.ndarray:
    head, _, text = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True))).convert("RGB")).astype(int)


def test_each_list_has_the_best_or_worst_frame_of_each_video_in_which_something_sounds(judged: Workspace) -> None:
    rows = judged.read_all("frames/m/-", FRAMES).to_pylist()
    of_video: dict[str, list[float]] = {}
    for row in rows:
        if row["sound"] == "own" and not row["is_empty"]:
            of_video.setdefault(row["video_id"], []).append(row["iou"])
    assert len(of_video) > NUM_FRAMES
    assert len(of_video) < len({row["video_id"] for row in rows})  # in some videos nothing sounds
    found = overlays(judged)
    assert [frame.iou for frame in found["best"]] == sorted(map(max, of_video.values()), reverse=True)[:NUM_FRAMES]
    assert [frame.iou for frame in found["worst"]] == sorted(map(min, of_video.values()))[:NUM_FRAMES]
    assert {frame.swapped_iou for frame in found["best"] + found["worst"]} == {0}


def test_a_picture_keeps_what_is_predicted_and_with_another_sound_nothing_but_the_outline(judged: Workspace) -> None:
    frame = overlays(judged)["worst"][0]  # the masks are apart
    own, swapped = picture(frame.own), picture(frame.swapped)
    assert own.shape == swapped.shape == (32, 32, 3)
    outline = np.abs(swapped - TRUE_RGB).sum(axis=2) < 100  # JPEG
    assert 15 < outline.sum() < 60  # of a square of 10 pixels a side: 36
    brighter = own.sum(axis=2) > 1.5 * swapped.sum(axis=2)
    assert brighter[0].all()  # the first row is predicted
    assert not brighter[-1].any()


def test_what_is_not_predicted_is_dim_and_grey_and_the_inside_of_the_true_mask_has_no_colour_of_its_own() -> None:
    blue = np.full((8, 8, 3), (30, 60, 210), np.uint8)
    true, predicted = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    true[2:6, 2:6] = True
    predicted[7] = True
    drawn = draw_overlay(blue, predicted, true)
    assert drawn[7].tolist() == [[30, 60, 210]] * 8
    assert (drawn[2:6, 2:6] == TRUE_RGB).all(axis=2).tolist() == [
        [True] * 4, [True, False, False, True], [True, False, False, True], [True] * 4
    ]  # fmt: skip
    assert (drawn[3:5, 3:5] == 40).all()  # 0.4 of the mean, 100
    assert (drawn[:2] == 40).all()


def test_a_mask_that_touches_the_border_has_an_outline_there() -> None:
    true = np.ones((6, 6), bool)
    drawn = draw_overlay(np.zeros((6, 6, 3), np.uint8), ~true, true)
    assert (drawn[0] == TRUE_RGB).all()
    assert (drawn[1:5, 1:5] == 0).all()


def test_frames_whose_tar_is_gone_are_listed_without_pictures(judged: Workspace) -> None:
    for part in judged.parts(FOLDER):
        Path(judged.tar_uri(FOLDER, part)).unlink()
    found = overlays(judged)
    assert len(found["best"]) == NUM_FRAMES
    assert {(frame.own, frame.swapped) for frame in found["best"]} == {("", "")}
    assert "cannot be read" in make_report(judged).page


def test_a_frame_that_is_no_jpeg_is_not_shown(judged: Workspace) -> None:
    for part in judged.parts(FOLDER):
        uri = judged.tar_uri(FOLDER, part)
        files.commit_bytes(uri, files.read_bytes(uri).replace(b"\xff\xd8\xff", b"<svg"[:3]))
    assert {frame.own for frame in overlays(judged)["worst"]} == {""}


def test_the_page_shows_them_escaped(judged: Workspace) -> None:
    for part in judged.parts(COLLECTION_FOLDER):
        rows = judged.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist()
        renamed = [row | {"uri": f"/videos/{EVIL}"} for row in rows]
        judged.commit(COLLECTION_FOLDER, part, from_rows(renamed, COLLECTION, part), COLLECTION)
    page = make_report(judged).page
    assert "Best frames of m" in page
    assert "Worst frames of m" in page
    assert page.count('class="mask"') == 2 * 2 * NUM_FRAMES
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_root_without_masks_has_no_such_section(workspace: Workspace) -> None:
    assert "<h2>Masks</h2>" not in make_report(workspace).page
