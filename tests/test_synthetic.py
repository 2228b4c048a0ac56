"""The synthetic world: same seed, same bytes; what is written as truth is what the files show and sound."""

import csv
import doctest
import itertools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import ConfigError, DataError
from pipeline.masks.mask_pictures import decode_mask
from pipeline.media.sandbox import ffmpeg_path
from pipeline.synthetic import identities as identities_module
from pipeline.synthetic import motions, rendering
from pipeline.synthetic.identities import NUM_IDENTITIES, identity
from pipeline.synthetic.kinds import KINDS
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.rendering import render_scene
from pipeline.synthetic.scenes import Scene
from pipeline.synthetic.shapes import Layer, circle
from pipeline.synthetic.sounds import RATE_HZ, resample
from pipeline.synthetic.truth import STEM_RATE_HZ, drawn_frames, is_active, load_truth, masks_by_kind, write_labels
from tests.helpers.synthetic_sources import a_source

SHORT = WorldConfig(num_videos=7, seed=7, duration_s=4.0, event_fraction=0.6, webm_fraction=0.2, mixed_fraction=0.25)
PLANNED = WorldConfig(num_videos=600, seed=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for index in range(SHORT.num_videos):
        render_scene(SHORT, index, folder)
    return folder


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [plan_scene(PLANNED, index) for index in range(PLANNED.num_videos)]


def decoded_sound(path: Path, num_channels: int) -> np.ndarray:
    """[T] mean over channels at 16 kHz."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-f", "f32le", "-ar", "16000", "pipe:1"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, num_channels).mean(axis=1)


def load_stems(world: Path, scene: Scene) -> np.ndarray:
    """[S, T] what each source contributes to the soundtrack, as it is written."""
    stems = []
    for number in range(len(scene.sources)):
        stem, rate_hz = soundfile.read(world / "truth" / scene.name / f"stem_{number}.flac", dtype="float32")
        assert (len(stem), rate_hz) == (round(scene.duration_s * STEM_RATE_HZ), STEM_RATE_HZ)
        stems.append(stem)
    return np.stack(stems)


def decoded_picture(path: Path, scene: Scene) -> np.ndarray:
    """[K, H, W] grey, 0 to 255."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, scene.height, scene.width).astype(float)


def test_same_seed_gives_the_same_bytes_of_video_and_truth(world: Path, tmp_path: Path) -> None:
    by_suffix = {plan_scene(SHORT, index).suffix: index for index in range(SHORT.num_videos)}
    assert set(by_suffix) == {".mp4", ".webm"}
    for index in by_suffix.values():
        render_scene(SHORT, index, tmp_path)
    again = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(again) >= 2 * 4
    for path in again:
        assert (tmp_path / path).read_bytes() == (world / path).read_bytes(), path


def test_a_scene_does_not_depend_on_the_number_of_videos_but_on_the_seed() -> None:
    assert plan_scene(replace(PLANNED, num_videos=3), 2) == plan_scene(PLANNED, 2)
    assert plan_scene(replace(PLANNED, seed=2), 2) != plan_scene(PLANNED, 2)


def test_truth_read_back_is_the_plan(world: Path) -> None:
    for index in range(SHORT.num_videos):
        scene = plan_scene(SHORT, index)
        truth = load_truth(world, scene.name)
        assert truth.scene == scene
        assert truth.masks.shape == (len(scene.sources), 4, scene.height, scene.width)
        assert truth.boxes.shape == (len(scene.sources), 4, 4)


def test_missing_truth_says_which_video_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"world_00003.*Render it"):
        load_truth(tmp_path, "world_00003")


def test_stems_add_up_to_the_soundtrack_of_the_file(world: Path) -> None:
    for index in range(SHORT.num_videos):
        scene = plan_scene(SHORT, index)
        total = load_stems(world, scene).sum(axis=0)
        heard = decoded_sound(world / "videos" / scene.video, scene.num_channels)
        assert abs(len(heard) - len(total)) <= 0.03 * 16000, "AAC may end with a partial frame of 1024 samples"
        heard = np.pad(heard, (0, len(total)))[: len(total)]
        error_db = 10 * np.log10(np.square(heard - total).sum() / np.square(total).sum())
        # AAC at 80 kb/s leaves an error of -19 dB in noise-like kinds (maraca, engine), far less in others; a gain that
        # is wrong by 2 dB would leave -13 dB.
        assert error_db < -14, f"{scene.video}: {error_db:.1f} dB, kinds {[s.kind for s in scene.sources]}"


