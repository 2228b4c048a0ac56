import subprocess

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.separating import Window, cross_fade, separate_video, stitch, windows
from pipeline.media.decoding import Decoding
from pipeline.media.sandbox import ffmpeg_path
from pipeline.media.streams import Frame
from pipeline.models.separator import SeparationConfig, SeparationModel, SeparationOutput
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig

SPEC = ClipSpec(frame_height=32, frame_width=32)
SMALL = ClipSpec(clip_s=1.0, hop_s=1.0, sample_rate_hz=8, frame_rate_hz=4.0, frame_height=2, frame_width=2)


class Fake(nn.Module):
    """Separates into the mixture's halves, in an order that changes each time, and believes in all of them alike."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))
        self.calls = 0

    def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> SeparationOutput:
        assert frames.shape == (1, SPEC.num_frames, 3, 32, 32)
        self.calls += 1
        loud, quiet = 0.75 * mixture, 0.25 * mixture
        sources = torch.stack([loud, quiet] if self.calls % 2 else [quiet, loud], dim=1)
        return SeparationOutput(sources, self.logit.expand(1, 2), torch.zeros(0))


def make_video(path, seconds, *arguments, sound_delay_s=0.0, picture_delay_s=0.0):
    """Red, then green from 2 s on, with two tones."""
    picture = f"color=red:s=64x48:r=10:d={min(2, seconds)}[a];color=lime:s=64x48:r=10:d={max(0.1, seconds - 2)}[b]"
    command = [
        *(ffmpeg_path(), "-v", "error", "-y"),
        *("-itsoffset", str(picture_delay_s), "-f", "lavfi", "-i", f"{picture};[a][b]concat=n=2"),
        *("-itsoffset", str(sound_delay_s), "-f", "lavfi"),
        *("-i", f"aevalsrc=0.4*sin(2000*t)+0.4*sin(1234*t*t):d={seconds}:s=16000"),
        *("-t", str(seconds), *arguments, str(path)),
    ]
    subprocess.run(command, check=True)
    return path


def decoded(path):
    items = list(Decoding(path, {BASE: SPEC}, every_picture=True))  # 10 per s: those left out would be missed
    frames = [item for item in items if isinstance(item, Frame)]
    return np.concatenate([item for item in items if not isinstance(item, Frame)]), frames


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("separating") / "seven.mp4", 7)


@pytest.mark.parametrize("length", [1, 2, 5, 40_000])
def test_a_rising_and_a_falling_cross_fade_sum_to_one(length):
    rise = cross_fade(length)
    np.testing.assert_allclose(rise + rise[::-1], 1, atol=1e-12)
    assert (np.diff(rise) > 0).all()


def sound_and_frames(num_samples, rate_hz=8, frame_rate_hz=4):
    """Sample i has the value i; the frame of tick k shows k. Sound first, as a badly interleaved file gives it."""
    sound = np.arange(num_samples, dtype=np.int16)
    ticks = range(num_samples * frame_rate_hz // rate_hz + 1)
    frames = [Frame(BASE, k / frame_rate_hz, np.full((2, 2, 3), k, np.uint8)) for k in ticks]
    return [sound[:5], sound[5:], *frames]


@pytest.mark.parametrize("num_samples", [3, 8, 9, 12, 13, 16, 31])
def test_windows_cover_the_sound_and_end_with_it(num_samples):
    cut = list(windows(sound_and_frames(num_samples), SMALL))
    starts = [window.start for window in cut]
    expected = sorted({*range(0, max(1, num_samples - 8), 4), max(0, num_samples - 8)})
    assert starts == expected
    for window in cut:
        np.testing.assert_array_equal(window.sound * 32768, np.arange(window.start, min(num_samples, window.start + 8)))


def test_a_window_has_the_frames_whose_ticks_lie_within_it():
    cut = list(windows(sound_and_frames(13), SMALL))
    # two samples per tick: samples 5 to 12 hold the ticks 3 to 6, at the samples 6, 8, 10 and 12
    assert [window.start for window in cut] == [0, 4, 5]
    shown = [window.frames[:, 0, 0, 0].tolist() for window in cut]
    assert shown == [[0, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6]]


def test_the_last_frame_stands_in_for_those_that_do_not_come():
    items = sound_and_frames(16)[:-5]  # sound for 8 ticks, frames 0 to 3
    shown = [window.frames[:, 0, 0, 0].tolist() for window in windows(items, SMALL)]
    assert shown == [[0, 1, 2, 3], [2, 3, 3, 3], [3, 3, 3, 3]]


def test_windows_come_while_the_video_is_still_being_decoded():
    def endless():
        for second in range(10_000):
            yield np.zeros(8, np.int16)
            yield from (Frame(BASE, second + k / 4, np.zeros((2, 2, 3), np.uint8)) for k in range(4))

    assert next(windows(endless(), SMALL)).start == 0


def test_a_video_without_a_single_sample_is_no_audio():
    with pytest.raises(ClipError) as caught:
        list(windows(sound_and_frames(0)[2:], SMALL))
    assert caught.value.reason == "no_audio"


@pytest.mark.parametrize("num_samples", [3, 8, 9, 13, 16, 31])
def test_stitching_ones_gives_ones_and_every_sample_once(num_samples):
    cut = windows(sound_and_frames(num_samples), SMALL)
    blocks = list(stitch(cut, SMALL, lambda window: np.ones(len(window.sound))))
    np.testing.assert_array_equal(np.concatenate([sound for sound, _ in blocks]) * 32768, np.arange(num_samples))
    np.testing.assert_allclose(np.concatenate([estimate for _, estimate in blocks]), np.ones(num_samples), atol=1e-12)


def test_an_estimate_moves_from_one_window_to_the_next_within_their_overlap():
    parts = [Window(start, np.zeros(8, np.float32), np.zeros(0)) for start in (0, 4, 5)]
    values = iter([0.0, 1.0, 2.0])
    estimate = np.concatenate([block for _, block in stitch(parts, SMALL, lambda _: np.full(8, next(values)))])
    rise = cross_fade(4)
    np.testing.assert_allclose(estimate, [0, 0, 0, 0, *rise, *(1 + rise), 2])


def test_with_every_source_on_screen_the_stem_is_the_soundtrack(video, tmp_path):
    result = separate_video(str(video), str(tmp_path), SPEC, Fake(logit=100.0))
    sound, frames = decoded(video)
    on_screen, rate_hz = soundfile.read(tmp_path / "on_screen.flac", dtype="int32")
    np.testing.assert_array_equal(on_screen, sound.astype(np.int32) << 16)
    assert not soundfile.read(tmp_path / "off_screen.flac", dtype="int32")[0].any()
    assert rate_hz == SPEC.sample_rate_hz
    assert (result.duration_s, result.on_screen_share) == (len(sound) / rate_hz, 1.0)
    assert result.video_copied
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}_screen.{kind}" for stem in ("on", "off") for kind in ("flac", "mp4")
    }
    muxed, muxed_frames = decoded(tmp_path / "on_screen.mp4")
    assert abs(len(muxed) - len(sound)) <= 1024  # AAC comes in blocks of 1024 samples
    common = min(len(muxed), len(sound))
    correlation = np.corrcoef(muxed[:common], sound[:common])[0, 1]
    assert correlation > 0.99
    assert [frame.time_s for frame in muxed_frames] == [frame.time_s for frame in frames]
    for mine, original in zip(muxed_frames, frames, strict=True):
        np.testing.assert_array_equal(mine.pixels, original.pixels)  # the stream was copied


def test_stems_add_up_to_the_sound_whatever_the_verdicts(video, tmp_path):
    result = separate_video(str(video), str(tmp_path), SPEC, Fake(logit=-1.0))
    sound, _ = decoded(video)
    on_screen, off_screen = (soundfile.read(tmp_path / f"{stem}_screen.flac")[0] for stem in ("on", "off"))
    np.testing.assert_allclose(on_screen + off_screen, sound / 32768, atol=2**-23)
    p = 1 / (1 + np.e)
    np.testing.assert_allclose(on_screen, p * sound / 32768, atol=2**-22)
    assert result.on_screen_share == pytest.approx(p**2 / (p**2 + (1 - p) ** 2), rel=1e-4)


def test_the_separation_model_itself_gives_stems_of_the_whole_sound(video, tmp_path):
    torch.manual_seed(0)
    towers = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
    tdcn = TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2)
    model = SeparationModel(SeparationConfig(basis="stft", tdcn=tdcn, towers=towers)).eval()
    separate_video(str(video), str(tmp_path), SPEC, model)
    sound, _ = decoded(video)
    on_screen, off_screen = (soundfile.read(tmp_path / f"{stem}_screen.flac")[0] for stem in ("on", "off"))
    np.testing.assert_allclose(on_screen + off_screen, sound / 32768, atol=2**-22)
    assert on_screen.std() > 0.01


def test_a_video_shorter_than_a_clip_keeps_its_length(tmp_path):
    path = make_video(tmp_path / "three.mkv", 3, "-c:v", "mpeg4")
    result = separate_video(str(path), str(tmp_path / "out"), SPEC, Fake(logit=100.0))
    sound, _ = decoded(path)
    on_screen, _ = soundfile.read(tmp_path / "out" / "on_screen.flac", dtype="int32")
    np.testing.assert_array_equal(on_screen, sound.astype(np.int32) << 16)
    assert result.duration_s == pytest.approx(3, abs=0.1)


def test_a_codec_that_does_not_fit_into_mp4_is_encoded_anew(tmp_path):
    path = make_video(tmp_path / "odd.webm", 3, "-c:v", "libvpx", "-s", "63x47")
    result = separate_video(str(path), str(tmp_path), SPEC, Fake(logit=100.0))
    assert not result.video_copied
    _, frames = decoded(tmp_path / "off_screen.mp4")
    colours = [np.asarray(frame.pixels).reshape(-1, 3).mean(axis=0).argmax() for frame in frames]
    assert colours == [0, 0, 1]  # red at 0 and 1 s, green at 2 s


@pytest.mark.parametrize("name", ["late.mp4", "late.ts", "late.mkv"])
@pytest.mark.parametrize(("sound_delay_s", "picture_delay_s"), [(1.0, 0.0), (0.0, 1.5)])
def test_sound_and_picture_keep_their_offset(tmp_path, name, sound_delay_s, picture_delay_s):
    path = make_video(tmp_path / name, 6, sound_delay_s=sound_delay_s, picture_delay_s=picture_delay_s)
    separate_video(str(path), str(tmp_path), SPEC, Fake(logit=100.0))
    (sound, frames), (muxed, muxed_frames) = decoded(path), decoded(tmp_path / "on_screen.mp4")
    first, muxed_first = (np.flatnonzero(np.abs(samples) > 2000)[0] for samples in (sound, muxed))
    offset_s = first / SPEC.sample_rate_hz - frames[0].time_s
    assert offset_s == pytest.approx(sound_delay_s - picture_delay_s, abs=0.06)
    assert muxed_first / SPEC.sample_rate_hz - muxed_frames[0].time_s == pytest.approx(offset_s, abs=0.06)


def test_what_cannot_be_decoded_leaves_nothing(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video at all")
    with pytest.raises(ClipError) as caught:
        separate_video(str(path), str(tmp_path / "out"), SPEC, Fake(logit=0.0))
    assert caught.value.reason == "unreadable"
    assert list((tmp_path / "out").iterdir()) == []
