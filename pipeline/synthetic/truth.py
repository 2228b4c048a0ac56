"""What is known about a rendered video: written beside it, and read back by tests and learners.

    <folder>/truth/world_00012/scene.json   the plan, and where its things are in the picture
                               stem_0.flac  what source 0 contributes to the soundtrack: mono, 16 kHz, full length;
                                            stems add up to the soundtrack's mean over channels, less a noise floor
                               masks.npz    pixels of what is seen to sound, once per second
                               silhouettes.npz   pixels of what is seen, sounding, silent or still, once per second
    <folder>/labels.csv                     when something sounds on screen and off screen, for all videos
    <folder>/events.csv                     when a thing of which kind is seen and heard at once, for all videos
    <folder>/words.csv                      when which word is said by someone in view, for worlds with talking heads

The rule for masks and boxes: second k of a video is judged on the frame shown at k + 0.5 s. A source's mask is its
silhouette there, less what is in front of it, if it is on screen and active at k + 0.5 s, else empty. Its box holds the
silhouette whether it is active or not. Silhouettes of all things are of the first frame at or after k + 0.5 s, which is
the one that clips show; up to a frame later than that of the mask, in which a fast thing moves by its own width. Equal
scenes give equal bytes: the archives carry no clock.
"""

import csv
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.localfiles import commit_together
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.scenes import Scene, Source

STEM_RATE_HZ = 16000
SCENES = TypeAdapter(Scene)
LABEL_COLUMNS = ("video", "start_s", "end_s", "on_screen", "off_screen")
EVENT_COLUMNS = ("video", "start_s", "end_s", "category")
_NO_CLOCK = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """All that is known about one video, less its stems."""

    scene: Scene
    """The plan."""
    boxes: NDArray[np.int16]
    """[S, seconds, 4] left, top, right, bottom of each silhouette in pixels, ends exclusive; zeros for off-screen."""
    masks: NDArray[np.bool_]
    """[S, seconds, H, W] pixels of each source that is seen to sound at k + 0.5 s."""
    mouths: NDArray[np.int16]
    """[S, num_frames, 4] square around the mouth of each source that is a speaker in view; zeros for the others."""
    silhouettes: NDArray[np.bool_] | None
    """[S + still, seconds, H, W] pixels of each source in view and of each still thing, whether it sounds or not, less
    what is in front of it, in the frames `drawn_frames`; None of a video that was rendered before there were any."""


def judged_frames(scene: Scene) -> NDArray[np.int_]:
    """The frame of each second: the one shown at k + 0.5 s.

    A last second of half a second or less has none.
    """
    times_s = np.arange(0.5, scene.duration_s, 1.0)
    return np.minimum((times_s * scene.frame_rate_hz).astype(int), scene.num_frames - 1)


def drawn_frames(scene: Scene) -> NDArray[np.int_]:
    """The frame of each second that clips show: the first at or after k + 0.5 s. As many as `judged_frames`."""
    times_s = np.arange(0.5, scene.duration_s, 1.0)
    numbers = np.ceil(times_s * scene.frame_rate_hz - 1e-6).astype(int)
    return np.minimum(numbers, scene.num_frames - 1)


def masks_by_kind(truth: Truth) -> dict[str | None, NDArray[np.bool_]]:
    """[seconds, H, W] what of the silhouettes sounds in its frame: by kind, and of all kinds under None.

    Raises:
        DataError: the truth has no silhouettes.
    """
    scene = truth.scene
    if truth.silhouettes is None:
        raise DataError(f"{scene.name}: its truth has no silhouettes. Render it again in another folder.")
    times_s = drawn_frames(scene) / scene.frame_rate_hz
    found: dict[str | None, NDArray[np.bool_]] = {None: np.zeros(truth.silhouettes.shape[1:], bool)}
    for source, silhouette in zip(scene.sources, truth.silhouettes, strict=False):
        is_sounding = np.array([is_active(source, time_s) for time_s in times_s], bool)
        pixels = silhouette & is_sounding[:, None, None]
        for kind in (None, source.kind):
            found[kind] = found.get(kind, np.zeros_like(pixels)) | pixels
    return found


def is_active(source: Source, time_s: float) -> bool:
    """Whether a time lies in one of the source's spans."""
    return any(start_s <= time_s < end_s for start_s, end_s in source.spans)


def label_spans(scene: Scene) -> list[tuple[float, float, int, int]]:
    """(start_s, end_s, on_screen, off_screen), tiling the video; a new one begins where a source starts or stops."""
    edges = {0.0, scene.duration_s}
    for source in scene.sources:
        for span in source.spans:
            edges.update(span)
    times = sorted(edges)
    rows = []
    for start_s, end_s in itertools.pairwise(times):
        sounding = [source for source in scene.sources if is_active(source, (start_s + end_s) / 2)]
        on_screen = int(any(source.on_screen for source in sounding))
        rows.append((start_s, end_s, on_screen, int(any(not source.on_screen for source in sounding))))
    return rows


def event_spans(scene: Scene) -> list[tuple[float, float, str]]:
    """(start_s, end_s, kind) of each span in which a source in view is active; 0 to 0 s of no kind where none is."""
    seen = [source for source in scene.sources if source.on_screen]
    return sorted((*span, source.kind) for source in seen for span in source.spans) or [(0.0, 0.0, "")]


def word_spans(scene: Scene) -> list[tuple[float, float, str]]:
    """(start_s, end_s, word) of each word that is said by someone in view; 0 to 0 s of no word where none is."""
    words = [word for source in scene.sources if source.on_screen for word in source.words]
    return sorted((word.start_s, word.end_s, word.word) for word in words) or [(0.0, 0.0, "")]


