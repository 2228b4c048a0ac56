"""The player of a separated video in a real browser: what is heard is measured there, against stems, tones and physics.

Sources are BandSplit's: below 1 kHz, looked for in the left half of the picture, and above, in the right half.
"""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import MakeMedia

from pipeline.inference import player_page
from pipeline.inference.choosing import Choice, Region, Span, area_in_frame, region_weights
from pipeline.inference.separating import Options, Separated, separate_video
from pipeline.media.sandbox import ffmpeg_path
from tests.helpers.browser import Browser, overflow, wait_until
from tests.helpers.films import BEEP, FLASH, H264, LAVFI
from tests.helpers.separators import SPEC, BandSplit

TONES = "aevalsrc=0.3*sin(2*PI*500*t)+0.1*sin(2*PI*5000*t):d={}:s=44100"
EVIL = "<img src=x onerror=alert(1)>\u202e</script>.mp4"
# dB of the loudest bin within 3 bins of a frequency.
HEARD = """frequency => {
    const bins = new Float32Array(analyser.frequencyBinCount), place = frequency / context.sampleRate * 4096;
    analyser.getFloatFrequencyData(bins);
    return Math.max(...bins.slice(place - 3, place + 4));
}"""


class Undecided(BandSplit):
    """The low source is on screen in every second window, the high one in the others."""

    def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> Any:
        output = super().forward(mixture, frames)
        return output._replace(logits=output.logits * (-1) ** len(self.batch_sizes))


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """12 s of both tones, at 4:3."""
    return make_media("player.mp4", *LAVFI, "color=navy:s=128x96:r=10:d=12", *LAVFI, TONES.format(12), *H264)


def separate(path: Path, folder: Path, model: torch.nn.Module, **options: Any) -> Separated:
    return separate_video(str(path), str(folder), SPEC, model, Options(write_page=True, **options))


def ready(browser: Browser, folder: Path, **options: Any) -> Any:
    page = browser.open(folder / "player.html", **options)
    page.wait_for_selector("#play:enabled")
    return page


def play(page: Any) -> None:
    page.evaluate("video.loop = true")  # however long the readings take
    page.click("#play")
    wait_until(page, "video.currentTime > 0.5 && level > 0.01")


def heard(page: Any, expression: str, argument: int | None = None) -> float:
    """The median of some readings, once the gains are what they should be and the analyser has heard nothing else."""
    settled = "gainsAt(video.currentTime).every((value, source) => Math.abs(gains[source].gain.value - value) < 1e-4)"
    wait_until(page, settled)
    wait_until(page, f"context.currentTime > {page.evaluate('context.currentTime')} + 0.2")
    found = []
    for _ in range(5):  # one of them may be of a moment at which the sounds begin anew
        found.append(page.evaluate(expression, argument))
        page.wait_for_timeout(60)
    return float(np.median(found))


def put(page: Any, slider: str, value: int) -> None:
    page.locator(f"#{slider}").fill(str(value))


def test_sliders_set_the_level_of_what_is_on_screen_and_of_the_rest(
    video: Path, browser: Browser, tmp_path: Path
) -> None:
    separate(video, tmp_path, BandSplit())
    page = ready(browser, tmp_path)
    play(page)
    low, high = heard(page, HEARD, 500), heard(page, HEARD, 5000)
    assert low - high == pytest.approx(20 * np.log10(3), abs=1)  # as in the soundtrack
    put(page, "off", -40)
    assert page.inner_text("#off_said") == "off"
    assert heard(page, HEARD, 5000) < high - 40
    assert heard(page, HEARD, 500) == pytest.approx(low, abs=1)
    stem = soundfile.read(tmp_path / "on_screen.flac")[0][44_100:88_200]
    assert heard(page, "level") == pytest.approx(np.sqrt(np.square(stem).mean()), rel=0.06)  # 0.5 dB
    put(page, "on", -20)
    assert heard(page, HEARD, 500) == pytest.approx(low - 20, abs=1)
    put(page, "on", -40)
    assert heard(page, "level") < 1e-3
    put(page, "off", 6)
    assert heard(page, HEARD, 5000) == pytest.approx(high + 6, abs=1)
    page.click("text=Reset")
    page.click("text=Hear alone >> nth=0")
    assert heard(page, HEARD, 500) == pytest.approx(low, abs=1)
    assert heard(page, HEARD, 5000) < high - 40