def test_soundtrack_before_coding_is_the_stems_plus_a_noise_floor_of_minus_60_db() -> None:
    for index in range(4):
        scene = plan_scene(SHORT, index)
        stems, soundtrack = rendering.mix(scene)
        total = resample(np.sum(stems, axis=0), RATE_HZ, scene.sample_rate_hz)
        rest_db = 10 * np.log10(np.square(soundtrack.mean(axis=1) - total).mean())
        assert rest_db == pytest.approx(-60 - 10 * np.log10(scene.num_channels), abs=0.3)
        assert 20 * np.log10(np.abs(soundtrack).max()) == pytest.approx(scene.peak_db, abs=0.6)


def test_labels_tile_every_video_and_agree_with_the_stems(world: Path, tmp_path: Path) -> None:
    path, _ = write_labels(SHORT, tmp_path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "start_s", "end_s", "on_screen", "off_screen"]
    by_video = {video: list(group) for video, group in itertools.groupby(rows, key=lambda row: row["video"])}
    assert len(by_video) == SHORT.num_videos
    for index in range(SHORT.num_videos):
        scene = plan_scene(SHORT, index)
        spans = by_video[scene.video]
        assert [float(spans[0]["start_s"]), float(spans[-1]["end_s"])] == [0.0, 4.0]
        assert all(a["end_s"] == b["start_s"] for a, b in itertools.pairwise(spans))
        stems = load_stems(world, scene)
        for row, (column, on_screen) in itertools.product(spans, (("on_screen", True), ("off_screen", False))):
            first, last = (int(float(row[edge]) * 16000) for edge in ("start_s", "end_s"))
            heard = [stem[first:last] for stem, s in zip(stems, scene.sources, strict=True) if s.on_screen == on_screen]
            level = max((np.sqrt(np.square(sound).mean()) for sound in heard), default=0.0)
            if row[column] == "0":
                assert level < 1e-3, f"{scene.video} {row}: a source that is not labelled has RMS {level}"
            elif last - first > 1.2 * 16000:  # a shorter span may fall into a pause of up to 1 s
                assert level > 3e-3, f"{scene.video} {row}: what is labelled to sound has RMS {level}"


def test_events_are_the_spans_in_which_something_in_view_sounds_and_a_video_without_any_has_a_row(
    tmp_path: Path,
) -> None:
    _, path = write_labels(SHORT, tmp_path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "start_s", "end_s", "category"]
    times_s = np.arange(0.05, SHORT.duration_s, 0.1)
    for index in range(SHORT.num_videos):
        scene = plan_scene(SHORT, index)
        events = [row for row in rows if row["video"] == scene.video]
        for kind in SHORT.kinds:
            sounding = [s for s in scene.sources if s.kind == kind and s.thing is not None]
            spans = [(float(e["start_s"]), float(e["end_s"])) for e in events if e["category"] == kind]
            for time_s in times_s:
                assert any(start_s <= time_s < end_s for start_s, end_s in spans) == any(
                    is_active(source, time_s) for source in sounding
                )
        if not any(source.on_screen for source in scene.sources):
            assert [tuple(event.values())[1:] for event in events] == [("0.0", "0.0", "")]
    assert {row["video"] for row in rows} == {plan_scene(SHORT, i).video for i in range(SHORT.num_videos)}
    assert "" in {row["category"] for row in rows}


def test_masks_lie_in_boxes_and_only_active_on_screen_sources_have_any(world: Path) -> None:
    num_masks = 0
    for index in range(SHORT.num_videos):
        truth = load_truth(world, plan_scene(SHORT, index).name)
        for source, masks, boxes in zip(truth.scene.sources, truth.masks, truth.boxes, strict=True):
            assert source.on_screen == bool(boxes.any())
            for second, (mask, (left, top, right, bottom)) in enumerate(zip(masks, boxes, strict=True)):
                sounds = any(start_s <= second + 0.5 < end_s for start_s, end_s in source.spans)
                assert mask.any() == (source.on_screen and sounds)
                outside = mask.copy()
                outside[top:bottom, left:right] = False
                assert not outside.any()
                num_masks += int(mask.any())
    assert num_masks >= 10


