"""Separate videos: a model and videos or sounds -> their on-screen and off-screen sound, and the videos with each."""

from typing import Annotated

import typer

from jobs.console.options import named
from jobs.console.separation import load_separation, summary
from jobs.console.video_progress import run_on_videos

GAIN = typer.Option(help="Level in a third mix, remix.flac and .mp4: 0dB, -60dB, -inf.")


def command(
    videos: Annotated[list[str], typer.Argument(help="Videos, sounds or folders of them: paths or s3:// addresses.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix to write to; of several videos, a folder for each.")],
    root: Annotated[str | None, typer.Option(help="Workspace with the model: a folder or s3://bucket/prefix.")] = None,
    model: Annotated[str, named("Name of the separation model.")] = "separation",
    on_screen_gain: Annotated[str | None, GAIN] = None,
    off_screen_gain: Annotated[str | None, GAIN] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Keep sources of this probability or more whole, others not.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Keep what is heard from there: x,y,w,h in pixels.")] = None,
    at: Annotated[str | None, typer.Option(help="Keep what is heard from around a point: x,y in pixels.")] = None,
    span: Annotated[
        list[str] | None, typer.Option(help="Keep what sounds in these seconds: +6.3-7.0. Repeatable.")
    ] = None,
    stems: Annotated[bool, typer.Option("--stems", help="Write every source too: source_1.flac, ...")] = False,
    attention: Annotated[
        bool, typer.Option("--attention", help="Write attention.mp4: where the model looks, laid over the picture.")
    ] = False,
    page: Annotated[
        bool,
        typer.Option("--page", help="Write player.html: the video with its sources, mixed by sliders as it plays."),
    ] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="Windows at a time. Default: 8 on a GPU, 1 without.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
) -> None:
    """Separate the on-screen sound of videos, at their own sample rate and with their channels.

    Reads the videos and models/<model>/. Writes on_screen.flac and off_screen.flac, which add up to the soundtrack,
    on_screen.mp4 and off_screen.mp4, the video with each of them, and separation.json, probabilities and gains over
    time. A sound without a picture gives its sources. A video that cannot be separated is named, the others go on, and
    the exit code is 1.

    Example: earshot separate holiday.mp4 --root my_workspace --out separated
    """
    import torch

    from jobs.console.separate_options import parse_choice, parse_gain
    from pipeline.inference.inputs import list_jobs
    from pipeline.inference.outputs import check_free
    from pipeline.inference.separating import Options, file_names, separate_video

    choice = parse_choice(threshold, region, at, span or [])
    is_remixed = on_screen_gain is not None or off_screen_gain is not None
    remix = (parse_gain(on_screen_gain or "0dB"), parse_gain(off_screen_gain or "0dB")) if is_remixed else None
    jobs = list_jobs(videos, out)
    spec, network, has_verdicts = load_separation(root, model)
    batch = batch or (8 if torch.cuda.is_available() else 1)
    options = Options(
        choice=choice,
        remix=remix,
        write_sources=stems,
        write_attention=attention,
        write_page=page,
        has_verdicts=has_verdicts,
        batch_size=batch,
    )
    if not overwrite:
        check_free([job.folder for job in jobs], file_names())
    run_on_videos(
        jobs, out, lambda job, report: separate_video(job.uri, job.folder, spec, network, options, report), summary
    )
