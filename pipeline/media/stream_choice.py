"""Which picture and which sound of a file are decoded: chosen as a pair, because they must belong together.

Most files have one of each, and nothing is chosen. Where ffmpeg's list shows several, a pass over the packets, without
decoding, says how many each stream has and what time they span. The best pair comes first in this order:

1. Both are of one programme of a broadcast: one programme's sound does not belong to another's picture.
2. The picture lasts and moves: three packets or more that span half of the longest stream, and per second a tenth or
   more of those of the fastest picture that lasts. A thumbnail is one JPEG; chapters have one each.
3. The sound lasts likewise, at any rate of packets.
4. The picture is neither a still image nor part of another picture, the sound no commentary and not for people with
   impaired hearing or sight, by the container's dispositions.
5. The container marks the picture, then the sound, as default.
6. The sound spans most time, in whole seconds. Of equals, the first.

Where no picture is wanted, the sound is chosen by 3 to 6 alone.

A stream of which ffmpeg says that it has no decoder for it (an iPhone's spatial sound, `apac`) is left out, and the
choice is made again among the others.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.media.packets import read_packets

KINDS = ("Video", "Audio")
MIN_PACKETS = 3
MIN_HOLE_S = 1.0
MIN_SHARE = 0.5  # of the longest stream's time
MIN_RATE_SHARE = 0.1  # of the fastest picture's rate: films are 10 to 60 Hz, chapters' thumbnails 1 Hz and less
SPECIAL = re.compile(
    r"\((comment|hearing impaired|visual impaired|descriptions|karaoke|clean effects|attached pic|still image|"
    r"timed thumbnails|dependent)\)"
)
# ITU-R BS.775's mono, `<` dividing by the sum of the weights of the channels that there are
DOWNMIX = "mono|c0<FC+0.7071*FL+0.7071*FR+0.7071*DL+0.7071*DR+0.5*SL+0.5*SR+0.5*BL+0.5*BR+0.5*BC"
PLACES = set(re.findall(r"[A-Z]{2}", DOWNMIX))
NO_LAYOUT = re.compile(r"(\d+) channels(?: \((.*)\))?$")


@dataclass(slots=True)
class ListedStream:
    """A picture or a sound of a file's list of streams."""

    index: int
    kind: str
    """Video or Audio."""
    codec: str
    facts: str
    """What ffmpeg's line says after the codec."""
    programmes: set[int] = field(default_factory=set)
    num_packets: int = 0
    span_s: float = 0.0
    """From its first packet's time to its last one's end."""
    holes_s: list[tuple[float, float]] = field(default_factory=list)
    """Start and end of the times without a packet that are longer than MIN_HOLE_S."""

    @property
    def packet_rate_hz(self) -> float:
        """Packets per second of its span; 0 where all come at one time."""
        return self.num_packets / self.span_s if self.span_s > 0 else 0.0

    @property
    def is_default(self) -> bool:
        """Whether the container marks it as default."""
        return "(default)" in self.facts

    @property
    def is_cover(self) -> bool:
        """Whether it is a picture beside the film, such as a song's cover."""
        return "(attached pic)" in self.facts

    @property
    def is_special(self) -> bool:
        """Whether the container says that it is not the main picture or sound."""
        return SPECIAL.search(self.facts) is not None

    def __str__(self) -> str:
        return f"{self.index} {self.codec}"


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """The streams to decode, as ffmpeg addresses them, and how the sound becomes mono."""

    picture: str = "V:0"
    sound: str = "a:0"
    downmix: str = DOWNMIX
    max_jump_s: float = 10.0
    """Where the times of a broadcast jump farther, they go on as if they did not; 10 is ffmpeg's own."""
    note: str | None = None
    """What was chosen of what; None where the file has one picture and one sound."""


FIRST = StreamChoice()


def needs_choice(streams: Iterable[ListedStream], is_broadcast: bool, with_picture: bool = True) -> bool:
    """Whether FIRST may be wrong: several pictures or sounds, a sound whose channels have no places, a broadcast."""
    pictures, sounds = _by_kind(streams)
    if not with_picture:
        return len(sounds) > 1 or (bool(sounds) and downmix_of(sounds[0]) != DOWNMIX)
    if not pictures or not sounds:
        return False
    if is_broadcast:  # it may be joined of pieces
        return True
    return len(pictures) + len(sounds) > 2 or downmix_of(sounds[0]) != DOWNMIX


def choose_streams(
    path: Path,
    streams: Iterable[ListedStream],
    is_broadcast: bool,
    limit_s: float,
    no_decoder: Collection[str] = (),
    with_picture: bool = True,
) -> StreamChoice | None:
    """The best pair, or sound, of a file whose list of streams needs a choice; None where none is left.

    Args:
        path: the file.
        streams: its list; where it shows several, number and span of the packets are filled in.
        is_broadcast: whether it is an MPEG-TS, which may be joined of pieces.
        limit_s: limit of wall and CPU time for reading the packets.
        no_decoder: codecs whose streams are left out.
        with_picture: False chooses a sound alone.
    Raises:
        ClipError: they were not read in time (timeout).
    """
    streams = list(streams)
    pictures, sounds = _by_kind(streams, no_decoder)
    if not with_picture:
        return _choose_sound(path, sounds, limit_s, no_decoder)
    if not pictures or not sounds:
        return None
    is_single = len(pictures) == len(sounds) == 1
    if not is_single or is_broadcast:
        _survey(path, [*pictures, *sounds], limit_s)
    picture, sound = _best_pair(pictures, sounds)
    max_jump_s = _max_jump_s(picture, sound) if is_broadcast else FIRST.max_jump_s
    if is_single and not no_decoder:
        return StreamChoice(downmix=downmix_of(sound), max_jump_s=max_jump_s)
    films = [stream for stream in streams if not stream.is_cover]
    of_pictures, of_sounds = (", ".join(str(each) for each in films if each.kind == kind) for kind in KINDS)
    note = f"streams: picture {picture} of {of_pictures}; sound {sound} of {of_sounds}"
    if no_decoder:
        note += f"; no decoder for {', '.join(sorted(no_decoder))}"
    return StreamChoice(str(picture.index), str(sound.index), downmix_of(sound), max_jump_s, note)