def test_what_is_in_a_mask_is_what_the_video_shows_of_the_thing(tmp_path: Path) -> None:
    config = replace(SHORT, on_only_fraction=1.0, mixed_fraction=0.0, event_fraction=0.0, still_fraction=0.0)
    scene = plan_scene(config, 3)
    without = replace(scene, sources=(), still=())
    shown, empty = (next(rendering.draw(s)[0]).astype(float) for s in (scene, without))
    frame = int(0.5 * scene.frame_rate_hz)
    differs = np.abs(shown[frame] - empty[frame]).max(axis=0) > 30  # noise is the same in both: same seed
    mask = rendering.draw(scene)[1].masks[:, 0].any(axis=0)
    assert (differs & ~mask).sum() < 0.1 * mask.sum()
    assert (differs & mask).sum() > 0.7 * mask.sum()


def shown_by(scene: Scene, without: Scene, frame: int) -> np.ndarray:
    """[H, W] pixels in which a frame of the scene differs from that of one without some of its things."""
    pictures = []
    for each in (scene, without):
        frames = np.concatenate(list(rendering.draw(each)[0]))
        pictures.append(frames[frame].astype(float))
    return np.abs(pictures[0] - pictures[1]).max(axis=0) > 30  # noise is the same in both: same seed


def test_a_silhouette_of_a_still_thing_is_what_vanishes_from_the_picture_with_it() -> None:
    config = replace(SHORT, on_only_fraction=1.0, mixed_fraction=0.0, second_source_fraction=0.0, still_fraction=1.0)
    scene = plan_scene(config, 1)
    (still,) = scene.still
    truth = rendering.draw(scene)[1]
    assert truth.silhouettes is not None
    assert len(truth.silhouettes) == 2  # the source's first
    frame = int(drawn_frames(scene)[1])
    silhouette, vanished = truth.silhouettes[1, 1], shown_by(scene, replace(scene, still=()), frame)
    assert (vanished & ~silhouette).sum() < 0.1 * silhouette.sum()
    assert (vanished & silhouette).sum() > 0.7 * silhouette.sum()
    rows, columns = np.nonzero(silhouette)
    reach = 0.5 * still.size * scene.height * 1.25 + 4  # its diagonal where it is tilted, and the camera's tremor
    assert np.abs(rows - still.y * scene.height).max() <= reach
    assert np.abs(columns - still.x * scene.width).max() <= reach
    areas = truth.silhouettes[1].sum(axis=(1, 2))
    assert areas.max() - areas.min() <= 0.05 * areas.max()  # it is still: whole pixels of the camera's shift at most


def test_painting_where_a_shape_reaches_has_the_bits_of_painting_everywhere() -> None:
    rng = np.random.default_rng(8)
    layer, pixels = Layer(30, 40, 20.0), np.zeros((5, 4, 30, 40), np.float32)
    y, x = np.mgrid[-0.75:0.75:30j, -1:1:40j].astype(np.float32)
    for num_frames, opacity in ((1, 1.0), (5, 0.3), (1, 0.7), (5, rng.random((5, 1, 1), np.float32))):
        centres = rng.uniform(-1, 1, (2, num_frames, 1, 1)).astype(np.float32)
        distance = circle(x[None], y[None], *centres, 0.4)
        colour = (0.2, 0.9, 0.4)
        layer.paint(distance, colour, opacity)
        alpha = (np.clip(np.float32(0.5) - distance * np.float32(20.0), 0, 1) * opacity)[:, None]
        pixels += alpha * (np.array([*colour, 1.0], np.float32)[:, None, None] - pixels)
        assert np.array_equal(np.broadcast_to(layer.pixels, pixels.shape), pixels)


def test_silhouettes_are_of_the_frame_that_clips_show_and_not_of_the_one_before() -> None:
    config = replace(SHORT, on_only_fraction=1.0, mixed_fraction=0.0, event_fraction=0.0, still_fraction=0.0)
    scenes = (plan_scene(config, index) for index in range(40))
    scene = next(s for s in scenes if s.frame_rate_hz == 15 and len(s.sources) == 1 and s.sources[0].kind != "engine")
    assert drawn_frames(scene)[:2].tolist() == [8, 23]  # at 0.533 and 1.533 s
    truth = rendering.draw(scene)[1]
    assert truth.silhouettes is not None
    agreement = []
    for frame in (7, 8, 9):
        shown = shown_by(scene, replace(scene, sources=()), frame)
        silhouette = truth.silhouettes[0, 0]
        agreement.append((shown & silhouette).sum() / (shown | silhouette).sum())
    assert agreement[1] == max(agreement) > 0.7


