"""One video -> its clips by several clip specs: it is decoded once for all specs that share a decoding.

A video whose decoding fails half way keeps the clips before that point.

Design note: specs share a decoding if they are alike in which frames are decoded (`exact_frames`, or none at all) and
in the sound's sample rate. Others are decoded one after the other, because a spec's bytes may not depend on what is cut
beside it.
"""

import collections
import contextlib
import dataclasses
import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig, SpecCutting
from pipeline.clips.measuring import Meters
from pipeline.clips.pictures import Pictures, WholePictures
from pipeline.errors import ClipError, ConfigError, MissingError, RefusedError
from pipeline.media.decoding import Decoding, SkippedPicturesError
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.streams import Frame
from pipeline.rights.statements import Statement, combine
from pipeline.rights.training_entries import read_training_entries
from pipeline.storage import files
from schemas.videos import CollectionRow


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """A video is cut anew, with every picture decoded: its clips of these specs that came before do not count."""

    specs: Sequence[str]


class VideoCutting:
    """One video by several clip specs: iterate for its clips, then call `video_row` for each spec.

    Pictures that no other refers to are left out, unless a spec wants exact frames. Where those that are decoded lie
    more than half a tick of a spec apart, that spec begins anew, with every picture: a `Restart` comes before that.

    Args:
        video: of the collection.
        specs: the clip specs, by name.
        config: which clips are rejected.
        barred: hashes of files that were taken down: a copy of one, under whatever name, is rejected.
    """

    def __init__(
        self,
        video: CollectionRow,
        specs: Mapping[str, ClipSpec],
        config: ShardingConfig,
        barred: Set[str] = frozenset(),
    ) -> None:
        self._video, self._specs, self._config, self._barred = video, specs, config, barred
        self._content_hash: str | None = None
        self._rights = Statement(video["rights"], video["rights_from"])
        self._cuttings: dict[str, SpecCutting] = {}
        self._begin(list(specs))

    def _begin(self, names: Iterable[str]) -> None:
        for name in names:
            spec = self._specs[name]
            self._cuttings[name] = SpecCutting(self._video, name, spec, self._config, self._pictures(spec))

    def _pictures(self, spec: ClipSpec) -> Pictures:
        if not follows_faces(spec):
            return WholePictures(self._config.jpeg_quality, are_whole=spec.fit == "stretch")
        from pipeline.clips.mouth_cutting import MouthPictures  # here: it imports torch, 2 s and 200 MB

        spans, padding_s = self._video.get("spans"), self._config.max_padding_s
        return MouthPictures(spans, spec, padding_s, self._config.jpeg_quality)

    def __iter__(self) -> Iterator[CutClip | Restart]:
        error: ClipError | None = None
        try:
            with files.local_copy(self._video["uri"]) as path:
                # 1.4 GB/s, and the decoder then finds the file in memory, or meets the error of the disk and says so
                with contextlib.suppress(OSError), path.open("rb") as file:
                    self._content_hash = hashlib.file_digest(file, "sha256").hexdigest()
                self._rights = combine([self._rights, read_training_entries(path)])
                if self._content_hash in self._barred:
                    raise ClipError("taken_down", "its bytes are those of a video that was taken down")
                for names in share_decoding(self._specs):
                    skipped = yield from self._cut(path, names)
                    if skipped:
                        self._begin(skipped)
                        yield Restart(skipped)
                        yield from self._cut(path, skipped, every_picture=True)
        except ClipError as caught:
            error = caught
        except MissingError as caught:
            error = ClipError("missing", str(caught))
        except RefusedError as caught:
            error = ClipError("refused", str(caught))
        if error is not None:
            for cutting in self._cuttings.values():
                yield from cutting.finish(MediaInfo(), error)

    def video_row(self, spec: str, part: str) -> dict[str, Any]:
        """The video's row of `schemas.videos.VIDEOS` for a spec, once iteration has ended."""
        row = self._cuttings[spec].video_row(part) | {"content_hash": self._content_hash}
        return row | {"rights": self._rights.rights, "rights_from": self._rights.read_from}

    def outcomes(self, spec: str) -> Mapping[str, int]:
        """Clips of a spec by outcome, once iteration has ended."""
        return self._cuttings[spec].outcomes

    def _cut(
        self, path: Path, names: Sequence[str], every_picture: bool = False
    ) -> Generator[CutClip | Restart, None, list[str]]:
        """The clips of specs that share a decoding; return those that want every picture, whose clips do not count."""
        cuttings = {name: self._cuttings[name] for name in names}
        specs = {name: self._specs[name] for name in names}
        end_s = max(cutting.last_end_s for cutting in cuttings.values())
        limits = (self._config.video_limit_s, self._config.max_duration_s)
        first = specs[names[0]]  # the others are alike in this
        with_shots = first.num_frames > 0 and any(spec.at_cuts != "ignore" for spec in specs.values())
        meters = Meters(first.sample_rate_hz)
        decoding = Decoding(path, specs, *limits, end_s, every_picture, listener=meters.add, with_small=with_shots)
        for cutting in cuttings.values():
            cutting.begin(meters)
        error: ClipError | None = None
        try:
            with contextlib.closing(iter(decoding)) as items:
                for item in items:
                    if not isinstance(item, Frame):
                        meters.add_sound(item)
                        meters.drop_before(min(cutting.needed_from_s for cutting in cuttings.values()))
                    for name in decoding.skipped & cuttings.keys():
                        del cuttings[name]
                    of_item = [cuttings[item.spec]] if isinstance(item, Frame) else cuttings.values()
                    for cutting in of_item:
                        yield from cutting.add(item, decoding.info)
                    if all(cutting.is_done for cutting in cuttings.values()):
                        break
        except ClipError as caught:
            error = caught
        except SkippedPicturesError:
            return list(names)
        meters.finish()
        for name in names:
            if name not in decoding.skipped:
                yield from self._cuttings[name].finish(decoding.info, error)
        return [name for name in names if name in decoding.skipped]