def _choose_sound(
    path: Path, sounds: Sequence[ListedStream], limit_s: float, no_decoder: Collection[str]
) -> StreamChoice | None:
    """The best of the sounds of a file whose picture is not wanted; None where there is none."""
    if len(sounds) > 1:
        _survey(path, sounds, limit_s)
    min_span_s = MIN_SHARE * max((stream.span_s for stream in sounds), default=0.0)

    def rank(sound: ListedStream) -> tuple[float, ...]:
        lasts = sound.num_packets >= MIN_PACKETS and sound.span_s >= min_span_s
        return lasts, not sound.is_special, sound.is_default, round(sound.span_s)

    best = max(sounds, key=rank, default=None)
    if best is None:
        return None
    if len(sounds) == 1 and not no_decoder:
        return StreamChoice(downmix=downmix_of(best))
    note = f"streams: sound {best} of {', '.join(map(str, sounds))}"
    if no_decoder:
        note += f"; no decoder for {', '.join(sorted(no_decoder))}"
    return StreamChoice(sound=str(best.index), downmix=downmix_of(best), note=note)


def _best_pair(pictures: Sequence[ListedStream], sounds: Sequence[ListedStream]) -> tuple[ListedStream, ListedStream]:
    """The pair that comes first in the order of this module's docstring."""
    min_span_s = MIN_SHARE * max(stream.span_s for stream in (*pictures, *sounds))

    def lasts(stream: ListedStream) -> bool:
        return stream.num_packets >= MIN_PACKETS and stream.span_s >= min_span_s

    min_rate_hz = MIN_RATE_SHARE * max((stream.packet_rate_hz for stream in pictures if lasts(stream)), default=0.0)

    def rank(pair: tuple[ListedStream, ListedStream]) -> tuple[float, ...]:
        picture, sound = pair
        alike = picture.programmes == sound.programmes or bool(picture.programmes & sound.programmes)
        moves = lasts(picture) and picture.packet_rate_hz >= min_rate_hz
        main = [not found.is_special for found in pair]
        return (alike, moves, lasts(sound), *main, picture.is_default, sound.is_default, round(sound.span_s))

    return max(itertools.product(pictures, sounds), key=rank)  # of equals, the first


def _max_jump_s(picture: ListedStream, sound: ListedStream) -> float:
    """MIN_HOLE_S where picture and sound have holes and all at the same times: pieces with other clocks were joined.

    ffmpeg closes such holes stream by stream. A hole in one stream alone, such as between the pictures of a slide show,
    must stay, or the other would no longer be in time with it.
    """
    pairs = list(zip(picture.holes_s, sound.holes_s, strict=False))
    alike = len(picture.holes_s) == len(sound.holes_s) and all(
        abs(a - b) < MIN_HOLE_S for of_picture, of_sound in pairs for a, b in zip(of_picture, of_sound, strict=True)
    )
    return MIN_HOLE_S if pairs and alike else FIRST.max_jump_s


def downmix_of(sound: ListedStream) -> str:
    """How a sound becomes mono: by the places of its channels, or as their mean where none has a known place."""
    layout = NO_LAYOUT.search(audio_layout(sound.facts) or "")
    if layout is None or PLACES & set((layout[2] or "").split("+")):
        return DOWNMIX
    return "mono|c0<" + "+".join(f"c{number}" for number in range(int(layout[1])))


def audio_layout(facts: str) -> str | None:
    """The channels that a stream's line states: mono, 5.1(side), 9 channels."""
    found = re.search(r", \d+ Hz, ([^,]+)", facts)
    return found[1] if found else None


def _by_kind(
    streams: Iterable[ListedStream], no_decoder: Collection[str] = ()
) -> tuple[list[ListedStream], list[ListedStream]]:
    """Pictures that are no covers, and sounds, whose codec is known and has a decoder."""
    known = [stream for stream in streams if stream.codec not in ("none", *no_decoder) and not stream.is_cover]
    pictures, sounds = ([stream for stream in known if stream.kind == kind] for kind in KINDS)
    return pictures, sounds


def _survey(path: Path, streams: Sequence[ListedStream], limit_s: float) -> None:
    """Fill in number, span and holes of each stream's packets, by the times of decoding: they come in that order."""
    first_s: dict[int, float] = {}
    for packet in read_packets(path, [str(stream.index) for stream in streams], limit_s):
        stream = streams[packet.stream]
        begin_s = first_s.setdefault(packet.stream, packet.decoded_s)
        end_s = begin_s + stream.span_s
        if stream.num_packets and packet.decoded_s - end_s > MIN_HOLE_S:
            stream.holes_s.append((end_s, packet.decoded_s))
        stream.num_packets += 1
        stream.span_s = packet.decoded_s + packet.duration_s - begin_s