def test_masks_to_learn_from_are_what_of_the_silhouettes_sounds(world: Path) -> None:
    num_silent = 0
    for index in range(SHORT.num_videos):
        scene = plan_scene(SHORT, index)
        truth = load_truth(world, scene.name)
        assert truth.silhouettes is not None
        assert truth.silhouettes.shape == (len(scene.sources) + len(scene.still), 4, scene.height, scene.width)
        place, names = world / "masks" / scene.name, set()
        for second, frame in enumerate(drawn_frames(scene)):
            time_s = frame / scene.frame_rate_hz
            assert second + 0.5 <= time_s + 1e-6 < second + 0.5 + 1 / scene.frame_rate_hz + 1e-6
            seen = dict(zip(scene.sources, truth.silhouettes[:, second], strict=False))
            assert [silhouette.any() for silhouette in seen.values()] == [s.on_screen for s in seen]
            sounding = {s.kind: pixels for s, pixels in seen.items() if s.on_screen and is_active(s, float(time_s))}
            num_silent += sum(s.on_screen for s in seen) - len(sounding)
            joined = np.zeros((scene.height, scene.width), bool)
            for kind, pixels in sounding.items():
                name = f"{round(time_s * 1000)}.{kind}.png"
                np.testing.assert_array_equal(decode_mask((place / name).read_bytes()), pixels)
                joined |= pixels
                names.add(name)
            name = f"{round(time_s * 1000)}.png"
            np.testing.assert_array_equal(decode_mask((place / name).read_bytes()), joined)
            names.add(name)
        assert {path.name for path in place.iterdir()} == names
    assert num_silent > 0


def test_truth_of_a_world_without_silhouettes_still_reads(world: Path, tmp_path: Path) -> None:
    scene = plan_scene(SHORT, 0)
    shutil.copytree(world / "truth" / scene.name, tmp_path / "truth" / scene.name)
    (tmp_path / "truth" / scene.name / "silhouettes.npz").unlink()
    truth = load_truth(tmp_path, scene.name)
    assert truth.silhouettes is None
    np.testing.assert_array_equal(truth.masks, load_truth(world, scene.name).masks)
    with pytest.raises(DataError, match=f"{scene.name}: its truth has no silhouettes"):
        masks_by_kind(truth)


def test_scenes_are_composed_as_configured(scenes: list[Scene]) -> None:
    in_view = np.array([any(s.on_screen for s in scene.sources) for scene in scenes])
    out_of_view = np.array([any(not s.on_screen for s in scene.sources) for scene in scenes])
    # 600 draws: a standard error of 2 percentage points at most
    assert np.mean(in_view & ~out_of_view) == pytest.approx(0.55, abs=0.06)
    assert np.mean(in_view & out_of_view) == pytest.approx(0.20, abs=0.06)
    assert np.mean(~in_view & out_of_view) == pytest.approx(0.25, abs=0.06)
    assert np.mean([scene.suffix == ".webm" for scene in scenes]) == pytest.approx(1 / 12, abs=0.04)
    bounded = [source.spans != ((0.0, 8.0),) for scene in scenes for source in scene.sources]
    assert np.mean(bounded) == pytest.approx(0.35, abs=0.06)
    assert {s.kind for scene in scenes for s in scene.sources} == set(KINDS)


def test_off_screen_sounds_are_of_a_kind_that_is_not_in_view(scenes: list[Scene]) -> None:
    for scene in scenes:
        seen = [thing.kind for thing in scene.still] + [s.kind for s in scene.sources if s.on_screen]
        heard_only = [s.kind for s in scene.sources if not s.on_screen]
        assert len(set(seen + heard_only)) == len(seen + heard_only)