def speaking_source(scene: Scene, start_s: float, end_s: float) -> int | None:
    """Of the speakers in view the one that says words for longest between two times; None where none says any."""
    lengths_s = [
        sum(max(0.0, min(word.end_s, end_s) - max(word.start_s, start_s)) for word in source.words)
        if source.on_screen
        else 0.0
        for source in scene.sources
    ]
    longest = max(range(len(lengths_s)), key=lambda number: lengths_s[number], default=None)
    return longest if longest is not None and lengths_s[longest] > 0 else None


def write_words(config: WorldConfig, folder: Path) -> Path:
    """Write `words.csv` of the whole world from the plan alone, and return its path.

    Columns are `EVENT_COLUMNS`: the video's file name, and a span in s in which someone in view says the word
    `category`. They do not say which of two faces it is.
    """
    words = folder / "words.csv"
    _write_rows(words, EVENT_COLUMNS, word_spans, config)
    return words


def write_labels(config: WorldConfig, folder: Path) -> tuple[Path, Path]:
    """Write `labels.csv` and `events.csv` of the whole world from the plan alone, and return their paths.

    Columns of the first are `LABEL_COLUMNS`: the video's file name, a span in s that tiles it, and whether something
    sounds in it that is in view, and something that is not (0 or 1 each). Those of the second are `EVENT_COLUMNS`: the
    video's file name, and a span in s in which a thing of the kind `category` is seen and heard at once.
    """
    labels, events = folder / "labels.csv", folder / "events.csv"
    _write_rows(labels, LABEL_COLUMNS, label_spans, config)
    _write_rows(events, EVENT_COLUMNS, event_spans, config)
    return labels, events


def _write_rows(
    path: Path, columns: tuple[str, ...], spans_of: Callable[[Scene], Iterable[tuple[Any, ...]]], config: WorldConfig
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for index in range(config.num_videos):
        scene = plan_scene(config, index)
        writer.writerows((scene.video, *row) for row in spans_of(scene))
    files.commit_bytes(str(path), text.getvalue().encode())


def write_truth(folder: Path, truth: Truth, stems: list[NDArray[np.float32]]) -> None:
    """Write `<folder>/truth/<name>/`; `scene.json` last, so that a folder with it is complete."""
    contents: dict[str, bytes] = {}
    for number, stem in enumerate(stems):
        flac = io.BytesIO()
        soundfile.write(flac, stem, STEM_RATE_HZ, format="FLAC", subtype="PCM_16")
        contents[f"stem_{number}.flac"] = flac.getvalue()
    contents["masks.npz"] = _pack(truth.masks)
    if truth.silhouettes is not None:
        contents["silhouettes.npz"] = _pack(truth.silhouettes)
    mouths = {str(number): rows.tolist() for number, rows in enumerate(truth.mouths) if rows.any()}
    described = SCENES.dump_python(truth.scene) | {"boxes": truth.boxes.tolist(), "mouths": mouths}
    for source in described["sources"]:
        if not source["words"]:
            del source["words"]  # a world without words has the bytes that it had before there were any
    text = json.dumps(described, separators=(",", ":"), sort_keys=True)
    contents["scene.json"] = (text + "\n").encode()
    commit_together(folder / "truth" / truth.scene.name, contents)


def load_truth(folder: Path, name: str) -> Truth:
    """What is known about the video `name` (`world_00012`).

    Raises:
        DataError: the truth is not there, damaged, or its masks do not fit its scene.
    """
    place = folder / "truth" / name
    try:
        described: dict[str, Any] = json.loads((place / "scene.json").read_text())
        masks = _unpack(place / "masks.npz")
        is_known = (place / "silhouettes.npz").exists()
        silhouettes = _unpack(place / "silhouettes.npz") if is_known else None
    except FileNotFoundError as error:
        raise DataError(f"{place}: no truth for {name}. Render it with render_scene, or check the name.") from error
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{place}: damaged: {error!r}. Render the scene again.") from error
    try:
        boxes = np.array(described["boxes"], np.int16).reshape(-1, masks.shape[1], 4)
        scene = SCENES.validate_python(described)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{place}/scene.json: no scene of a world: {error}. Render it again, or move it.") from error
    num_things = len(scene.sources) + len(scene.still)
    if len(masks) != len(scene.sources) or (silhouettes is not None and len(silhouettes) != num_things):
        raise DataError(f"{place}: masks of {len(masks)} of its {num_things} things. Render the scene again.")
    dense = np.zeros((len(scene.sources), scene.num_frames, 4), np.int16)
    for number, rows in described["mouths"].items():
        dense[int(number)] = rows
    return Truth(scene=scene, boxes=boxes, masks=masks, mouths=dense, silhouettes=silhouettes)


def _pack(pixels: NDArray[np.bool_]) -> bytes:
    """An archive of a bit per pixel."""
    return _npz(packed=np.packbits(pixels, axis=None), shape=np.array(pixels.shape, np.int32))


def _unpack(path: Path) -> NDArray[np.bool_]:
    """The inverse of `_pack`; raises ValueError if there are not as many bits as the shape has pixels."""
    with np.load(path, allow_pickle=False) as arrays:
        packed, shape = arrays["packed"], tuple(arrays["shape"].tolist())
    num_pixels = int(np.prod(shape))
    if len(shape) != 4 or len(packed) != -(-num_pixels // 8):
        raise ValueError(f"{path.name}: {len(packed)} bytes for pixels of {shape}")
    return np.unpackbits(packed, count=num_pixels).reshape(shape).astype(bool)


def _npz(**arrays: NDArray[Any]) -> bytes:
    """An .npz as np.load reads it, without the times of writing that np.savez puts in."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _NO_CLOCK), data.getvalue(), zipfile.ZIP_DEFLATED)
    return content.getvalue()
