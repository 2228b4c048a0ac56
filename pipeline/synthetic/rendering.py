"""From a planned scene to a video file and its truth.

Comes in: a world's config and a video's number. Goes out: `<folder>/videos/world_00012.mp4` and its truth. Frames are
drawn a few at a time and piped to ffmpeg, so pictures need little memory at any length. The truth is written meanwhile,
and the video is renamed into place last: one that is there is finished, and rendering it again writes the same bytes.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage import files
from pipeline.synthetic.backgrounds import MARGIN, background, camera
from pipeline.synthetic.faces import mouth_boxes
from pipeline.synthetic.mask_files import write_masks
from pipeline.synthetic.motions import Motion
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.scenes import Scene, Thing
from pipeline.synthetic.sights import Sight, look
from pipeline.synthetic.sounds import RATE_HZ, Waveform, resample, synthesize
from pipeline.synthetic.truth import STEM_RATE_HZ, Truth, drawn_frames, is_active, judged_frames, write_truth

FRAMES_AT_ONCE = 16  # 16 frames of a 70 x 70 layer with 4 channels: 1.3 MB of float32, which stays in the L2 cache
NOISE_FLOOR_DB = -60.0  # of the soundtrack, re full scale
AS_STATED = {"probesize": 32, "analyzeduration": 0}  # the options name format and size, so ffmpeg need not read ahead
PIPE_BYTES = 2**20  # a group of frames is drawn while the one before is encoded
GBR = [2, 0, 1]  # the places of red, green and blue among a frame's planes, which ffmpeg calls gbrp


@dataclass(frozen=True)
class RenderVideo:
    """Renders the video whose number is the part's name. A plain callable: it runs in a loop or on a worker."""

    config: WorldConfig
    folder: Path

    def __call__(self, part: str) -> Path:
        """Write one video and its truth; return its path."""
        return render_scene(self.config, int(part), self.folder)


def render_scene(config: WorldConfig, index: int, folder: Path) -> Path:
    """Write video `index` of a world and its truth under `folder`, over the same bytes if they are there; its path.

    Raises:
        ValueError: index is negative.
        RuntimeError: ffmpeg failed; the message holds what it said.
    """
    scene = plan_scene(config, index)
    stems, soundtrack = mix(scene)
    frames, truth = draw(scene)
    video = folder / "videos" / scene.video
    with files.building(str(video)) as unfinished, ThreadPoolExecutor(max_workers=1) as beside:
        known = beside.submit(_write_known, folder, truth, stems)
        encode(scene, frames, soundtrack, unfinished)
        known.result()
    return video


def _write_known(folder: Path, truth: Truth, stems: list[Waveform]) -> None:
    """Write what is known about a video: it waits for the disk about as long as the video takes to be encoded."""
    write_truth(folder, truth, [resample(stem, RATE_HZ, STEM_RATE_HZ) for stem in stems])
    write_masks(folder, truth)


def mix(scene: Scene) -> tuple[list[Waveform], Waveform]:
    """What is heard.

    Returns:
        One [T] stem per source at `RATE_HZ`, and [T, C] the soundtrack at the scene's sample rate: the panned stems
        plus a noise floor. The mean of its channels is the sum of the stems plus noise; its peak is `peak_db`.
    """
    num_samples = round(scene.duration_s * RATE_HZ)
    stems = [synthesize(source, num_samples) * np.float32(_gain(source.gain_db)) for source in scene.sources]
    channels = []
    for side in (-1, 1) if scene.num_channels == 2 else (0,):
        pans = [np.float32(1 + side * source.pan) for source in scene.sources]
        channels.append(np.sum([pan * stem for pan, stem in zip(pans, stems, strict=True)], axis=0))
    soundtrack = np.stack([resample(channel, RATE_HZ, scene.sample_rate_hz) for channel in channels], axis=1)
    gain = np.float32(_gain(scene.peak_db) / max(np.abs(sound).max() for sound in (soundtrack, *stems)))
    soundtrack *= gain
    rng = np.random.default_rng([*scene.seed, 1])
    soundtrack += np.float32(_gain(NOISE_FLOOR_DB)) * rng.standard_normal(soundtrack.shape, dtype=np.float32)
    return [stem * gain for stem in stems], soundtrack


