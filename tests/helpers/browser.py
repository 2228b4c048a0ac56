"""A headless Chromium for tests of pages: it opens a file as a user does, and notes what a page must never do."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OWN_SCHEMES = ("file:", "data:", "blob:")


def find_chromium() -> str | None:
    """The browser's path: `EARSHOT_CHROMIUM`, else the system's."""
    return os.environ.get("EARSHOT_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """Opens pages; `complaints` has what went wrong in any: errors of scripts, and what is fetched from outside."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.complaints: list[str] = []
        self.own = OWN_SCHEMES
        """What an address that is not outside begins with."""

    def context(self, *, width: int = 1280, height: int = 800, is_dark: bool = False, touch: bool = False) -> Any:
        """A browser's profile, with a storage of its own."""
        made = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if is_dark else "light",
            has_touch=touch,
            accept_downloads=True,
        )
        made.set_default_timeout(20_000)
        made.on("request", self._note_request)
        made.on("page", self._watch)
        return made

    def open(self, path: Path, **options: Any) -> Any:
        """A page that shows a file, in a profile of its own."""
        page = self.context(**options).new_page()
        page.goto(path.as_uri())
        return page

    def close_pages(self) -> None:
        """Close every page and forget its storage."""
        for context in self._browser.contexts:
            context.close()

    def _watch(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(self.own):
            self.complaints.append(f"fetched: {request.url[:200]}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; the test is skipped, with the reason, where there is none.

    It is closed at the end of a module, not of the session: as long as it is open, Playwright keeps an event loop
    running in the thread, and no other test could start one.
    """
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: install the package `chromium`, or set EARSHOT_CHROMIUM to a browser's path")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install '.[dev]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--autoplay-policy=user-gesture-required"])
        try:
            yield Browser(browser)
        finally:
            browser.close()


def overflow(page: Any) -> int:
    """Pixels by which a page is wider than its window: 0 where nothing is cut or must be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def wait_until(page: Any, expression: str, limit_s: float = 20.0) -> None:
    """Wait until an expression is true; Playwright's own way needs `eval`, which our pages forbid."""
    deadline = time.monotonic() + limit_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"{expression} is not true after {limit_s:g} s"
        page.wait_for_timeout(20)
