"""Frozen sets: held-out videos only, two different videos in every mixture, and the same bytes each time."""

import collections
import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.clips.tars import read_sequence
from pipeline.evaluation.mixing import EVAL_SETS, MixingConfig, MixPart, Spread, plan_mixtures
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.samples import ExampleFacts
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.clips import assert_described, load_split

CONFIG = MixingConfig(max_clips_per_video=3, moms_per_clip=2, examples_per_part=5)


def select(workspace: Workspace, is_labelled: bool) -> dict[str, dict]:
    """Selection `s`: every video's first three clips are kept; even videos are labelled on, odd ones off screen."""
    rows = []
    for part in workspace.parts(CLIPS_FOLDER):
        splits = {row["video_id"]: row["split"] for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()}
        decided = []
        for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            number = int(clip["video_id"].split("-")[0].removeprefix("world_"))
            row = {name: clip[name] for name in ("clip_id", "video_id", "part")}
            label = ("on_screen", "off_screen")[number % 2] if is_labelled else None
            is_kept = clip["start_s"] < 3
            row |= {"kept": is_kept, "reason": "kept" if is_kept else "low_score", "score": 0.5, "label": label}
            decided.append(row | {"split": splits[clip["video_id"]]})
        workspace.commit("selections/s", part, from_rows(decided, SELECTIONS, part), SELECTIONS)
        rows += decided
    return {row["clip_id"]: row for row in rows}


