"""The raters' page in a real browser: clips play, keys and touch vote, undo, resume, and what it saves makes labels."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.console.labels import _print_repeats
from pipeline.labels.labeling import LabelingConfig, LabelPart
from pipeline.labels.ratings import read_judgements
from pipeline.labels.self_agreement import self_agreement
from pipeline.reports import rating_page
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.labels import LABELS
from tests.helpers.browser import Browser, overflow, wait_until
from tests.helpers.command import earshot

EVIL = "</script><img src=x onerror=alert(1)>\u202e"


def make_page(workspace: Workspace, folder: Path, num_clips: int = 6) -> Path:
    arguments = ("--root", workspace.root, "--sample", str(num_clips), "--out", str(folder), "-q")
    code, said, err = earshot("label", *arguments)
    assert code == 0, err
    assert said.startswith(f"label: {num_clips} clips of {num_clips} videos, 1 of them shown twice, ")
    return folder / "index.html"


def begin(page: Any, rater: str) -> None:
    page.fill("#rater", rater)
    page.click("text=Start")
    page.wait_for_selector("[data-vote='0']:enabled")


def answer(page: Any, key: str, place: int) -> None:
    """Press a key, once the clip is heard, and wait for the next one."""
    page.wait_for_selector("[data-vote='0']:enabled")
    page.keyboard.press(key)
    wait_until(page, f"votes().length === {place} && !timer")


def save(page: Any, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click("text=Save answers")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_votes_by_keys_with_undo_and_a_reload_become_labels(
    workspace: Workspace, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_page(workspace, tmp_path / "page")
    page = browser.open(path)
    begin(page, "Ann 2")
    assert page.inner_text("#place") == "Clip 1 of 7"
    state = "[clip.duration, clip.videoWidth, clip.paused, clip.webkitAudioDecodedByteCount > 0]"
    assert page.evaluate(f"(clip => {state})(document.getElementById('clip'))") == [
        pytest.approx(2.0, abs=0.1), 32, False, True,
    ]  # fmt: skip
    answer(page, "4", 1)
    page.keyboard.press("Backspace")
    wait_until(page, "votes().length === 0")
    for place, key in enumerate("1234s", start=1):
        answer(page, key, place)
    page.reload()
    assert page.input_value("#rater") == "Ann 2"
    begin(page, "Ann 2")
    assert page.inner_text("#place") == "Clip 6 of 7"
    answer(page, "1", 6)
    answer(page, "1", 7)
    assert page.is_visible("text=All clips are answered")
    votes = save(page, tmp_path)
    assert votes.name == "votes_Ann_2.csv"

    with votes.open() as file:
        rows = list(csv.DictReader(file))
    shown = page.evaluate("SHOWN")
    answers = ["10", "01", "11", "00", "skipped", "10", "10"]
    expected = [
        (page.evaluate(f"CLIPS[{number}].id"), said, str(is_repeat))
        for (number, is_repeat), said in zip(shown, answers, strict=True)
        if said != "skipped"
    ]
    assert [(row["clip_id"], row["on_screen"] + row["off_screen"], row["is_repeat"]) for row in rows] == expected
    assert {row["rater"] for row in rows} == {"Ann 2"}

    judgements = read_judgements([str(votes)])
    work = LabelPart(workspace, judgements, LabelingConfig())
    for part in workspace.parts("clips/base"):
        work(part)
    names = {"10": "on_screen", "01": "off_screen", "11": "mixed", "00": "quiet"}
    labels = {row["clip_id"]: row["label"] for row in workspace.read_all("labels/base", LABELS).to_pylist()}
    assert labels == {clip: names[said] for clip, said, is_repeat in expected if is_repeat == "0"}
    (again,) = ((clip, said) for clip, said, is_repeat in expected if is_repeat == "1")
    first = {clip: said for clip, said, is_repeat in expected if is_repeat == "0"}
    _print_repeats(found := self_agreement(judgements))
    if again[0] in first:  # else it was the clip that was skipped
        assert (found["Ann 2"].num_items, found["Ann 2"].observed) == (1, first[again[0]] == again[1])
        assert "of 1 clips shown twice are answered alike" in capsys.readouterr().out


def test_it_works_by_touch_at_420_pixels_with_the_clips_beside_it_and_keeps_raters_apart(
    workspace: Workspace, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rating_page, "MAX_EMBEDDED_BYTES", 0)
    path = make_page(workspace, tmp_path / "page")
    assert len(list((tmp_path / "page" / "clips").glob("*.mp4"))) == 6
    assert path.stat().st_size < 20_000
    page = browser.open(path, width=420, height=800, is_dark=True, touch=True)
    assert overflow(page) == 0
    page.fill("#rater", "bob")
    page.tap("text=Start")
    page.wait_for_selector("[data-vote='2']:enabled")
    assert overflow(page) == 0
    page.tap("[data-vote='2']")
    wait_until(page, "votes().length === 1 && !timer")
    page.wait_for_selector("[data-vote='0']:enabled")
    page.tap("#undo")
    wait_until(page, "votes().length === 0")
    page.wait_for_selector("[data-vote='0']:enabled")
    page.evaluate("vote(0); at('other').click()")  # the next clip is not shown yet
    page.wait_for_timeout(250)
    assert page.is_visible("#begin")
    assert not page.is_visible("#rate")
    page.fill("#rater", "=cmd()")  # a spreadsheet would run it
    page.tap("text=Start")
    assert page.is_visible("#begin")
    page.fill("#rater", "eve")
    page.tap("text=Start")
    page.wait_for_selector("[data-vote='0']:enabled")
    assert page.inner_text("#place") == "Clip 1 of 7"
    page.tap("[data-vote='2']")
    wait_until(page, "votes().length === 1 && !timer")
    assert page.evaluate("Object.entries(state.raters)") == [["=bob", [0]], ["=eve", [2]]]


def test_names_of_videos_are_text_and_unknown_to_the_rater(browser: Browser, tmp_path: Path) -> None:
    row = {"clip_id": EVIL, "video_id": f'{EVIL}",x', "start_s": 1.5, "duration_s": 5.0}
    (tmp_path / "page.html").write_text(rating_page._render([row], [(0, False)], ["data:video/mp4;base64,AAAA"]))
    page = browser.open(tmp_path / "page.html")
    page.fill("#rater", "ann")
    page.click("text=Start")
    page.wait_for_selector("#broken:visible")  # it is no video: only skipping is left
    assert page.locator("[data-vote]:enabled").count() == 0
    assert "onerror" not in page.inner_text("body")
    page.evaluate("votes().push(1)")
    (saved,) = csv.DictReader(save(page, tmp_path).read_text().splitlines())
    assert (saved["video"], saved["clip_id"]) == (row["video_id"], EVIL)
    assert (saved["start_s"], saved["end_s"], saved["on_screen"], saved["off_screen"]) == ("1.5", "6.5", "0", "1")


def test_the_sample_is_a_table_and_nothing_is_written_over(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    page = make_page(workspace, folder).read_text()
    with (folder / "sample.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all(json.dumps(row["clip_id"]) in page for row in rows)
    assert {float(row["end_s"]) - float(row["start_s"]) for row in rows} == {2.0}
    for arguments, says in (
        (("--sample", "6", "--out", str(folder)), "index.html: is there already"),
        (("--sample", "6"), "--sample needs --out"),
        (("--sample", "6", "--out", str(tmp_path / "b"), "--labels", "x.csv"), "files are given too"),
        (("--sample", "6", "--out", str(tmp_path / "b"), "--selection", "none"), "nothing there yet"),
    ):
        code, _, err = earshot("label", "--root", workspace.root, *arguments, "-q")
        assert (code, says in err) == (2, True), err
    assert not (tmp_path / "b").exists()


def test_a_bucket_takes_the_page_and_the_clips_beside_it(
    workspace: Workspace, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rating_page, "MAX_EMBEDDED_BYTES", 0)
    out = f"{s3_bucket}/for_raters"
    code, _, err = earshot("label", "--root", workspace.root, "--sample", "2", "--out", out, "-q")
    assert code == 0, err
    names = sorted(files.relative(entry.uri, out) for entry in files.list_files(out))
    assert names == ["clips/0000.mp4", "clips/0001.mp4", "index.html", "sample.csv"]
