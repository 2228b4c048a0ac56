"""Compare lips with sound: a model and videos -> of each face how late the sound is, and who speaks in each second."""

from typing import Annotated

import typer

from jobs.console.lipreading_model import load_sync_model, summary
from jobs.console.options import named
from jobs.console.video_progress import run_on_videos


def command(
    videos: Annotated[list[str], typer.Argument(help="Videos, or folders of them: paths or s3:// addresses.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix to write to; of several videos, a folder for each.")],
    root: Annotated[str | None, typer.Option(help="Workspace with the model: a folder or s3://bucket/prefix.")] = None,
    model: Annotated[str, named("Name of the lip-reading model.")] = "lipreading",
    min_score: Annotated[
        float | None,
        typer.Option(
            help="A face of this score or more speaks. Default: the score at which validation clips with their own "
            "sound and with another's are told apart best."
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Windows at a time. Default: 8 on a GPU, 1 without.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
) -> None:
    """Find of each face how late its sound is, and which face speaks in each second, in videos of any length.

    Reads the videos, models/<model>/, and for the score above which a face speaks clips/speech/. Writes sync.json (per
    face its offset in ms, above 0 where the sound is late, with its confidence; per second the face that speaks, or
    null where nobody in view does, and all scores) and boxes.mp4, the video with a numbered box around each face,
    yellow while it speaks. A video that cannot be decoded, or has no face, no sound or no picture, is named, the others
    go on, and the exit code is 1.

    Example: earshot sync interview.mp4 --root my_workspace --out synced
    """
    import torch

    from pipeline.inference.inputs import list_jobs
    from pipeline.inference.outputs import check_free
    from pipeline.inference.syncing import RECORD, VIDEO, sync_video

    jobs = list_jobs(videos, out)
    found = load_sync_model(root, model, min_score)
    batch_size = batch or (8 if torch.cuda.is_available() else 1)
    if not overwrite:
        check_free([job.folder for job in jobs], [RECORD, VIDEO])
    run_on_videos(jobs, out, lambda job, report: sync_video(job.uri, job.folder, found, batch_size, report), summary)
