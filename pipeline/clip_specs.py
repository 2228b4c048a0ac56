"""A clip spec: what of a video a clip holds. Every stage takes its lengths and sizes from here."""

import dataclasses
from typing import Literal

from pydantic import NonNegativeFloat

from pipeline.config import Count, Positive, config_dataclass

BASE = "base"  # the clip spec whose clips' ids do not name it
SOUNDS = "sounds"  # the clip spec without frames


@config_dataclass
class ClipSpec:
    """Spans, rates and sizes of clips. Defaults: AudioScope (Tzinis et al. 2021, section 4.1)."""

    clip_s: Positive = 5.0
    """Length of a clip in seconds. Longer clips give the models more context and the corpus fewer clips."""
    hop_s: Positive = 1.0
    """From one clip's start to the next. Below clip_s, clips overlap and share their frames' bytes."""
    sample_rate_hz: Count = 16000
    """Rate of the mono sound. Half the rate is half the bytes, and nothing above a quarter of the old rate."""
    frame_rate_hz: NonNegativeFloat = 1.0
    """Frames per second. A clip holds clip_s * frame_rate_hz frames. 0: clips of sound alone, also from files without a
    picture; a file shorter than a clip gives one that ends in silence."""
    frame_offset_s: NonNegativeFloat = 0.0
    """A frame is taken at tick k, the time k / frame_rate_hz + frame_offset_s; less than 1 / frame_rate_hz."""
    frame_height: Count = 128
    """Height of a frame in pixels."""
    frame_width: Count = 128
    """Width of a frame in pixels."""
    fit: Literal["stretch", "pad"] = "stretch"
    """stretch: the whole picture fills the frame, its aspect lost. pad: aspect kept, black bars added."""
    exact_frames: bool = False
    """False: frames that no other refers to are not decoded (half the cost), their neighbour is taken, and loop filters
    are skipped (0.85 of the rest): 42 dB PSNR to the filtered 128x128 frame in the median real video, 32 at worst."""
    at_cuts: Literal["ignore", "count", "split"] = "ignore"
    """ignore: cuts are not looked for. count: they are, in every picture that is decoded, at a fifth more of the cost
    of cutting, and `num_cuts` has how many lie in a clip. split: clips are planned within shots, from the first picture
    of each; of a shot that is shorter than a clip, one clip is rejected as too_short."""
    crop: Literal["none", "mouth"] = "none"
    """none: a frame is the whole picture. mouth: a clip for each face that is followed through the picture, whose
    frames are its mouth, turned and scaled to a mean face."""
    decode_side: Count = 640
    """Side in pixels of the padded square that mouths are cropped from: nothing larger of a picture is kept. Half of it
    is a quarter of the work, and faces must be twice as large in the picture. Without effect where crop is none."""

    def __post_init__(self) -> None:
        if self.frame_rate_hz and self.frame_offset_s >= 1 / self.frame_rate_hz:
            raise ValueError(
                f"frame_offset_s = {self.frame_offset_s}: expected less than {1 / self.frame_rate_hz:g} s, "
                f"the time from one frame to the next at {self.frame_rate_hz} Hz."
            )
        for name in ("clip_s", "hop_s"):
            frames = getattr(self, name) * self.frame_rate_hz
            if self.frame_rate_hz and (frames < 1 or abs(frames - round(frames)) > 1e-6):
                raise ValueError(
                    f"{name} = {getattr(self, name)} at {self.frame_rate_hz} Hz is {frames:g} frames: "
                    "expected a whole number, 1 or more, because overlapping clips share frames."
                )
            samples = getattr(self, name) * self.sample_rate_hz
            if abs(samples - round(samples)) > 1e-6:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a whole number of samples.")

    @property
    def num_frames(self) -> int:
        """Frames in a clip, K."""
        return round(self.clip_s * self.frame_rate_hz)

    @property
    def num_samples(self) -> int:
        """Samples in a clip, T."""
        return round(self.clip_s * self.sample_rate_hz)

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width in pixels of what is decoded of a picture: a frame, or the square that crops come from."""
        of_crops = (self.decode_side, self.decode_side)
        return of_crops if self.crop == "mouth" else (self.frame_height, self.frame_width)


@config_dataclass
class ClipSpecs:
    """The clip specs of a workspace, by name. A learner names the one whose clips it reads."""

    base: ClipSpec = dataclasses.field(default_factory=ClipSpec)
    """5 s every 1 s, with a frame per second: of the coincidence and the separation learner."""
    events: ClipSpec = dataclasses.field(default_factory=lambda: ClipSpec(clip_s=10.0, hop_s=10.0, frame_rate_hz=4.0))
    """10 s every 10 s, with 4 frames per second: of events in time."""
    segmentation: ClipSpec = dataclasses.field(
        default_factory=lambda: ClipSpec(
            hop_s=5.0, frame_offset_s=0.5, frame_height=224, frame_width=224, exact_frames=True
        )
    )
    """5 s every 5 s, with a frame of 224x224 in the middle of each second, exact as masks are: of what sounds
    where in the picture."""
    speech: ClipSpec = dataclasses.field(
        default_factory=lambda: ClipSpec(
            clip_s=2.0, hop_s=2.0, frame_rate_hz=25.0, exact_frames=True, fit="pad", crop="mouth",
            frame_height=96, frame_width=96,
        )
    )  # fmt: skip
    """2 s every 2 s of each face, with every frame of a 25 Hz video: of mouths."""
    sounds: ClipSpec = dataclasses.field(default_factory=lambda: ClipSpec(hop_s=5.0, frame_rate_hz=0.0))
    """5 s every 5 s, without frames: of separation trained on sound alone."""
