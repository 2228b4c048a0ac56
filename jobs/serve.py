"""Serve a separation model over HTTP: a video in, its sources, probabilities and player out."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.console.options import ReadRoot, named
from jobs.console.separation import load_separation
from jobs.console.takedown_notes import check_takedown
from pipeline.errors import ConfigError

TOKEN_VARIABLE = "EARSHOT_TOKEN"


def command(
    root: ReadRoot,
    model: Annotated[str, named("Name of the separation model.")] = "separation",
    host: Annotated[str, typer.Option(help="Address to listen at. 0.0.0.0: all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8080,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest upload, in MB.")] = 500,
    max_s: Annotated[float, typer.Option(min=1, help="Longest video, in seconds.")] = 120.0,
    max_work_s: Annotated[float, typer.Option(min=1, help="Longest time to work on a video, in seconds.")] = 600.0,
    max_waiting: Annotated[int, typer.Option(min=1, help="Videos that may wait; one more is refused.")] = 4,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Prefix of addresses that may be asked for: s3://bucket/prefix/. Repeatable. Default: none."),
    ] = None,
) -> None:
    """Separate videos for devices that have no model, over HTTP.

    Reads models/<model>/ and prints an address with a token, without which nothing is answered: that of the variable
    EARSHOT_TOKEN, or a new one. Opened in a browser, it takes a video and gives player, sources and probabilities; for
    programs POST /videos does. Writes uploads and results to a temporary folder, which is removed when it is
    interrupted; nothing to the root.

    Example: earshot serve --root my_workspace
    """
    import torch
    from aiohttp import web

    from pipeline.inference.separating import Options, separate_video
    from pipeline.inference.serving import Limits, Server
    from pipeline.storage.workspace import open_workspace

    wrong = next((prefix for prefix in allow or [] if not prefix.startswith("s3://") or not prefix.endswith("/")), None)
    if wrong is not None:
        raise ConfigError(f"--allow {wrong}: expected s3://bucket/ or s3://bucket/prefix/, with / at its end.")
    spec, network, has_verdicts = load_separation(root, model)
    check_takedown(open_workspace(root), "serve")
    batch = 8 if torch.cuda.is_available() else 1
    options = Options(write_sources=True, write_page=True, has_verdicts=has_verdicts, batch_size=batch)
    limits = Limits(
        max_bytes=max_mb * 10**6,
        max_s=max_s,
        max_work_s=max_work_s,
        max_waiting=max_waiting,
        prefixes=tuple(allow or []),
    )
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="earshot-serve-") as folder:
        server = Server(
            lambda uri, out, report: separate_video(uri, out, spec, network, options, report),
            Path(folder),
            token,
            limits,
        )
        print(f"serve: http://{host}:{port}/?token={token}", flush=True)
        try:
            web.run_app(server.app, host=host, port=port, print=None, access_log=None)
        except OSError as error:
            raise ConfigError(f"--host {host} --port {port}: {error}. Choose another port.") from error
