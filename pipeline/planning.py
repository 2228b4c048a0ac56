"""What a collection will take to cut: a sample of its videos is cut in memory, and scaled up with a range."""

import dataclasses
import math
import resource
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.collecting import CollectingConfig
from pipeline.sharding import Cutting, ShardingConfig
from pipeline.views import ClipView


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """Totals for the whole collection; each figure is (mean, standard error of the total)."""

    num_videos: int
    num_sampled: int
    num_usable: int
    hours: tuple[float, float]
    clips: tuple[float, float]
    gigabytes: tuple[float, float]
    cpu_hours: tuple[float, float]
    num_parts: int

    def lines(self) -> list[str]:
        """The estimate, a line per figure, each with the range that holds it 19 times in 20."""
        figures = {
            "hours of video": self.hours,
            "clips": self.clips,
            "gigabytes": self.gigabytes,
            "CPU hours": self.cpu_hours,
        }
        usable = f"{self.num_usable} of {self.num_sampled} sampled are usable"
        head = f"{self.num_videos} videos in {self.num_parts} parts; {usable}"
        return [head, *(f"{name:>15}: {_range(*figure)}" for name, figure in figures.items())]


def estimate(
    videos: Iterable[dict[str, Any]],
    num_sampled: int,
    view: ClipView,
    sharding: ShardingConfig,
    collecting: CollectingConfig,
) -> Estimate:
    """Totals from `num_sampled` videos, drawn evenly by a reservoir, so that the listing may stream."""
    rng = np.random.default_rng(0)
    sample: list[dict[str, Any]] = []
    num_videos = 0
    for video in videos:
        num_videos += 1
        if len(sample) < num_sampled:
            sample.append(video)
        else:
            place = int(rng.integers(num_videos))
            if place < num_sampled:
                sample[place] = video
    rows = np.array([_cut(video, view, sharding) for video in sample])
    spread = math.sqrt(max(0.0, 1 - len(sample) / num_videos))  # nothing is uncertain once all have been cut
    error = rows.std(axis=0, ddof=1) / math.sqrt(len(rows)) * spread if len(rows) > 1 else np.zeros(4)
    figures = ("hours", "clips", "gigabytes", "cpu_hours")
    totals = {
        name: (float(mean) * num_videos, float(deviation) * num_videos)
        for name, mean, deviation in zip(figures, rows.mean(axis=0), error, strict=True)
    }
    usable = int((rows[:, 1] > 0).sum())
    parts = math.ceil(num_videos / collecting.videos_per_part)
    return Estimate(num_videos=num_videos, num_sampled=len(sample), num_usable=usable, num_parts=parts, **totals)


def _cut(video: dict[str, Any], view: ClipView, config: ShardingConfig) -> tuple[float, float, float, float]:
    """Hours, clips, gigabytes and CPU hours of one video."""
    before = _cpu_s()
    cutting = Cutting(video, view, config)
    clips = list(cutting)
    row = cutting.video_row("", [clip.row for clip in clips])
    size = sum(len(data) + 1024 for clip in clips for data in (clip.members or {}).values())  # 1 kB: header, padding
    num_kept = sum(clip.members is not None for clip in clips)
    return (row["duration_s"] or 0.0) / 3600, num_kept, size / 1e9, (_cpu_s() - before) / 3600


def _cpu_s() -> float:
    """CPU time of this process and its ended children."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _range(value: float, error: float) -> str:
    return (
        f"{value:.3g}" if error == 0 else f"{value:.3g} ({max(0.0, value - 2 * error):.3g} to {value + 2 * error:.3g})"
    )
