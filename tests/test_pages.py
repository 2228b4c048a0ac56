"""Templates: escaped as what they are, strict about what is missing, and one style for every page."""

import re
from pathlib import Path

import jinja2
import pytest

from pipeline.pages import templates

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "pipeline").glob("*/*.html"))


@pytest.mark.parametrize(("is_html", "expected"), [(True, "&lt;b&gt;"), (False, "<b>\n")])
def test_text_is_escaped_in_html_alone(is_html: bool, expected: str) -> None:
    found = templates("pipeline.reports", is_html=is_html).from_string("{{ text }}\n")
    assert found.render(text="<b>") == expected
    with pytest.raises(jinja2.UndefinedError):
        found.render(other="<b>")


def test_every_page_has_the_colours_of_one_style() -> None:
    assert len(PAGES) == 4
    for path in PAGES:
        text = (path.with_suffix(".css") if path.name == "page.html" else path).read_text()
        assert '{% include "style.css" %}' in text
        assert not re.search(r"--\w+: *#", text), f"{path.name}: a colour of its own"


@pytest.mark.parametrize("name", ["--ink", "--soft", "--a", "--b"])
@pytest.mark.parametrize("is_dark", [False, True])
def test_every_ink_stands_out_from_every_paper(name: str, is_dark: bool) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 for text of usual size."""
    style = (ROOT / "pipeline" / "style.css").read_text()
    colours = dict(re.findall(r"(--[\w-]+): (#\w+);", style.split("@media")[is_dark]))
    for paper in ("--paper", "--raised"):
        bright, dim = sorted((luminance(colours[name]), luminance(colours[paper])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, paper)


def luminance(colour: str) -> float:
    """Relative, 0 to 1, of #rgb or #rrggbb: the definition of WCAG 2.2."""
    digits = "".join(2 * digit for digit in colour[1:]) if len(colour) == 4 else colour[1:]
    values = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
