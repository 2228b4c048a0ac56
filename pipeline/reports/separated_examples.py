"""The frozen examples that a separation model separates best, in the middle and worst: to see, and to listen to.

Comes in: rows of the query SEPARATED, which knows each example's figure from its evaluation. Each is separated again
here, a few seconds of work, because tables hold figures and no sound. Goes out: mixture, reference and estimate with
their spectrograms, and frames that are bright where the model looked for the sound.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.tars import read_sequence
from pipeline.errors import ConfigError, DataError
from pipeline.formatting import short_names
from pipeline.reports.inline_media import picture_address, sound_address
from pipeline.reports.spectrograms import draw_spectrogram
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.mixtures import MIXTURES

NUM_EXAMPLES = 2  # of each end, and in the middle
NUM_FRAMES = 3
MAX_SECONDS = 15.0  # of an example: longer ones would make a page of tens of MB
DIMMED = 0.3  # brightness where the model did not look
SEPARATED = f"""
    WITH figures AS (
        SELECT model, mixtures, eval_set, example_id, video_id,
            CASE eval_set WHEN 'on_mom' THEN si_snr_improvement_db WHEN 'off_mom' THEN osr_db END AS value
        FROM examples
    ), of_video AS (
        SELECT *, row_number() OVER (PARTITION BY model, mixtures, eval_set, video_id ORDER BY example_id) AS take
        FROM figures WHERE isfinite(value)
    ), places AS (
        SELECT *, row_number() OVER (one_set ORDER BY value, example_id) AS place, count(*) OVER one_set AS num
        FROM of_video WHERE take = 1 WINDOW one_set AS (PARTITION BY model, mixtures, eval_set)
    ), chosen AS (
        SELECT *, CASE
            WHEN place <= {NUM_EXAMPLES} THEN 'worst'
            WHEN place > num - {NUM_EXAMPLES} THEN 'best'
            WHEN abs(place - (num + 1) / 2) < {NUM_EXAMPLES} / 2 THEN 'median'
        END AS which
        FROM places
    )
    SELECT chosen.*, mixtures.part, uri
    FROM chosen JOIN mixtures USING (mixtures, example_id)
    LEFT JOIN (FROM clips WHERE spec = 'base') AS clips ON clips.clip_id = mixtures.first_clip_id
    LEFT JOIN collection ON collection.video_id = clips.video_id
    WHERE which IS NOT NULL
    ORDER BY model, chosen.mixtures, eval_set DESC, which, if(which = 'worst', place, -place)
"""


class Sound(NamedTuple):
    """One sound of an example."""

    name: str
    """mixture, reference or estimate."""
    sound: str
    """data: address; empty of silence."""
    spectrogram: str
    """data: address of its picture; empty of silence."""


class SeparatedShown(NamedTuple):
    """One example."""

    model: str
    mixtures: str
    eval_set: str
    which: str
    """best, median or worst."""
    value_db: float
    """SI-SNR improvement of on_mom, suppression of off_mom."""
    video: str
    """End of the address of the video that gives the picture; untrusted text."""
    frames: tuple[str, ...]
    """data: addresses of NUM_FRAMES frames, dimmed where the model did not look."""
    sounds: tuple[Sound, ...]


def show_separated(workspace: Workspace, rows: pa.Table) -> list[SeparatedShown]:
    """The examples that the query SEPARATED found, separated; none of a model that is gone or cannot be loaded."""
    found = rows.to_pylist()
    names = short_names(row["uri"] or row["video_id"] for row in found)
    shown = []
    for model in dict.fromkeys(row["model"] for row in found):
        of_model = [row for row in found if row["model"] == model]
        try:
            shown += [
                _show(row, names[row["uri"] or row["video_id"]], example, *separated)
                for row, example, *separated in _separate(workspace, model, of_model)
            ]
        except (
            ConfigError,
            DataError,
        ):  # its weights or an example's tar are missing or damaged: the page still appears
            continue
    return shown


def _separate(
    workspace: Workspace, model: str, rows: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Clip, np.ndarray, np.ndarray]]:
    """Each row with its example, the estimate [T] and the attention [K, rows, columns]."""
    from pipeline.evaluation.onscreen_rows import hear_example  # here, as `load_model`: both import torch
    from pipeline.learners.loading import load_model

    _, network = load_model(workspace, model, "separation")
    for row in rows:
        example = _read(workspace, row)
        if len(example.waveforms["first.flac"]) / example.facts["sample_rate_hz"] <= MAX_SECONDS:
            yield row, example, *hear_example(network, example)


def _read(workspace: Workspace, row: dict[str, Any]) -> Clip:
    folder = f"mixtures/{row['mixtures']}"
    uri = workspace.tar_uri(folder, row["part"])
    keys = workspace.read(folder, row["part"], MIXTURES, ["example_id"]).column("example_id").to_pylist()
    with files.local_copy(uri) as path:
        members = next(found for key, found in read_sequence(path, keys, uri) if key == row["example_id"])
    return decode_sample(row["example_id"], members, uri)


def _show(
    row: dict[str, Any], video: str, example: Clip, estimate: np.ndarray, attention: np.ndarray
) -> SeparatedShown:
    first = example.waveforms["first.flac"]
    mixture = np.sum(list(example.waveforms.values()), axis=0)
    reference = first if row["eval_set"].startswith("on") else np.zeros_like(first)
    rate_hz = example.facts["sample_rate_hz"]
    sounds = {"mixture": mixture, "reference": reference, "estimate": estimate}
    numbers = np.unique(np.linspace(0, example.num_frames - 1, NUM_FRAMES).round().astype(int))
    return SeparatedShown(
        model=row["model"],
        mixtures=row["mixtures"],
        eval_set=row["eval_set"],
        which=row["which"],
        value_db=row["value"],
        video=video,
        frames=tuple(picture_address(lit(example.frames[k].transpose(1, 2, 0), attention[k])) for k in numbers),
        sounds=tuple(
            Sound(name, sound_address(wave, rate_hz), picture_address(draw_spectrogram(wave, rate_hz)))
            if wave.any()
            else Sound(name, "", "")
            for name, wave in sounds.items()
        ),
    )


def lit(picture: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 of a picture, as bright as the attention on each cell is, relative to the most attended one.

    Args:
        picture: [H, W, 3] uint8 RGB.
        attention: [rows, columns] at least 0, of cells that tile the picture evenly.
    """
    height, width = picture.shape[:2]
    at_rows = np.arange(height) * attention.shape[0] // height
    at_columns = np.arange(width) * attention.shape[1] // width
    share = attention[at_rows][:, at_columns] / max(float(attention.max()), 1e-12)
    return ((DIMMED + (1 - DIMMED) * share[..., None]) * picture).round().astype(np.uint8)
