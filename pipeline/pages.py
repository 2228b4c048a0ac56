"""The templates of pages and cards, read and escaped alike for every room that writes one: `style.css` is for all."""

from collections.abc import Callable
from typing import Any

import jinja2


def templates(
    package: str, *, is_html: bool = True, finalize: Callable[[Any], Any] | None = None
) -> jinja2.Environment:
    """Where templates are taken from, by their name; one that names what it was not given is an error.

    Args:
        package: the room whose templates they are, such as `pipeline.reports`.
        is_html: whether what is filled in is text, which is escaped. Else it stays as it is, and so does the end of the
            last line.
        finalize: what is made of each value before it is filled in.
    """
    loaders = [jinja2.PackageLoader(name, "") for name in (package, "pipeline")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=is_html,
        keep_trailing_newline=not is_html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
    )
