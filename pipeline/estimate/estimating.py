"""The work of cutting a collection: a sample of its videos is cut in memory, and scaled up with a range.

In: the strata of the collection's listing. Out: an `Estimate`; and of a workspace, what it took. Nothing is written.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.reconciling import reconcile
from pipeline.clips.video_cutting import Restart, VideoCutting
from pipeline.errors import DataError
from pipeline.estimate.stratified_sampling import Range, Stratum, add_sizes, total
from pipeline.estimate.usage import USAGE_FOLDER, cpu_s, usage_folder
from pipeline.storage import files
from pipeline.storage.layout import CUTTING
from pipeline.storage.workspace import Workspace
from schemas.usage import USAGE
from schemas.videos import VIDEOS, CollectionRow

# The least uncertainty of CPU time, also where every video was sampled: the same work takes longer where cores share a
# cache, a clock or a hyperthread with others.
CPU_UNCERTAINTY = 0.3
# A worker's first part takes this much longer, for imports and for finding ffmpeg (measured: 0.3 s). The upper end has
# it once per part, because the number of workers is not known.
WORKER_START_S = 0.5
# tarfile fills a tar with zeros up to a multiple of this.
TAR_RECORD_BYTES = 10240


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What cutting one sampled video gave and took."""

    uri: str
    outcome: str
    size_bytes: int
    duration_s: float
    num_kept: int
    tar_bytes: int
    cpu_s: float
    wall_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A range for each quantity, and the sample that it comes from.

    Quantities: videos, usable_videos (that give a clip), video_hours, read_bytes (video files), clips (kept ones),
    tar_bytes, parts, cpu_hours.
    """

    ranges: dict[str, Range]
    probes: list[Probe]

    def __str__(self) -> str:
        """The sample: its size, its speed, and why some of its videos are not usable."""
        unusable = collections.defaultdict(list)
        for probe in self.probes:
            if not probe.num_kept:
                unusable[probe.outcome].append(probe.uri)
        spent_s, wall_s = (sum(getattr(probe, name) for probe in self.probes) for name in ("cpu_s", "wall_s"))
        num_usable = sum(probe.num_kept > 0 for probe in self.probes)
        lines = [
            f"Sample: {len(self.probes)} of {self.ranges['videos'].value} videos, {num_usable} usable; cut in "
            f"{wall_s:.1f} s with {spent_s:.1f} s of CPU."
        ]
        by_frequency = sorted(unusable.items(), key=lambda item: -len(item[1]))
        return "\n".join([*lines, *(f"  {len(uris)} {reason}, such as {uris[0]}" for reason, uris in by_frequency)])


def probe(video: CollectionRow, specs: Mapping[str, ClipSpec], config: ShardingConfig) -> Probe:
    """Cut one video by every spec in memory and measure it; length and outcome are those for the first spec."""
    began_s, before_s = time.monotonic(), cpu_s()
    address, size_bytes = video["uri"], 0
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(DataError):  # a missing video: cutting gives it the outcome `missing`
            path = stack.enter_context(files.local_copy(video["uri"]))
            address, size_bytes = files.to_uri(path), path.stat().st_size
        cutting = VideoCutting(video | {"uri": address, "size_bytes": size_bytes}, specs, config)
        kept: list[tuple[str, list[int]]] = []
        for item in cutting:
            if isinstance(item, Restart):
                kept = [(spec, sizes) for spec, sizes in kept if spec not in item.specs]
            elif item.members is not None:
                kept.append((item.spec, [len(data) for data in item.members.values()]))
    row = cutting.video_row(next(iter(specs)), "")
    return Probe(
        uri=video["uri"],
        outcome=row["outcome"],
        size_bytes=size_bytes,
        duration_s=row["duration_s"] or 0.0,
        num_kept=len(kept),
        # a tar member is a header of 512 bytes and its content in whole blocks of 512
        tar_bytes=sum(512 + math.ceil(size / 512) * 512 for _, sizes in kept for size in sizes),
        cpu_s=cpu_s() - before_s,
        wall_s=time.monotonic() - began_s,
    )


def probe_all(
    strata: Sequence[Stratum],
    specs: Mapping[str, ClipSpec],
    config: ShardingConfig,
    advance: Callable[[int, str], Any],
) -> list[list[Probe]]:
    """The probes of each stratum's sampled videos; `advance(1, "")` is called after each video."""
    # The first video is cut twice: the first time in a process takes 30 ms longer, for imports and for finding ffmpeg.
    probe(strata[0].sampled[0], specs, config)
    probes: list[list[Probe]] = [[] for _ in strata]
    for stratum, found in zip(strata, probes, strict=True):
        for video in stratum.sampled:
            found.append(probe(video, specs, config))
            advance(1, "")
    return probes


