"""What a scene is: the things in view, the sources that sound, and the video's format.

A `Scene` says all that is random about a video except the noise in its waveforms and pixels, which comes from the seeds
it holds. `planning.py` makes one from a seed; `sounds.py` and `sights.py` turn it into a soundtrack and pictures;
`truth.py` writes it down.
"""

from dataclasses import dataclass, field

from pipeline.synthetic.kinds import Note


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """A thing in view: where it is and how it looks; it moves only if a source drives it."""

    kind: str
    x: float
    """Horizontal centre, as a share of the frame's width."""
    y: float
    """Vertical centre, as a share of the frame's height."""
    size: float
    """Height as a share of the frame's height."""
    tilt_rad: float
    mirrored: bool
    colours: tuple[tuple[float, float, float], ...]
    """Main, second and outline colour, RGB in 0 to 1."""
    identity: int | None
    """For a speaker: which person (`identities.identity`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word that a speaker says."""

    word: str
    """One of `lexicon.LEXICON`."""
    start_s: float
    """Start of its first syllable, in seconds of the video."""
    end_s: float
    """End of its last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Something that sounds, in view or not."""

    kind: str
    thing: Thing | None
    """What is seen of it; None: off-screen."""
    spans: tuple[tuple[float, float], ...]
    """(start_s, end_s) in which it is active; it is silent and at rest outside."""
    notes: tuple[Note, ...]
    pitch_hz: float
    gain_db: float
    """Level of its root mean square while active, relative to the other sources of the scene."""
    pan: float
    """-1 left to 1 right, in stereo; left + right is the same for every pan."""
    identity: int | None
    """For a speaker: which person."""
    seed: tuple[int, ...]
    """Of the noise in its waveform."""
    words: tuple[Word, ...] = field(default=())
    """For a speaker in a video of talking heads: what is said. Its notes are the words' syllables."""

    @property
    def on_screen(self) -> bool:
        """Whether it can be seen."""
        return self.thing is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that happens in one video."""

    name: str
    """`world_00012`: names the truth folder and, with `suffix`, the video."""
    suffix: str
    """`.mp4` or `.webm`."""
    duration_s: float
    width: int
    height: int
    frame_rate_hz: int
    sample_rate_hz: int
    num_channels: int
    peak_db: float
    """Peak of the soundtrack in dB re full scale."""
    background: str
    """One of `BACKGROUNDS`."""
    slow_preset: bool
    """H.264 with B frames (veryfast) and AAC, instead of without (ultrafast) and MP3."""
    seed: tuple[int, ...]
    """Of background, camera and pixel noise."""
    sources: tuple[Source, ...] = field(default=())
    still: tuple[Thing, ...] = field(default=())
    """What is in view and never sounds or moves."""

    @property
    def video(self) -> str:
        """The video's file name."""
        return self.name + self.suffix

    @property
    def num_frames(self) -> int:
        """Video frames; the picture ends within half a frame of the sound."""
        return max(1, round(self.duration_s * self.frame_rate_hz))