def test_a_press_on_the_picture_lets_one_hear_what_belongs_there(video: Path, browser: Browser, tmp_path: Path) -> None:
    separate(video, tmp_path, BandSplit((20.0, 1.0)))
    page = ready(browser, tmp_path)
    box = page.locator("#stage").bounding_box()
    for x, y in ((0.1, 0.3), (0.45, 0.9), (0.8, 0.02)):
        page.locator("#stage").click(position={"x": x * box["width"], "y": y * box["height"]})
        assert page.evaluate("point") == pytest.approx([x, y], abs=0.01)
        found = page.evaluate("gainsAt(3)")
        # as the same point chooses for the stems, by another implementation
        px, py = page.evaluate("point")
        area = area_in_frame(Region(128 * px, 96 * py), (128, 96), 4 / 3, SPEC)
        attention = np.zeros((2, SPEC.num_frames, 4, 4))
        attention[0, :, :, :2] = attention[1, :, :, 2:] = 1 / (8 * SPEC.num_frames)
        expected = region_weights(attention, area) * [1.0, 1 / (1 + np.exp(-1.0))]
        assert found == pytest.approx(expected.tolist(), abs=0.01)
    assert page.evaluate("gainsAt(3)[1] > 0.4 && gainsAt(3)[0] === 0")  # on the right only the high source is heard
    assert "source 2" in page.inner_text("#place")
    assert (page.inner_text("#on_name"), page.inner_text("#off_said")) == ("From there", "off")
    page.keyboard.press("Escape")
    assert (page.inner_text("#on_name"), page.inner_text("#off_said")) == ("On screen", "0 dB")
    assert page.evaluate("gainsAt(3)") == pytest.approx([1, 1])
    page.locator("#stage").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):  # the first one chooses the middle
        page.keyboard.press(key)
    assert page.evaluate("point") == pytest.approx([0.45, 0.45])


def test_gains_cross_fade_as_the_stems_do(video: Path, browser: Browser, tmp_path: Path) -> None:
    separate(video, tmp_path, Undecided())
    page = ready(browser, tmp_path)
    stem, rate_hz = soundfile.read(tmp_path / "on_screen.flac")
    wave = np.exp(-2j * np.pi * 500 * np.arange(len(stem)) / rate_hz)
    times_s = np.arange(0.5, 11.5, 0.25)
    blocks = [slice(round((time - 0.05) * rate_hz), round((time + 0.05) * rate_hz)) for time in times_s]
    envelope = [2 * abs((stem[block] * wave[block]).mean()) / 0.3 for block in blocks]
    page.locator("#off").fill("-40")
    found = [page.evaluate(f"gainsAt({time})[0]") for time in times_s]
    assert max(found) > 0.99
    assert min(found) < 0.01
    np.testing.assert_allclose(found, envelope, atol=0.03)


@pytest.mark.parametrize("name", ["plain.mp4", "late.ts"])
def test_sound_and_picture_meet_as_they_did_in_the_video(name: str, browser: Browser, tmp_path: Path) -> None:
    """A flash at 2.0 s of a picture that begins 1.5 s late, and a beep at 2.0 s of the sound."""
    command = [
        *(ffmpeg_path(), "-v", "error", "-y", "-itsoffset", "1.5", *LAVFI, FLASH, *LAVFI, BEEP, *H264),
        str(tmp_path / name),
    ]
    subprocess.run(command, check=True)
    separate(tmp_path / name, tmp_path / "out", BandSplit())
    page = ready(browser, tmp_path / "out")
    # the beep of 1 kHz lies at the border of both bands, so that both sources have it
    onsets = page.evaluate("""() => buffers.map((buffer, source) => {
        const samples = buffer.getChannelData(0).map(Math.abs), largest = samples.reduce((a, b) => Math.max(a, b), 0);
        return samples.findIndex(value => value > 0.2 * largest) / buffer.sampleRate - leads[source];
    })""")
    assert onsets == pytest.approx([2.0, 2.0], abs=0.03)
    luma = """async time => {
        video.currentTime = time;
        await new Promise(done => video.addEventListener("seeked", done, { once: true }));
        const canvas = new OffscreenCanvas(1, 1), pen = canvas.getContext("2d");
        pen.drawImage(video, 0, 0, 1, 1);
        return pen.getImageData(0, 0, 1, 1).data[1];
    }"""
    shown = {time: page.evaluate(luma, time) for time in (3.4, 3.6)}
    assert shown[3.4] < 50 < 200 < shown[3.6]


