"""Label files -> judgements, as columns: what a rater says about a span of a video.

A label file is in one of three forms, recognised by its columns.

1. Judgements, one row each: `video` (a file name, the end of a path, an address or a video_id), `on_screen` and
   `off_screen` (0 or 1: does something visible sound; does something invisible sound), optional `start_s` and `end_s`
   (default: the whole video), `rater` (default: one rater, whom the file speaks for) and `is_repeat` (1: the rater
   was shown the clip once more; it makes no label, see `self_agreement.py`).
2. A published AudioScope list (`published_lists.py`): video path, start, end; the label is in the file's name.
3. Published truth (`published_truth.py`): VGGSounder's table, or AVE's annotations.

A rater may judge a span only once: otherwise three raters without names would count as one who heard both.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.published_lists import NUM_RATERS, list_verdict, read_list
from pipeline.errors import ConfigError
from pipeline.labels.label_files import SECONDS, Columns, FileRows, LabelFile, read_files
from pipeline.labels.published_truth import FLAGS, is_published, no_flags, read_published

# Of a judgement, beside the flags.
COLUMNS = ("video", "rater", "start_s", "end_s", "on_screen", "off_screen", "num_raters", "is_repeat")
NEEDED = ("video", "on_screen", "off_screen")
KNOWN = (*NEEDED, "start_s", "end_s", "rater", "is_repeat")
# 1.0: a column that once had a gap. No arrays: the first one imports pandas, 0.3 s of whoever reads no ratings.
ONES, ZEROS = ("1", "1.0", "true"), ("0", "0.0", "false")


def read_judgements(labels: Sequence[str]) -> FileRows:
    """Every judgement of some label files, whatever their order.

    Args:
        labels: addresses; a `*` in the last name matches any letters.
    Returns:
        A row per judgement: video, rater ("": not named), start_s, end_s (infinity: the video's end), on_screen,
        off_screen, num_raters that it speaks for, is_repeat, and the flags of VGGSounder, null elsewhere.
    Raises:
        ConfigError: no such file, two of one name, none of the forms (the message names the row), a list that
            is not whole, or a rater who says two things of one span.
    """
    rows = read_files(labels, "labels file", "lists/*screen_unanimous_clips.csv", _read, "judgement")
    check_contradictions(rows, rows.codes("video"))
    return rows


def check_contradictions(rows: FileRows, videos: np.ndarray) -> None:
    """Refuse a rater who says two things of one span.

    Args:
        rows: of `read_judgements`.
        videos: [n] number of each row's video.
    Raises:
        ConfigError: one does; the message names both rows.
    """
    table = rows.table
    is_named = pc.not_equal(table["rater"].cast(pa.string()), "").to_numpy()
    raters = np.where(is_named, rows.codes("rater"), -1 - rows.codes("file"))  # who is not named is one per file
    said = 2 * table["on_screen"].to_numpy().astype(int) + table["off_screen"].to_numpy()
    spans = [table[name].to_numpy() for name in ("is_repeat", "end_s", "start_s")]
    keys = [said, *spans, raters, videos]
    order = np.lexsort(keys)
    differs, *others = (key[order][1:] != key[order][:-1] for key in keys)
    found = np.flatnonzero(differs & ~np.any(others, axis=0))
    if not len(found):
        return
    first, second = sorted(order[found[0] : found[0] + 2].tolist())
    row = table.slice(second, 1).to_pylist()[0]
    span = f"{row['start_s']:g} s to " + ("its end" if row["end_s"] == np.inf else f"{row['end_s']:g} s")
    if row["rater"]:
        who, expected = f"rater `{row['rater']}`", "one row per rater and span: remove one"
    else:
        who, expected = "a rater without a name", "one row per span, or a `rater` column that names who says what"
    raise ConfigError(
        f"{rows.where(first, second)}: {who} says two things of `{row['video']}` from {span}. Expected {expected}."
    )


def _read(file: LabelFile) -> Columns:
    columns = _of_form(file)
    return {name: columns[name] for name in (*COLUMNS, *FLAGS)}  # in one order, so that files can follow each other


def _of_form(file: LabelFile) -> Columns:
    header = file.header()
    names = [name.strip().lower() for name in header]
    if set(NEEDED) <= set(names):
        return _judged(file, file.texts(header, KNOWN))
    if is_published(file):
        return read_published(file)
    verdict = None if file.is_parquet else list_verdict(file.here, file.uri)
    if verdict is None:
        raise ConfigError(
            f"{file.here}: columns {', '.join(names) or 'none'}; expected video, on_screen, off_screen and optional "
            "start_s, end_s, rater, with commas between; or a published list: a CSV with onscreen_unanimous or "
            "offscreen_unanimous in its name; or VGGSounder's table or AVE's annotations."
        )
    return _listed(list(read_list(file.here, file.uri, file.path)), verdict)


def _judged(file: LabelFile, texts: Columns) -> Columns:
    """The columns of a file of judgements."""
    file.require(pc.not_equal(texts["video"], ""), texts, ["video"], "the name of a video, or no such row")
    columns = {"video": texts["video"]}
    for name, default in (("start_s", "0"), ("end_s", "inf")):
        text = pc.if_else(pc.equal(texts[name], ""), default, pc.utf8_lower(texts[name]))
        is_number = pc.match_substring_regex(text, f"{SECONDS}|^inf$")
        file.require(is_number, texts, [name], "seconds, 0 or more (90 for 1:30), or nothing")
        columns[name] = text.cast(pa.float64())
    is_span = pc.less(columns["start_s"], columns["end_s"])
    file.require(is_span, texts, ["start_s", "end_s"], "the end after the start")
    ones, zeros = pa.array(ONES), pa.array(ZEROS)
    for name in ("on_screen", "off_screen"):
        text = pc.utf8_lower(texts[name])
        columns[name] = pc.is_in(text, ones)
        file.require(pc.or_(columns[name], pc.is_in(text, zeros)), texts, [name], "0 or 1")
    text = pc.if_else(pc.equal(texts["is_repeat"], ""), "0", pc.utf8_lower(texts["is_repeat"]))
    is_repeat = pc.is_in(text, ones)
    file.require(pc.or_(is_repeat, pc.is_in(text, zeros)), texts, ["is_repeat"], "0, 1 or nothing")
    num_raters = pa.repeat(pa.scalar(1, pa.int8()), len(texts["video"]))
    flags = no_flags(len(num_raters))
    return columns | {"rater": texts["rater"], "num_raters": num_raters, "is_repeat": is_repeat} | flags


def _listed(rows: list[tuple[str, float, float]], verdict: tuple[bool, bool]) -> Columns:
    """The columns of a published list."""
    on_screen, off_screen = verdict
    return {
        "video": pa.array([video for video, _, _ in rows], pa.string()),
        "start_s": pa.array([start_s for _, start_s, _ in rows], pa.float64()),
        "end_s": pa.array([end_s for _, _, end_s in rows], pa.float64()),
        "on_screen": pa.repeat(on_screen, len(rows)),
        "off_screen": pa.repeat(off_screen, len(rows)),
        "rater": pa.repeat("", len(rows)),
        "num_raters": pa.repeat(pa.scalar(NUM_RATERS, pa.int8()), len(rows)),
        "is_repeat": pa.repeat(False, len(rows)),
    } | no_flags(len(rows))
