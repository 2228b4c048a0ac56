"""One video: what is written of it is decoded again and measured, with models whose answer is known."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.inference.choosing import Choice, Region, Span
from pipeline.inference.separating import Options, Separated, separate_video
from pipeline.media import muxing
from pipeline.media.sandbox import ffmpeg_path
from tests.helpers.films import BEEP, BY_25, FLASH, H264, LAVFI, decode
from tests.helpers.separators import SPEC, BandSplit, random_model

# On the left a tone of 500 Hz, on the right 5 and 12 kHz; the picture is red, then green from 2 s on.
STEREO = "aevalsrc=0.3*sin(2*PI*500*t)|0.2*sin(2*PI*5000*t)+0.05*sin(2*PI*12000*t):d={}:s=44100"
PICTURE = "color=red:s=64x48:r=10:d=2[a];color=lime:s=64x48:r=10:d={}[b];[a][b]concat=n=2"


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """7 s with sound in stereo at 44.1 kHz, without loss."""
    sources = (*LAVFI, PICTURE.format(5), *LAVFI, STEREO.format(7))
    return make_media("separate_seven.mkv", *sources, *H264, "-c:a", "flac", "-shortest")


def separate(path: Path, folder: Path, model: torch.nn.Module | None = None, **options: Any) -> Separated:
    return separate_video(str(path), str(folder), SPEC, model or BandSplit(), Options(**options))


def read(path: Path) -> tuple[np.ndarray, int]:
    """[n, C] and the sample rate."""
    sound, rate_hz = soundfile.read(path, always_2d=True)
    return sound, rate_hz


def stems(folder: Path, *names: str) -> list[np.ndarray]:
    return [read(folder / f"{name}.flac")[0] for name in names or ("on_screen", "off_screen")]


def native_sound(path: Path, *arguments: str) -> np.ndarray:
    """[n, C] by another way: ffmpeg's own WAV."""
    wav = path.with_suffix(".reference.wav")
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-y",
        "-i",
        str(path),
        "-map",
        "a:0",
        *arguments,
        "-c:a",
        "pcm_f32le",
        str(wav),
    ]
    subprocess.run(command, check=True)
    return read(wav)[0]


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio + 1e-30))


def level(sound: np.ndarray, rate_hz: int, frequency_hz: float) -> np.ndarray:
    """[C] power of a tone in each channel, but for the first and last half second."""
    inner = sound[rate_hz // 2 : -rate_hz // 2]
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(len(inner)) / rate_hz)
    return np.abs(wave @ inner / len(inner)) ** 2


def test_stems_have_the_rate_and_the_channels_of_the_video_and_add_up_to_its_sound(video: Path, tmp_path: Path) -> None:
    result = separate(video, tmp_path, BandSplit((1.0, -2.0)))
    sound = native_sound(video)
    assert sound.shape == (7 * 44_100, 2)
    on_screen, off_screen = stems(tmp_path)
    assert db(np.square(on_screen + off_screen - sound).sum() / np.square(sound).sum()) < -100
    assert read(tmp_path / "on_screen.flac")[1] == 44_100
    low, high = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(2.0))
    tones = {500: (low, 0), 5000: (high, 1), 12_000: (high, 1)}  # above 8 kHz as in the band below
    for frequency_hz, (gain, channel) in tones.items():
        found = level(on_screen, 44_100, frequency_hz)[channel] / level(sound, 44_100, frequency_hz)[channel]
        assert found**0.5 == pytest.approx(gain, abs=0.02)
    assert level(on_screen, 44_100, 500)[1] < 1e-9  # nothing moves from one channel to the other
    powers = [np.square(stem).sum() for stem in (on_screen, off_screen)]
    assert (result.duration_s, result.kept_share) == (7.0, pytest.approx(powers[0] / sum(powers), rel=1e-5))
    assert result.notes == ()


def test_stems_add_up_to_a_sound_that_is_beyond_full_scale(make_media: MakeMedia, tmp_path: Path) -> None:
    loud = "aevalsrc=1.2*sin(2*PI*400*t)+0.3*sin(2*PI*3000*t):d=5.5:s=16000"  # as lossy codecs decode: up to 1.5
    path = make_media("beyond.mkv", *LAVFI, "color=red:s=32x32:r=10:d=5.5", *LAVFI, loud, *H264, "-c:a", "pcm_f32le")
    result = separate(path, tmp_path)
    sound = native_sound(path)
    assert np.abs(sound).max() > 1.4
    assert db(np.square(sum(stems(tmp_path)) - sound).sum() / np.square(sound).sum()) < -100
    assert not any("limited" in note for note in result.notes)


