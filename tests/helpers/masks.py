"""Clips in which a square is seen to sound, and their masks, as `earshot shard` and `earshot label` leave both."""

import json

import numpy as np
import simplejpeg

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.hashing import as_dict
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import VIDEOS

SPEC = ClipSpec(
    clip_s=3.0, hop_s=3.0, frame_offset_s=0.5, frame_height=32, frame_width=32, exact_frames=True
)  # 3 frames
FOLDER = "clips/segmentation"


def write_masked_world(workspace: Workspace, spec: ClipSpec = SPEC, grain: float = 0.0) -> None:
    """A masked clip of each video of a world, and the records of both stages; pictures have noise of that deviation.

    Of three videos one has a mask of each frame, one of the first frame alone, and one is silent: its masks are empty.
    """
    for part in workspace.parts(VIDEOS_FOLDER):
        write_masked_part(workspace, part, spec, grain)
    workspace.begin(FOLDER, {"clips": {"segmentation": as_dict(spec)}}, {})
    workspace.begin(MASKS_FOLDER, {}, {})


def write_masked_part(workspace: Workspace, part: str, spec: ClipSpec = SPEC, grain: float = 0.0) -> None:
    """One part of `write_masked_world`."""
    videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
    rows, masks = [], []
    with files.building(workspace.tar_uri(FOLDER, part)) as path, TarWriter(path) as tar:
        for number, video in enumerate(videos):
            rng = np.random.default_rng([number, int(part)])
            pixels, members = _draw(rng, spec, video["video_id"], is_heard=number % 3 != 2, grain=grain)
            clip_id = json.loads(members["json"])["clip_id"]
            offset, length = tar.add(clip_id, members)
            row = {"clip_id": clip_id, "video_id": video["video_id"], "start_s": 0.0, "duration_s": spec.clip_s}
            row |= {"unique_s": spec.clip_s, "part": part, "tar_offset": offset, "tar_bytes": length}
            rows.append(row | {"num_frames": spec.num_frames, "outcome": "kept"})
            for frame in range(1 if number % 3 == 1 else spec.num_frames):
                time_s = frame / spec.frame_rate_hz + spec.frame_offset_s
                masks.append(Mask(video_id=video["video_id"], time_s=time_s, source="m.png", pixels=pixels[frame]))
    workspace.commit(FOLDER, part, from_rows(rows, CLIPS, part), CLIPS)
    workspace.commit(FOLDER.replace("clips", "videos"), part, from_rows(videos, VIDEOS, part), VIDEOS)
    write_masks(workspace, part, masks)


def _draw(
    rng: np.random.Generator, spec: ClipSpec, video_id: str, is_heard: bool, grain: float
) -> tuple[np.ndarray, dict]:
    """[K, H, W] the square that moves, where it is heard, and the members of the clip."""
    num_frames, height, width = spec.num_frames, spec.frame_height, spec.frame_width
    side = height // 3
    pixels = np.zeros((num_frames, height, width), bool)
    frames = np.full((num_frames, height, width, 3), rng.integers(40, 100, 3), np.uint8)
    for frame in range(num_frames):
        top, left = rng.integers(0, (height - side, width - side))
        pixels[frame, top : top + side, left : left + side] = True
    frames[pixels] = 230
    if grain:
        frames = np.clip(frames + rng.normal(0, grain, frames.shape), 0, 255).astype(np.uint8)
    time_s = np.arange(spec.num_samples) / spec.sample_rate_hz
    sound = 0.3 * np.sin(2 * np.pi * 440 * time_s) if is_heard else 0.003 * rng.standard_normal(len(time_s))
    facts = {
        "clip_id": f"{video_id}_00000000_segmentation",
        "video_id": video_id,
        "start_s": 0.0,
        "duration_s": spec.clip_s,
        "sample_rate_hz": spec.sample_rate_hz,
        "frame_times_s": [k / spec.frame_rate_hz + spec.frame_offset_s for k in range(num_frames)],
        "uri": f"/videos/{video_id}.mp4",
        "license": None,
        "author": None,
        "extra": None,
    }
    members = {f"{k}.jpg": simplejpeg.encode_jpeg(frame, quality=95) for k, frame in enumerate(frames)}
    members |= {"flac": encode_flac(sound, spec.sample_rate_hz), "json": json.dumps(facts, sort_keys=True).encode()}
    return pixels & is_heard, members
