"""Duplicates: uploads of the same content are one group and share a split."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.selection.duplicate_groups import Video
from pipeline.selection.duplicates import ComparePart, find_duplicates, plan_comparison, segments
from pipeline.selection.embeddings import ImportedVectors, ScoredEmbeddings, to_column, vector_length
from pipeline.selection.leakage import audit
from pipeline.selection.representatives import choose_represented
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.vectors import clip_ids, import_vectors, write_root

SIZE = 32
R = TypeVar("R")
Corpus = dict[str, dict[str, np.ndarray]]  # part: video: clips [k, 2, D], sound and picture


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float16)


def content(seed: int, count: int) -> np.ndarray:
    """A video whose clips resemble one another."""
    rng = np.random.default_rng([7, seed])
    return unit(rng.standard_normal((2, SIZE)) + 0.3 * rng.standard_normal((count, 2, SIZE)))


def drifting(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """A video that changes all the time: neighbouring clips have a cosine of 0.93, those 30 apart one of 0.1."""
    steps = rng.standard_normal((count, 2, size)) * np.where(np.arange(count) == 0, 1, 0.4)[:, None, None]
    walk = [steps[0]]
    for step in steps[1:]:
        walk.append(unit(walk[-1]).astype(float) * np.sqrt(size) + step)
    return unit(np.array(walk))


def again(clips: np.ndarray, noise: float = 0.1) -> np.ndarray:
    """The same content, encoded again: at a cosine of about 1 / sqrt(1 + noise ** 2)."""
    rng = np.random.default_rng(len(clips))
    return unit(clips + noise * rng.standard_normal(clips.shape) / np.sqrt(clips.shape[2]))


def write(workspace: Workspace, corpus: Corpus, splits: dict[str, str] | None = None) -> None:
    for part, videos in corpus.items():
        facts = {"part": part, "rights": "unknown", "num_clips": 1, "outcome": "kept"}
        rows = [facts | {"video_id": name, "uri": name, "split": (splits or {}).get(name, "train")} for name in videos]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
        names = [(name, f"{name}_{i:08d}") for name, found in videos.items() for i in range(len(found))]
        clips = np.concatenate(list(videos.values())) if videos else np.zeros((0, 2, SIZE), np.float16)
        is_there = np.isfinite(clips).all(axis=(1, 2))
        columns = {
            "clip_id": pa.array([clip for _, clip in names], pa.string()),
            "video_id": pa.array([name for name, _ in names], pa.string()),
            "score": pa.array(np.full(len(names), 0.5, np.float32), mask=~is_there),
            "audio_embedding": to_column(clips[is_there, 0], is_there),
            "visual_embedding": to_column(clips[is_there, 1], is_there),
        }
        workspace.commit("scores/m", part, pa.table(columns, schema=SCORES), SCORES)


def backwards(step: str, work: Callable[[str], R], parts: list[str]) -> Iterable[R]:
    return map(work, reversed(parts))


def find(workspace: Workspace, similarity: float = 0.9, name: str = "s") -> dict[str, dict]:
    find_duplicates(workspace, name, ScoredEmbeddings(workspace, "m"), similarity, SplittingConfig(), backwards)
    return {row["video_id"]: row for row in workspace.read_all(f"duplicates/{name}", DUPLICATES).to_pylist()}


def kept(found: dict[str, dict], num_good: dict[str, int]) -> set[str]:
    return found.keys() - choose_represented(list(found.values()), num_good, set())


@pytest.fixture
def place(tmp_path: object) -> Workspace:
    return Workspace(str(tmp_path))


def others(first: int, count: int) -> dict[str, np.ndarray]:
    return {f"o{i}": content(i, 5) for i in range(first, first + count)}


def test_imported_vectors_group_uploads_as_embeddings_do_and_a_clip_without_one_is_not_compared(tmp_path: Path) -> None:
    workspace = write_root(tmp_path / "root", num_videos=40, num_parts=2, clips_per_video=4)
    rng, ids = np.random.default_rng(0), clip_ids(workspace)
    vectors = 50 * rng.standard_normal((40, 1, 24)).repeat(4, axis=1) + 30 * rng.standard_normal((40, 4, 24))
    vectors[31] = 3 * vectors[4] + rng.standard_normal((4, 24))  # louder, in the other part
    rows = vectors.reshape(-1, 24).tolist()
    rows[4 * 4], rows[4 * 31 + 1] = None, [0.0] * 24
    import_vectors(workspace, "peav", pa.table({"clip_id": ids, "embedding": rows}))
    compared = ImportedVectors(workspace, "peav.embedding")
    assert vector_length(compared) == 24
    assert compared.inputs() == {"imported/peav": workspace.stage("imported/peav")["hash"]}
    videos = compared.read("00000")
    assert [len(videos[f"video{number:05d}"]) for number in (3, 4)] == [4, 3]
    cosines = find_duplicates(workspace, "s", compared, 0.9, SplittingConfig(), backwards)
    assert cosines is not None
    assert len(cosines) == 1
    found = {row["video_id"]: row for row in workspace.read_all("duplicates/s", DUPLICATES).to_pylist()}
    assert found.keys() == {"video00004", "video00031"}
    # each has three clips to compare, of which two are in both
    assert found["video00031"]["shared_fraction"] == pytest.approx(2 / 3)


def test_an_upload_made_again_and_trimmed_is_found_and_nothing_else_is(place: Workspace) -> None:
    original = content(0, 10)
    write(place, {"00000": {"b": original} | others(100, 20), "00001": {"a": again(original)[2:8]} | others(200, 20)})
    found = find(place)
    assert found.keys() == {"a", "b"}
    assert {row["group_id"] for row in found.values()} == {"a"}
    assert [found[name]["linked_video_ids"] for name in "ab"] == [["b"], ["a"]]
    assert [found[name]["like_video_id"] for name in "ab"] == ["b", "a"]
    assert [found[name]["shared_fraction"] for name in "ab"] == [1.0, 1.0]


def test_new_sound_under_the_same_picture_makes_another_video(place: Workspace) -> None:
    original, dubbed = content(0, 6), content(0, 6)
    dubbed[:, 0] = content(1, 6)[:, 0]
    write(place, {"00000": {"a": original, "b": dubbed} | others(100, 40)})
    assert find(place) == {}


def test_videos_of_a_kind_are_not_uploads_of_one_though_their_cosines_are_those_of_uploads(place: Workspace) -> None:
    rng = np.random.default_rng(5)
    kinds, rooms = rng.standard_normal((12, 2, SIZE)), rng.standard_normal(SIZE)
    few = rng.standard_normal((6, SIZE)) / np.sqrt(6)  # a kind has 6 dimensions, in a space that all kinds bend one way
    videos = {}
    for i in range(600):
        clips = 1.5 * rooms + kinds[i % 12] + 0.25 * rng.standard_normal((2, 6)) @ few
        if i % 5 == 0:  # the sound is off screen: an empty room, like any other
            clips[1] = 1.5 * rooms + 0.02 * rng.standard_normal(SIZE)
        videos[f"v{i:03d}"] = unit(clips + 0.02 * rng.standard_normal((3, 2, SIZE)))
    means = np.stack([unit(clips.astype(float).mean(axis=0)) for clips in videos.values()]).astype(float)
    cosines = np.einsum("isd,jsd->sij", means, means).min(axis=0)
    assert np.median(np.sort(cosines, axis=1)[:, -2]) >= 0.97  # of a video's nearest other
    copies = {f"{name}again": again(videos[name], 0.02) for name in list(videos)[3::20]}
    write(place, {"00000": videos, "00001": copies})
    found = find(place)
    wrong = [name for name, row in found.items() if name[:4] != row["like_video_id"][:4]]
    assert len(wrong) <= 6  # 1 % of 600
    assert sum(name in found for name in copies) >= 24  # 80 % of 30


def test_what_many_videos_show_makes_them_no_uploads_of_one_another(place: Workspace) -> None:
    rng = np.random.default_rng(2)
    card = rng.standard_normal((2, SIZE))
    shown = {f"c{i:02d}": rng.standard_normal((10, 2, SIZE)) for i in range(40)}
    for clips in shown.values():
        clips[:7] = card + 0.05 * rng.standard_normal((7, 2, SIZE))
    write(place, {"00000": others(100, 80) | {name: unit(clips) for name, clips in shown.items()}})
    assert find(place) == {}


def test_a_quarter_of_a_long_video_that_changes_all_the_time_is_found(place: Workspace) -> None:
    rng = np.random.default_rng(3)
    videos = {f"v{i:02d}": drifting(rng, 60, 96) for i in range(25)}  # 96 dimensions are projected
    trimmed = {f"{name}again": again(clips[23:38]) for name, clips in videos.items()}
    write(place, {"00000": videos, "00001": trimmed})
    found = find(place)
    assert all(row["like_video_id"][:3] == name[:3] for name, row in found.items())
    assert found.keys() - kept(found, dict.fromkeys(videos, 60) | dict.fromkeys(trimmed, 15)) == trimmed.keys()


def test_two_videos_that_share_a_third_are_two_and_those_that_share_two_thirds_are_one(place: Workspace) -> None:
    rng = np.random.default_rng(4)
    one, other = drifting(rng, 30, SIZE), drifting(rng, 30, SIZE)
    third, most = np.concatenate([again(one)[:10], other[10:]]), np.concatenate([again(one)[:20], other[20:]])
    write(place, {"00000": {"a": one, "third": third} | others(100, 40)})
    assert find(place) == {}
    write(place, {"00001": {"most": most}})
    assert {name: row["like_video_id"] for name, row in find(place).items()} == {"most": "a"}


def test_the_shared_share_is_that_of_the_shorter_ones_clips() -> None:
    long, short = (np.repeat(np.eye(16, dtype=np.float16)[a:b, None], 2, axis=1) for a, b in ((0, 6), (4, 9)))
    videos = [Video(name, "0", "train", *segments(clips)) for name, clips in (("a", long), ("b", short))]
    work = ComparePart(ScoredEmbeddings(Workspace(""), "m"), 0.9, plan_comparison(videos, 0.9, set()))
    assert work.share(0, long, 1, short) == work.share(1, short, 0, long) == pytest.approx(2 / 5)


def test_a_clip_without_embeddings_is_left_out(place: Workspace) -> None:
    damaged = content(0, 6)
    damaged[2] = np.nan
    write(place, {"00000": {"a": damaged, "b": again(content(0, 6)), "c": np.full((2, 2, SIZE), np.nan, np.float16)}})
    assert {name: row["shared_fraction"] for name, row in find(place).items()} == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("splits", "group", "best"),
    [
        ({"a": "test", "b": "test", "c": "test"}, "test", "a"),
        ({"a": "test", "b": "validate", "c": "test"}, "validate", "b"),
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
    assert kept(found, dict.fromkeys("abc", 6)) == {best}


def test_what_arrives_later_joins_the_group_and_changes_nothing_of_it(place: Workspace) -> None:
    original, single, refused = (content(seed, 6) for seed in range(3))
    splits = {"m": "test", "n": "test", "b": "test"}
    write(place, {"00001": {"m": original, "n": again(original), "o": single, "p": refused}}, splits)
    before = find(place)
    assert before.keys() == {"m", "n"}
    later = {"a": np.concatenate([again(original, 0.05), original]), "b": again(single), "q": again(refused)}
    write(place, {"00002": later}, splits)
    after = find(place)
    assert {name: after[name] for name in before} == before
    for name, expected in {"a": ("m", "test"), "b": ("o", "train"), "q": ("p", "train")}.items():
        assert (after[name]["group_id"], after[name]["split"]) == expected
    new = [after[name] for name in later]  # of the old ones, p has no clip that passes the rules
    assert choose_represented(new, dict.fromkeys("abmnoq", 6), {"n"}) == {"a", "b"}


def use(place: Workspace, name: str) -> None:
    """The selection that follows from what stands in duplicates/<name>, or without it from each video's own split."""
    found = {row["video_id"]: row for row in place.read_all(f"duplicates/{name}", DUPLICATES).to_pylist()}
    selected = {row["video_id"] for row in place.read_all(f"selections/{name}", SELECTIONS).to_pylist()}
    refused = choose_represented([row for video, row in found.items() if video not in selected], {}, set())
    for part in place.pending("scores/m", f"selections/{name}"):
        rows = []
        for video in place.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist():
            group = found.get(video["video_id"], {"split": video["split"]})
            row = {"clip_id": f"{video['video_id']}_00000000", "video_id": video["video_id"]}
            row |= {"part": part, "split": group["split"], "kept": video["video_id"] not in refused}
            rows.append(row | {"reason": "near_duplicate" if video["video_id"] in refused else "kept"})
        place.commit(f"selections/{name}", part, from_rows(rows, SELECTIONS, part), SELECTIONS)


