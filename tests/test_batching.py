"""Batches: a function of seed and step, of distinct videos, the same on any number of workers."""

import itertools
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import World

from pipeline.clips.samples import EncodedClip
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import DataError
from pipeline.learners.augmentation import STRONG
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training import batching
from pipeline.training.batching import MAX_READERS, MIN_READERS, NUM_READERS, ClipSet, Feed, prefetch, step_rng
from tests.helpers.clips import load_split

VIDEOS = ["a", "b", "a", "c", "a", "b"]


def paper_set(videos: list[str]) -> ClipSet:
    """A set that can be drawn from, but whose clips lie nowhere."""
    names = [f"{video}_{i}" for i, video in enumerate(videos)]
    rows = pa.table({"clip_id": pa.array(names, pa.string()), "video_id": pa.array(videos, pa.string())})
    return ClipSet(Workspace("/nowhere"), CLIPS_FOLDER, rows)


@pytest.fixture
def clips(world: World) -> ClipSet:
    return load_split(world.workspace, "train", SplittingConfig())


def test_clips_are_grouped_by_video() -> None:
    clips = paper_set(VIDEOS)
    assert (len(clips), clips.num_videos) == (6, 3)
    assert sorted(sorted(group.tolist()) for group in clips.clips_of) == [[0, 2, 4], [1, 5], [3]]
    for group in clips.clips_of:
        assert len({VIDEOS[number] for number in group}) == 1


def test_a_set_of_no_clips_has_no_videos() -> None:
    clips = paper_set([])
    assert (len(clips), clips.num_videos) == (0, 0)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 3), (10, 3)])
def test_a_draw_takes_clips_of_different_videos_and_never_more_than_there_are(count: int, expected: int) -> None:
    clips = paper_set(VIDEOS)
    for step in range(50):
        videos = [VIDEOS[number] for number in clips.draw(step_rng(0, step), count)]
        assert len(videos) == len(set(videos)) == expected


def test_every_video_is_drawn_alike_however_many_clips_it_has() -> None:
    clips = paper_set(VIDEOS)
    drawn = [VIDEOS[int(clips.draw(step_rng(0, step), 1)[0])] for step in range(3000)]
    for video in "abc":
        assert drawn.count(video) / 3000 == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5)


def test_another_clip_is_always_of_another_video_and_of_each_alike() -> None:
    clips = paper_set(VIDEOS)
    rng = step_rng(0)
    for number, video in enumerate(VIDEOS):
        others = [VIDEOS[clips.draw_other(rng, number)] for _ in range(400)]
        assert video not in others
        for other in set(VIDEOS) - {video}:
            assert others.count(other) / 400 == pytest.approx(1 / 2, abs=4 * (1 / 4 / 400) ** 0.5)


def test_another_clip_than_those_of_two_videos_is_of_the_third() -> None:
    clips = paper_set(VIDEOS)
    for first, second in ((0, 1), (1, 0), (3, 0), (5, 3)):
        rest = set(VIDEOS) - {VIDEOS[first], VIDEOS[second]}
        assert {VIDEOS[clips.draw_other(step_rng(step), first, second)] for step in range(20)} == rest


def test_the_same_seed_and_step_give_the_same_batch_and_others_another(clips: ClipSet) -> None:
    learner = CoincidenceLearner(CoincidenceLearnerConfig())

    def batch(seed: int, step: int) -> dict[str, torch.Tensor]:
        return learner.batch(clips, step_rng(seed, 0, step), 4, slice(None), augment=True)

    first = batch(1, 5)
    assert all(torch.equal(value, first[name]) for name, value in batch(1, 5).items())
    assert not torch.equal(first["waveform"], batch(1, 6)["waveform"])
    assert not torch.equal(first["waveform"], batch(2, 5)["waveform"])


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_workers_rows_are_together_the_one_global_batch(clips: ClipSet, world_size: int) -> None:
    learner = CoincidenceLearner(CoincidenceLearnerConfig())

    def batch(rows: slice) -> dict[str, torch.Tensor]:
        return learner.batch(clips, step_rng(0, 0, 7), 5, rows, augment=True)

    whole = batch(slice(None))
    for rank in range(world_size):
        mine = batch(slice(rank, None, world_size))
        for name, value in mine.items():
            assert torch.equal(value, whole[name][rank::world_size])


