"""Clips of a mouth that opens as loud as its voice is, as `earshot shard` leaves those of the clip spec `speech`."""

import itertools
import json

import numpy as np
import simplejpeg

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.hashing import as_dict
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import VIDEOS

SPEC = ClipSpec(clip_s=0.8, hop_s=0.8, frame_rate_hz=25.0, frame_height=24, frame_width=24, exact_frames=True)
FOLDER = "clips/speech"


def write_speech_world(workspace: Workspace, spec: ClipSpec = SPEC, starts_s: tuple[float, ...] = (0.0,)) -> None:
    """Clips of a speaking mouth for each video of a world, one from each of `starts_s` on; the records of the stage."""
    for part in workspace.parts(VIDEOS_FOLDER):
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        rows = []
        with files.building(workspace.tar_uri(FOLDER, part)) as path, TarWriter(path) as tar:
            for (number, video), start_s in itertools.product(enumerate(videos), starts_s):
                seed = [number, int(part)] + ([round(1000 * start_s)] if start_s else [])
                members = draw_clip(np.random.default_rng(seed), spec, video["video_id"], start_s)
                clip_id = json.loads(members["json"])["clip_id"]
                offset, length = tar.add(clip_id, members)
                row = {"clip_id": clip_id, "video_id": video["video_id"], "start_s": start_s, "duration_s": spec.clip_s}
                row |= {"unique_s": spec.clip_s, "part": part, "tar_offset": offset, "tar_bytes": length}
                rows.append(row | {"num_frames": spec.num_frames, "outcome": "kept"})
        workspace.commit(FOLDER, part, from_rows(rows, CLIPS, part), CLIPS)
        workspace.commit(FOLDER.replace("clips", "videos"), part, from_rows(videos, VIDEOS, part), VIDEOS)
    workspace.begin(FOLDER, {"clips": {"speech": as_dict(spec)}}, {})


def draw_clip(rng: np.random.Generator, spec: ClipSpec, video_id: str, start_s: float = 0.0) -> dict[str, bytes]:
    """The members of a clip: openings that move at random, at their times in the picture and in the sound."""
    knots = rng.uniform(0, 1, spec.num_frames // 3 + 2)  # 0.12 s apart
    times_s = np.arange(spec.num_frames) / spec.frame_rate_hz
    pictures = draw_mouths(rng, _opening(times_s, knots), spec.frame_height)
    sound_s = np.arange(spec.num_samples) / spec.sample_rate_hz
    # what is seen in frame k lasts from its time to the next one's
    loudness = _opening(sound_s - 0.5 / spec.frame_rate_hz, knots)
    sound = 0.2 * loudness**2 * rng.standard_normal(spec.num_samples)
    facts = {
        "clip_id": f"{video_id}_{round(1000 * start_s):08d}_speech_f0",
        "video_id": video_id,
        "start_s": start_s,
        "duration_s": spec.clip_s,
        "sample_rate_hz": spec.sample_rate_hz,
        "frame_times_s": (start_s + times_s).tolist(),
        "uri": f"/videos/{video_id}.mp4",
        "license": None,
        "author": None,
        "extra": None,
    }
    members = {f"{k}.jpg": simplejpeg.encode_jpeg(picture, quality=95) for k, picture in enumerate(pictures)}
    return members | {"flac": encode_flac(sound, spec.sample_rate_hz), "json": json.dumps(facts).encode()}


def draw_mouths(rng: np.random.Generator, openings: np.ndarray, side: int) -> np.ndarray:
    """[T, side, side, 3] uint8: an ellipse of a colour of its own, as high as each opening in [0, 1] says."""
    pictures = np.full((len(openings), side, side, 3), rng.integers(90, 200, 3), np.uint8)
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    for picture, opening in zip(pictures, openings, strict=True):
        picture[(columns / 0.3) ** 2 + (rows / (0.02 + 0.25 * opening)) ** 2 < 1] = (120, 20, 30)
    return pictures


def _opening(times_s: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.interp(times_s, 0.12 * np.arange(len(knots)), knots)
