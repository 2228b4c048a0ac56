"""ffmpeg's messages while decoding -> facts about the container's streams, and the last errors for a row's `detail`."""

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.media.stream_choice import FIRST, ListedStream, StreamChoice, audio_layout


def in_one_line(messages: bytes, command: Sequence[str]) -> str | None:
    """A command's messages without addresses and paths: equal for the same file on any machine; None for none."""
    text = messages.decode("utf-8", "replace")
    for argument in command:
        if argument.startswith("file:"):
            text = text.replace(argument, "the file")
    lines = dict.fromkeys(re.sub(r"^\[(.*?) @ 0x[0-9a-f]+\]", r"\1:", line.strip()) for line in text.splitlines())
    return "; ".join(filter(None, lines)) or None


@dataclass(slots=True)
class MediaInfo:
    """What the container states of its streams; None where it states nothing."""

    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    frame_rate_hz: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    audio_rate_hz: int | None = None
    audio_layout: str | None = None
    duration_s: float | None = None
    detail: str | None = None


class DecoderLog:
    """Reads the child's stderr as it comes: stream descriptions, and the last errors of each part of ffmpeg."""

    # [in#0 @ 0x55f] [error] File ended prematurely
    LINE = re.compile(r"^(?:\[(?P<part>[^\]]*?)(?: @ 0x[0-9a-f]+)?\] )*\[(?P<level>[a-z]+)\] (?P<text>.*)$")
    PROGRAMME = re.compile(r"^  (?:Program (\d+)|No Program)\b")
    STREAM = re.compile(r"^ *Stream #0:(\d+).*?: (Video|Audio): (\w+)(.*)$")
    SIZE = re.compile(r"[ ,](\d{1,5})x(\d{1,5})[ ,\n]")
    DURATION = re.compile(r"^ *Duration: (\d+):(\d\d):(\d\d\.\d+)")
    RATE = re.compile(r"([\d.]+)(k?) fps")
    PIXELS = re.compile(r"^(?: \([^)]*\))*, (?!none)(\w+)")  # after the profile and the container's tag
    SOUND = re.compile(r", (\d+) Hz")
    ASPECT = re.compile(r"\bSAR (\d+):(\d+)")
    ROTATION = re.compile(r"^ +Display ?matrix: rotation of (-?[\d.]+) degrees", re.IGNORECASE)
    NO_DECODER = re.compile(r"Decoding requested, but no decoder found for: (\w+)")

    def __init__(self, info: MediaInfo, path: Path, choice: StreamChoice) -> None:
        self._info, self.choice = info, choice
        self._programme: int | None = None
        self._is_picture = False  # whether the lines are about the picture that is decoded
        self.pixel_aspect = 1.0
        """Width of a pixel over its height, as it is shown."""
        self.is_turned = False
        """Whether the picture is shown turned by a quarter: a phone's portrait."""
        self.streams: dict[int, ListedStream] = {}
        """Pictures and sounds of the file, by index."""
        self._name = f"file:{path}"
        self._rest = b""
        # the last two of each part of ffmpeg, because their threads come in any order: mostly a cause and its effect
        self._errors: dict[str, collections.deque[str]] = {}
        self.no_decoder: set[str] = set()
        """Codecs of streams that were to be decoded, and that ffmpeg has no decoder for: it ends before it begins."""
        self.is_broadcast = False
        self.is_listed = False
        """Whether the list of the file's streams has ended."""
        self.has_input = False

    def add(self, data: bytes) -> None:
        """Take in what the decoder wrote, in any pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def last_errors(self) -> str:
        """The last errors of each part of ffmpeg, at most 500 characters, equal for the same file on any machine."""
        said = ((part, "; ".join(texts)) for part, texts in sorted(self._errors.items()))
        return " | ".join(f"{part}: {texts}" if part else texts for part, texts in said)[:500]

    def _line(self, line: str) -> None:
        found = self.LINE.match(line)
        if not found:
            return
        text = found["text"]
        if found["level"] in ("error", "fatal", "panic"):
            if text.startswith("Error opening input file"):  # says no more than the others, and holds the path
                return
            if missing := self.NO_DECODER.match(text):
                self.no_decoder.add(missing[1])
            elif text.startswith("Codec AVOption skip_frame") and self._info.video_codec:  # no picture can be decoded
                text = f"no decoder found for: {self._info.video_codec}"
            said = self._errors.setdefault(found["part"] or "", collections.deque(maxlen=2))
            text = text.strip().replace(self._name, "the file")
            if text not in said:
                said.append(text)
            return
        self.has_input |= text.startswith("Input #0")
        self.is_broadcast |= text.startswith("Input #0, mpegts")
        self.is_listed |= text.startswith(("Output #", "Stream mapping"))
        duration = self.DURATION.match(text)
        if duration and self._info.duration_s is None:
            hours, minutes, seconds = duration.groups()
            self._info.duration_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        if self.is_listed:
            return
        if programme := self.PROGRAMME.match(text):
            self._programme = int(programme[1]) if programme[1] else None
        if found := self.STREAM.match(text):
            index, kind, codec, facts = found.groups()
            stream = self.streams.setdefault(int(index), ListedStream(int(index), kind, codec, facts))
            if self._programme is not None:
                stream.programmes.add(self._programme)
            self._is_picture = self._describe(stream)
        elif (rotation := self.ROTATION.match(text)) and self._is_picture:
            self.is_turned = round(float(rotation[1]) / 90) % 2 == 1

    def _describe(self, stream: ListedStream) -> bool:
        """Take over what is said of the stream, if it is one that is decoded: the first of its kind, or the chosen.

        Return whether it is the picture.
        """
        rest = stream.facts
        if stream.kind == "Audio" and self.choice.sound in (str(stream.index), FIRST.sound):
            if self._info.audio_codec is not None:
                return False
            self._info.audio_codec, self._info.audio_layout = stream.codec, audio_layout(rest)
            sound = self.SOUND.search(rest)
            if sound:
                self._info.audio_rate_hz = int(sound.group(1))
        elif stream.kind == "Video" and self.choice.picture in (str(stream.index), FIRST.picture):
            if self._info.video_codec is not None or stream.is_cover:
                return False
            self._info.video_codec = stream.codec
            size, rate, pixels = self.SIZE.search(rest), self.RATE.search(rest), self.PIXELS.match(rest)
            if pixels:
                self._info.pixel_format = pixels.group(1)
            if size:
                self._info.width, self._info.height = int(size.group(1)), int(size.group(2))
            if rate:
                self._info.frame_rate_hz = float(rate.group(1)) * (1000 if rate.group(2) else 1)
            if (aspect := self.ASPECT.search(rest)) and int(aspect[1]) and int(aspect[2]):
                self.pixel_aspect = int(aspect[1]) / int(aspect[2])
            return True
        return False
