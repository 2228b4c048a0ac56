"""The world of recordings and photographs: what is held out, what is labelled, and that pictures follow their sound."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import ConfigError
from pipeline.labels.ratings import read_judgements
from tests.helpers.media import ffmpeg
from tests.helpers.recorded_media import MIN_RECORDINGS, RATE_HZ, Media, read_media
from tests.helpers.recorded_world import arrange, build, draw, plan_world, split_of

KINDS = ("bell", "door", "owl")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """Three classes of tones, a sound of another class, one of none, and five photographs of one colour each."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "sounds").mkdir()
    (folder / "images").mkdir()
    rows = [("path", "notes")]
    times_s = np.arange(RATE_HZ) / RATE_HZ
    for number, kind in enumerate([*KINDS, "rare", "door_bell", ""]):
        for take in range(2 * MIN_RECORDINGS if kind in KINDS else 1):  # two takes of each origin
            path = f"sounds/{kind or 'nameless'}_{take}.wav"
            tone = np.where(
                (times_s > 0.2) & (times_s < 0.9), 0.3 * np.sin(2 * np.pi * 300 * (number + 1) * times_s), 0
            )
            soundfile.write(folder / path, tone, RATE_HZ)
            rows.append((path, f"class={kind}; freesound_id={number}{take // 2}" if kind else "nothing"))
    for place in range(len(KINDS) + 2):
        path = f"images/{place}.png"
        ffmpeg("-f", "lavfi", "-i", f"color=c=0x{40 * place + 30:02x}8040:s=200x150", "-frames:v", "1", folder / path)
        rows.append((path, f"photo; class=p{place}"))
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return read_media(folder)


def test_classes_are_those_of_many_recordings_and_a_sound_that_may_be_of_one_is_left_out(media: Media) -> None:
    assert {kind: len(found) for kind, found in media.classes.items()} == dict.fromkeys(KINDS, 2 * MIN_RECORDINGS)
    assert len(media.others) == 1  # rare; a door_bell is a door or a bell
    assert all(len(recording.samples) == pytest.approx(0.7 * RATE_HZ, abs=20) for recording in media.classes["owl"])
    assert {photograph.shape[:2] for photograph in media.photographs} == {(3, 128)}


def test_no_recording_is_in_two_splits_and_every_class_is_in_each(media: Media) -> None:
    world = plan_world(media, seed=3)
    for kind in KINDS:
        origins = [{recording.origin for recording in world.sounds[split][kind]} for split in world.sounds]
        assert sorted(origin for found in origins for origin in found) == sorted(set().union(*origins))
        assert all(origins)
    assert len(set(world.photograph_of.values())) == len(KINDS)


def test_a_world_is_a_collection_with_its_splits_and_labels_and_equal_bytes(media: Media, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(media, tmp_path / name, 12, 1.0, seed=5)
    one, two = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert len(one) == 14
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    with (tmp_path / "one" / "collection.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == [split_of(index) for index in range(12)]
    assert all((tmp_path / "one" / row["uri"]).is_file() for row in rows)
    judged = read_judgements([str(tmp_path / "one" / "labels.csv")]).table.to_pylist()
    assert {row["video"] for row in judged} == {row["uri"] for row in rows}
    assert {(row["on_screen"], row["off_screen"]) for row in judged} <= {(True, False), (True, True), (False, True)}


def test_splits_are_shared_out_and_sounds_are_as_loud_as_one(media: Media) -> None:
    shares = [[split_of(index) for index in range(100)].count(split) for split in ("train", "validate", "test")]
    assert shares == [70, 12, 18]
    sound = arrange(np.random.default_rng(0), media.classes["owl"], 5 * RATE_HZ)
    assert np.sqrt(np.square(sound[sound != 0]).mean()) == pytest.approx(1, abs=1e-3)
    assert 0.2 < (sound != 0).mean() < 0.95


def test_what_sounds_grows_and_rises_with_it_and_what_is_silent_lies_still(media: Media) -> None:
    black, white = np.zeros((3, 128, 200), np.float32), np.ones((3, 128, 200), np.float32)
    loudness = np.array([0.0, 1.0, 0.0])
    frames = draw(np.random.default_rng(0), black, [], white, loudness, 3) > 127
    areas = frames.sum(axis=(1, 2, 3))
    assert areas[1] / areas[0] == pytest.approx(1.3**2, rel=0.1)
    centres = [np.argwhere(frame[0])[:, 0].mean() for frame in frames]
    assert centres[0] - centres[1] == pytest.approx(0.08 * 128, abs=1.5)
    still = draw(np.random.default_rng(0), black, [white], None, None, 3)
    assert (still[0] == still[1]).all()
    assert still.max() > 127


def test_a_folder_without_a_manifest_or_with_too_few_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MANIFEST\.csv: not there"):
        read_media(tmp_path)
    (tmp_path / "MANIFEST.csv").write_text("path,notes\nsounds/a.wav,class=a\n")
    with pytest.raises(ConfigError, match="0 classes of 6 recordings or more, 0 photographs: expected 3 classes"):
        read_media(tmp_path)
