"""Lists of mixtures with known sources: each source is listed with its mixture and its split."""

import json
from pathlib import Path

import pytest

from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError


def listed(folder: Path, name: str, text: str) -> list[tuple[str, str | None, str | None]]:
    """(file, mixture, split) of each row of the collection."""
    (folder / name).write_text(text)
    rows = list(list_videos(str(folder / name)))
    assert len({row["video_id"] for row in rows}) == len(rows)
    return [
        (
            str(Path(row["uri"]).relative_to(folder.resolve())),
            json.loads(row["extra"] or "{}").get("mixture"),
            row["split"],
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "split"), [("train", "train"), ("validation", "validate"), ("eval", "test"), ("mine", None)]
)
def test_sources_carry_their_mixture_and_the_split_of_the_lists_name(
    name: str, split: str | None, tmp_path: Path
) -> None:
    lines = (
        "a.wav\ta_sources/background0_sound.wav\ta_sources/foreground0_sound.wav",
        "",
        "b.wav\tb_sources/background0_sound.wav",
        "c.wav",
    )
    text = "\n".join(lines)
    assert listed(tmp_path, f"{name}_example_list.txt", text) == [
        ("a_sources/background0_sound.wav", "a.wav", split),
        ("a_sources/foreground0_sound.wav", "a.wav", split),
        ("b_sources/background0_sound.wav", "b.wav", split),
        ("c.wav", None, split),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.wav\ts.wav\nb.wav\ts.wav\n", r"row 2: s.wav, which row 1 has too"),
        ("a.wav\ts.wav\t\n", r"row 1: an empty address"),
        ("\ts.wav\n", r"row 1: an empty address"),
        ("a.wav\t../s.wav\n", r"row 1: \.\./s.wav leads out of its folder"),
        ("", "a table without rows"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        listed(tmp_path, "train_example_list.txt", text)


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train_example_list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text in UTF-8"):
        list_videos(str(tmp_path / "train_example_list.txt"))