def test_a_clip_is_read_from_its_place_and_once_only(world: World, clips: ClipSet, tmp_path: Path) -> None:
    shutil.copytree(world.workspace.root, tmp_path / "copy")
    copy = ClipSet(Workspace(str(tmp_path / "copy")), CLIPS_FOLDER, clips.rows)
    first = copy.read(3)
    assert first.key == clips.clip_id(3) == clips.rows["clip_id"][3].as_py()
    assert first.facts["clip_id"] == first.key
    assert first.waveform.shape == (2 * 16000,)
    assert first.frames.shape == (2, 3, 32, 32)
    shutil.rmtree(tmp_path / "copy")
    assert copy.read(3) is first
    with pytest.raises(DataError):
        copy.read(4)


def test_the_cache_keeps_no_more_than_it_has_room_for(world: World, clips: ClipSet) -> None:
    size = clips.read(0).size_bytes
    assert size == 4 * 2 * 16000 + 2 * 3 * 32 * 32
    small = ClipSet(world.workspace, CLIPS_FOLDER, clips.rows, cache_bytes=2 * size)
    read = [small.read(number) for number in range(3)]
    assert [small.read(number) is read[number] for number in range(3)] == [True, True, False]


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_tar_that_is_damaged_is_an_error_that_names_it(damage: str, workspace: Workspace) -> None:
    clips = load_split(workspace, "train", SplittingConfig())
    row = clips.rows.slice(len(clips) - 1).to_pylist()[0]
    uri = workspace.tar_uri(CLIPS_FOLDER, row["part"])
    if damage == "truncated":
        files.commit_bytes(uri, files.read_bytes(uri)[: row["tar_offset"] + row["tar_bytes"] // 2])
    else:
        files.local_path(uri).unlink()
    with pytest.raises(DataError) as caught:
        clips.read(len(clips) - 1)
    assert uri in str(caught.value)


def test_clips_read_at_once_are_those_read_one_by_one_in_the_order_asked_for(
    world: World, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, read = threading.Barrier(NUM_READERS), files.read_bytes

    def read_when_all_are_there(uri: str, offset: int, length: int) -> bytes:
        meeting.wait(timeout=20)  # fails unless NUM_READERS reads are under way at once
        return read(uri, offset, length)

    wanted = [*range(NUM_READERS)[::-1], 2, 0, 2]
    one_by_one = [clips.read(number) for number in wanted]
    monkeypatch.setattr(files, "read_bytes", read_when_all_are_there)
    none_kept = ClipSet(world.workspace, CLIPS_FOLDER, clips.rows, cache_bytes=0)
    for first, second in zip(one_by_one, none_kept.read_many(np.array(wanted)), strict=True):
        assert first.key == second.key
        np.testing.assert_array_equal(first.frames, second.frames)
        np.testing.assert_array_equal(first.waveform, second.waveform)


@pytest.mark.parametrize(("read_s", "expected"), [(0.0002, MIN_READERS), (0.0305, 31), (0.5, MAX_READERS)])
def test_as_many_clips_are_read_at_once_as_bring_one_in_each_millisecond(
    read_s: float, expected: int, world: World, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = itertools.count()  # a clock that moves by one read whenever it is looked at
    monkeypatch.setattr(batching, "time", SimpleNamespace(monotonic=lambda: read_s * next(passed)))
    far = ClipSet(world.workspace, CLIPS_FOLDER, clips.rows, cache_bytes=0)
    assert far.num_readers == NUM_READERS
    for _ in range(20):
        for number in range(5):
            far._open(number)
    assert far.num_readers == expected


def test_a_clip_that_is_not_kept_is_decoded_as_far_as_it_is_asked_for(world: World, clips: ClipSet) -> None:
    (found,) = ClipSet(world.workspace, CLIPS_FOLDER, clips.rows, cache_bytes=0).open_many([2])
    whole = clips.read(2)
    assert isinstance(found, EncodedClip)
    assert (found.num_frames, found.num_samples) == (whole.num_frames, whole.num_samples) == (2, 32_000)
    np.testing.assert_array_equal(found.take_frames(1, 1), whole.frames[1:])
    np.testing.assert_array_equal(found.take_sound(9_001, 12_345), whole.waveform[9_001 : 9_001 + 12_345])
    np.testing.assert_array_equal(found.take_sound(0, 32_000), whole.take_sound(0, 32_000))
    with pytest.raises(DataError, match="samples"):
        found.take_sound(31_000, 2_000)


def test_batches_of_clips_that_are_kept_and_that_are_not_are_equal(world: World, clips: ClipSet) -> None:
    config = CoincidenceLearnerConfig(augmentation=STRONG, crop=0.5, separated_fraction=1.0)
    none_kept = ClipSet(world.workspace, CLIPS_FOLDER, clips.rows, cache_bytes=0)
    kept, read_again = (
        CoincidenceLearner(config).batch(of, step_rng(3, 0, 1), 4, slice(None), augment=True)
        for of in (clips, none_kept)
    )
    assert kept.keys() == read_again.keys()
    assert all(torch.equal(value, read_again[name]) for name, value in kept.items())


def test_the_wait_for_data_is_the_share_of_the_time_after_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(batching, "time", SimpleNamespace(monotonic=lambda: now_s))

    def made() -> Iterator[int]:
        nonlocal now_s
        for number, wait_s in enumerate((7.0, 1.0, 0.5)):
            now_s += wait_s
            yield number

    feed = Feed(made())
    assert feed.wait_fraction == 0.0
    for number in feed:
        now_s += 3.0
        assert feed.wait_fraction == pytest.approx([0.0, 1 / 7, 1.5 / 10.5][number])


def test_a_clip_that_cannot_be_decoded_is_an_error_that_names_it_and_what_to_delete(workspace: Workspace) -> None:
    clips = load_split(workspace, "train", SplittingConfig())
    row = clips.rows.slice(2, 1).to_pylist()[0]
    uri = workspace.tar_uri(CLIPS_FOLDER, row["part"])
    data = bytearray(files.read_bytes(uri))
    data[data.index(b"fLaC", row["tar_offset"])] ^= 1
    files.commit_bytes(uri, bytes(data))
    with pytest.raises(DataError) as caught:
        clips.read_many(range(4))
    assert str(caught.value).startswith(f"{uri}: {row['clip_id']}: LibsndfileError")
    assert f"Delete {workspace.part_uri(VIDEOS_FOLDER, row['part'])} and run" in str(caught.value)


def test_a_row_that_points_at_another_clip_is_an_error_that_names_both(world: World, clips: ClipSet) -> None:
    names = clips.rows["clip_id"].to_pylist()
    turned = clips.rows.set_column(0, "clip_id", pa.array([*names[1:], names[0]]))
    with pytest.raises(DataError) as caught:
        ClipSet(world.workspace, CLIPS_FOLDER, turned).read(0)
    assert names[0] in str(caught.value)
    assert names[1] in str(caught.value)


def test_prefetching_gives_every_position_in_order_and_passes_errors_on() -> None:
    made: list[int] = []

    def make(position: int) -> int:
        made.append(position)
        if position == 6:
            raise ValueError("six")
        return position * position

    assert list(prefetch(make, range(2, 5))) == [4, 9, 16]
    assert made == [2, 3, 4]
    assert list(prefetch(make, range(3, 3))) == []
    with pytest.raises(ValueError, match="six"):
        list(prefetch(make, range(5, 9)))


def test_prefetching_on_many_threads_keeps_the_order_and_makes_no_more_ahead_than_its_depth() -> None:
    begun: list[int] = []
    free = threading.Semaphore(0)

    def make(position: int) -> int:
        begun.append(position)
        if position == 0:
            assert free.acquire(timeout=20)  # the first is made last
        elif position == 3:
            free.release()
        return position

    given = prefetch(make, range(100), num_threads=4, depth=3)
    assert next(given) == 0
    assert sorted(begun) == [0, 1, 2, 3]
    assert [next(given) for _ in range(10)] == list(range(1, 11))
    given.close()
    assert max(begun) <= 10 + 3


def test_positions_of_other_lengths_and_numbers_of_more_words_have_streams_of_their_own() -> None:
    big = 2**32
    positions = [
        (7,), (7, 0), (7, 0, 0), (7, 0, 0, 0), (7, 0, 0, 0, 0), (7, 1), (7, 1, 0), (7, 1, 0, 0), (0,), (0, 0),
        (0, 0, 0), (big + 7,), (7, 1, 1), (big + 7, 1), (7, 1, 1, 0), (big + 7, 0, 0), (7, big), (7, 0, 1),
        (0, big), (7, 0, big),
    ]  # fmt: skip
    drawn = {step_rng(*position).bytes(16) for position in positions}
    assert len(drawn) == len(positions)
    assert step_rng(7, 0).bytes(16) == step_rng(np.int64(7), np.int64(0)).bytes(16)


@pytest.mark.parametrize(("stream", "step"), [(0, 0), (1, 0), (0, 5), (3, 2**32 - 1)])
def test_training_and_validation_keep_the_streams_that_runs_began_with(stream: int, step: int) -> None:
    assert step_rng(3, stream, step).bytes(16) == np.random.default_rng([3, stream, step]).bytes(16)
