"""One video or sound -> its on-screen sound, the rest of its sound, and the video with each.

The model sees windows of one clip's length that overlap by half (`windows`), at its own rate. What it makes of them
(`estimates`) becomes gains of the native sound (`native_rate`), and a weight per source says how much of it is kept
(`choosing`). All of it streams: memory does not grow with the video's length, unless its container has much of the
picture before the sound of the same time.

Design note: spans choose sources by what they do in the whole video, so with spans all sources are written first, in
one order (`source_order`), and the stems are mixed from these files.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.inference import choosing
from pipeline.inference.choosing import Choice
from pipeline.inference.estimates import Estimate, estimates
from pipeline.inference.inputs import open_input
from pipeline.inference.native_rate import Grid, apply_gains, source_gains, stitch
from pipeline.inference.opening import Media, open_media
from pipeline.inference.outputs import Outputs, earlier_files
from pipeline.inference.player_page import MAX_PAGE_S, PLAYER, write_page
from pipeline.inference.recording import Record
from pipeline.inference.sound_files import kind_of, read_together
from pipeline.inference.source_order import in_one_order
from pipeline.inference.stem_writing import Blocks, with_sources_written, write_sources, write_stems
from pipeline.inference.video_writing import Report, write_attention, write_videos
from pipeline.inference.windows import windows
from pipeline.media.muxing import Track

STEMS, STEMS_OF_SOUND = ("on_screen", "off_screen"), ("kept", "rest")
RECORD, OVERLAY, REMIX, SOURCE = "separation.json", "attention.mp4", "remix", "source_{}"
OWN_NAMES = re.compile(r"(on_screen|off_screen|kept|rest|remix|source_\d+)\.(flac|wav|mp4)|attention\.mp4|player\.html")
NO_VERDICTS = (
    "the model was trained on sound alone and does not know what is on screen. Expected a model of phase joint, a "
    "sound without picture, or spans."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is made of a video."""

    choice: Choice = field(default_factory=Choice)
    remix: tuple[float, float] | None = None
    """Linear gains of both stems in a third one, their mixture."""
    write_sources: bool = False
    """Write every source as a file. Those of a sound without picture are written in any case."""
    write_attention: bool = False
    """Write the video with the model's attention laid over."""
    write_page: bool = False
    """Write a page that plays the video with its sources."""
    has_verdicts: bool = True
    """Whether the model has learnt what is on screen; one trained on sound alone has not."""
    batch_size: int = 1
    """Windows per call of the model."""


@dataclass(frozen=True, slots=True)
class Separated:
    """The result of separating one video."""

    duration_s: float
    """Length of its sound, and of all stems."""
    kept_share: float | None
    """Power of the on-screen stem over the power of both; None if both are silent, or no stem was chosen."""
    has_picture: bool
    notes: tuple[str, ...]
    """What is odd about the file, and what was done about it."""

    def __str__(self) -> str:
        share = [] if self.kept_share is None else [f"{self.kept_share:.0%} of the power is {self._kept()}"]
        return "; ".join([f"{self.duration_s:.1f} s", *share, *self.notes])

    def _kept(self) -> str:
        return "on screen" if self.has_picture else "kept"


def file_names() -> list[str]:
    """Names of the files that separating may write, whatever a video holds; of the sources' those of the first."""
    stems = [*STEMS, *STEMS_OF_SOUND, REMIX, SOURCE.format(1)]
    return [RECORD, OVERLAY, PLAYER, *(f"{stem}.{kind}" for stem in stems for kind in ("flac", "wav", "mp4"))]


def separate_video(
    uri: str,
    folder: str,
    spec: ClipSpec,
    model: nn.Module,
    options: Options | None = None,
    report: Report = lambda phase, done_s, total_s: None,
) -> Separated:
    """Write on_screen and off_screen of a video into a folder, as sound and as video; nothing if it cannot be used.

    The sounds are 24-bit FLAC (WAV beyond FLAC's limits) at the video's rate and with its channels, and add up to its
    sound. The mp4s hold the original picture with each. `separation.json` has the model's probabilities and the gains
    over time. A sound without a picture gives `source_1`, `source_2`, ... instead, and `kept` and `rest` if the choice
    has spans.

    Args:
        uri: path or s3:// address of the video.
        folder: path or s3:// address of the folder to write to; files there are replaced.
        spec: the clip spec that the model was trained on.
        model: a SeparationModel in evaluation mode, on the device where it is to run.
        options: what is made of it.
        report: called with what is being done, the seconds that are done, and those in all (0 if unknown).
    Raises:
        ClipError: the video cannot be decoded (see `pipeline.media.decoding.Decoding`) or written, it has no such
            region or span, or the model does not know what is on screen.
        DataError: there is no such file.
        OSError: the folder cannot be written to.
    """
    options = options or Options()
    with (
        open_input(uri) as path,
        Outputs(folder, earlier_files(folder, RECORD, OWN_NAMES)) as outputs,
        open_media(path, spec) as media,
    ):
        return _Separation(media, outputs, spec, model, options, report).run(uri.rpartition("/")[2])


