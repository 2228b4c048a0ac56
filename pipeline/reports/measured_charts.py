"""What was measured of the sound and picture of the kept clips, drawn as columns of other tools are.

Comes in: the table `clips`, of the clip spec by which a corpus is described. Goes out: the columns of TITLES that have
values, under their names for people, and what each means. Loudness has a chart of its own (`charted_tables.py`).
"""

from pipeline.reports.imported_charts import Column, draw_columns
from pipeline.reports.overview import OF_SPEC
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS

TITLES = {
    "snr_db": "signal-to-noise ratio, dB",
    "speech_fraction": "share that is speech",
    "bandwidth_hz": "bandwidth, Hz",
    "silent_fraction": "share that is silent",
    "clipped_fraction": "share at full scale",
    "peak_db": "peak, dBFS",
    "dc_offset": "constant offset of the sound",
    "num_channels": "channels of the file",
    "channel_correlation": "correlation of two channels",
    "luma": "brightness",
    "motion": "motion",
    "frozen_fraction": "share of still frames",
    "sharpness": "sharpness",
    "num_cuts": "cuts in a clip",
    "black_fraction": "share of black frames",
    "letterbox_fraction": "share in black bars",
}


def list_measured(workspace: Workspace) -> list[Column]:
    """The measures of kept clips that have values, each drawn."""
    fields = [CLIPS.field(name) for name in TITLES]
    source = f"(FROM clips WHERE {OF_SPEC} AND outcome = 'kept')"
    _, columns = draw_columns(workspace, source, fields, None, list(TITLES.values()))
    return [column for column in columns if column.chart or column.counts]


def explain_measures(columns: list[Column]) -> dict[str, str]:
    """What each of them means, by its name for people: the doc of its column."""
    docs = {title: CLIPS.field(name).metadata[b"doc"].decode() for name, title in TITLES.items()}
    return {column.name: docs[column.name] for column in columns}
