"""What happens in each video of a synthetic world, drawn from a seed before anything is heard or seen.

Comes in: a `WorldConfig` and the video's number. Goes out: a `Scene`. Every choice of scene i comes from
`default_rng([seed, i])`, never from its neighbours, so a world can be rendered in any order, by any number of workers,
and extended later.
"""

from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt

from pipeline.config import Count, Share, config_dataclass
from pipeline.synthetic.identities import NUM_IDENTITIES, identity
from pipeline.synthetic.kinds import KINDS, plan_notes
from pipeline.synthetic.placing import FRAME_SIZES, place_thing, rounded
from pipeline.synthetic.scenes import Scene, Source, Thing
from pipeline.synthetic.talking import plan_talk

FRAME_RATES_HZ = (10, 12, 15)
SPEECH_FRAME_RATE_HZ = 25  # of videos that show a speaker: lip reading looks at 5 frames in 0.2 s
SAMPLE_RATES_HZ = (32000, 44100, 48000)
BACKGROUNDS = ("gradient", "checker", "stripes", "clouds", "blobs")
MAX_DURATION_S = 1200.0  # a soundtrack is made in one piece: 4 MB of memory per second
TALK = 7  # a scene's own generator of whether it is of talking heads: others stay the same
MIN_EVENT_S = 1.0  # a shorter remainder of an event at the edge of the video is dropped


@config_dataclass
class WorldConfig:
    """A collection of videos of things that move and sound."""

    num_videos: Count
    """How many videos; scene i stays the same when this changes."""
    seed: NonNegativeInt = 0
    """Another seed is another world of the same kinds and people."""
    duration_s: Annotated[float, Field(ge=1, le=MAX_DURATION_S)] = 8.0
    """Length of every video."""
    on_only_fraction: Share = 0.55
    """Share of videos in which all that sounds is in view."""
    mixed_fraction: Share = 0.20
    """Share of videos in which something in view sounds and something out of view too; the rest are off-screen only."""
    second_source_fraction: Share = 0.25
    """Of the videos with a sounding thing in view: share with a second one."""
    third_source_fraction: Share = 0.2
    """Of those with a second: share with a third."""
    still_fraction: Share = 0.2
    """Of the videos with exactly one sounding thing in view: share with a silent, still one beside it."""
    empty_fraction: Share = 0.3
    """Of the off-screen-only videos: share with nothing but a background in view."""
    event_fraction: Share = 0.35
    """Share of sources that sound in event spans only; the others sound throughout."""
    speaker_fraction: Share = 0.15
    """Chance that the first thing in view is a speaker; raise it for a collection to learn lip reading from."""
    talking_fraction: Share = 0.0
    """Share of videos of talking heads, who say words of `lexicon.LEXICON`, and of nothing else; the other videos stay
    as they are without. A collection to learn lip reading from has 1."""
    two_faces_fraction: Share = 0.12
    """Of the videos of talking heads: share with two faces side by side, of which one speaks at a time."""
    silent_face_fraction: Share = 0.06
    """Of the videos of talking heads: share with a silent face and the voice of someone who is not in view."""
    webm_fraction: Share = 1 / 12
    """Share of videos that are VP9 and Opus in WebM; the others are H.264 and AAC or MP3 in MP4."""
    frame_scale: Annotated[int, Field(ge=1, le=8)] = 1
    """Multiplies the frame sizes of `FRAME_SIZES`: cost grows with its square."""
    kinds: tuple[str, ...] = tuple(KINDS)
    """What can occur; fewer kinds make a world that is learnt from fewer videos."""

    def __post_init__(self) -> None:
        if self.on_only_fraction + self.mixed_fraction > 1.0 + 1e-9:
            total = self.on_only_fraction + self.mixed_fraction
            raise ValueError(
                f"on_only_fraction + mixed_fraction = {total}: expected at most 1, since what is left is off-screen "
                f"only. Lower one of them."
            )
        if self.two_faces_fraction + self.silent_face_fraction > 1.0 + 1e-9:
            total = self.two_faces_fraction + self.silent_face_fraction
            raise ValueError(
                f"two_faces_fraction + silent_face_fraction = {total}: expected at most 1, since what is left are "
                f"videos of one face that speaks. Lower one of them."
            )
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown or len(set(self.kinds)) != len(self.kinds) or len(self.kinds) < 4:
            raise ValueError(
                f"kinds = {self.kinds}: expected 4 or more different ones, since up to 4 things of different kinds "
                f"meet in a scene, among {tuple(KINDS)}. Unknown: {unknown}."
            )


