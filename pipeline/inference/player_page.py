"""A separated video -> one HTML page that plays it with its sources, mixed while it plays: `player_page.html`.

The page holds a small picture and every source as AAC. In the browser a source's gain follows from two sliders and from
how much of it is on screen at the time: its gains in `separation.json`, cross-faded as `native_rate.stitch` does. So a
press on the picture, which weighs sources by where they look (`choosing.region_weights`), needs no other sound.

Design note: the sources are decoded whole before anything plays, because several media elements drift apart by more
than a comb filter shows. That takes memory, so a page has the first MAX_PAGE_S of a longer video: at most 16 MB of
picture, and 8 MB of sound for four sources in stereo, a third more as text; decoded, 184 MB.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ClipError
from pipeline.inference.choosing import AT_SHARE, picture_in_frame
from pipeline.inference.opening import LIMIT_S, Media
from pipeline.inference.outputs import Outputs
from pipeline.inference.recording import Record
from pipeline.inference.video_writing import Report
from pipeline.media.muxing import Track
from pipeline.media.player_media import write_player_media
from pipeline.pages import templates

PLAYER = "player.html"
MAX_PAGE_S = 120.0


def write_page(
    media: Media,
    title: str,
    stem: Track,
    sources: list[Track],
    record: Record,
    chosen: list[int] | None,
    outputs: Outputs,
    report: Report,
) -> list[str]:
    """Write the page of a video whose sources are written; return notes.

    Args:
        media: the video, read to its end.
        title: its name; untrusted text.
        stem: its on-screen sound, for a player without scripts.
        sources: in the order of the record.
        record: what the model found, with its attention.
        chosen: numbers, from 1 on, of the sources that spans chose; None without spans.
        outputs: where the page goes.
        report: called with what is done.
    """
    picture = outputs.work_file("player.mp4")
    tracks = [outputs.work_file(f"player_{number}.mp4") for number in range(len(sources))]
    duration_s = min(media.duration_s, MAX_PAGE_S)
    try:
        write_player_media(
            *(media.path, media.choice, stem, sources, duration_s, picture, tracks, LIMIT_S),
            report=lambda done_s: report("page", done_s, duration_s),
        )
    except ClipError as error:
        return [f"no {PLAYER}: {error.detail}"]
    facts = _facts(media, record, chosen, duration_s)
    page = (
        templates("pipeline.inference")
        .get_template("player_page.html")
        .render(title=title, facts=facts, picture=_text(picture), tracks=[_text(path) for path in tracks])
    )
    outputs.file(PLAYER).write_text(page, encoding="utf-8")
    if duration_s < media.duration_s:
        return [f"{PLAYER} has the first {MAX_PAGE_S:g} s"]
    return []


def _facts(media: Media, record: Record, chosen: list[int] | None, duration_s: float) -> dict[str, Any]:
    """What the page's script computes with; lists are by window, then by source."""
    rows = [row for row in record.rows if row["start_s"] < duration_s]
    num_sources = len(rows[0]["level_db"])
    by_spans = [float(number + 1 in (chosen or [])) for number in range(num_sources)]
    return {
        "duration_s": round(duration_s, 3),
        "rate_hz": media.rate_hz,
        "windows": [[row["start_s"], row["end_s"]] for row in rows],
        "probability": [row["probability"] for row in rows],
        "kept": [by_spans if chosen is not None else row["gain"] for row in rows],
        "level_db": [row["level_db"] for row in rows],
        "attention": [_shades(cells) for cells in record.attention[: len(rows)]],
        "box": picture_in_frame(record.spec, media.decoding.picture_shape),
        "at_share": AT_SHARE,
    }


def _shades(cells: np.ndarray) -> list[list[list[int]]]:
    """[S, rows, columns] whole numbers up to 255, the largest of each source."""
    largest = np.maximum(cells.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    return np.rint(255 * cells / largest).astype(int).tolist()


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