def estimate(strata: Sequence[Stratum], probes: Sequence[Sequence[Probe]], videos_per_part: int) -> Estimate:
    """Totals of the collection from the probes of each stratum's sampled videos."""
    num_items = [stratum.num_items for stratum in strata]

    def scaled(value: Callable[[Probe], float]) -> Range:
        return total(num_items, [[value(found) for found in stratum] for stratum in probes])

    num_videos = sum(num_items)
    num_parts = math.ceil(num_videos / videos_per_part)
    size_bytes = functools.reduce(add_sizes, (stratum.size_bytes for stratum in strata))
    usable = scaled(lambda found: found.num_kept > 0)
    written = scaled(lambda found: found.tar_bytes)
    spent = scaled(lambda found: found.cpu_s / 3600).widened(CPU_UNCERTAINTY)
    ranges = {
        "videos": Range.exact(num_videos),
        "usable_videos": usable._replace(high=min(usable.high, num_videos)),
        "video_hours": scaled(lambda found: found.duration_s / 3600),
        "read_bytes": scaled(lambda found: found.size_bytes) if size_bytes is None else Range.exact(size_bytes),
        "clips": scaled(lambda found: found.num_kept),
        "tar_bytes": written._replace(high=written.high + num_parts * TAR_RECORD_BYTES),
        "parts": Range.exact(num_parts),
        "cpu_hours": spent._replace(high=spent.high + num_parts * WORKER_START_S / 3600),
    }
    return Estimate(ranges, list(itertools.chain(*probes)))


def actual(workspace: Workspace, specs: Sequence[str]) -> dict[str, float]:
    """The quantities of an `Estimate` that `earshot shard` has reached in a workspace, summed over its finished parts.

    Videos are those of the first clip spec, clips and their bytes those of all.

    Without CPU hours unless every part was cut by these clip specs alone, without read bytes unless every video's size
    is known.

    Raises:
        DataError: the workspace is damaged.
    """
    stocks = [reconcile(workspace, spec) for spec in specs]
    stock, videos = stocks[0], f"videos/{specs[0]}"
    parts = workspace.parts(videos)
    quantities = {
        "videos": stock.num_videos,
        "usable_videos": stock.videos_by_outcome.get("kept", 0),
        "video_hours": stock.video_s / 3600,
        "clips": sum(each.num_kept for each in stocks),
        "tar_bytes": sum(each.tar_bytes for each in stocks),
        "parts": len(parts),
    }
    columns = [workspace.read(videos, part, VIDEOS, ["size_bytes"]).column("size_bytes") for part in parts]
    sizes = [size for column in columns for size in column.to_pylist()]
    if None not in sizes:
        quantities["read_bytes"] = sum(sizes)
    spent_s = _spent_s(workspace, specs, parts)
    if spent_s is not None:
        quantities["cpu_hours"] = spent_s / 3600
    return quantities


def _spent_s(workspace: Workspace, specs: Sequence[str], parts: Sequence[str]) -> float | None:
    """CPU seconds of cutting the parts by these clip specs and no others; None where they were not measured so."""
    spent_s, lacking = 0.0, {part: set(specs) for part in parts}
    for name in workspace.names(USAGE_FOLDER):
        group = set(name.removeprefix(CUTTING).split("-"))
        if name.startswith(CUTTING) and group <= set(specs):
            for part in lacking.keys() & workspace.parts(usage_folder(name)):
                spent_s += workspace.read(usage_folder(name), part, USAGE, ["cpu_s"]).column("cpu_s")[0].as_py()
                lacking[part] -= group
    return None if any(lacking.values()) else spent_s