def test_the_picture_is_copied_and_the_mp4s_have_a_stem_each(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    expected = {f"{stem}_screen.{kind}" for stem in ("on", "off") for kind in ("flac", "mp4")}
    assert names == {*expected, "separation.json"}
    _, original, _ = decode(video, BY_25)
    for stem, frequency_hz in (("on_screen", 500), ("off_screen", 5000)):
        sound = native_sound(tmp_path / f"{stem}.mp4")
        assert level(sound, 44_100, frequency_hz).max() > 100 * level(sound, 44_100, 5500 - frequency_hz).max()
        _, frames, info = decode(tmp_path / f"{stem}.mp4", BY_25)
        assert (info.audio_codec, info.audio_layout, info.video_codec) == ("aac", "stereo", "h264")
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in original]
        for mine, expected_frame in zip(frames, original, strict=True):
            np.testing.assert_array_equal(mine.pixels, expected_frame.pixels)


@pytest.mark.parametrize(
    ("name", "codec", "found"),
    [
        ("old.avi", ("-c:v", "mpeg4"), "mpeg4 (yuv420p)"),
        ("full_colour.mp4", (*H264, "-pix_fmt", "yuv444p"), "h264 (yuv444p)"),
    ],
)
def test_a_picture_that_mp4_holds_but_browsers_do_not_play_is_encoded_anew(
    name: str, codec: tuple[str, ...], found: str, make_media: MakeMedia, tmp_path: Path
) -> None:
    path = make_media(name, *LAVFI, FLASH, *LAVFI, BEEP, *codec)
    result = separate(path, tmp_path)
    assert result.notes[-1] == f"picture encoded anew, because browsers do not play {found} in an mp4"
    _, original, _ = decode(path)
    for stem in ("on_screen", "off_screen"):
        _, frames, info = decode(tmp_path / f"{stem}.mp4")
        assert (info.video_codec, info.pixel_format) == ("h264", "yuv420p")
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in original]
        brightness = np.array([[frame.pixels.mean() for frame in each] for each in (frames, original)])
        np.testing.assert_allclose(*brightness, atol=3)


@pytest.mark.parametrize("name", ["plain.mp4", "late.ts", "late.mkv", "late.webm"])
@pytest.mark.parametrize(("sound_delay_s", "picture_delay_s"), [(0.7, 0.0), (0.0, 1.5)])
def test_flash_and_beep_meet_in_what_is_written_as_they_did_before(
    name: str, sound_delay_s: float, picture_delay_s: float, tmp_path: Path
) -> None:
    """The flash is at 2.0 s of the picture and the beep at 2.0 s of the sound, each delayed by its start offset."""
    path = tmp_path / name
    codec = ["-c:v", "libvpx", "-b:v", "1M"] if name.endswith("webm") else H264
    command = [
        *(ffmpeg_path(), "-v", "error", "-y", "-itsoffset", str(picture_delay_s), *LAVFI, FLASH),
        *("-itsoffset", str(sound_delay_s), *LAVFI, BEEP, *codec, str(path)),
    ]
    subprocess.run(command, check=True)
    result = separate(path, tmp_path / "out")
    assert ("browsers do not play vp8 (yuv420p) in an mp4" in str(result)) == name.endswith("webm")
    for stem in ("on_screen", "off_screen"):
        sound, frames, _ = decode(tmp_path / "out" / f"{stem}.mp4", BY_25)
        flash_s = next(frame.time_s for frame in frames if frame.pixels.mean() > 128)
        # the beep of 1 kHz lies at the border of both bands, so that both stems have it
        beep_s = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max())[0] / SPEC.sample_rate_hz
        assert beep_s - flash_s == pytest.approx(sound_delay_s - picture_delay_s, abs=0.045), stem
    flac, rate_hz = read(tmp_path / "out" / "on_screen.flac")
    start = min(sound_delay_s, picture_delay_s)  # the earliest stream of the file is at 0
    onset = np.flatnonzero(np.abs(flac[:, 0]) > 0.2 * np.abs(flac).max())[0] / rate_hz
    assert onset == pytest.approx(2.0 + sound_delay_s - start, abs=0.03)