class Mixed:
    """Frozen sets, rendered."""

    def __init__(self, workspace: Workspace, is_labelled: bool, config: MixingConfig = CONFIG, seed: int = 0) -> None:
        self.workspace = workspace
        self.clips = select(workspace, is_labelled)
        source = "labels.csv" if is_labelled else None
        planned = plan_mixtures(workspace, "s", config, seed, source)
        work = MixPart(workspace, "m", "s", config, planned)
        self.counts = {part: work(part)["examples"] for part in planned}
        self.rows = workspace.read_all("mixtures/m", MIXTURES).to_pylist()

    def video(self, row: dict, role: str) -> str:
        return self.clips[row[f"{role}_clip_id"]]["video_id"]

    def members(self) -> dict[str, dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {}
        for part in self.counts:
            keys = [row["example_id"] for row in self.rows if row["part"] == part]
            found |= read_sequence(files.local_path(self.workspace.tar_uri("mixtures/m", part)), keys)
        return found

    def files(self) -> dict[str, bytes]:
        entries = files.list_files(self.workspace.uri("mixtures/m"))
        return {entry.uri.rpartition("/")[2]: files.read_bytes(entry.uri) for entry in entries}


@pytest.fixture(scope="module", params=[True, False], ids=["labelled", "unlabelled"])
def mixed(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    root = tmp_path_factory.mktemp("mixed") / "workspace"
    shutil.copytree(world.workspace.root, root)
    return Mixed(Workspace(str(root)), request.param)


def waveform(data: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def is_labelled(mixed: Mixed) -> bool:
    return mixed.rows[0]["label_source"] == "labels.csv"


def test_everything_is_from_videos_of_the_test_split(mixed: Mixed, world: World) -> None:
    assert {row["eval_set"] for row in mixed.rows} == set(EVAL_SETS)
    for row in mixed.rows:
        assert row["split"] == "test"
        for role in ("first", "sound", "second"):
            assert row[f"{role}_clip_id"] is None or mixed.video(row, role) in world.video_ids["test"]


def test_a_mixture_of_mixtures_has_the_sound_of_two_different_videos(mixed: Mixed) -> None:
    for row in mixed.rows:
        assert (row["second_clip_id"] is not None) == row["eval_set"].endswith("mom")
        if row["second_clip_id"] is not None:
            assert mixed.video(row, "second") not in (mixed.video(row, "first"), mixed.video(row, "sound"))


def test_a_first_clip_never_meets_the_same_second_twice(mixed: Mixed) -> None:
    moms = [
        (row["eval_set"], row["first_clip_id"], row["second_clip_id"]) for row in mixed.rows if row["second_clip_id"]
    ]
    assert len(moms) == len(set(moms))
    assert set(collections.Counter(mom[:2] for mom in moms).values()) == {CONFIG.moms_per_clip}


def test_off_screen_sound_is_another_videos_unless_people_labelled_it(mixed: Mixed) -> None:
    for row in mixed.rows:
        is_soff = row["kind"] == "SOff"
        assert is_soff == (not is_labelled(mixed) and row["eval_set"].startswith("off"))
        assert (mixed.video(row, "first") != mixed.video(row, "sound")) == is_soff
        assert (row["first_clip_id"] != row["sound_clip_id"]) == is_soff


def test_kinds_and_labels_are_those_of_the_set(mixed: Mixed) -> None:
    kinds = {"on": "LOn", "off": "LOff"} if is_labelled(mixed) else {"on": "NOn", "off": "SOff"}
    for row in mixed.rows:
        side = row["eval_set"].split("_")[0]
        assert row["kind"] == kinds[side]
        if is_labelled(mixed):
            assert mixed.clips[row["first_clip_id"]]["label"] == f"{side}_screen"
        else:
            assert all(mixed.clips[row[f"{role}_clip_id"]]["kept"] for role in ("first", "sound"))
            assert row["label_source"] == "coincidence"


def test_each_video_gives_at_most_so_many_first_clips(mixed: Mixed) -> None:
    for eval_set in EVAL_SETS:
        firsts = {row["first_clip_id"] for row in mixed.rows if row["eval_set"] == eval_set}
        per_video = collections.Counter(mixed.clips[first]["video_id"] for first in firsts)
        assert max(per_video.values()) == CONFIG.max_clips_per_video


def test_parts_are_full_but_for_the_last_of_a_set(mixed: Mixed) -> None:
    sizes = collections.Counter(row["eval_set"] for row in mixed.rows)
    for eval_set, size in sizes.items():
        found = [count for part, count in mixed.counts.items() if part.startswith(f"{eval_set}-")]
        assert found == [min(5, size - start) for start in range(0, size, 5)]
    assert len({row["example_id"] for row in mixed.rows}) == len(mixed.rows)


def test_an_example_holds_the_frames_and_the_sounds_of_its_clips(mixed: Mixed) -> None:
    clips = load_split(mixed.workspace, "test", SplittingConfig())
    numbers = {clips.clip_id(number): number for number in range(len(clips))}
    samples = mixed.members()
    assert samples.keys() == {row["example_id"] for row in mixed.rows}
    for row in mixed.rows:
        members = samples[row["example_id"]]
        frames = clips.raw(numbers[row["first_clip_id"]])
        assert {name: data for name, data in members.items() if name.endswith("jpg")} == {
            name: data for name, data in frames.items() if name.endswith("jpg")
        }
        first = clips.read(numbers[row["sound_clip_id"]]).waveform
        np.testing.assert_array_equal(waveform(members["first.flac"]), first)
        assert ("second.flac" in members) == (row["second_clip_id"] is not None)
        if row["second_clip_id"] is not None:
            second = clips.read(numbers[row["second_clip_id"]]).waveform
            np.testing.assert_array_equal(waveform(members["second.flac"]), second)
        facts = json.loads(members["json"])
        assert {name: facts[name] for name in row} == row
        assert facts["frame_times_s"] == json.loads(frames["json"])["frame_times_s"]
        assert_described(facts, ExampleFacts)
        of_roles = [row[f"{role}_clip_id"] for role in ("first", "sound", "second")]
        for clip_id, source in zip(filter(None, of_roles), facts["sources"], strict=True):
            clip = json.loads(clips.raw(numbers[clip_id])["json"])
            assert source == {name: clip[name] for name in ("clip_id", "uri", "license", "author", "extra")}
            assert source["license"] == "CC0"  # as the world's collection says


def test_the_same_seed_gives_the_same_bytes_and_another_other_examples(
    mixed: Mixed, world: World, tmp_path: Path
) -> None:
    shutil.copytree(world.workspace.root, tmp_path / "again")
    shutil.copytree(world.workspace.root, tmp_path / "other")
    again = Mixed(Workspace(str(tmp_path / "again")), is_labelled(mixed))
    assert again.files() == mixed.files()
    other = Mixed(Workspace(str(tmp_path / "other")), is_labelled(mixed), seed=1)
    assert other.files() != mixed.files()


def test_second_sounds_are_spread_over_all_clips(mixed: Mixed) -> None:
    pool = {clip for clip, row in mixed.clips.items() if row["split"] == "test" and (is_labelled(mixed) or row["kept"])}
    for eval_set in ("on_mom", "off_mom"):
        seconds = [row["second_clip_id"] for row in mixed.rows if row["eval_set"] == eval_set]
        uses = collections.Counter(dict.fromkeys(pool, 0) | collections.Counter(seconds))
        assert uses.keys() == pool
        # an even share, and one more where a clip's turn fell on a first clip of its own video
        assert max(uses.values()) <= -(-len(seconds) // len(pool)) + 1
        by_video = collections.Counter(mixed.clips[clip]["video_id"] for clip in seconds)
        assert max(by_video.values()) - min(by_video.values()) <= 2


def of_videos(*videos: str) -> ClipSet:
    return ClipSet(Workspace("nowhere"), "clips/base", pa.table({"video_id": list(videos)}))


def test_every_clip_is_used_before_one_is_used_again_and_videos_take_turns() -> None:
    clips = of_videos("a", "b", "b", "b", "c", "c")
    spread = Spread(clips, np.arange(1, 6), np.random.default_rng(0))
    taken = [clip for _ in range(10) for clip in spread.take([0], 1)]
    assert sorted(taken[:5]) == sorted(taken[5:]) == [1, 2, 3, 4, 5]
    assert sorted(clips.video_index[taken[:2]]) == [1, 2]  # b and c, and not b twice
    assert sorted(spread.take([4], 9)) == [1, 2, 3]  # each once, and none of c
    assert len(set(spread.take([0], 5))) == 5
    assert Spread(of_videos("a", "a"), np.arange(2), np.random.default_rng(0)).take([0], 3) == []


def test_the_lists_of_audioscope_take_second_sounds_from_clips_labelled_off_screen(workspace: Workspace) -> None:
    clips = select(workspace, is_labelled=True)
    labels: dict[str, set[str]] = {}
    for second_sounds in ("any", "off_screen"):
        config = dataclasses.replace(CONFIG, second_sounds=second_sounds)
        planned = plan_mixtures(workspace, "s", config, 0, "labels.csv")
        seconds = {example.row["second_clip_id"] for examples in planned.values() for example in examples} - {None}
        labels[second_sounds] = {clips[second]["label"] for second in seconds}
    assert labels == {"any": {"on_screen", "off_screen"}, "off_screen": {"off_screen"}}


def test_a_set_stops_at_the_most_examples_that_are_wanted(workspace: Workspace) -> None:
    found = Mixed(workspace, is_labelled=True, config=MixingConfig(max_examples=3))
    assert collections.Counter(row["eval_set"] for row in found.rows) == dict.fromkeys(EVAL_SETS, 3)


def test_labels_of_one_kind_only_are_not_enough_and_coincidence_decides(workspace: Workspace) -> None:
    select(workspace, is_labelled=True)
    for part in workspace.parts("selections/s"):
        rows = [row | {"label": "on_screen"} for row in workspace.read("selections/s", part, SELECTIONS).to_pylist()]
        workspace.commit("selections/s", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    planned = plan_mixtures(workspace, "s", CONFIG, 0, "labels.csv")
    assert {example.row["label_source"] for examples in planned.values() for example in examples} == {"coincidence"}


def test_one_video_makes_single_on_screen_mixtures_only(workspace: Workspace, world: World) -> None:
    select(workspace, is_labelled=False)
    alone = world.video_ids["test"][0]
    for part in workspace.parts("selections/s"):
        rows = workspace.read("selections/s", part, SELECTIONS).to_pylist()
        rows = [row | {"kept": row["kept"] and (row["split"] != "test" or row["video_id"] == alone)} for row in rows]
        workspace.commit("selections/s", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    planned = plan_mixtures(workspace, "s", CONFIG, 0, None)
    assert list(planned) == ["on_single-00000"]
