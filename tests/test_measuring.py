"""What is measured while a film is decoded, and waits until it is complete."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.measuring import Meters
from pipeline.clips.speech import RATE_HZ
from pipeline.clips.video_cutting import VideoCutting
from pipeline.media.own_sound import BLOCK, OwnSound
from pipeline.media.streams import Frame
from tests.helpers.cutting import EXACT, LAVFI, span_of
from tests.helpers.voices import voice

OWN_HZ = 48000
SPEC = ClipSpec(clip_s=2.0, hop_s=1.0, frame_height=64, frame_width=64, at_cuts="count")


@pytest.fixture
def film(make_media: MakeMedia, tmp_path: Path) -> Path:
    """6 s: shots of 3 s, the second between bars of a quarter of the picture; on the left noise up to 8 kHz with an
    offset of 0.1, on the right half of it turned around, and from 4 s on nothing."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(0.1 * rng.standard_normal(6 * OWN_HZ))
    spectrum[np.fft.rfftfreq(6 * OWN_HZ, 1 / OWN_HZ) > 8000] = 0
    noise = np.fft.irfft(spectrum)
    fading = np.clip(20 - 5 * np.arange(6 * OWN_HZ) / OWN_HZ, 0, 1)  # slowly: a click has a wide band
    right = -0.5 * noise * np.sin(np.pi / 2 * fading) ** 2
    soundfile.write(tmp_path / "sound.wav", np.stack([noise + 0.1, right], axis=1), OWN_HZ, subtype="PCM_16")
    shots = "[0][1]concat=n=2[v]"
    first, second = "testsrc=s=64x64:r=25:d=3", "mandelbrot=s=64x48:r=25,trim=duration=3,pad=64:64:0:8,setsar=1"
    pictures = (*LAVFI, first, *LAVFI, second, "-i", tmp_path / "sound.wav", "-filter_complex", shots)
    return make_media(f"{tmp_path.name}.mkv", *pictures, "-map", "[v]", "-map", "2:a", *EXACT)


def cut(film: Path, spec: ClipSpec) -> list[dict[str, Any]]:
    return [clip.row for clip in VideoCutting(span_of(film, 0.0, 6.0), {BASE: spec}, ShardingConfig())]  # type: ignore[union-attr]


def test_a_film_whose_every_fact_is_known(film: Path) -> None:
    rows = cut(film, SPEC)
    assert [row["start_s"] for row in rows] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [row["num_cuts"] for row in rows] == [0, 0, 1, 0, 0]
    assert [row["letterbox_fraction"] for row in rows] == pytest.approx([0, 0, 0, 0.25, 0.25], abs=0.04)
    assert all(row["black_fraction"] == 0 for row in rows)
    assert [row["sounding_channels"] for row in rows] == [[0, 1], [0, 1], [0, 1], [0, 1], [0]]
    assert [row["channel_correlation"] for row in rows[:2]] == pytest.approx([-1.0] * 2, abs=1e-3)
    assert rows[4]["channel_correlation"] is None
    for row in rows:
        assert row["num_channels"] == 2
        assert row["bandwidth_hz"] == pytest.approx(8000, abs=5 * OWN_HZ / BLOCK)
        assert row["dc_offset"] == pytest.approx(0.1, abs=2e-3)
        assert row["speech_fraction"] < 0.2
        assert row["sharpness"] > 0


def test_clips_are_planned_within_shots_and_cuts_are_looked_for_where_they_are_asked_for(film: Path) -> None:
    rows = cut(film, dataclasses.replace(SPEC, at_cuts="split"))
    assert [(row["start_s"], row["outcome"], row["num_cuts"]) for row in rows] == [
        (start_s, "kept", 0) for start_s in (0.0, 1.0, 3.0, 4.0)
    ]
    long = cut(film, dataclasses.replace(SPEC, clip_s=4.0, at_cuts="split"))
    assert [(row["start_s"], row["outcome"]) for row in long] == [(0.0, "too_short"), (3.0, "too_short")]
    assert {row.get("num_cuts") for row in cut(film, dataclasses.replace(SPEC, at_cuts="ignore"))} == {None}


def test_the_share_of_speech_is_that_of_the_blocks_within_the_clip() -> None:
    meters = Meters(RATE_HZ)
    for piece in np.array_split(np.concatenate([np.zeros(4 * RATE_HZ, np.int16), voice(4.0)]), 9):
        meters.add_sound(piece)
    meters.finish()
    assert meters.levels(0.0, 3.5)["speech_fraction"] == 0
    assert meters.levels(4.5, 8.0)["speech_fraction"] > 0.8
    meters.drop_before(4.0)
    assert meters.levels(4.5, 8.0)["speech_fraction"] > 0.8
    assert Meters(8000).levels(0.0, 1.0) == {}


def test_a_clip_waits_for_its_own_sound_its_pictures_and_its_speech() -> None:
    meters = Meters(RATE_HZ)
    for number in range(96):  # looked at by 32: up to 3.1 s
        meters.add(Frame("", number / 30, np.zeros((80, 80, 3), np.uint8)))
    assert not meters.is_known(2.0, with_shots=True)
    times_s = np.arange(64) * BLOCK / OWN_HZ  # 2.7 s
    meters.add(OwnSound(OWN_HZ, times_s, np.zeros((64, BLOCK, 2), np.int16)))
    assert not meters.is_known(2.0, with_shots=True)
    meters.add_sound(np.zeros(3 * RATE_HZ, np.int16))  # judged by 1.024 s
    assert meters.is_known(2.0, with_shots=True)
    assert not meters.is_known(2.9, with_shots=True)
    meters.finish()
    assert meters.is_known(2.9, with_shots=True)