def draw(scene: Scene) -> tuple[Iterator[NDArray[np.uint8]], Truth]:
    """What is seen.

    Returns:
        An iterator over [K, 3, H, W] groups of frames, planes in the order green, blue, red; and the truth about them.
    """
    rng = np.random.default_rng([*scene.seed, 2])
    behind = np.float32(255) * background(scene, rng)
    shift, drift = camera(scene, rng)
    noise = np.float32(rng.uniform(0.5, 2.5)) * rng.standard_normal(
        (3, 3, scene.height + 16, scene.width + 16), dtype=np.float32
    )
    offsets = rng.integers(0, 16, (scene.num_frames, 2))
    cast = [(thing, Motion()) for thing in scene.still]
    cast += [(source.thing, Motion(source.notes, source.spans)) for source in scene.sources if source.thing]

    def frames() -> Iterator[NDArray[np.uint8]]:
        stills: dict[int, Sight] = {}
        for first in range(0, scene.num_frames, FRAMES_AT_ONCE):
            numbers = np.arange(first, min(first + FRAMES_AT_ONCE, scene.num_frames))
            sights = [stills.get(place) or _look(scene, *member, numbers) for place, member in enumerate(cast)]
            stills |= {place: sight for place, sight in enumerate(sights) if not cast[place][1].notes}
            group = np.empty((len(numbers), 3, scene.height, scene.width), np.uint8)
            for place, number in enumerate(numbers):
                x, y = MARGIN - drift[number]
                picture = behind[:, y : y + scene.height, x : x + scene.width].copy()
                for sight in sights:
                    _paste(picture, sight, place, shift[number])
                x, y = offsets[number]
                picture += noise[number % 3, :, y : y + scene.height, x : x + scene.width]
                np.clip(picture, 0, 255, out=picture)
                for plane, colour in zip(GBR, picture, strict=True):
                    group[place, plane] = colour
            yield group

    return frames(), _silhouettes(scene, cast, shift)


def _look(scene: Scene, thing: Thing, motion: Motion, numbers: NDArray[np.int_]) -> Sight:
    return look(thing, motion, numbers / scene.frame_rate_hz, scene.width, scene.height)


def _paste(picture: NDArray[np.float32], sight: Sight, place: int, shift: NDArray[np.int_]) -> None:
    """Lay one frame of a layer over a picture of 0 to 255."""
    rows, columns, inside = _inside(sight, place, shift, *picture.shape[1:])
    target = picture[:, rows, columns]
    target *= 1 - inside[3]
    target += np.float32(255) * inside[:3]


