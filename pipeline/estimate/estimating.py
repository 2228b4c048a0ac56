"""What a collection will take to cut: a sample of its videos is cut in memory, and scaled up with a range.

In: the collection's listing, as a stream. Out: a range for every quantity; and, from a workspace where the collection
has been cut, what it took. Nothing is written.
"""

import collections
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.clip_specs import ClipSpec
from pipeline.clips.reconciling import reconcile
from pipeline.clips.sharding import Cutting, ShardingConfig
from pipeline.errors import DataError
from pipeline.estimate.pricing import GB, Quantities
from pipeline.estimate.stratified_sampling import Range, Sampler, Stratum, total
from pipeline.estimate.usage import cpu_s, usage_folder
from pipeline.storage import files
from pipeline.storage.workspace import VIDEOS_FOLDER, Workspace
from schemas.usage import USAGE
from schemas.videos import VIDEOS

# The least doubt about CPU time, also where every video was sampled: the same work takes more where cores share a
# cache, a clock or a hyperthread with others, and no two machines are alike.
CPU_DOUBT = 0.3
# What a worker's first part takes on top, for imports and for finding ffmpeg (measured: 0.3 s). The upper end has it
# for each part: how many workers there will be is not known.
WORKER_START_S = 0.5
# tarfile fills a tar with zeros up to a multiple of this.
TAR_RECORD_BYTES = 10240


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """The videos of a listing that are to be cut, and what the listing says of all of them."""

    num_videos: int
    size_bytes: int | None
    """Of all files; None where the listing does not say the size of each."""
    strata: list[Stratum]

    @property
    def num_sampled(self) -> int:
        """Videos to cut."""
        return sum(len(stratum.sampled) for stratum in self.strata)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What became of one sampled video."""

    uri: str
    outcome: str
    size_bytes: int
    duration_s: float
    num_kept: int
    tar_bytes: int
    cpu_s: float
    wall_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A range for each of `Quantities`, and the sample it comes from."""

    ranges: dict[str, Range]
    probes: list[Probe]

    def expected(self) -> Quantities:
        """The estimate."""
        return Quantities(**{name: found.value for name, found in self.ranges.items()})

    def low(self) -> Quantities:
        """Every quantity at the lower end of its range."""
        return Quantities(**{name: found.low for name, found in self.ranges.items()})

    def high(self) -> Quantities:
        """Every quantity at the upper end."""
        return Quantities(**{name: found.high for name, found in self.ranges.items()})

    def unusable(self) -> dict[str, list[Probe]]:
        """Sampled videos that give no clip, by reason, the most frequent first."""
        found = collections.defaultdict(list)
        for probe in self.probes:
            if not probe.num_kept:
                found[probe.outcome].append(probe)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def draw(videos: Iterable[dict[str, Any]], num_sampled: int) -> Sample:
    """A sample of a listing (rows of `schemas.videos.COLLECTION`), stratified by size; the listing streams."""
    sampler = Sampler(num_sampled)
    size_bytes: int | None = 0
    for video in videos:
        sampler.add(video["video_id"], video["size_bytes"], video)
        size_bytes = None if size_bytes is None or video["size_bytes"] is None else size_bytes + video["size_bytes"]
    return Sample(sampler.num_items, size_bytes, sampler.draw())


def probe(video: dict[str, Any], spec: ClipSpec, config: ShardingConfig) -> Probe:
    """Cut one video in memory, and say what that took and gave."""
    began_s, before_s = time.monotonic(), cpu_s()
    address, size_bytes = video["uri"], 0
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(DataError):  # a video that is not there: cutting says so in its own words
            path = stack.enter_context(files.local_copy(video["uri"]))
            size_bytes = path.stat().st_size
            address = files.to_uri(path)
        cutting = Cutting(video | {"uri": address, "size_bytes": size_bytes}, spec, config)
        num_kept, tar_bytes = 0, 0
        for clip in cutting:
            num_kept += clip.members is not None
            tar_bytes += sum(_tar_bytes(len(data)) for data in (clip.members or {}).values())
    row = cutting.video_row("")
    return Probe(
        uri=video["uri"],
        outcome=row["outcome"],
        size_bytes=size_bytes,
        duration_s=row["duration_s"] or 0.0,
        num_kept=num_kept,
        tar_bytes=tar_bytes,
        cpu_s=cpu_s() - before_s,
        wall_s=time.monotonic() - began_s,
    )


