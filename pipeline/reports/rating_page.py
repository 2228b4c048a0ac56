"""A sample of clips -> a folder with one page on which raters judge them, without a server: `rating_page.html`.

A clip is shown as the models see it, its own frames and sound, also where the video is gone. Small samples are in the
page itself, which can then be sent as one file; of large ones the clips lie beside it, since a browser reads the whole
page before it shows anything.
"""

import base64
import concurrent.futures
import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.clips.samples import decode_clip
from pipeline.errors import ConfigError
from pipeline.media.clip_video import write_clip_video
from pipeline.pages import templates
from pipeline.reports.rating_sample import RatingSample
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet

PAGE, TABLE, MEDIA = "index.html", "sample.csv", "clips"
MAX_EMBEDDED_BYTES = 20 * 2**20  # of clips: 27 MB of page, some 200 clips of 5 s with five frames of 128x128
NUM_WRITERS = 4  # an ffmpeg each, of one thread
COLUMNS = ("clip_id", "video_id", "start_s", "end_s", "score", "decile", "split", "kept", "num_in_stratum", "num_drawn")


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """What was written for raters."""

    num_clips: int
    num_repeated: int
    num_videos: int
    size_bytes: int
    """Of the page, and the clips beside it."""
    is_one_file: bool


def write_rating_page(
    workspace: Workspace, sample: RatingSample, folder: str, work: Path, report: Callable[[], None]
) -> WrittenPage:
    """Write the page, the clips beside it unless they are in it, and the sample as a table.

    Args:
        workspace: where the clips lie.
        sample: what is shown.
        folder: path or s3:// address of the folder to write to.
        work: an empty folder on this machine.
        report: called after each clip.
    Raises:
        ConfigError: the folder has such a page already.
        DataError: a clip's tar is missing or damaged.
        ClipError: a clip cannot be written as mp4.
    """
    check_no_page(folder)
    clips = ClipSet(workspace, CLIPS_FOLDER, sample.clips, decode_clip, cache_bytes=0)

    def write(number: int) -> Path:
        clip = clips.read(number)
        path = work / f"{number:04d}.mp4"
        write_clip_video(clip.frames, clip.waveform, clip.facts["sample_rate_hz"], path)
        report()
        return path

    with concurrent.futures.ThreadPoolExecutor(NUM_WRITERS) as pool:
        paths = list(pool.map(write, range(len(sample.clips))))
    num_bytes = sum(path.stat().st_size for path in paths)
    is_one_file = num_bytes <= MAX_EMBEDDED_BYTES
    addresses = [_data_address(path) if is_one_file else f"{MEDIA}/{path.name}" for path in paths]
    rows = sample.clips.to_pylist()
    page = _render(rows, sample.order, addresses).encode()
    for path in [] if is_one_file else paths:
        with files.building(files.join(folder, MEDIA, path.name)) as made:
            shutil.copyfile(path, made)
    files.commit_bytes(files.join(folder, TABLE), _table(rows))
    files.commit_bytes(files.join(folder, PAGE), page)  # the last: it says that all is there
    num_videos = len({row["video_id"] for row in rows})
    size_bytes = len(page) + (0 if is_one_file else num_bytes)
    return WrittenPage(len(rows), len(sample.order) - len(rows), num_videos, size_bytes, is_one_file)


def check_no_page(folder: str) -> None:
    """Raises a ConfigError if a page is there: raters' browsers would go on with votes on other clips."""
    for name in (PAGE, TABLE):
        if files.exists(uri := files.join(folder, name)):
            raise ConfigError(f"{uri}: is there already. Choose another folder, or move it away.")


def _render(rows: list[dict[str, Any]], order: list[tuple[int, bool]], addresses: list[str]) -> str:
    """The page; it knows nothing of the clips that could sway a rater but their names, which it does not show."""
    clips = [
        {"id": row["clip_id"], "video": row["video_id"], "start": row["start_s"], "end": _end_s(row), "src": address}
        for row, address in zip(rows, addresses, strict=True)
    ]
    shown = [[number, int(is_repeat)] for number, is_repeat in order]
    name = hashlib.sha256(json.dumps([[clip["id"] for clip in clips], shown]).encode()).hexdigest()[:12]
    return templates("pipeline.reports").get_template("rating_page.html").render(name=name, clips=clips, shown=shown)


def _end_s(row: dict[str, Any]) -> float:
    return round(row["start_s"] + row["duration_s"], 6)


def _table(rows: list[dict[str, Any]]) -> bytes:
    """The sample as CSV: what was drawn, from which stratum."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"end_s": _end_s(row)} for row in rows)
    return text.getvalue().encode()


def _data_address(path: Path) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
