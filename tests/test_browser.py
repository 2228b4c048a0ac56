"""The browser of the tests: it notices what the tests of pages rely on it to notice."""

from pathlib import Path

from tests.helpers.browser import Browser, overflow

HEAD = "<!doctype html><html lang=en><meta charset=utf-8><title>t</title>"


def complaints(browser: Browser, tmp_path: Path, body: str) -> list[str]:
    """What it notes of a page of this body; they are taken from it, so that the test may pass."""
    path = tmp_path / "page.html"
    path.write_text(HEAD + body)
    browser.open(path).wait_for_timeout(200)
    found, browser.complaints[:] = list(browser.complaints), []
    return found


def test_a_page_that_does_nothing_wrong_has_no_complaint(browser: Browser, tmp_path: Path) -> None:
    assert complaints(browser, tmp_path, "<p>x<script>console.log('fine')</script>") == []


def test_errors_of_scripts_and_fetches_from_outside_are_noted(browser: Browser, tmp_path: Path) -> None:
    assert complaints(browser, tmp_path, "<script>throw new Error('broken')</script>") == ["error: broken"]
    assert complaints(browser, tmp_path, "<script>console.error('said')</script>") == ["said"]
    found = complaints(browser, tmp_path, "<img src='http://127.0.0.1:9/x.png'>")
    assert "fetched: http://127.0.0.1:9/x.png" in found


def test_a_page_wider_than_its_window_is_measured(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(HEAD + "<body style='margin:0'><div style='width:500px'>x</div>")
    assert overflow(browser.open(path, width=420)) == 80
    assert overflow(browser.open(path, width=600)) == 0
