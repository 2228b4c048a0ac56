"""One video: what is written of it is decoded again and measured, with models whose answer is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.inference.choosing import Choice, Region, Span
from pipeline.inference.separating import separate_video
from tests.helpers.films import BY_25, H264, LAVFI, decode
from tests.helpers.separated_videos import PICTURE, STEREO, db, level, native_sound, read, separate, stems
from tests.helpers.separators import SPEC, BandSplit, random_model


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """7 s with sound in stereo at 44.1 kHz, without loss."""
    sources = (*LAVFI, PICTURE.format(5), *LAVFI, STEREO.format(7))
    return make_media("separate_seven.mkv", *sources, *H264, "-c:a", "flac", "-shortest")


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
