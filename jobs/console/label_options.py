"""The options of `earshot label`: files to read, or a page for raters to write."""

from typing import Annotated

import typer

from jobs.console.options import named

LABELS_HELP = (
    "CSV or Parquet with video, on_screen, off_screen; or a published clip list. Repeatable, and '*' matches any "
    "letters: 'lists/*screen_unanimous_clips.csv'."
)
SPANS_HELP = (
    "CSV or Parquet with video, start_s, end_s, category (what is seen and heard at once; 0 to 0: nothing); or AVE's "
    "Annotations.txt. Repeatable, with patterns as --labels."
)
MASKS_HELP = (
    "Folder or s3:// prefix with <video>/<ms>.png, white where something sounds, and <ms>.<category>.png for one kind."
)
Sample = Annotated[
    int | None, typer.Option(min=1, max=5000, help="Write a page for raters with so many clips, in place of reading.")
]
Out = Annotated[str | None, typer.Option(help="Folder or s3:// prefix of the page for raters.")]
Strata = Annotated[
    str | None,
    named("Selection whose splits and verdicts make strata of the sample, beside its scores.", "--selection"),
]
Labels = Annotated[list[str] | None, typer.Option(help=LABELS_HELP)]
Spans = Annotated[list[str] | None, typer.Option(help=SPANS_HELP)]
Masks = Annotated[str | None, typer.Option(help=MASKS_HELP)]
