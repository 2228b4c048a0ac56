"""The command that decodes a file once: its sound, and its pictures at the size and the ticks of each clip spec.

Times come through pipes of their own. On stderr the lines of ffmpeg's threads sometimes mix (1 file in 100 on a busy
machine), and one lost time would shift the times of all later frames by one. They are written by filters: a muxer would
raise every time stamp to at least the one before, so that a single wrong one would move all that follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from pipeline.clip_specs import ClipSpec
from pipeline.media.frame_buffer import TICK_SLACK_S
from pipeline.media.own_sound import PIECE
from pipeline.media.sandbox import LIMITS, QUIET, compile_command
from pipeline.media.stream_choice import StreamChoice

# Writes a line per frame: its time in the stream's time base as `pts`.
PRINT = "metadata=print:key=k:file='pipe\\:{}'"
PRINT_AT_ONCE = f"{PRINT}:direct=1"  # before the frame
MARK = "metadata=add:key=k:value=v"  # what has no metadata is not printed
# The lines of sound, written at once, would cost the child 5 %. ffmpeg holds 32 kB of them back, as it does with the
# samples (`flush_packets`): with so many letters beside each, both are about 1 s.
PADDING = "v" * 700
# The file's own sound in few pieces: packet by packet, its way through ffmpeg's threads takes 1.4 ms of CPU per second
# of AAC, so 0.3. What waits for its piece to fill is lost where the sound's format changes (`OwnSoundReader`).
OWN_PIECES = f"asetnsamples=n={PIECE}:p=0"
# Of pictures that are looked at and not kept: the pixels at 80x80 places of each that is decoded.
SMALL = ClipSpec(frame_height=80, frame_width=80)


@dataclass(frozen=True, slots=True)
class Pipes:
    """File descriptors of the child, beside stdout for the sound and stderr; of frames and gaps one per clip spec that
    has frames. Of the file's own sound and of small pictures where they are wanted."""

    sound_times: int
    sound_lengths: int
    frames: tuple[int, ...]
    frame_times: tuple[int, ...]
    gaps: tuple[int, ...]
    own_sound: int | None = None
    small: int | None = None
    small_times: int | None = None

    def __iter__(self) -> Iterator[int]:
        wanted = (fd for fd in (self.own_sound, self.small, self.small_times) if fd is not None)
        return iter((self.sound_times, self.sound_lengths, *self.frames, *self.frame_times, *self.gaps, *wanted))