@pytest.mark.parametrize("is_bridge", [False, True])
@pytest.mark.parametrize("order", ["st", "ts"])
@pytest.mark.parametrize("is_plain", [False, True])
def test_two_selections_one_before_and_one_after_growth_pass_the_audit(
    is_plain: bool, order: str, is_bridge: bool, place: Workspace
) -> None:
    one, other = content(0, 10), content(1, 10)
    splits = {"a": "test", "x": "train"}
    write(place, {"00000": {"a": one, "x": other}}, splits)
    if not is_plain:
        find(place)
    use(place, "s")
    joined = np.concatenate([again(one), again(other)]) if is_bridge else again(one)[1:]
    write(place, {"00001": {"b": joined}}, splits)
    for name in ["t"] if is_plain else order:  # one without duplicates looked for tears groups apart when it grows
        find(place, name=name)
        use(place, name)
        audit(place)
    rows = place.read_all("selections/t", SELECTIONS).to_pylist()
    assert {(row["video_id"], row["split"]) for row in rows if row["kept"]} == {("a", "test"), ("x", "train")}


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
        files.local_path(place.part_uri("duplicates/s", part)).unlink()
    assert find(place) == whole


def test_a_model_to_which_everything_is_alike_finds_nothing(place: Workspace) -> None:
    one, two = (
        unit(np.ones((30, 3, 2, SIZE)) + spread * content(0, 90).reshape(30, 3, 2, SIZE)) for spread in (0, 0.1)
    )
    for name, videos in (("equal", one), ("alike", two)):
        there = Workspace(place.uri(name))
        write(there, {"00000": {f"v{i}": clips for i, clips in enumerate(videos)}})
        assert find(there) == {}


def test_a_part_without_scored_clips_has_no_duplicates(place: Workspace) -> None:
    write(place, {"00000": {}, "00001": {"a": content(0, 2)}})
    assert find(place) == {}
    assert place.parts("duplicates/s") == ["00000", "00001"]
