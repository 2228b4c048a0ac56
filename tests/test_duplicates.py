"""Duplicates: uploads of the same content are one group, share a split, and one of them stands for all."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.artifacts import VIDEOS_FOLDER, Workspace
from pipeline.duplicates import Clips, VideoVectors, find_duplicates, shared_fraction
from pipeline.errors import ConfigError
from pipeline.splitting import SplittingConfig
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import VIDEOS

SIZE = 32
SPLITTING = SplittingConfig()


def content(seed: int, count: int) -> np.ndarray:
    """[count, 2, SIZE] sound and picture of a video's clips, which resemble one another."""
    rng = np.random.default_rng([7, seed])
    return unit(rng.standard_normal((2, SIZE)) + 0.3 * rng.standard_normal((count, 2, SIZE)))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float16)


def again(clips: np.ndarray, noise: float = 0.1) -> np.ndarray:
    """The same content, encoded again: at a cosine of about 1 / sqrt(1 + noise ** 2)."""
    return unit(clips + noise * np.random.default_rng(len(clips)).standard_normal(clips.shape) / np.sqrt(SIZE))


Corpus = dict[str, dict[str, np.ndarray]]  # part: video: clips


def write(workspace: Workspace, corpus: Corpus, splits: dict[str, str], licenses: dict[str, str] | None = None) -> None:
    for part, videos in corpus.items():
        facts = {"part": part, "num_clips": 1, "outcome": "kept"}
        rows = [
            facts
            | {"video_id": name, "uri": name, "split": splits.get(name, "train")}
            | {"license": (licenses or {}).get(name)}
            for name in videos
        ]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
        clips = [(name, i, clip) for name, found in videos.items() for i, clip in enumerate(found)]
        columns = {
            "model": pa.array(["m"] * len(clips), pa.string()),
            "clip_id": pa.array([f"{name}_{i:08d}" for name, i, _ in clips], pa.string()),
            "video_id": pa.array([name for name, _, _ in clips], pa.string()),
            "score": pa.array([0.5] * len(clips), pa.float32()),
            "audio_embedding": pa.array([clip[0] for _, _, clip in clips], pa.list_(pa.float16())),
            "visual_embedding": pa.array([clip[1] for _, _, clip in clips], pa.list_(pa.float16())),
        }
        workspace.commit("scores/m", part, pa.table(columns, schema=SCORES), SCORES)


def find(workspace: Workspace, licenses: tuple[str, ...] = ()) -> dict[str, dict]:
    work = VideoVectors(workspace, "m", SPLITTING, licenses, 0.0)
    videos = [video for part in reversed(workspace.parts("scores/m")) for video in work(part)]
    find_duplicates(workspace, "s", "m", videos, 0.95)
    return {row["video_id"]: row for row in workspace.read_all("duplicates/s", DUPLICATES).to_pylist()}


@pytest.fixture
def place(tmp_path: object) -> Workspace:
    return Workspace(str(tmp_path))


def others(first: int, count: int) -> dict[str, np.ndarray]:
    return {f"o{i}": content(i, 5) for i in range(first, first + count)}


def test_an_upload_made_again_and_trimmed_is_found_and_nothing_else_is(place: Workspace) -> None:
    original = content(0, 10)
    corpus = {"00000": {"b": original} | others(100, 20), "00001": {"a": again(original)[2:8]} | others(200, 20)}
    write(place, corpus, {})
    found = find(place)
    assert found.keys() == {"a", "b"}
    assert {row["group_id"] for row in found.values()} == {"a"}
    assert [found[name]["is_best"] for name in "ab"] == [False, True]  # b has ten clips, a six
    assert [found[name]["like_video_id"] for name in "ab"] == ["b", "a"]
    assert [found[name]["shared_fraction"] for name in "ab"] == [1.0, 1.0]


def test_new_sound_under_the_same_picture_makes_another_video(place: Workspace) -> None:
    original, dubbed = content(0, 6), content(0, 6)
    dubbed[:, 0] = content(1, 6)[:, 0]
    write(place, {"00000": {"a": original, "b": dubbed}}, {})
    assert find(place) == {}