def plan_scene(config: WorldConfig, index: int) -> Scene:
    """What happens in video `index`: the same for equal config and index, whatever `num_videos` is.

    Args:
        config: the world.
        index: 0 <= index; below `num_videos` for a video of the world itself.
    Returns:
        The plan; drawing and sounding it needs nothing else.
    Raises:
        ValueError: index is negative.
    """
    if index < 0:
        raise ValueError(f"index = {index}: expected 0 or more.")
    rng = np.random.default_rng([config.seed, index])
    is_talk = np.random.default_rng([config.seed, index, TALK]).random() < config.talking_fraction
    (width, height), sources, still = plan_talk(config, index, rng) if is_talk else _plan_things(config, index, rng)
    in_view = [source.thing for source in sources if source.thing] + still
    speaks = any(thing.kind == "speaker" for thing in in_view)
    webm = rng.random() < config.webm_fraction
    frame_rate_hz = FRAME_RATES_HZ[rng.integers(len(FRAME_RATES_HZ))]
    sample_rate_hz = SAMPLE_RATES_HZ[rng.integers(len(SAMPLE_RATES_HZ))]
    return Scene(
        name=f"world_{index:05d}",
        suffix=".webm" if webm else ".mp4",
        duration_s=config.duration_s,
        width=width * config.frame_scale,
        height=height * config.frame_scale,
        frame_rate_hz=SPEECH_FRAME_RATE_HZ if speaks else frame_rate_hz,
        sample_rate_hz=48000 if webm else sample_rate_hz,  # Opus knows no 44.1 kHz
        num_channels=int(rng.integers(1, 3)),
        peak_db=rounded(rng.uniform(-12, -3)),
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        slow_preset=bool(rng.random() < 0.25),
        seed=(config.seed, index, 0),
        sources=tuple(sources),
        still=tuple(still),
    )


def _plan_things(
    config: WorldConfig, index: int, rng: np.random.Generator
) -> tuple[tuple[int, int], list[Source], list[Thing]]:
    """Things of any kind: width and height of the frame, what sounds, and what is in view and never does."""
    what = rng.random()
    in_view = what < config.on_only_fraction + config.mixed_fraction
    out_of_view = what >= config.on_only_fraction
    num_sounding = 0
    if in_view:
        num_sounding = 1 + (rng.random() < config.second_source_fraction)
        num_sounding += int(num_sounding == 2 and rng.random() < config.third_source_fraction)
        num_still = int(num_sounding == 1 and rng.random() < config.still_fraction)
    else:
        num_still = 0 if rng.random() < config.empty_fraction else 1 + int(rng.random() < 0.25)
    kinds = [str(kind) for kind in rng.permutation(config.kinds)]
    if "speaker" in kinds:
        kinds.remove("speaker")
        kinds.insert(0 if rng.random() < config.speaker_fraction else int(rng.integers(1, len(kinds) + 1)), "speaker")
    num_things = num_sounding + num_still
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    things = [place_thing(kinds[place], place, num_things, width / height, rng) for place in range(num_things)]
    sources = [plan_source(config, index, number, things[number], kinds[number], rng) for number in range(num_sounding)]
    if out_of_view:
        sources.append(plan_source(config, index, num_sounding, None, kinds[num_things], rng))
    return (width, height), sources, things[num_sounding:]


def plan_source(
    config: WorldConfig, index: int, number: int, thing: Thing | None, kind: str, rng: np.random.Generator
) -> Source:
    """Source `number` of scene `index`, with its own rhythm and pitch."""
    low_hz, high_hz = KINDS[kind].pitch_hz
    pitch_hz = float(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz))))
    person = None
    if kind == "speaker":
        person = thing.identity if thing and thing.identity is not None else int(rng.integers(NUM_IDENTITIES))
        pitch_hz = identity(person).pitch_hz * rng.uniform(0.95, 1.05)
    spans = _spans(config.duration_s, rng) if rng.random() < config.event_fraction else ((0.0, config.duration_s),)
    return Source(
        kind=kind,
        thing=thing,
        spans=spans,
        notes=plan_notes(kind, spans, pitch_hz, rng),
        pitch_hz=rounded(pitch_hz),
        gain_db=rounded(rng.uniform(-3, 3)),
        pan=rounded((thing.x * 2 - 1) * 0.5 if thing else rng.uniform(-0.5, 0.5)),
        identity=person,
        seed=(config.seed, index, 1 + number),
    )


def _spans(duration_s: float, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Events of 2.5 to 5 s with 1.5 to 4 s between them, from a random start; at least one."""
    spans: list[tuple[float, float]] = []
    start_s = rng.uniform(-2.0, 0.4 * min(duration_s, 8.0))
    while start_s < duration_s - MIN_EVENT_S:
        end_s = start_s + rng.uniform(2.5, 5.0)
        if end_s > MIN_EVENT_S:
            spans.append((round(max(0.0, start_s), 2), round(min(duration_s, end_s), 2)))
        start_s = end_s + rng.uniform(1.5, 4.0)
    return tuple(spans) or ((0.0, duration_s),)