class _Separation:
    """The work on one video."""

    def __init__(
        self, media: Media, outputs: Outputs, spec: ClipSpec, model: nn.Module, options: Options, report: Report
    ) -> None:
        self._media, self._outputs, self._spec, self._model = media, outputs, spec, model
        self._options, self._report = options, report
        self._grid = Grid(media.rate_hz, spec.sample_rate_hz)
        self._kind = kind_of(media.rate_hz, media.num_channels)
        attention_s = MAX_PAGE_S if options.write_page else 0.0
        self._record = Record(spec, media.has_picture and options.has_verdicts, attention_s)
        self._sources: list[Path] = []
        self._notes: list[str] = []
        self._chosen: list[int] | None = None
        self._area = self._region_in_frame()

    def run(self, name: str) -> Separated:
        """Write everything that is made of the video of this name."""
        media, spans = self._media, self._options.choice.spans
        stems: list[Track] = []
        share = None
        if media.sound is None:
            stems, share = self._write_stems((chunk, chunk) for chunk in media.counted())
        elif media.has_picture and not spans:
            if not self._options.has_verdicts:
                raise ClipError("no_verdicts", NO_VERDICTS)
            stems, share = self._write_stems(with_sources_written(self._blocks(), self._source_path, media.rate_hz))
        else:
            self._check_spans(media.decoding.info.duration_s)
            paths, powers = write_sources(self._blocks(), self._source_path, media.rate_hz, spans)
            self._check_spans(media.duration_s)
            if spans:
                stems, share = self._write_stems(self._mixed(paths, powers))
        self._notes[:0] = media.notes(self._spec)
        if media.has_picture:
            named = dict(zip(self._stem_names(), stems, strict=True))
            self._notes += write_videos(media, named, self._outputs, self._report)
        ignored = self._ignored()
        self._notes += ignored
        if self._options.write_attention and not any(note.startswith("no attention") for note in ignored):
            maps = self._record.maps(choosing.picture_in_frame(self._spec, media.decoding.picture_shape))
            self._notes += write_attention(media, stems[0], maps, OVERLAY, self._outputs, self._report)
        if self._options.write_page and not any(note.startswith("no page") for note in ignored):
            sources = [Track(path, self._kind, media.rate_hz, media.num_channels) for path in self._sources]
            given = (sources, self._record, self._chosen, self._outputs, self._report)
            self._notes += write_page(media, name, stems[0], *given)
        if not media.has_picture:
            self._notes.append("no picture: the sources are written, without a verdict on which of them are on screen")
        if self._kind == "wav":
            self._notes.append("WAV, because FLAC holds 8 channels and 655 350 Hz at most")
        self._write_record(share)
        return Separated(media.duration_s, share, media.has_picture, tuple(self._notes))

    def _ignored(self) -> list[str]:
        """What was asked for and does not apply to this file."""
        options, media, choice = self._options, self._media, self._options.choice
        is_chosen = media.has_picture or bool(choice.spans)
        if media.sound is None:
            self._check_spans(media.duration_s)
        asked = (
            (options.write_sources and media.sound is None, "no sources: there is no sound"),
            (choice.spans and media.sound is None, "the spans do not apply: there is no sound"),
            (choice.threshold is not None and not is_chosen, "the threshold does not apply: there is no verdict"),
            (options.remix and not is_chosen, "no remix: nothing is chosen of the sources"),
            (options.write_attention and not media.has_picture, "no attention: there is no picture"),
            (options.write_attention and media.sound is None, "no attention: there is no sound to look for"),
            (
                options.write_attention and media.has_picture and media.sound is not None and not options.has_verdicts,
                "no attention: the model does not know what is on screen",
            ),
            (options.write_page and not media.has_picture, "no page: there is no picture"),
            (options.write_page and media.sound is None, "no page: there is no sound"),
            (
                options.write_page and media.has_picture and media.sound is not None and not options.has_verdicts,
                "no page: the model does not know what is on screen",
            ),
        )
        return [note for applies, note in asked if applies]

    def _blocks(self) -> Blocks:
        """The native sound [n, C] and its tracks [P, n, C]: what is kept unless spans choose it, then every source."""
        parts = estimates(self._model, windows(self._media.items, self._spec), self._spec, self._options.batch_size)
        if self._has_source_tracks():
            parts = in_one_order(parts)
        overlap = len(self._grid.frames(0, self._spec.num_samples // 2))
        position, total_s = 0, self._media.decoding.info.duration_s or 0.0
        for native, tracks in apply_gains(self._media.counted(), stitch(map(self._gains, parts), overlap), self._grid):
            yield native, tracks
            position += len(native)
            self._report("separate", position / self._media.rate_hz, total_s)

    def _has_source_tracks(self) -> bool:
        options = self._options
        is_asked = options.write_sources or options.write_page or bool(options.choice.spans)
        return is_asked or not self._media.has_picture

    def _gains(self, estimate: Estimate) -> tuple[range, np.ndarray]:
        """The frames of a window, and the gains [P, L, F] of each track in them."""
        window = estimate.window
        frames = self._grid.frames(window.start, len(window.sound))
        centres = self._grid.centres(frames) - window.start
        of_sources = source_gains(window.sound, estimate.sources, centres, self._grid)
        tracks = [of_sources] if self._has_source_tracks() else []
        kept = None
        if self._media.has_picture and not self._options.choice.spans:
            kept = choosing.weights(estimate, self._options.choice.threshold, self._area)
            tracks.insert(0, np.tensordot(kept, of_sources, 1)[None])
        self._record.add(estimate, kept)
        return frames, np.concatenate(tracks)

    def _mixed(self, paths: list[Path], powers: np.ndarray) -> Blocks:
        """The native sound and what is kept of it: the sources that sound in the spans."""
        chosen = choosing.sounding(*powers)
        self._chosen = [int(number) + 1 for number in np.flatnonzero(chosen)]
        if not self._chosen:
            self._notes.append("nothing sounds in the spans")
        for sources in read_together(paths):
            yield sources.sum(axis=0), sources[chosen].sum(axis=0)

    def _write_stems(self, blocks: Blocks) -> tuple[list[Track], float | None]:
        """Write what is kept, the rest and the remix; return them, and the share of what is kept in the power."""
        media = self._media
        paths = [self._outputs.file(f"{name}.{self._kind}") for name in self._stem_names()]
        share, num_limited = write_stems(blocks, paths, media.rate_hz, media.num_channels, self._options.remix)
        if num_limited:
            self._notes.append(f"{num_limited} samples of the stems were beyond full scale and are limited to it")
        if share is None and media.sound is not None:
            self._notes.append("silent")
        return [Track(path, self._kind, media.rate_hz, media.num_channels) for path in paths], share

    def _stem_names(self) -> list[str]:
        return [*(STEMS if self._media.has_picture else STEMS_OF_SOUND), *([REMIX] if self._options.remix else [])]

    def _source_path(self, number: int) -> Path:
        """Where a source is written: kept if it was asked for, or if there is no picture."""
        name = f"{SOURCE.format(number)}.{self._kind}"
        is_kept = self._options.write_sources or not self._media.has_picture
        self._sources.append(self._outputs.file(name) if is_kept else self._outputs.work_file(name))
        return self._sources[-1]

    def _write_record(self, share: float | None) -> None:
        choice, region, path = self._options.choice, self._options.choice.region, self._outputs.file(RECORD)
        record = {
            "duration_s": round(self._media.duration_s, 6),
            "sample_rate_hz": self._media.rate_hz,
            "num_channels": self._media.num_channels,
            "files": sorted(self._outputs.names),
            "kept_share": share if share is None else round(share, 6),
            "threshold": choice.threshold,
            "region": [region.x, region.y, region.width, region.height] if region else None,
            "spans_s": [[span.start_s, span.end_s] for span in choice.spans],
            "chosen_sources": self._chosen,
            "notes": self._notes,
            "windows": self._record.rows,
        }
        path.write_text(json.dumps(record, indent=1))

    def _region_in_frame(self) -> tuple[float, float, float, float] | None:
        """Where in the model's frame the region lies; None without one."""
        region, decoding = self._options.choice.region, self._media.decoding
        if region is None:
            return None
        if not self._media.has_picture or decoding.picture_size is None:
            raise ClipError("region", "there is no picture in which it could lie.")
        return choosing.area_in_frame(region, decoding.picture_size, decoding.picture_shape, self._spec)

    def _check_spans(self, duration_s: float | None) -> None:
        """Raises a ClipError for a span that ends after the video; None is a length that is not known yet."""
        for span in self._options.choice.spans:
            if duration_s is not None and span.end_s > duration_s + 0.01:
                raise ClipError(
                    "span",
                    f"{span.start_s:g} to {span.end_s:g} s is outside the video, which lasts {duration_s:.2f} s.",
                )
