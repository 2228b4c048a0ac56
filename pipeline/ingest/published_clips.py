"""One video of a published data set of masks -> its clip, its masks and their rows, as cutting and labelling make them.

A video is one clip: a frame a second, each from 15/16 of it, as the published code took them. Frames get the size of
the clip spec, as do coloured masks, which are published at the size of the video, by nearest neighbour: at 1280x720 ten
would take longer to decode than a training step. What is wrong with a video becomes the outcome of its row.

Design note: a video of 5 s among ones of 10 s is padded with black frames and silence, as in the published code,
because the clips of a spec are of one length. The black frames have no mask.
"""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simplejpeg

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import encode_flac
from pipeline.clips.statistics import look_at, picture_levels, sound_levels
from pipeline.errors import ClipError
from pipeline.ingest.avsbench_lists import DataSet, ListedVideo, Places
from pipeline.ingest.published_media import decode_picture, fill_sound, fit_picture, read_file, read_sound
from pipeline.ingest.published_trees import PublishedTree
from pipeline.ingest.semantic_masks import Categories, read_categories
from pipeline.masks.mask_labeling import is_alike
from pipeline.masks.mask_parts import Mask
from pipeline.masks.mask_pictures import MaskError, decode_mask, resize_mask
from schemas.masks import MISMATCH, UNREADABLE
from schemas.samples import ClipFacts
from schemas.videos import CollectionRow

Size = tuple[int, int]  # height and width
SPEC = "segmentation"
FRAME_OFFSET_S = 15 / 16  # of 16 frames a second, the published code keeps the last
JPEG_QUALITY = 95  # of photographs of 224x224: 39 to 43 dB PSNR to the PNG, 20 to 38 kB; 90 is 2 to 3 dB less


def clip_spec(data_set: DataSet) -> ClipSpec:
    """What a clip of the data set holds."""
    return ClipSpec(
        clip_s=data_set.num_seconds,
        hop_s=data_set.num_seconds,
        frame_offset_s=FRAME_OFFSET_S,
        frame_height=224,
        frame_width=224,
        exact_frames=True,
    )


@dataclass(frozen=True, slots=True)
class TakenVideo:
    """What becomes of one line of the list."""

    video: dict[str, Any]
    """Its row of `schemas.videos.VIDEOS`, but for the part."""
    clip: dict[str, Any]
    """Its row of `schemas.clips.CLIPS`, but for its place."""
    members: dict[str, bytes] | None
    """Of its clip in the tar; None if it is rejected."""
    masks: list[Mask] = field(default_factory=list)
    """In the order of time."""
    num_odd: int = 0
    """Masks with colours that stand for nothing."""


