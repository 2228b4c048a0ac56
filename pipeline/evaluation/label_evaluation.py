"""A coincidence score beside people's labels -> how well it parts on-screen from off-screen, and what rules refuse.

For each split, the set `labelled_<split>`: `label_auc` is the area under the ROC curve of the score, clips labelled
on_screen against those labelled off_screen; mixed and quiet clips are left out. Of clips that labels call a still
picture, or say to have background music or a voice-over, `refused_<flag>_by_<rule>` is the share that a rule refuses:
its recall; `refused_other_by_<rule>` is the share of clips without any of the flags that it refuses too, the price of
it. Rules: `score`, below MIN_SCORE; `frozen`, more than MAX_FROZEN of the frames equal to the one before.

Design note: the rules' limits are fixed, so that models and corpora can be compared: 0.5 is where the calibrated score
takes a pair for another's, and 0.85 is how much of a video may stand still in Sphere360 (Liu et al. 2025,
arXiv:2504.14906). Only test clips are held out: the others are given so that a gap between splits is seen. Intervals
are over videos, because clips of one video are alike.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from pipeline.metrics.bootstrap import Interval, bootstrap_interval
from pipeline.metrics.detection import matched_mismatched_auc
from schemas.videos import SPLITS

FLAGS = ("static_image", "background_music", "voice_over")
MIN_SCORE, MAX_FROZEN = 0.5, 0.85
Figure = tuple[str, str, float | None, int, Interval | None]  # set, metric, value, clips, interval


def label_figures(clips: pa.Table) -> Iterator[Figure]:
    """The figures of each split that has labelled clips.

    Args:
        clips: video_id, split, score, frozen_fraction, label and FLAGS of scored clips that have a row of labels.
    """
    for split in SPLITS:
        columns = {name: np.array(clips[name].to_pylist(), object) for name in clips.column_names}
        of_split = {name: values[columns["split"] == split] for name, values in columns.items()}
        for metric, value, count, interval in _of_split(of_split):
            yield f"labelled_{split}", metric, value, count, interval


def _of_split(clips: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float | None, int, Interval | None]]:
    is_judged = np.isin(clips["label"], ("on_screen", "off_screen"))
    scores, videos = clips["score"][is_judged].astype(float), clips["video_id"][is_judged].astype(str)
    on_screen = clips["label"][is_judged] == "on_screen"
    if len(scores):
        yield "label_auc", *_figure(lambda rows: _auc(scores[rows], on_screen[rows]), videos)
    flags = {name: np.array([value is True for value in clips[name]], bool) for name in FLAGS}
    is_said = np.array(
        [any(value is not None for value in values) for values in zip(*(clips[name] for name in FLAGS), strict=True)],
        bool,
    )
    kinds = flags | {"other": is_said & ~np.any(list(flags.values()), axis=0)}
    refused = {
        "score": clips["score"].astype(float) < MIN_SCORE,
        "frozen": np.array([value is not None and value > MAX_FROZEN for value in clips["frozen_fraction"]], bool),
    }
    for kind, members in kinds.items():
        for rule, refuses in refused.items():
            if members.any():
                by_rule = refuses[members].astype(float)
                yield f"refused_{kind}_by_{rule}", *_figure(_share_of(by_rule), clips["video_id"][members].astype(str))


def _share_of(refused: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda rows: float(refused[rows].mean())


def _auc(scores: np.ndarray, on_screen: np.ndarray) -> float:
    """NaN where one class is missing."""
    if on_screen.all() or not on_screen.any():
        return float("nan")
    return matched_mismatched_auc(scores[on_screen], scores[~on_screen])


def _figure(statistic: Callable[[np.ndarray], float], videos: np.ndarray) -> tuple[float | None, int, Interval | None]:
    """Value, clips, and the interval over videos; no value where a class is missing."""
    value = statistic(np.arange(len(videos)))
    if np.isnan(value):
        return None, len(videos), None
    return value, len(videos), bootstrap_interval(statistic, videos)
