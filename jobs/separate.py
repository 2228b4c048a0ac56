"""Separate one video: a model and a video -> its on-screen and off-screen sound, and the video with each."""

from typing import Annotated

import typer

from jobs.console.options import ReadRoot, named
from pipeline.errors import ClipError, ConfigError, DataError


def command(
    video: Annotated[str, typer.Argument(help="A video: a path or an s3:// address.")],
    root: ReadRoot,
    out: Annotated[str, typer.Option(help="Folder to write to.")],
    model: Annotated[str, named("Name of the separation model.")] = "separation",
) -> None:
    """Separate the on-screen sound of one video.

    Reads the video and models/<model>/. Writes on_screen.flac and off_screen.flac, which add up to the soundtrack, and
    on_screen.mp4 and off_screen.mp4, the video with each of them.

    Example: earshot separate holiday.mp4 --root my_workspace --out separated
    """
    import torch

    from pipeline.clip_specs import ClipSpecs
    from pipeline.config import from_dict
    from pipeline.inference.separating import separate_video
    from pipeline.learners.loading import load_model
    from pipeline.storage import files
    from pipeline.storage.layout import CLIPS_FOLDER
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    if not files.exists(video):
        raise ConfigError(f"{video}: no such file. Expected a video: a path or an s3:// address.")
    spec = from_dict(ClipSpecs, workspace.stage(CLIPS_FOLDER)["settings"]["clips"]).base
    _, network = load_model(workspace, model, "separation")
    torch.set_grad_enabled(False)
    try:
        found = separate_video(video, out, spec, network)
    except ClipError as error:
        raise ConfigError(f"{video}: {error} Expected a video with sound.") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written to ({error}). Choose another folder.") from error
    share = "silent" if found.on_screen_share is None else f"{found.on_screen_share:.0%} of the power is on screen"
    share += "" if found.video_copied else ", picture encoded anew because mp4 does not hold its codec"
    print(f"separate: {found.duration_s:.1f} s, {share} -> {out}/on_screen.mp4, off_screen.mp4, and .flac of each")
