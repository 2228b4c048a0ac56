"""The report in a real browser: players play, nothing is cut at 420 px, and the contents lead to their places."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from conftest import World

from pipeline.reports.reporting import make_report
from tests.helpers.browser import Browser, overflow, wait_until
from tests.helpers.evaluated_separation import evaluate_separation


@pytest.fixture(scope="module")
def path(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small workspace with separated examples."""
    folder = tmp_path_factory.mktemp("report_page")
    page = folder / "report.html"
    page.write_text(make_report(evaluate_separation(world.workspace, folder / "workspace")).page)
    return page


def test_each_player_of_an_example_plays(path: Path, browser: Browser) -> None:
    page = browser.open(path)
    players = page.locator("#separated ~ ol audio")
    assert players.count() == 3 * 4 + 2 * 4  # mixture, reference and estimate; of off-screen sound it is silence
    assert page.locator("#separated ~ ol >> text=reference: silence").count() == 4
    player = players.first
    player.evaluate("player => { player.muted = true; return player.play(); }")
    wait_until(page, "() => document.querySelector('#separated ~ ol audio').currentTime > 0.2")
    lengths = players.evaluate_all("all => all.map(player => player.duration)")
    assert lengths == pytest.approx([2.0] * 20)  # each sound is decoded


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [420, 1280])
def test_no_word_is_cut_and_wide_tables_scroll_by_themselves(
    path: Path, browser: Browser, width: int, is_dark: bool
) -> None:
    page: Any = browser.open(path, width=width, is_dark=is_dark)
    assert overflow(page) == 0
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(22, 25, 28)") == is_dark
    tables = page.evaluate(
        "() => [...document.querySelectorAll('.wide')].map(box => [box.tabIndex, box.getAttribute('aria-label')])"
    )
    assert all(place == 0 and label for place, label in tables)  # reached and named by keyboard and reader


def test_the_contents_lead_to_their_places(path: Path, browser: Browser) -> None:
    page = browser.open(path)
    for link in page.locator("nav a").all():
        link.click()
        place = page.evaluate("() => location.hash.slice(1)")
        assert page.locator(f"#{place}").evaluate("place => Math.abs(place.getBoundingClientRect().top) < innerHeight")


def test_a_screen_reader_meets_landmarks_headings_in_order_and_names(path: Path, browser: Browser) -> None:
    page = browser.open(path)
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert [page.locator(name).count() for name in ("header", "nav[aria-label]", "main", "h1")] == [1] * 4
    unnamed = "all => all.filter(each => !(each.getAttribute('aria-label') || each.alt)).length"
    assert page.locator("img, audio, svg, nav, .wide").evaluate_all(unnamed) == 0
    sounds = page.locator("#separated ~ ol audio").evaluate_all("all => all.map(each => each.ariaLabel)")
    assert len(set(sounds)) > 8  # each says of which video it is
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first stop leads past the contents
    assert page.evaluate("() => location.hash") == "#short"
