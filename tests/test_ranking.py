"""Ranking a folder: in the order of the pairs' own judgements, with what cannot be judged behind."""

from pathlib import Path

import pytest
from conftest import MakeMedia
from PIL import Image

from pipeline.errors import ConfigError
from pipeline.inference.match_sides import Sides
from pipeline.inference.ranking import list_candidates, rank_files
from tests.helpers.cutting import sound
from tests.helpers.match_models import plain_model


def red_images(folder: Path, *reds: int) -> Path:
    folder.mkdir()
    for red in reds:
        Image.new("RGB", (40, 40), (red, 0, 0)).save(folder / f"red_{red:03d}.png")
    return folder


def test_pictures_are_ranked_for_a_sound_and_sounds_for_a_picture(make_media: MakeMedia, tmp_path: Path) -> None:
    sides = Sides(plain_model())  # what is as red as it is loud belongs together
    half = str(make_media("rank_half.wav", *sound(2.0)))  # 0.5
    images = red_images(tmp_path / "images", 255, 120, 60, 0)
    (images / "notes.txt").write_text("not a picture")
    rows = rank_files(sides, half, "picture", list_candidates(str(images), "picture")).to_pylist()
    assert [Path(row["picture"]).stem for row in rows] == ["red_120", "red_060", "red_255", "red_000"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["probability"] == pytest.approx(1 - abs(120 / 255 - 0.5), abs=0.03)
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "a.wav").write_bytes(Path(half).read_bytes())
    (folder / "b.wav").write_bytes(make_media("rank_loud.wav", *sound(2.0, "0.9*sin(2*PI*500*t)")).read_bytes())
    (folder / "c.wav").write_text("no sound at all")
    found = rank_files(sides, f"{images}/red_255.png", "sound", list_candidates(str(folder), "sound"))
    rows = found.to_pylist()
    assert [(row["rank"], Path(row["sound"]).stem, row["reason"]) for row in rows] == [
        (1, "b", None), (2, "a", None), (None, "c", "unreadable")
    ]  # fmt: skip


def test_equals_are_ranked_by_their_address(make_media: MakeMedia, tmp_path: Path) -> None:
    images = red_images(tmp_path / "images", 120)
    for name in ("z", "b", "m"):
        (images / f"{name}.png").write_bytes((images / "red_120.png").read_bytes())
    half = str(make_media("rank_half.wav", *sound(2.0)))
    rows = rank_files(Sides(plain_model()), half, "picture", list_candidates(str(images), "picture")).to_pylist()
    assert [Path(row["picture"]).stem for row in rows] == ["b", "m", "red_120", "z"]


def test_a_folder_without_candidates_is_refused(tmp_path: Path) -> None:
    images = red_images(tmp_path / "images", 1)
    with pytest.raises(ConfigError, match=r"1 files there, none of them a sound's"):
        list_candidates(str(images), "sound")
    with pytest.raises(ConfigError, match="0 files there"):
        list_candidates(f"{tmp_path}/nowhere", "picture")
