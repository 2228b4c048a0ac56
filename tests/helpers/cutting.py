"""Media whose pictures say the time, and what comes of cutting them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import webdataset

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.videos import VIDEOS, CollectionRow, Span

RATE_HZ = 16000
SPEC = ClipSpec(clip_s=2.0, frame_height=32, frame_width=32, exact_frames=True)
SMALL = {"frame_height": 32, "frame_width": 32}
LAVFI = ("-f", "lavfi", "-i")
EXACT = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
MakeMedia = Callable[..., Path]

SPECS = {
    "base": ClipSpec(clip_s=2.0, **SMALL),
    "events": ClipSpec(clip_s=4.0, hop_s=4.0, frame_rate_hz=4.0, **SMALL),
    "segmentation": ClipSpec(clip_s=2.0, hop_s=2.0, frame_offset_s=0.5, frame_height=24, frame_width=48),
    "speech": ClipSpec(clip_s=1.0, hop_s=1.0, frame_rate_hz=20.0, exact_frames=True, **SMALL),
    "low": ClipSpec(clip_s=2.0, hop_s=2.0, sample_rate_hz=8000, **SMALL),
}


def picture(duration_s: float) -> tuple[str, ...]:
    """Brightness says the time: luma 16 + 20 t."""
    return (*LAVFI, f"color=black:s=32x32:r=20:d={duration_s},geq=lum='16+20*T':cb=128:cr=128")


def sound(duration_s: float, expression: str = "0.5*sin(2*PI*500*t)") -> tuple[str, ...]:
    return (*LAVFI, f"aevalsrc='{expression}':d={duration_s}:s={RATE_HZ}")


def steady(make_media: MakeMedia, duration_s: float) -> Path:
    return make_media(f"steady_{duration_s}.mkv", *picture(duration_s), *sound(duration_s), *EXACT)


class Cut:
    """The rows and samples that come of a collection of one part."""

    def __init__(self, workspace: Workspace, collection: Path, spec: ClipSpec, config: ShardingConfig) -> None:
        plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
        self.counts = ShardPart(workspace, {BASE: spec}, config)("00000")
        self.workspace = workspace
        self.clips: list[dict[str, Any]] = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
        self.videos: list[dict[str, Any]] = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()

    @property
    def outcomes(self) -> list[str]:
        return [clip["outcome"] for clip in self.clips]

    def samples(self) -> dict[str, dict[str, Any]]:
        """What plain webdataset finds in the tar."""
        tar = self.workspace.tar_uri(CLIPS_FOLDER, "00000")
        return {
            sample["__key__"]: sample for sample in webdataset.WebDataset(tar, shardshuffle=False, empty_check=False)
        }


def assert_shows_its_time(sample: dict[str, Any], facts: dict[str, Any]) -> None:
    """The frames of `picture` say when they were shown."""
    for k, time_s in enumerate(facts["frame_times_s"]):
        luma = simplejpeg.decode_jpeg(sample[f"{k}.jpg"], colorspace="RGB").mean() * 219 / 255 / 20
        assert luma == pytest.approx(time_s, abs=0.12)
        assert time_s == pytest.approx(math.ceil(facts["start_s"]) + k, abs=0.06)  # at 1 fps there is one every second


def listed(path: Path | str, spans: list[Span] | None = None) -> CollectionRow:
    """A video of which a collection says no more."""
    return CollectionRow(
        video_id="v", uri=str(path), size_bytes=None, revision=None, license=None, author=None, source_url=None,
        rights="unknown", rights_from=None, split=None, extra=None, spans=spans,
    )  # fmt: skip


def span_of(path: Path, start_s: float, end_s: float) -> CollectionRow:
    return listed(path, [{"start_s": start_s, "end_s": end_s}])


def files_of(workspace: Workspace) -> dict[str, bytes]:
    return {
        files.relative(entry.uri, workspace.root): files.read_bytes(entry.uri)
        for entry in files.list_files(workspace.root)
    }


def sparse(make_media: MakeMedia, half_s: float = 4.0, name: str = "sparse.mkv") -> Path:
    """Every picture is one that another refers to, then 16 in a row are not: at 20 fps a gap of 0.85 s."""
    first = make_media(f"dense_{name}", *picture(half_s), *EXACT, "-bf", "0")
    params = "bframes=16:b-adapt=0:b-pyramid=none:keyint=100:scenecut=0"
    second = make_media(f"skipped_{name}", *picture(4.0), *EXACT, "-preset", "fast", "-x264-params", params)
    (first.parent / f"{name}.txt").write_text(f"file {first.name}\nfile {second.name}\n")
    both = ("-f", "concat", "-i", f"{name}.txt")
    return make_media(name, *both, *sound(half_s + 4.0), "-c:v", "copy", "-c:a", "pcm_s16le")