class PublishedClips:
    """Makes clips of a tree's videos. Reads nothing but the files that the list names.

    Args:
        as_published: leave each video in its published split, also where another has the same bytes: no content hash.
    Raises:
        ConfigError: what the colours of masks stand for cannot be read.
    """

    def __init__(self, tree: PublishedTree, as_published: bool) -> None:
        self.spec = clip_spec(tree.data_set)
        self._tree, self._as_published = tree, as_published
        self._categories: Categories | None = read_categories(tree.folder) if tree.data_set.has_colours else None

    def take(self, listed: ListedVideo, row: CollectionRow) -> TakenVideo:
        """The clip, the masks and the rows of a line, whose row of the collection is `row`."""
        video: dict[str, Any] = {name: value for name, value in row.items() if name not in ("revision", "spans")}
        video |= {"num_clips": 1, "outcome": "kept"}
        clip: dict[str, Any] = {
            "clip_id": f"{row['video_id']}_00000000_{SPEC}",
            "video_id": row["video_id"],
            "start_s": 0.0,
            "duration_s": self.spec.clip_s,
            "num_frames": 0,
            "outcome": "kept",
        }
        try:
            if (fault := self._tree.faults.get(listed.line)) is not None:
                raise ClipError(fault.outcome, fault.detail)
            places = listed.places
            assert places is not None  # else there is a fault
            sizes, frames, samples, content_hash = self._read(places)
        except ClipError as error:
            rejected = {"outcome": error.reason}
            return TakenVideo(video | rejected | {"detail": error.detail}, clip | rejected, None)
        video |= {"duration_s": float(len(frames)), "height": sizes[0][0], "width": sizes[0][1]}
        if not self._as_published:
            video["content_hash"] = content_hash
        clip |= sound_levels(samples, self.spec.sample_rate_hz)
        clip |= picture_levels(list(map(look_at, frames)))
        clip |= {"num_frames": self.spec.num_frames, "unique_s": float(len(frames))}
        masks, num_odd = self._read_masks(row["video_id"], places, sizes)
        return TakenVideo(video, clip, self._members(clip, row, frames, samples), masks, num_odd)

    def _members(
        self, clip: dict[str, Any], row: CollectionRow, frames: list[np.ndarray], samples: np.ndarray
    ) -> dict[str, bytes]:
        """The clip as it lies in the tar, padded to the length of the spec."""
        spec = self.spec
        frames = frames + [np.zeros_like(frames[0])] * (spec.num_frames - len(frames))
        facts: ClipFacts = {
            "clip_id": clip["clip_id"],
            "video_id": clip["video_id"],
            "start_s": 0.0,
            "duration_s": spec.clip_s,
            "sample_rate_hz": spec.sample_rate_hz,
            "frame_times_s": [_time_s(number) for number in range(spec.num_frames)],
            "uri": row["uri"],
            "license": row["license"],
            "author": row["author"],
            "extra": json.loads(row["extra"] or "null"),
        }
        members = {
            f"{number}.jpg": simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=JPEG_QUALITY)
            for number, frame in enumerate(frames)
        }
        members["flac"] = encode_flac(np.pad(samples, (0, spec.num_samples - len(samples))), spec.sample_rate_hz)
        members["json"] = json.dumps(facts, sort_keys=True).encode()
        return members

    def _read(self, places: Places) -> tuple[list[Size], list[np.ndarray], np.ndarray, str]:
        """What the files hold, of which one is in memory at a time.

        Returns:
            The frames' published sizes, the frames at the clips' size, the sound [n] int16, as long as the frames last,
            and a hash of the bytes of all files.
        """
        folder, seconds, rate_hz = self._tree.folder, float(len(places.frames)), self.spec.sample_rate_hz
        sizes: list[Size] = []
        frames, digests = list[np.ndarray](), list[bytes]()
        for path in places.frames:
            data = read_file(folder / path)
            picture = decode_picture(data, path)
            sizes.append((len(picture), picture.shape[1]))
            frames.append(fit_picture(picture, self.spec.frame_height, self.spec.frame_width))
            digests.append(hashlib.sha256(data).digest())
        data = read_file(folder / places.sound)
        samples = fill_sound(read_sound(folder / places.sound, data, seconds, rate_hz), seconds, rate_hz)
        digests.append(hashlib.sha256(data).digest())
        return sizes, frames, samples, hashlib.sha256(b"".join(digests)).hexdigest()

    def _read_masks(self, video: str, places: Places, sizes: list[Size]) -> tuple[list[Mask], int]:
        """The masks of the frames, of these sizes, and how many have colours that stand for nothing."""
        masks: list[Mask] = []
        num_odd, stretched = 0, (self.spec.frame_height, self.spec.frame_width)
        for number, path in enumerate(places.masks):
            if path not in self._tree.sizes:
                continue
            make = functools.partial(Mask, video_id=video, time_s=_time_s(number), source=path)
            try:
                size, joined, by_name, num_unknown = self._read_mask(path)
            except (MaskError, ClipError) as error:
                masks.append(make(outcome=UNREADABLE, detail=str(error)))
                continue
            num_odd += num_unknown > 0
            if not any(is_alike(size, other) for other in (sizes[number], stretched)):
                found, expected = (f"{width}x{height}" for height, width in (size, sizes[number]))
                detail = f"{found} pixels; expected the shape of its frame, {expected}"
                masks.append(make(outcome=MISMATCH, size=size, detail=detail))
                continue
            masks.append(make(pixels=joined))
            masks += [make(category=name, pixels=mask) for name, mask in by_name.items()]
        return masks, num_odd

    def _read_mask(self, path: str) -> tuple[Size, np.ndarray, dict[str, np.ndarray], int]:
        """Its published size, all that sounds, what sounds by category, and how many pixels have an unknown colour."""
        data, spec = read_file(self._tree.folder / path), self.spec
        if self._categories is None:
            mask = decode_mask(data)
            return (len(mask), mask.shape[1]), mask, {}, 0
        pixels = decode_picture(data, path)
        fitted = [resize_mask(pixels[..., channel], spec.frame_height, spec.frame_width) for channel in range(3)]
        return (len(pixels), pixels.shape[1]), *self._categories.split(np.stack(fitted, axis=-1))


def _time_s(number: int) -> float:
    return number + FRAME_OFFSET_S