def test_the_shared_share_is_that_of_the_shorter_ones_clips() -> None:
    def clips(numbers: list[int]) -> Clips:
        rows = np.eye(16, dtype=np.float16)[numbers]
        return Clips(rows, rows, np.zeros(len(numbers)))

    long, short = clips([0, 1, 2, 3, 4, 5]), clips([4, 5, 6, 7, 8])
    assert shared_fraction(long, short, 0.9) == shared_fraction(short, long, 0.9) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("splits", "group", "best"),
    [
        ({"a": "test", "b": "test", "c": "test"}, "test", "a"),
        ({"a": "test", "b": "validate", "c": "test"}, "validate", "b"),
        ({"a": "test", "b": "validate", "c": "train"}, "train", "c"),
        ({"a": "train", "b": "test", "c": "train"}, "train", "a"),
    ],
)
def test_a_group_is_in_the_first_split_of_its_members_and_a_member_of_it_stands_for_all(
    splits: dict[str, str], group: str, best: str, place: Workspace
) -> None:
    original = content(0, 6)
    write(place, {f"0000{i}": {name: again(original, 0.05 * i)} for i, name in enumerate("abc")}, splits)
    found = find(place)
    assert {row["split"] for row in found.values()} == {group}
    assert [name for name, row in found.items() if row["is_best"]] == [best]


def test_of_equal_uploads_the_one_with_an_accepted_licence_stands_for_all(place: Workspace) -> None:
    original = content(0, 6)
    videos = {"a": original, "b": again(original), "c": again(original, 0.05)}
    write(place, {"00000": videos}, {}, {"a": "none", "b": "CC0", "c": "CC0"})
    assert [name for name, row in find(place, ("CC0",)).items() if row["is_best"]] == ["b"]


def test_what_arrives_later_joins_the_group_and_changes_nothing_of_it(place: Workspace) -> None:
    original, single = content(0, 6), content(1, 6)
    write(place, {"00001": {"m": original, "n": again(original), "o": single}}, {"m": "test", "n": "test"})
    before = find(place)
    assert before.keys() == {"m", "n"}
    write(place, {"00002": {"a": np.concatenate([again(original, 0.05), original]), "b": again(single)}}, {"b": "test"})
    after = find(place)
    assert {name: after[name] for name in before} == before
    assert (after["a"]["group_id"], after["a"]["split"], after["a"]["is_best"]) == ("m", "test", False)
    assert (after["b"]["group_id"], after["b"]["split"], after["b"]["is_best"]) == ("o", "train", False)


@pytest.mark.parametrize("lost", [["00000"], ["00001"], ["00000", "00002"]])
def test_a_run_that_was_killed_between_two_parts_ends_as_if_it_had_not_been(lost: list[str], place: Workspace) -> None:
    videos = [content(i, 6) for i in range(4)]
    corpus = {
        f"0000{part}": {f"{'cab'[part]}{i}": again(video, 0.05 * part) for i, video in enumerate(videos) if i != part}
        for part in range(3)
    }
    write(place, corpus, {"c2": "test", "a2": "validate"})
    whole = find(place)
    assert len({row["group_id"] for row in whole.values()}) == 4
    for part in lost:
        storage.local_path(place.uri("duplicates/s", f"{part}.parquet")).unlink()
    assert find(place) == whole


def test_a_model_to_which_everything_is_alike_is_refused(place: Workspace) -> None:
    everything = {f"v{i}": again(content(0, 3), 0.1 + i / 1000) for i in range(30)}
    write(place, {"00000": everything}, {})
    with pytest.raises(ConfigError, match=r"duplicate_similarity = 0\.95: \d+% of random pairs"):
        find(place)


def test_a_part_without_scored_clips_has_no_duplicates(place: Workspace) -> None:
    write(place, {"00000": {}, "00001": {"a": content(0, 2)}}, {})
    assert find(place) == {}
    assert place.parts("duplicates/s") == ["00000", "00001"]