def probe_all(
    sample: Sample, spec: ClipSpec, config: ShardingConfig, advance: Callable[[int, str], Any]
) -> list[list[Probe]]:
    """The probes of each stratum's sampled videos; `advance` is told of each video that is cut."""
    # The first one twice: the first time in a process costs 30 ms more, for imports and for finding ffmpeg.
    probe(sample.strata[0].sampled[0], spec, config)
    probes: list[list[Probe]] = []
    for stratum in sample.strata:
        probes.append([])
        for video in stratum.sampled:
            probes[-1].append(probe(video, spec, config))
            advance(1, "")
    return probes


def _tar_bytes(size_bytes: int) -> int:
    """A tar member: a header of 512 bytes, and the content in whole blocks of 512."""
    return 512 + math.ceil(size_bytes / 512) * 512


def estimate(sample: Sample, probes: Sequence[Sequence[Probe]], videos_per_part: int) -> Estimate:
    """Totals of the collection from the probes of each stratum's sampled videos."""
    num_items = [stratum.num_items for stratum in sample.strata]

    def scaled(value: Callable[[Probe], float]) -> Range:
        return total(num_items, [[value(found) for found in stratum] for stratum in probes])

    num_parts = math.ceil(sample.num_videos / videos_per_part)
    usable = scaled(lambda found: found.num_kept > 0)
    written = scaled(lambda found: found.tar_bytes / GB)
    spent = scaled(lambda found: found.cpu_s / 3600).widened(CPU_DOUBT)
    read = scaled(lambda found: found.size_bytes / GB) if sample.size_bytes is None else _exact(sample.size_bytes / GB)
    ranges = {
        "videos": _exact(sample.num_videos),
        "usable": usable._replace(high=min(usable.high, sample.num_videos)),
        "hours": scaled(lambda found: found.duration_s / 3600),
        "clips": scaled(lambda found: found.num_kept),
        "gigabytes": written._replace(high=written.high + num_parts * TAR_RECORD_BYTES / GB),
        "gigabytes_read": read,
        "cpu_hours": spent._replace(high=spent.high + num_parts * WORKER_START_S / 3600),
        "parts": _exact(num_parts),
    }
    return Estimate(ranges=ranges, probes=[found for stratum in probes for found in stratum])


def _exact(value: float) -> Range:
    return Range(value, value, value)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Actual:
    """What cutting has taken and given so far."""

    quantities: Quantities
    """Of the parts that are cut; CPU hours are NaN unless all of them have a row of usage."""
    num_pending: int
    """Parts that are not cut yet."""
    num_metered: int
    """Parts that have a row of usage."""
    known_cpu_hours: float
    """Of those."""


def actual(workspace: Workspace) -> Actual | None:
    """What `earshot shard` took and gave in a workspace, part by part; None where no part is cut.

    Raises:
        DataError: the workspace is damaged.
    """
    parts = workspace.parts(VIDEOS_FOLDER)
    if not parts:
        return None
    stock = reconcile(workspace)
    size_bytes = sum(
        math.nan if size is None else size
        for part in parts
        for size in workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["size_bytes"]).column("size_bytes").to_pylist()
    )
    metered = set(parts).intersection(workspace.parts(usage_folder("shard")))
    spent_s = sum(
        workspace.read(usage_folder("shard"), part, USAGE, ["cpu_s"]).column("cpu_s")[0].as_py()
        for part in sorted(metered)
    )
    quantities = Quantities(
        videos=stock.num_videos,
        usable=stock.videos_by_outcome.get("kept", 0),
        hours=stock.video_s / 3600,
        clips=stock.num_kept,
        gigabytes=stock.tar_bytes / GB,
        gigabytes_read=size_bytes / GB,
        cpu_hours=spent_s / 3600 if len(metered) == len(parts) else math.nan,
        parts=len(parts),
    )
    return Actual(
        quantities=quantities,
        num_pending=stock.num_pending_parts,
        num_metered=len(metered),
        known_cpu_hours=spent_s / 3600,
    )
