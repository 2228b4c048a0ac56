"""Tables of judged pairs: what they name is found, in the split of both videos; what cannot be meant is named."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clips.splitting import SplittingConfig, split_of
from pipeline.errors import ConfigError
from pipeline.learners.judged_pairs import load_pairs, read_judged
from pipeline.storage.workspace import Workspace
from schemas.scores import SCORES
from tests.helpers.vectors import clip_ids, write_root, write_scores

SPLITTING = SplittingConfig(validate_fraction=0.3, test_fraction=0.2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """40 videos of two clips, scored by m; the clip 7 has no score."""
    workspace = write_root(tmp_path_factory.mktemp("pairs") / "root", num_videos=40, num_parts=2)
    vectors = np.random.default_rng(0).standard_normal((2, 80, 8)).astype(np.float32)
    write_scores(workspace, "m", *vectors, missing={7})
    return workspace


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def load(root: Workspace, uri: str, *splits: str) -> list:
    return load_pairs(root, uri, "m", splits, SPLITTING, root.parts("clips/base"))


def test_a_pair_is_in_a_split_with_both_of_its_videos_or_in_none(root: Workspace, tmp_path: Path) -> None:
    ids = [key for number, key in enumerate(clip_ids(root)) if number != 7]
    rng = np.random.default_rng(1)
    pairs = {(ids[a], ids[b]) for a, b in rng.integers(len(ids), size=(300, 2))}
    rows = [f"{picture},{sound},{int(picture[:10] == sound[:10])}" for picture, sound in sorted(pairs)]
    rows += [f"{key},{key},1" for key in ids if (key, key) not in pairs]
    sets = load(root, write(tmp_path / "pairs.csv", "picture,sound,match", *rows), "train", "validate", "test")
    of = {name: split_of(name, SPLITTING) for name in {key[:10] for key in ids}}
    expected = dict.fromkeys(("train", "validate", "test"), 0)
    for row in rows:
        picture, sound, _ = row.split(",")
        if of[picture[:10]] == of[sound[:10]]:
            expected[of[picture[:10]]] += 1
    assert [len(found) for found in sets] == list(expected.values())
    assert min(expected.values()) > 5
    assert sum(expected.values()) < len(rows)
    scores = {row["clip_id"]: row for row in root.read_all("scores/m", SCORES).to_pylist()}
    for found in sets:
        for number, row in enumerate(found.rows.to_pylist()):
            assert found.match[number] == (row["video_id"] == row["sound_video_id"])
            assert found.visual[number].tolist() == scores[row["clip_id"]]["visual_embedding"]
            assert found.audio[number].tolist() == scores[row["sound_clip_id"]]["audio_embedding"]


def test_an_address_and_a_start_name_a_clip_as_its_key_does(root: Workspace, tmp_path: Path) -> None:
    train = sorted(name for name in {key[:10] for key in clip_ids(root)} if split_of(name, SPLITTING) == "train")
    one, two = (f"{name}_00001000" for name in train[:2])
    by_key = write(
        tmp_path / "keys.jsonl", *(f'{{"picture":"{one}","sound":"{s}","match":{m}}}' for s, m in ((one, 1), (two, 0)))
    )
    addresses = [f"/videos/{name[:10]}.mp4,1.0" for name in (one, two)]
    lines = [f"{addresses[0]},{addresses[0]},true", f"{addresses[0]},{addresses[1]},false"]
    by_start = write(tmp_path / "starts.csv", "picture,picture_start_s,sound,sound_start_s,match", *lines)
    (first,), (second,) = load(root, by_key, "train"), load(root, by_start, "train")
    assert first.rows.equals(second.rows)
    assert first.match.tolist() == [1, 0]


def test_a_relative_address_lies_beside_the_table_and_a_row_without_match_is_left_out(
    root: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "videos").symlink_to("/videos")  # the collection resolves the folders of videos, links and all
    one, two = (f"video{number:05d}" for number in range(2))
    header = "picture,picture_start_s,sound,sound_start_s,match"
    lines = [f"../videos/{one}.mp4,1.0,/videos/{two}.mp4,1.0,0", f"{one}_00001000,,{one}_00001000,,1", "a,,b,,"]
    uri = write(tmp_path / "lists" / "pairs.csv", header, *lines)
    mixed, same = read_judged(uri)
    assert (mixed.picture, mixed.sound) == ((f"/videos/{one}.mp4", 1000), (f"/videos/{two}.mp4", 1000))
    assert (same.picture, same.match) == ((f"{one}_00001000", None), True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,match", "a,1"], "columns picture, match: expected sound too"),
        (["picture,sound,match"], "no rows, expected one pair or more"),
        (["picture,sound,match", "a,b,1", "a,,0"], "row 2: no sound"),
        (["picture,sound", "a,b", "a,c"], "no match in 2 rows. Expected both 0 and 1"),
        (["picture,sound,match", "a,b,1", "a,c,"], "match is 1 in all 1 judged rows"),
        (["picture,sound,match", "a,b,1", "a,c,2"], "row 2: match = '2', expected 0, 1 or nothing"),
        (["picture,sound,match", "a,b,1", "a,c,1"], "match is 1 in all 2 judged rows. Expected both 0 and 1"),
        (["picture,sound,match,picture_start_s", "a,b,1,soon"], "row 1: picture_start_s = 'soon', expected seconds"),
        (
            ["picture,sound,match,sound_start_s", "a,b,1,0", "a,b,0,nan"],
            r"pairs.csv, row 2: sound_start_s = 'nan', expected seconds",
        ),
        (
            ["picture,sound,match", "a,b,1", "video00003_00001000,c,0"],
            "no clip that m has scored has the name in row 1: a, .*, row 2: c",
        ),
        (["picture,sound,match", "a,b,1", "a,c,0"], "row 1: a, row 1: b, row 2: a, row 2: c."),
    ],
)
def test_what_cannot_be_meant_is_named(root: Workspace, tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(root, write(tmp_path / "pairs.csv", *lines), "train")


def test_a_pair_that_is_judged_twice_is_named_with_its_rows(root: Workspace, tmp_path: Path) -> None:
    one, two = clip_ids(root)[:2]
    uri = write(tmp_path / "pairs.csv", "picture,sound,match", f"{one},{two},1", f"{two},{one},0", f"{one},{two},0")
    with pytest.raises(ConfigError, match=f"about one pair: {one} and {two} in rows 1, 3"):
        load(root, uri, "train")
    only = write(tmp_path / "only.csv", "picture,sound,match", f"{one},{one},1", f"{one},{two},1")
    with pytest.raises(ConfigError, match="match is 1 in all 2 judged rows"):
        read_judged(only)
