"""What `label --sample` does: draw clips, write the raters' page, and say what comes next."""

import tempfile
from pathlib import Path

from jobs.console.options import Session
from jobs.console.progress import printable, progress_bar
from pipeline.errors import ConfigError
from pipeline.formatting import format_bytes


def make_rating_page(session: Session, num_clips: int, out: str | None, model: str, selection: str | None) -> None:
    """A sample of the clips -> a folder with the page."""
    from pipeline.reports.rating_page import PAGE, check_no_page, write_rating_page
    from pipeline.reports.rating_sample import draw_sample
    from pipeline.storage import files
    from pipeline.storage.tombstones import check_finished

    if out is None:
        raise ConfigError("label: --sample needs --out, the folder for the page.")
    check_no_page(out)
    check_finished(session.workspace)
    sample = draw_sample(session.workspace, num_clips, session.seed, model, selection)
    count = len(sample.clips)
    with (
        tempfile.TemporaryDirectory(prefix="earshot-rating-") as work,
        progress_bar("write clips for raters", count) as advance,
    ):
        try:
            made = write_rating_page(session.workspace, sample, out, Path(work), lambda: advance(1, ""))
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written to ({error}). Choose another folder.") from error
    form = "in one file" if made.is_one_file else "beside the page: send the whole folder"
    page = files.join(out, PAGE)
    facts = f"{made.num_clips} clips of {made.num_videos} videos, {made.num_repeated} of them shown twice"
    if count < num_clips:
        facts += f" (all there are; --sample asked for {num_clips})"
    print(printable(f"label: {facts}, {format_bytes(made.size_bytes)} {form} -> {page}"), flush=True)
