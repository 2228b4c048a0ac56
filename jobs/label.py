"""Label clips by raters' judgements, seconds by events, pixels by what sounds: files -> labels/, spans/, masks/."""

from jobs.console.label_options import Labels, Masks, Out, Sample, Spans, Strata
from jobs.console.labels import label_clips, label_events, label_masks
from jobs.console.options import Scorer, Session, with_session
from jobs.console.rating import make_rating_page
from pipeline.errors import ConfigError


def label(
    session: Session,
    labels: Labels = None,
    spans: Spans = None,
    masks: Masks = None,
    sample: Sample = None,
    out: Out = None,
    selection: Strata = None,
    model: Scorer = "coincidence",
) -> None:
    """Label clips as on-screen, off-screen, mixed or quiet; seconds of videos by their event; pixels by what sounds.

    Reads label files, span files, masks and what is cut. Writes the table labels: one row per clip that is judged, with
    the label that all its raters gave it, or `conflict`, or `too_few_raters` (labeling.min_raters). The table spans:
    one row per event, or per video without one. And masks/ and the table masks: one row per mask, kept or not.

    With --sample it makes the page on which raters judge clips, by keys or touch and without a server: clips of all
    deciles of the coincidence score, some of them twice. Raters open it, and send back the file that it saves.

    Example: earshot label --root my_workspace --labels votes.csv --labels more_votes.parquet
    """
    from pipeline.clips.cut_videos import unlabelled_parts
    from pipeline.labels.span_files import read_spans
    from pipeline.masks.mask_folders import read_mask_folder
    from pipeline.storage.layout import SPANS_FOLDER

    if sample is not None:
        if labels or spans or masks:
            raise ConfigError("label: --sample makes a page, and files are given too. Give them in another command.")
        make_rating_page(session, sample, out, model, selection)
        return
    if not labels and not spans and not masks:
        raise ConfigError("label: no files. Give --labels, --spans or --masks; or --sample for a page for raters.")
    if spans or masks:
        unlabelled_parts(session.workspace, SPANS_FOLDER)  # refuses a root without clips before any file is read
    # files that cannot be used are refused before anything is written
    rows = read_spans(spans) if spans else None
    pictures = read_mask_folder(masks) if masks else None
    if labels:
        label_clips(session, labels)
    if rows is not None:
        label_events(session, rows)
    if pictures is not None:
        label_masks(session, pictures)


command = with_session(label)
