"""Find events in videos: a model and videos -> when something is both seen and heard, as JSON and as a picture."""

from typing import Annotated

import typer

from jobs.console.event_model import load_event_model, summary
from jobs.console.options import named
from jobs.console.video_progress import run_on_videos


def command(
    videos: Annotated[list[str], typer.Argument(help="Videos, or folders of them: paths or s3:// addresses.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix to write to; of several videos, a folder for each.")],
    root: Annotated[str | None, typer.Option(help="Workspace with the model: a folder or s3://bucket/prefix.")] = None,
    model: Annotated[str, named("Name of the events model.")] = "events",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows at a time. Default: 8 on a GPU, 1 without.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
) -> None:
    """Find when something is both seen and heard in videos of any length, and what it is.

    Reads the videos, models/<model>/ and the coincidence model that its features were made with. Writes events.json
    (start_s, end_s, category and confidence of each event) and timeline.png, a picture of them. A video that cannot be
    decoded, or has no sound or no picture, is named, the others go on, and the exit code is 1.

    Example: earshot events holiday.mp4 --root my_workspace --out events
    """
    import torch

    from pipeline.inference.inputs import list_jobs
    from pipeline.inference.locating import PICTURE, RECORD, locate_events
    from pipeline.inference.outputs import check_free

    jobs = list_jobs(videos, out)
    found = load_event_model(root, model)
    batch_size = batch or (8 if torch.cuda.is_available() else 1)
    if not overwrite:
        check_free([job.folder for job in jobs], [RECORD, PICTURE])
    run_on_videos(jobs, out, lambda job, report: locate_events(job.uri, job.folder, found, batch_size, report), summary)