def test_pauses_within_an_event_are_shorter_than_a_second(scenes: list[Scene]) -> None:
    for source in (source for scene in scenes for source in scene.sources):
        for start_s, end_s in source.spans:
            notes = [note for note in source.notes if start_s <= note.start_s < end_s]
            assert notes[0].start_s == pytest.approx(start_s, abs=0.01)
            edges = (
                [*(note.start_s + note.duration_s for note in notes)],
                [*(note.start_s for note in notes[1:]), end_s],
            )
            gaps_s = np.subtract(edges[1], edges[0])
            assert gaps_s.min() > -1e-6
            assert gaps_s.max() < 1.0


@pytest.mark.parametrize("kind", ["drum", "speaker"])
def test_sound_and_picture_of_the_file_agree_within_a_frame(kind: str, tmp_path: Path) -> None:
    source = a_source(kind, 1)
    scene = replace(
        plan_scene(SHORT, 0), suffix=".mp4", frame_rate_hz=15, sources=(source,), still=(), background="gradient"
    )
    _, soundtrack = rendering.mix(scene)
    rendering.encode(scene, rendering.draw(scene)[0], soundtrack, tmp_path / "clip.mp4")
    frames = decoded_picture(tmp_path / "clip.mp4", scene)
    sound = decoded_sound(tmp_path / "clip.mp4", scene.num_channels)
    assert len(frames) == scene.num_frames == 60
    if kind == "speaker":  # how different the mouth is from how it is when it is shut
        left, top, right, bottom = rendering.draw(scene)[1].mouths[0, 0]
        frames, rest = frames[:, top:bottom, left:right], source.notes[0].start_s
        gesture = np.abs(frames - frames[int(rest * 15)]).mean(axis=(1, 2))
    else:  # the stick hides other pixels when it is down than when it is up, where it is most of the time
        gesture = np.abs(frames - np.median(frames, axis=0)).mean(axis=(1, 2))
    lags = np.arange(-6, 7)
    correlations = []
    for lag in lags:  # compare with the sound `lag` thirds of a frame later
        starts = np.round((np.arange(60) + lag / 3) / 15 * 16000).astype(int) + 3200
        windows = np.pad(sound, 3200)[starts[:, None] + np.arange(-533, 533)]
        correlations.append(np.corrcoef(np.sqrt(np.square(windows).mean(axis=1)), gesture)[0, 1])
    assert max(correlations) > 0.5
    assert abs(lags[int(np.argmax(correlations))]) <= 3


def test_a_person_has_the_same_face_and_voice_in_every_video(scenes: list[Scene]) -> None:
    speakers = [s for scene in scenes for s in scene.sources if s.kind == "speaker"]
    assert {s.identity for s in speakers} == set(range(NUM_IDENTITIES))
    for source in speakers:
        assert source.identity is not None
        assert source.pitch_hz == pytest.approx(identity(source.identity).pitch_hz, rel=0.051)
        assert source.thing is None or source.thing.identity == source.identity
    assert len({(identity(n).pitch_hz, identity(n).formant_scale) for n in range(NUM_IDENTITIES)}) == NUM_IDENTITIES


def test_a_failing_ffmpeg_is_quoted_and_leaves_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho no such encoder >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(rendering, "ffmpeg_path", lambda: str(fake))
    with pytest.raises(RuntimeError, match=r"ended with 3: no such encoder"):
        render_scene(SHORT, 0, tmp_path)
    assert list((tmp_path / "videos").iterdir()) == []


def test_a_video_is_there_only_once_what_is_known_of_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(rendering, "write_masks", refuse)
    with pytest.raises(OSError, match="the disk is gone"):
        render_scene(SHORT, 0, tmp_path)
    assert list((tmp_path / "videos").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"num_videos": 0}, "num_videos = 0: expected 1 or more"),
        ({"duration_s": 0.2}, r"duration_s = 0.2: expected 1 to 1200"),
        ({"event_fraction": 1.5}, "event_fraction = 1.5: expected 0 to 1"),
        ({"on_only_fraction": 0.9, "mixed_fraction": 0.2}, "expected at most 1"),
        ({"kinds": ("drum", "bell")}, "expected 4 or more"),
        ({"kinds": ("drum", "bell", "dog", "bird")}, "Unknown: .'dog'"),
    ],
)
def test_a_config_out_of_range_says_what_to_do(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        WorldConfig(**{"num_videos": 1, **wrong})  # type: ignore[arg-type]


def test_examples_in_docstrings_run() -> None:
    for module in (motions, identities_module):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0