def test_it_fits_420_pixels_shows_where_each_source_looks_and_names_are_text(
    video: Path, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / EVIL.replace("/", "_")
    path.write_bytes(video.read_bytes())
    separate(path, tmp_path / "out", BandSplit((1.0, -2.0)))
    page = ready(browser, tmp_path / "out", width=420, is_dark=True)
    assert overflow(page) == 0
    assert page.inner_text("h1") == path.name
    assert page.locator(".source").count() == 2
    assert "73 % on screen" in page.inner_text(".source >> nth=0")
    assert "12 % on screen" in page.inner_text(".source >> nth=1")
    opacity = """x => {
        const { width, height } = heat;
        return heat.getContext("2d").getImageData(Math.round(x * width), height / 2, 1, 1).data[3];
    }"""
    for source, (left, right) in enumerate(((True, False), (False, True))):
        page.click(f"text=Where it looks >> nth={source}")
        page.wait_for_timeout(100)
        assert [page.evaluate(opacity, x) > 128 for x in (0.1, 0.9)] == [left, right]
    assert overflow(page) == 0


def test_a_source_that_looks_everywhere_alike_has_no_colour_and_it_is_said(
    video: Path, browser: Browser, tmp_path: Path
) -> None:
    class Anywhere(BandSplit):
        def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> Any:
            output = super().forward(mixture, frames)
            return output._replace(attention=torch.full_like(output.attention, 1 / (16 * SPEC.num_frames)))

    separate(video, tmp_path, Anywhere())
    page = ready(browser, tmp_path)
    page.click("text=Where it looks >> nth=0")
    page.wait_for_timeout(100)
    assert page.evaluate("heat.getContext('2d').getImageData(0, 0, 320, 320).data.every(value => value < 16)")
    assert "looks everywhere alike" in page.inner_text(".source >> nth=0")
    page.locator("#stage").click()
    assert page.evaluate("gainsAt(3)") == pytest.approx([0.5, 0.0], abs=0.01)  # inside as dense as outside


def test_a_longer_video_has_its_first_minutes_in_the_page(
    video: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player_page, "MAX_PAGE_S", 4.0)
    result = separate(video, tmp_path, BandSplit())
    assert "player.html has the first 4 s" in result.notes
    page = ready(browser, tmp_path)
    assert page.evaluate("FACTS.duration_s") == 4.0
    assert page.evaluate("[...buffers.map(buffer => buffer.duration), video.duration]") == pytest.approx(
        [4] * 3, abs=0.11
    )


def test_spans_choose_sources_for_the_page_too_and_what_has_no_page_says_why(
    video: Path, browser: Browser, make_media: MakeMedia, tmp_path: Path
) -> None:
    separate(video, tmp_path / "spans", BandSplit(), choice=Choice(spans=(Span(1.0, 2.0),)))
    page = ready(browser, tmp_path / "spans")
    page.locator("#off").fill("-40")
    assert page.evaluate("gainsAt(5)") == [1, 1]  # both sound all the time
    sound = make_media("player_alone.wav", *LAVFI, TONES.format(6))
    silent = make_media("player_silent.mp4", *LAVFI, "color=red:s=64x48:r=10:d=6", *H264)
    for number, (path, options, note) in enumerate((
        (sound, {}, "no page: there is no picture"),
        (silent, {}, "no page: there is no sound"),
        (video, {"has_verdicts": False, "choice": Choice(spans=(Span(1, 2),))}, "no page: the model does not know"),
    )):  # fmt: skip
        result = separate(path, tmp_path / str(number), BandSplit(), **options)
        assert any(said.startswith(note) for said in result.notes)
        assert not (tmp_path / str(number) / "player.html").exists()


def test_the_page_changes_nothing_else_and_the_record_names_it(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path / "with", BandSplit((1.0, -2.0)))
    separate_video(str(video), str(tmp_path / "without"), SPEC, BandSplit((1.0, -2.0)), Options())
    names = {path.name for path in (tmp_path / "without").iterdir()}
    assert {path.name for path in (tmp_path / "with").iterdir()} == names | {"player.html"}
    one, other = (soundfile.read(tmp_path / name / "on_screen.flac")[0] for name in ("with", "without"))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert '"player.html"' in (tmp_path / "with" / "separation.json").read_text()