def follows_faces(spec: ClipSpec) -> bool:
    """Whether a planned span gives a clip for each face in it."""
    return spec.crop == "mouth"


def check_faces(specs: Mapping[str, ClipSpec]) -> None:
    """Refuse before any work to follow faces where that cannot go well.

    Raises:
        ConfigError: a spec that follows faces has frames that mouths do not fit, or a model file that finds faces is
            missing or is another than it should be.
    """
    following = {name: spec for name, spec in specs.items() if follows_faces(spec)}
    for name, spec in following.items():
        if spec.fit != "pad" or not spec.num_frames or spec.frame_height != spec.frame_width:
            found = f"fit = {spec.fit}, {spec.num_frames} frames of {spec.frame_width}x{spec.frame_height}"
            raise ConfigError(
                f"clips.{name}: crop = mouth with {found}: expected fit = pad and square frames, because a mouth keeps "
                "its shape."
            )
    if following:
        from pipeline.clips.mouth_cutting import face_finder

        face_finder()


def share_decoding(specs: Mapping[str, ClipSpec]) -> Iterable[list[str]]:
    """Names of the specs that are cut from one decoding, group by group.

    >>> from pipeline.clip_specs import ClipSpecs
    >>> specs = ClipSpecs()
    >>> list(share_decoding({"base": specs.base, "speech": specs.speech, "events": specs.events}))
    [['base', 'events'], ['speech']]
    >>> list(share_decoding({"base": specs.base, "sounds": specs.sounds}))
    [['base'], ['sounds']]
    """
    groups = collections.defaultdict(list)
    for name, spec in specs.items():
        groups[spec.exact_frames, spec.sample_rate_hz, spec.num_frames > 0].append(name)
    return groups.values()