def _inside(
    sight: Sight, place: int, shift: NDArray[np.int_], height: int, width: int
) -> tuple[slice, slice, NDArray[np.float32]]:
    """Rows and columns of a picture that one frame of a layer covers, and its [4, h, w] pixels there."""
    pixels = sight.pixels[min(place, len(sight.pixels) - 1)]
    top, left = sight.top + int(shift[1]), sight.left + int(shift[0])
    rows = slice(max(0, top), min(height, top + pixels.shape[1]))
    columns = slice(max(0, left), min(width, left + pixels.shape[2]))
    return rows, columns, pixels[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _silhouettes(scene: Scene, cast: list[tuple[Thing, Motion]], shift: NDArray[np.int_]) -> Truth:
    """Boxes, masks, mouths and silhouettes of what is in a scene."""
    in_cast = {id(thing): place for place, (thing, _) in enumerate(cast)}
    numbers, drawn = judged_frames(scene), drawn_frames(scene)
    whole, shown = _covered(scene, cast, shift, numbers)
    is_same = np.array_equal(numbers, drawn)  # at 10 and 12 frames per second
    in_drawn = shown if is_same else _covered(scene, cast, shift, drawn)[1]
    boxes = np.zeros((len(scene.sources), len(numbers), 4), np.int16)
    masks = np.zeros((len(scene.sources), *shown.shape[1:]), bool)
    mouths = np.zeros((len(scene.sources), scene.num_frames, 4), np.int16)
    silhouettes = np.zeros((len(scene.sources) + len(scene.still), *shown.shape[1:]), bool)
    things = [*(source.thing for source in scene.sources), *scene.still]
    for place, thing in enumerate(things):
        if thing is not None:
            silhouettes[place] = in_drawn[in_cast[id(thing)]]
    for place, source in enumerate(scene.sources):
        if source.thing is None:
            continue
        boxes[place] = [_box(silhouette) for silhouette in whole[in_cast[id(source.thing)]]]
        sounding = [is_active(source, second + 0.5) for second in range(len(numbers))]
        masks[place, sounding] = shown[in_cast[id(source.thing)], sounding]
        if source.kind == "speaker":
            t = np.arange(scene.num_frames) / scene.frame_rate_hz
            motion = Motion(source.notes, source.spans)
            around = mouth_boxes(source.thing, motion, t, scene.width, scene.height) + np.tile(shift, 2)
            mouths[place] = np.rint(np.clip(around, 0, np.tile([scene.width, scene.height], 2)))
    return Truth(scene=scene, boxes=boxes, masks=masks, mouths=mouths, silhouettes=silhouettes)


def _covered(
    scene: Scene, cast: list[tuple[Thing, Motion]], shift: NDArray[np.int_], numbers: NDArray[np.int_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[cast, frames, H, W] pixels of each thing in the frames of these numbers: of all of it, and of what is not hidden
    by things in front of it, which come after it in the cast."""
    whole = np.zeros((len(cast), len(numbers), scene.height, scene.width), bool)
    shown = np.zeros_like(whole)
    sights = [_look(scene, thing, motion, numbers) for thing, motion in cast]
    for frame, number in enumerate(numbers):
        hidden = np.zeros((scene.height, scene.width), np.float32)
        for place in reversed(range(len(cast))):
            rows, columns, inside = _inside(sights[place], frame, shift[number], scene.height, scene.width)
            cover = np.float32(255) * inside[3]
            whole[place, frame, rows, columns] = cover > 127.5
            shown[place, frame, rows, columns] = (cover > 127.5) & (hidden[rows, columns] < 0.5)
            hidden[rows, columns] = np.maximum(hidden[rows, columns], cover / 255)
    return whole, shown


def _box(silhouette: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is set, ends exclusive; zeros where nothing is."""
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    if not len(rows):
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def encode(scene: Scene, frames: Iterator[NDArray[np.uint8]], soundtrack: Waveform, path: Path) -> None:
    """Write frames and soundtrack to one file, with nothing in it that depends on when or where."""
    with tempfile.TemporaryDirectory(prefix="earshot-") as scratch, tempfile.TemporaryFile() as said:
        wav = Path(scratch) / "soundtrack.wav"
        soundfile.write(wav, soundtrack, scene.sample_rate_hz, subtype="PCM_16")
        size = f"{scene.width}x{scene.height}"
        raw = {"format": "rawvideo", "pix_fmt": "gbrp", "s": size, "framerate": scene.frame_rate_hz}
        pictures = ffmpeg.input("pipe:0", **raw, **AS_STATED)
        output = ffmpeg.output(pictures.video, ffmpeg.input(str(wav), **AS_STATED).audio, str(path), **_codecs(scene))
        command = output.global_args("-hide_banner", "-loglevel", "error").compile(ffmpeg_path(), overwrite_output=True)
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, pipesize=PIPE_BYTES
        )
        assert child.stdin is not None
        try:
            _pour(frames, child.stdin)
        except BaseException:
            child.kill()
            raise
        finally:
            code = child.wait()
        if code:
            said.seek(0)
            raise RuntimeError(f"{path}: ffmpeg ended with {code}: {said.read().decode(errors='replace').strip()}")


def _pour(frames: Iterator[NDArray[np.uint8]], pipe: IO[bytes]) -> None:
    """Write frames until they end or the reader has gone, whose exit code then says why."""
    try:
        for group in frames:
            pipe.write(group.tobytes())
        pipe.close()
    except BrokenPipeError:
        return


def _codecs(scene: Scene) -> dict[str, Any]:
    """ffmpeg's output options for the scene's container."""
    exact: dict[str, Any] = {"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact", "map_metadata": -1}
    common = exact | {"pix_fmt": "yuv420p", "threads": 1, "g": 4 * scene.frame_rate_hz}
    if scene.suffix == ".webm":
        vp9 = {"c:v": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "b:v": "300k", "row-mt": 0}
        return common | vp9 | {"c:a": "libopus", "b:a": f"{64 * scene.num_channels}k", "f": "webm"}
    h264 = {"c:v": "libx264", "crf": 23, "movflags": "+faststart"}
    if scene.slow_preset:
        aac = {"c:a": "aac", "aac_coder": "fast", "b:a": f"{80 * scene.num_channels}k"}
        return common | h264 | {"preset": "veryfast"} | aac | {"f": "mp4"}
    # two thirds of the time of AAC, and browsers play it
    mp3 = {"c:a": "libmp3lame", "compression_level": 9, "b:a": f"{80 * scene.num_channels}k"}
    return common | h264 | {"preset": "ultrafast"} | mp3 | {"f": "mp4"}


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