def decode_command(
    path: Path,
    specs: Sequence[ClipSpec],
    choice: StreamChoice,
    pipes: Pipes,
    every_picture: bool,
    with_sound: bool = True,
) -> list[str]:
    """The command that decodes a file once: 16-bit mono sound to stdout, RGB frames of each spec and times to pipes.

    Without sound there are the frames alone, also of a file that has none. Unless every picture is decoded, those that
    no other refers to are left out. Specs without frames, which share a decoding with no other, have the sound alone.
    Where `pipes` have them, the sound comes a second time as WAV with the file's own rate and channels, and each
    picture that is decoded a second time small.
    """
    pictured = [spec for spec in specs if spec.num_frames]
    skip = {} if specs[0].exact_frames or not pictured else {"skip_loop_filter": "all"}
    skip |= {} if every_picture or not pictured else {"skip_frame": "noref"}
    filters = [_picture_filters(spec, times) for spec, times in zip(pictured, pipes.frame_times, strict=True)]
    if not every_picture:
        found = [_gap_filters(spec, times) for spec, times in zip(pictured, pipes.gaps, strict=True)]
        filters = [f"split[all][shown];[all]{gaps};[shown]{each}" for gaps, each in zip(found, filters, strict=True)]
    source = ffmpeg.input("file:input", dts_delta_threshold=choice.max_jump_s, **LIMITS, **skip)
    pictures = [
        ffmpeg.output(
            source[choice.picture],
            f"pipe:{frames}",
            vf=chain,
            format="rawvideo",
            pix_fmt="rgb24",
            fps_mode="passthrough",
        )
        for chain, frames in zip(filters, pipes.frames, strict=True)
    ]
    outputs = pictures
    if with_sound:
        audio = ffmpeg.output(
            source[choice.sound],
            "pipe:1",
            af=sound_filters(specs[0].sample_rate_hz, pipes.sound_times, pipes.sound_lengths, choice.downmix),
            acodec="pcm_s16le",
            format="s16le",
            flush_packets=0,
        )
        outputs = [audio, *pictures]
        if pipes.own_sound is not None:
            wav = {"af": OWN_PIECES, "acodec": "pcm_s16le", "format": "wav", "fflags": "+bitexact", "flush_packets": 0}
            outputs.append(ffmpeg.output(source[choice.sound], f"pipe:{pipes.own_sound}", **wav))
    if pipes.small is not None:
        side, times = SMALL.frame_height, PRINT.format(pipes.small_times)  # few pieces, as of sound
        chain = f"scale={side}:{side}:flags=neighbor,settb=1/1000000,{MARK}{2 * PADDING},{times},setpts=N"
        small = {"vf": chain, "format": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough", "flush_packets": 0}
        outputs.append(ffmpeg.output(source[choice.picture], f"pipe:{pipes.small}", **small))
    command = ffmpeg.merge_outputs(*outputs)
    command = command.global_args(*QUIET, "-loglevel", "repeat+level+info", "-filter_threads", "1")
    words = compile_command(command, {"input": path})
    return _in_one_graph(words) if with_sound and pipes.own_sound is not None else words


def _in_one_graph(words: list[str]) -> list[str]:
    """The command with the filters of its two sounds, of which each is `-map STREAM ... -af FILTERS`, as one graph.

    As two, each would be woken for every packet: 1 ms of CPU per second.
    """
    filters = [at for at, word in enumerate(words) if word == "-af"]
    maps = [max(at for at in range(before) if words[at] == "-map") for before in filters]
    mono, own = (words[at + 1] for at in filters)
    graph = f"[{words[maps[0] + 1]}]asplit[heard][kept];[heard]{mono}[mono];[kept]{own}[own]"
    for at, name in zip(maps, ("[mono]", "[own]"), strict=True):
        words[at + 1] = name
    begin, middle, end = words[: maps[0]], words[maps[0] : filters[0]], words[filters[1] + 2 :]
    return [*begin, "-filter_complex", graph, *middle, *words[filters[0] + 2 : filters[1]], *end]


def sound_filters(rate_hz: int, times: int, lengths: int, downmix: str | None = None) -> str:
    """From decoded to resampled sound; a line per packet goes to each pipe: its time, and its length in samples.

    Args:
        rate_hz: sample rate to resample to.
        times: the pipe of the times.
        lengths: the pipe of the lengths.
        downmix: how the channels become mono; None keeps them.
    """
    print_times, print_lengths = (f"a{PRINT.format(pipe)}" for pipe in (times, lengths))
    resampled = f"pan={downmix},aresample={rate_hz}" if downmix else f"aresample={rate_hz}"
    return f"{resampled},a{MARK}{PADDING},{print_times},asetpts=NB_SAMPLES,{print_lengths},asetpts=N"


def _picture_filters(spec: ClipSpec, times: int) -> str:
    """From decoded pictures to a spec's frames; a line per frame goes to `times`: its time in microseconds."""
    tick, last_tick = (
        f"floor(({time}+{TICK_SLACK_S - spec.frame_offset_s})*{spec.frame_rate_hz})"
        for time in ("t", "prev_selected_t")
    )
    # one frame per tick: the first at or after it. By time, never by index: frame rates vary within a file.
    # Another tick than the last one's, not a later one: a wrong time in the future would else hide what follows.
    chosen = f"select='isnan(prev_selected_t)+not(isnan(t)+eq({tick},{last_tick}))'"
    return f"{chosen},{fit_filters(spec)},settb=1/1000000,{MARK},{PRINT_AT_ONCE.format(times)},setpts=N"


def fit_filters(spec: ClipSpec) -> str:
    """From pictures of any size to the spec's `decoded_size`."""
    height, width = spec.decoded_size
    size = f"{width}:{height}"
    if spec.fit == "stretch":
        return f"scale={size}"
    return f"scale=iw*sar:ih,setsar=1,scale={size}:force_original_aspect_ratio=decrease,pad={size}:-1:-1"


def _gap_filters(spec: ClipSpec, times: int) -> str:
    """Where decoded pictures lie more than half a tick apart, a line goes to `times`: the earlier one's time."""
    start = f"if(gt(T-PREV_INT,{0.5 / spec.frame_rate_hz + TICK_SLACK_S}),PREV_INPTS,NAN)"
    return f"settb=1/1000000,setpts='{start}',select='not(isnan(pts))',{MARK},{PRINT_AT_ONCE.format(times)},nullsink"
