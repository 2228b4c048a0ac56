"""Segment videos: a model and videos -> which pixels sound, as masks and as the video with what sounds outlined."""

from typing import Annotated

import typer

from jobs.console.options import named
from jobs.console.segmentation_model import load_segmentation_model, summary
from jobs.console.video_progress import run_on_videos


def command(
    videos: Annotated[list[str], typer.Argument(help="Videos, or folders of them: paths or s3:// addresses.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix to write to; of several videos, a folder for each.")],
    root: Annotated[str | None, typer.Option(help="Workspace with the model: a folder or s3://bucket/prefix.")] = None,
    model: Annotated[str, named("Name of the segmentation model.")] = "segmentation",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows at a time. Default: 8 on a GPU, 1 without.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
) -> None:
    """Find which pixels of the picture make the sound that is heard, in videos of any length.

    Reads the videos and models/<model>/. Writes masks/<ms>.png, black and white, masks.json (time, area and confidence
    of each mask) and outlined.mp4, the video with what sounds outlined. A video that cannot be decoded, or has no sound
    or no picture, is named, the others go on, and the exit code is 1.

    Example: earshot segment holiday.mp4 --root my_workspace --out segmented
    """
    import torch

    from pipeline.inference.inputs import list_jobs
    from pipeline.inference.outputs import check_free
    from pipeline.inference.segmenting import RECORD, VIDEO, segment_video

    jobs = list_jobs(videos, out)
    found = load_segmentation_model(root, model)
    batch_size = batch or (8 if torch.cuda.is_available() else 1)
    if not overwrite:
        check_free([job.folder for job in jobs], [RECORD, VIDEO])
    run_on_videos(jobs, out, lambda job, report: segment_video(job.uri, job.folder, found, batch_size, report), summary)