def test_there_are_no_clicks_where_windows_meet(make_media: MakeMedia, tmp_path: Path) -> None:
    """A steady tone; its source is on screen in one window and not in the next. A click has a second difference."""
    path = make_media("steady.wav", *LAVFI, "sine=frequency=440:sample_rate=48000:duration=20", "-c:a", "pcm_f32le")
    film = make_media("steady.mkv", *LAVFI, "color=red:s=32x32:r=5:d=20", "-i", str(path), *H264, "-c:a", "flac")

    class Undecided(BandSplit):
        def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> Any:
            output = super().forward(mixture, frames)
            return output._replace(logits=output.logits * (-1) ** len(self.batch_sizes))

    separate(film, tmp_path, Undecided(order="turned"), write_sources=True)
    for name in ("on_screen", "off_screen", "source_1"):
        bends = np.square(np.diff(stems(tmp_path, name)[0][:, 0], n=2)) * 8 / (440 / 48_000 * 2 * np.pi) ** 4
        blocks = bends[: len(bends) // 480 * 480].reshape(-1, 480).mean(axis=1)  # 10 ms, of a tone of power <= 1
        # windows of 5 s every 2.5 s: they begin and end at multiples of 2.5 s
        seams = {round(100 * 2.5 * number) + near for number in range(1, 8) for near in (-2, -1, 0, 1)}
        seams &= set(range(len(blocks)))
        elsewhere = np.delete(blocks, list(seams))[5:-5]
        assert blocks[sorted(seams)].max() <= 1.1 * elsewhere.max() + 1e-6


def test_sources_are_written_in_one_order_though_the_model_turns_them_round(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path, BandSplit((1.0, -2.0), order="turned"), write_sources=True)
    low, high = stems(tmp_path, "source_1", "source_2")
    sound = native_sound(video)
    assert db(np.square(low + high - sound).sum() / np.square(sound).sum()) < -100
    inside = slice(4410, -4410)
    assert db(np.square(low[inside, 1]).sum() / np.square(sound[inside, 1]).sum()) < -30
    assert db(np.square(high[inside, 0]).sum() / np.square(sound[inside, 0]).sum()) < -30
    on_screen = stems(tmp_path)[0]
    np.testing.assert_allclose(on_screen, 0.7311 * low + 0.1192 * high, atol=1e-3)


def test_a_remix_is_the_sum_of_both_stems_with_their_gains(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path, remix=(1.0, 0.001))
    on_screen, off_screen, remix = stems(tmp_path, "on_screen", "off_screen", "remix")
    np.testing.assert_allclose(remix, on_screen + 0.001 * off_screen, atol=2**-22)
    assert level(native_sound(tmp_path / "remix.mp4"), 44_100, 500)[0] > 0.01


def test_the_json_has_probabilities_and_gains_over_time(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path, BandSplit((1.0, -2.0)), choice=Choice(threshold=0.5))
    record = json.loads((tmp_path / "separation.json").read_text())
    assert (record["duration_s"], record["sample_rate_hz"], record["num_channels"]) == (7.0, 44_100, 2)
    spans = [(row["start_s"], row["end_s"]) for row in record["windows"]]
    assert spans == [(0, 5), (2, 7)]
    for row in record["windows"]:
        assert row["probability"] == pytest.approx([0.7311, 0.1192], abs=1e-4)
        assert row["gain"] == [1.0, 0.0]
        assert row["level_db"][0] == pytest.approx(db(0.3**2 / 8), abs=0.1)  # half of one channel's tone is in the mono
    assert record["files"] == sorted(path.name for path in tmp_path.iterdir())


def test_the_same_video_gives_the_same_bytes_and_batches_change_nothing(video: Path, tmp_path: Path) -> None:
    model = BandSplit((1.0, -2.0))
    for number, batch_size in enumerate((1, 1, 2)):
        separate(video, tmp_path / str(number), model, batch_size=batch_size, write_sources=True)
    assert model.batch_sizes == [1, 1, 1, 1, 2]
    for name in (path.name for path in (tmp_path / "0").iterdir()):
        first, second = ((tmp_path / number / name).read_bytes() for number in "01")
        assert first == second, name
    np.testing.assert_allclose(stems(tmp_path / "0")[0], stems(tmp_path / "2")[0], atol=1e-5)


@pytest.mark.parametrize(
    ("region", "kept_hz", "left_hz"),
    [(Region(0, 0, 32, 48), 500, 5000), (Region(32, 0, 32, 48), 5000, 500), (Region(60, 20), 5000, 500)],
)
def test_a_region_or_a_point_keeps_what_is_heard_from_there(
    region: Region, kept_hz: int, left_hz: int, video: Path, tmp_path: Path
) -> None:
    separate(video, tmp_path, BandSplit((20.0, 20.0)), choice=Choice(region=region))
    kept, left = (level(stems(tmp_path)[0], 44_100, frequency_hz).max() for frequency_hz in (kept_hz, left_hz))
    assert db(left / kept) < -40


def test_spans_keep_the_sources_that_sound_in_them_on_screen_or_not(make_media: MakeMedia, tmp_path: Path) -> None:
    """500 Hz in the first four seconds, 3 kHz from then on."""
    sound = "aevalsrc='0.3*if(lt(t,4),sin(2*PI*500*t),sin(2*PI*3000*t))':d=8:s=48000"
    path = make_media("spans.mkv", *LAVFI, "color=red:s=32x32:r=5:d=8", *LAVFI, sound, *H264, "-c:a", "flac")
    for span, kept_hz, chosen in ((Span(1, 2.5), 500, [1]), (Span(5, 5.2), 3000, [2]), (Span(3, 5), None, [1, 2])):
        folder = tmp_path / str(span.start_s)
        separate(path, folder, BandSplit(order="turned"), choice=Choice(spans=(span,)))
        assert json.loads((folder / "separation.json").read_text())["chosen_sources"] == chosen
        assert not list(folder.glob("source*"))
        on_screen, off_screen = stems(folder)
        whole = native_sound(path)
        assert db(np.square(on_screen + off_screen - whole).sum() / np.square(whole).sum()) < -100
        if kept_hz:
            powers = [level(on_screen, 48_000, frequency_hz).max() for frequency_hz in (kept_hz, 3500 - kept_hz)]
            assert db(powers[1] / powers[0]) < -25


def test_the_attention_is_laid_over_the_picture_where_the_model_looks(make_media: MakeMedia, tmp_path: Path) -> None:
    """On grey, what is on screen is looked for in the left half: warm colours, less blue, there alone."""
    sources = (*LAVFI, "color=gray:s=64x48:r=10:d=6", *LAVFI, "sine=frequency=500:duration=6")
    separate(make_media("grey.mp4", *sources, *H264), tmp_path, write_attention=True)
    sound, frames, info = decode(tmp_path / "attention.mp4", BY_25)
    assert (info.width, info.height, info.audio_codec) == (64, 48, "aac")
    assert len(frames) == 60
    for frame in frames[1:]:
        red, _, blue = (frame.pixels[:, :12, channel].mean() for channel in range(3))
        assert red - blue > 60
        np.testing.assert_allclose(frame.pixels[:, 22:].mean(axis=(0, 1)), 128, atol=8)
    assert np.abs(sound).max() > 0.05


def test_a_sound_gives_its_sources_and_no_verdict(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("sound.wav", *LAVFI, STEREO.format(6))
    result = separate(path, tmp_path, order_of_sources := BandSplit(order="turned"))
    assert len(order_of_sources.batch_sizes) == 2
    assert {found.name for found in tmp_path.iterdir()} == {"source_1.flac", "source_2.flac", "separation.json"}
    sources, sound = stems(tmp_path, "source_1", "source_2"), native_sound(path)
    assert db(np.square(sum(sources) - sound).sum() / np.square(sound).sum()) < -80
    assert (result.kept_share, result.has_picture) == (None, False)
    assert "without a verdict" in result.notes[-1]
    row = json.loads((tmp_path / "separation.json").read_text())["windows"][0]
    assert not {"probability", "gain"} & row.keys()
    separate(path, tmp_path / "spans", choice=Choice(spans=(Span(1, 2),)))
    kept, rest = stems(tmp_path / "spans", "kept", "rest")
    np.testing.assert_allclose(kept + rest, sound, atol=1e-4)
    with pytest.raises(ClipError, match="no picture"):
        separate(path, tmp_path / "region", choice=Choice(region=Region(1, 1)))


def test_a_video_without_sound_gets_silent_stems_of_its_length(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("mute_red.mp4", *LAVFI, "color=red:s=32x32:r=10:d=3.4", *H264)
    result = separate(path, tmp_path, write_sources=True, write_attention=True, choice=Choice(spans=(Span(0, 1),)))
    assert result.notes[0] == "no sound: the stems are silent"
    on_screen, rate_hz = read(tmp_path / "on_screen.flac")
    assert len(on_screen) / rate_hz == pytest.approx(3.4, abs=0.01)
    assert not on_screen.any()
    sound, frames, _ = decode(tmp_path / "on_screen.mp4", BY_25)
    assert len(frames) == 34
    assert not sound.any()


def test_a_video_shorter_than_a_window_keeps_its_length_and_that_is_said(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media(
        "short.mkv", *LAVFI, "color=red:s=32x32:r=10:d=0.3", *LAVFI, STEREO.format(0.3), *H264, "-c:a", "flac"
    )
    result = separate(path, tmp_path)
    assert result.notes == ("shorter than the 5 s that the model was trained on",)
    np.testing.assert_allclose(sum(stems(tmp_path)), native_sound(path), atol=1e-5)


def test_silence_and_clipping_are_said(make_media: MakeMedia, tmp_path: Path) -> None:
    picture = (*LAVFI, "color=red:s=32x32:r=10:d=6")
    silent = make_media("silent_red.mkv", *picture, *LAVFI, "anullsrc=d=6", *H264, "-c:a", "flac", "-t", "6")
    result = separate(silent, tmp_path / "silent", random_model())
    assert (result.kept_share, result.notes) == (None, ("silent",))
    loud = "aevalsrc='clip(3*sin(2*PI*400*t),-1,1)':d=6:s=48000"
    clipped = make_media("clipped.mkv", *picture, *LAVFI, loud, *H264, "-c:a", "flac")
    result = separate(clipped, tmp_path / "clipped")
    assert "of the samples are at full scale: the sound is clipped" in result.notes[0]


@pytest.mark.parametrize(
    ("name", "sound", "codec", "num_channels", "note"),
    [
        ("96k", "sine=frequency=500:sample_rate=96000:duration=5.5", "flac", 1, "96000 Hz become 48000 Hz in the mp4s"),
        ("51", "aevalsrc=0.1*sin(3000*t)|0|0.1*sin(20000*t)|0|0|0.1:c=5.1:d=5.5:s=48000", "flac", 6, None),
        ("71", "aevalsrc=0.1*sin(3000*t)|0|0|0|0|0|0|0.1:c=7.1:d=5.5:s=48000", "flac", 8, "8 channels are mixed down"),
        ("9", "aevalsrc=" + "|".join(["0.1*sin(3000*t)"] * 9) + ":d=5.5:s=48000", "pcm_s24le", 9, "WAV, because FLAC"),
        ("11k", "sine=frequency=500:sample_rate=11025:duration=5.5", "flac", 1, None),
    ],
)
def test_odd_rates_and_many_channels_are_kept(
    name: str, sound: str, codec: str, num_channels: int, note: str | None, make_media: MakeMedia, tmp_path: Path
) -> None:
    picture = (*LAVFI, "color=red:s=32x32:r=10:d=5.5")
    path = make_media(f"odd_{name}.mkv", *picture, *LAVFI, sound, *H264, "-c:a", codec)
    result = separate(path, tmp_path)
    kind = "wav" if num_channels > 8 else "flac"
    both = [read(tmp_path / f"{stem}_screen.{kind}")[0] for stem in ("on", "off")]
    whole = native_sound(path)
    assert whole.shape[1] == num_channels
    assert db(np.square(sum(both) - whole).sum() / np.square(whole).sum()) < -60
    assert any(note in said for said in result.notes) if note else result.notes == ()
    mixed, _, info = decode(tmp_path / "on_screen.mp4", BY_25)
    assert info.audio_codec == "aac"
    assert (info.audio_rate_hz or 10**6) <= 48_000
    assert np.abs(mixed).max() > 0.01


def test_a_file_that_breaks_off_is_separated_up_to_there_and_that_is_said(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    result = separate(cut, tmp_path / "out")
    assert 3 < result.duration_s < 6
    assert any("of the 7.0 s that the file states" in note for note in result.notes)
    np.testing.assert_allclose(sum(stems(tmp_path / "out")), native_sound(cut), atol=1e-5)


def test_of_forty_streams_the_pair_that_belongs_together_is_separated_and_that_is_said(
    video: Path, tmp_path: Path
) -> None:
    path = tmp_path / "forty.mkv"
    maps = itertools.chain.from_iterable(("-map", "0:a:0") for _ in range(39))
    command = [ffmpeg_path(), "-v", "error", "-i", str(video), "-map", "0:v:0", *maps, "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    result = separate(path, tmp_path / "out")
    assert any(
        note.startswith("streams: picture 0 h264 of 0 h264; sound 1 flac of 1 flac, 2 flac") for note in result.notes
    )
    np.testing.assert_allclose(sum(stems(tmp_path / "out")), native_sound(path), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason", "expected"),
    [
        ({"choice": Choice(region=Region(60, 0, 10, 10))}, "region", "which has 64 x 48 pixels"),
        ({"choice": Choice(spans=(Span(6.5, 7.5),))}, "span", "which lasts 7.00 s"),
    ],
)
def test_what_cannot_be_chosen_is_refused_and_leaves_nothing(
    options: dict[str, Any], reason: str, expected: str, video: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClipError, match=expected) as caught:
        separate(video, tmp_path / "new" / "out", **options)
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_decoded_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(ClipError) as caught:
        separate(tmp_path / "text.mp4", tmp_path / "out")
    assert caught.value.reason == "unreadable"
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_a_model_of_sound_alone_gives_no_verdict_and_takes_spans(video: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="does not know what is on screen"):
        separate(video, tmp_path, has_verdicts=False)
    separate(video, tmp_path, has_verdicts=False, choice=Choice(spans=(Span(0, 1),)))
    assert "probability" not in json.loads((tmp_path / "separation.json").read_text())["windows"][0]


def test_where_no_mp4_can_be_written_the_sounds_are_there_and_that_is_said(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(muxing.MP4, "format", "no_such_format")
    result = separate(video, tmp_path, write_attention=True)
    assert {path.name for path in tmp_path.iterdir()} == {"on_screen.flac", "off_screen.flac", "separation.json"}
    for note, name in zip(result.notes, ("on_screen.mp4, off_screen.mp4", "attention.mp4"), strict=True):
        assert note.startswith(f"no {name}: ")
        assert "no_such_format" in note
        assert str(tmp_path) not in note


def test_a_model_that_fails_on_the_way_leaves_nothing(video: Path, tmp_path: Path) -> None:
    class Failing(BandSplit):
        def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> Any:
            if self.batch_sizes:
                raise RuntimeError("out of memory")
            return super().forward(mixture, frames)

    with pytest.raises(RuntimeError, match="out of memory"):
        separate(video, tmp_path / "out", Failing(), choice=Choice(spans=(Span(0, 1),)))
    assert list(tmp_path.iterdir()) == []


def test_the_separation_model_itself_gives_stems_of_the_whole_sound(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path, random_model(), write_sources=True, choice=Choice(region=Region(0, 0, 40, 20)))
    sound = native_sound(video)
    np.testing.assert_allclose(sum(stems(tmp_path)), sound, atol=1e-5)
    names = [f"source_{number}" for number in range(1, 5)]
    np.testing.assert_allclose(sum(stems(tmp_path, *names)), sound, atol=1e-5)


def test_progress_goes_from_nothing_to_the_videos_length(video: Path, tmp_path: Path) -> None:
    said: list[tuple[str, float, float]] = []
    separate_video(str(video), str(tmp_path), SPEC, BandSplit(), None, lambda *report: said.append(report))
    assert {phase for phase, _, _ in said} == {"separate"}
    done_s = [done for _, done, _ in said]
    assert done_s == sorted(done_s)
    assert (done_s[-1], said[-1][2]) == (7.0, 7.0)
    assert len(done_s) > 3
