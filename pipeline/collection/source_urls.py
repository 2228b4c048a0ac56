"""The page that a video is from, where a table gives only its name on a platform."""

import re
from collections.abc import Mapping
from typing import Any

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
YOUTUBE_COLUMNS = ("youtube_id", "ytid", "yt_id")  # in lower case, of VGGSound, AudioSet and others


def youtube_url(name: str) -> str | None:
    """The page of a video by its id; None if it is no id.

    >>> youtube_url("0Bu-i1v8Hy8")
    'https://www.youtube.com/watch?v=0Bu-i1v8Hy8'
    """
    return f"https://www.youtube.com/watch?v={name}" if YOUTUBE_ID.fullmatch(name) else None


def page_of(row: Mapping[str, Any]) -> str | None:
    """The page of a table's row, by the first of its columns that is of YOUTUBE_COLUMNS."""
    return next((youtube_url(str(row[name])) for name in row if name.strip().lower() in YOUTUBE_COLUMNS), None)
