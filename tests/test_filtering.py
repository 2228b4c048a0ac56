"""Filtering: one decision per clip, the first rule that refuses it is its reason, and the best are kept."""

import collections
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pytest
from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.selection import expressions, filtering, own_rules
from pipeline.selection.cutoffs import compute_cutoffs, find_candidates, load_or_compute
from pipeline.selection.deciding import DecidePart, summarize, unique_seconds
from pipeline.selection.expressions import Expression
from pipeline.selection.filtering import ClipRules, FilteringConfig, check_values
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.imported import import_rows
from tests.helpers.selections import backwards, write_labels, write_scores

SPLITTING = SplittingConfig()
R = TypeVar("R")


def decide(workspace: Workspace, config: FilteringConfig, represented: set[str] | None = None) -> list[dict]:
    rules = ClipRules(workspace, "s", "m", config, SPLITTING, represented)
    work = DecidePart(rules, load_or_compute(rules, backwards))
    counts: collections.Counter[str] = collections.Counter()
    for part in workspace.parts(CLIPS_FOLDER):
        counts.update(work(part))
    rows = workspace.read_all("selections/s", SELECTIONS).to_pylist()
    assert collections.Counter(row["reason"] for row in rows) == counts == summarize(workspace, "s")["reasons"]
    return rows


def clips_of(workspace: Workspace) -> list[dict]:
    return workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()


@pytest.fixture
def scores(workspace: Workspace) -> dict[str, float]:
    """Different scores for the 48 clips, written."""
    ids = sorted(row["clip_id"] for row in clips_of(workspace))
    values = np.random.default_rng(5).permutation(len(ids)) / len(ids)
    found = dict(zip(ids, values.astype(np.float32).tolist(), strict=True))
    write_scores(workspace, found)
    return found


def expected_reasons(
    clips: list[dict], scores: dict[str, float], labels: dict[str, str], config: FilteringConfig
) -> dict[str, str]:
    """The rules once more, in plain Python; all scores differ."""
    reasons: dict[str, str] = {}
    left = []
    for clip in sorted(clips, key=lambda clip: (-scores.get(clip["clip_id"], 0), clip["clip_id"])):
        name = clip["clip_id"]
        label = labels.get(name)
        if clip["outcome"] != "kept":
            reasons[name] = f"not_cut:{clip['outcome']}"
        elif name not in scores:
            reasons[name] = "not_scored"
        elif label == "off_screen" and config.refuse_off_screen:
            reasons[name] = "labelled_off_screen"
        elif config.labels and label not in config.labels:
            reasons[name] = "other_label"
        elif (clip["loudness_lufs"] or 0) < (config.min_loudness_lufs or -70):
            reasons[name] = "too_quiet"
        elif (clip["frozen_fraction"] or 0) > (config.max_frozen_fraction or 1):
            reasons[name] = "frozen_picture"
        else:
            left.append(clip)
    share = left[max(1, round(config.keep_fraction * len(left))) - 1]["clip_id"]
    enough = max(config.min_score, scores[share])
    reasons |= {clip["clip_id"]: "low_score" for clip in left if scores[clip["clip_id"]] < enough}
    left = [clip for clip in left if scores[clip["clip_id"]] >= enough]
    by_video: dict[str, list[float]] = collections.defaultdict(list)
    for clip in left:
        by_video[clip["video_id"]].append(scores[clip["clip_id"]])
    best = sorted(by_video, key=lambda video: -sum(by_video[video]) / len(by_video[video]))[: config.top_videos]
    taken: collections.Counter[str] = collections.Counter()
    for clip in left:
        name, video = clip["clip_id"], clip["video_id"]
        if video not in best:
            reasons[name] = "not_top_video"
        elif config.max_clips_per_video and taken[video] >= config.max_clips_per_video:
            reasons[name] = "over_video_cap"
        else:
            reasons[name] = "not_top_clip" if config.top_clips and taken.total() >= config.top_clips else "kept"
            taken[video] += 1
    return reasons


def test_videos_are_kept_by_their_rights_and_refused_where_their_owner_does_not_want_training(
    workspace: Workspace, scores: dict[str, float]
) -> None:
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    rights = dict(zip((row["video_id"] for row in videos), ("no_train", "train"), strict=False))
    for row in videos:
        row["rights"] = rights.get(row["video_id"], "unknown")
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(videos, VIDEOS, "here"), VIDEOS)
    kept = [clip for clip in clips_of(workspace) if clip["outcome"] == "kept"]
    for config, reasons in (
        (FilteringConfig(), {"no_train": "no_train"}),
        (FilteringConfig(rights=("train",)), {"no_train": "no_train", "unknown": "rights_unknown"}),
        (FilteringConfig(rights=("train", "no_train", "unknown")), {}),
    ):
        found = {row["clip_id"]: row["reason"] for row in decide(workspace, config)}
        for clip in kept:
            assert found[clip["clip_id"]] == reasons.get(rights.get(clip["video_id"], "unknown"), "kept")
        files.delete(workspace.record_uri("selections/s", "cutoffs"))
    with pytest.raises(ConfigError, match="rights"):
        FilteringConfig(rights=())


@pytest.mark.parametrize(
    "config",
    [
        FilteringConfig(),
        FilteringConfig(min_score=0.4),
        FilteringConfig(keep_fraction=0.25),
        FilteringConfig(keep_fraction=0.5, labels=("mixed",), max_frozen_fraction=0.6),
        FilteringConfig(max_clips_per_video=1),
        FilteringConfig(min_score=0.2, keep_fraction=0.9, max_clips_per_video=2),
        FilteringConfig(refuse_off_screen=False, max_clips_per_video=3),
        FilteringConfig(labels=("on_screen", "mixed")),
        FilteringConfig(min_loudness_lufs=-25.0, max_frozen_fraction=0.4),
        FilteringConfig(top_clips=11),
        FilteringConfig(top_videos=4),
        FilteringConfig(top_videos=5, max_clips_per_video=2, top_clips=7, min_score=0.1),
        FilteringConfig(top_videos=500, top_clips=5000),
    ],
)
def test_every_clip_has_the_decision_that_the_rules_give_it(
    config: FilteringConfig, workspace: Workspace, scores: dict[str, float]
) -> None:
    names = list(scores)
    rows = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
    for number, outcome in ((1, "silent"), (7, "short_audio"), (8, "no_frame")):
        rows[number] |= {"outcome": outcome, "tar_offset": None, "tar_bytes": None}
    for place, row in enumerate(rows):
        row |= {"loudness_lufs": -40.0 + place if place else None, "frozen_fraction": (place % 4) / 4}
    workspace.commit(CLIPS_FOLDER, "00000", from_rows(rows, CLIPS, "here"), CLIPS)
    for name in [*(rows[number]["clip_id"] for number in (1, 7, 8)), names[20]]:
        del scores[name]
    write_scores(workspace, scores)
    labels = {names[i]: label for i, label in enumerate(["off_screen", "on_screen", "mixed", "conflict"] * 12)}
    write_labels(workspace, labels)

    decided = decide(workspace, config)
    expected = expected_reasons(clips_of(workspace), scores, labels, config)
    assert {row["clip_id"]: row["reason"] for row in decided} == expected
    for row in decided:
        assert row["kept"] == (row["reason"] == "kept")
        assert row["score"] == scores.get(row["clip_id"])
        assert row["label"] == labels.get(row["clip_id"])


def test_there_is_one_decision_for_every_clip_that_was_planned(workspace: Workspace, scores: dict[str, float]) -> None:
    decided = decide(workspace, FilteringConfig(min_score=0.5, max_clips_per_video=1))
    assert sorted(row["clip_id"] for row in decided) == sorted(row["clip_id"] for row in clips_of(workspace))
    for part in workspace.parts(CLIPS_FOLDER):
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS)
        assert workspace.read("selections/s", part, SELECTIONS).num_rows == clips.num_rows


@pytest.mark.parametrize(
    ("fraction", "num_kept"), [(1.0, 48), (0.75, 36), (0.5, 24), (1 / 3, 16), (1 / 48, 1), (1e-6, 1)]
)
def test_the_share_kept_is_the_share_asked_for_the_best_first(
    fraction: float, num_kept: int, workspace: Workspace, scores: dict[str, float]
) -> None:
    decided = decide(workspace, FilteringConfig(keep_fraction=fraction))
    kept = {row["clip_id"] for row in decided if row["kept"]}
    assert kept == set(sorted(scores, key=scores.__getitem__, reverse=True)[:num_kept])


def test_clips_of_equal_score_share_their_fate(workspace: Workspace, scores: dict[str, float]) -> None:
    write_scores(workspace, dict.fromkeys(scores, 0.5))
    assert {row["reason"] for row in decide(workspace, FilteringConfig(keep_fraction=0.1))} == {"kept"}


def test_a_score_that_is_no_number_is_no_score(workspace: Workspace, scores: dict[str, float]) -> None:
    worst, *rest = sorted(scores, key=scores.__getitem__)
    write_scores(workspace, scores | {worst: float("nan")})
    reasons = {row["clip_id"]: row["reason"] for row in decide(workspace, FilteringConfig(keep_fraction=0.5))}
    assert reasons[worst] == "not_scored"
    assert {name for name, reason in reasons.items() if reason == "kept"} == set(rest[-24:])


@pytest.mark.parametrize(("clips", "videos"), [(5, None), (48, None), (None, 3), (10, 3), (7, 12)])
def test_exactly_as_many_are_kept_as_asked_for_also_where_all_scores_are_equal(
    clips: int | None, videos: int | None, workspace: Workspace, scores: dict[str, float]
) -> None:
    write_scores(workspace, dict.fromkeys(scores, 1.0))
    kept = [row for row in decide(workspace, FilteringConfig(top_clips=clips, top_videos=videos)) if row["kept"]]
    assert len(kept) == (clips or 4 * (videos or 12))
    assert len({row["video_id"] for row in kept}) <= (videos or 12)


def test_a_clip_that_arrives_later_is_held_against_those_of_the_first_run(
    workspace: Workspace, scores: dict[str, float]
) -> None:
    config = FilteringConfig(top_clips=4)
    first = workspace.read(CLIPS_FOLDER, "00000", CLIPS)["clip_id"].to_pylist()
    rules = ClipRules(workspace, "s", "m", config, SPLITTING)
    cutoffs = compute_cutoffs(0.0, None, 4, [find_candidates(rules, "00000", 0.0)])
    for part in ("00000", "00001"):
        DecidePart(rules, cutoffs)(part)
    least = sorted((scores[name] for name in first), reverse=True)[3]
    decided = workspace.read_all("selections/s", SELECTIONS).to_pylist()
    assert {row["clip_id"] for row in decided if row["kept"]} == {name for name in scores if scores[name] >= least}


def test_parts_decided_together_have_the_rows_of_parts_decided_alone(
    workspace: Workspace, scores: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FilteringConfig(rules=("score > 0.3 as low", "motion > 0 as still"), max_clips_per_video=2, top_videos=5)
    alone = decide(workspace, config)
    parts = workspace.parts(CLIPS_FOLDER)
    rules = ClipRules(workspace, "s", "m", config, SPLITTING)
    work = DecidePart(rules, load_or_compute(rules, backwards))
    for clips_at_once, num_groups in ((filtering.CLIPS_AT_ONCE, 1), (1, len(parts))):
        monkeypatch.setattr(filtering, "CLIPS_AT_ONCE", clips_at_once)
        assert len(list(rules.read_together(parts))) == num_groups
        counts = list(work.run_parts(parts))
        assert workspace.read_all("selections/s", SELECTIONS).to_pylist() == alone
        assert counts == [
            collections.Counter(workspace.read("selections/s", part, SELECTIONS)["reason"].to_pylist())
            for part in parts
        ]


@pytest.mark.parametrize(
    ("bytes_at_once", "expected"),
    [(10**9, [["00000"], ["00001", "00002"]]), (8000, [["00000"], ["00001"], ["00002"]])],  # vectors of 24 clips: 98 kB
)
def test_parts_whose_vectors_are_long_are_decided_by_fewer_together(
    bytes_at_once: int,
    expected: list[list[str]],
    workspace: Workspace,
    scores: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for folder, schema in ((CLIPS_FOLDER, CLIPS), (VIDEOS_FOLDER, VIDEOS), ("scores/m", SCORES)):
        workspace.commit(folder, "00002", schema.empty_table(), schema)
    import_rows(workspace, "v", {"vector": "FLOAT[]"}, {name: ([1.0] * 1024,) for name in scores})
    config = FilteringConfig(rules=("list_sum(v.vector) > 0 as low",))
    monkeypatch.setattr(filtering, "BYTES_AT_ONCE", bytes_at_once)
    rules = ClipRules(workspace, "s", "m", config, SPLITTING)
    assert [list(clips) for clips in rules.read_together(workspace.parts(CLIPS_FOLDER))] == expected


def test_parts_that_need_too_much_memory_together_are_decided_alone(
    workspace: Workspace, scores: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FilteringConfig(rules=("score > 0.3 as low",))
    alone = decide(workspace, config)

    def evaluate(rules: Sequence[Expression], clips: pa.Table) -> list[pa.ChunkedArray]:
        if len(clips) > 24:
            raise ConfigError("Out of Memory Error: failed to allocate data of size 1.0 GiB.")
        return expressions.evaluate(rules, clips)

    monkeypatch.setattr(own_rules, "evaluate", evaluate)
    rules = ClipRules(workspace, "s", "m", config, SPLITTING)
    counts = list(DecidePart(rules, load_or_compute(rules, backwards)).run_parts(workspace.parts(CLIPS_FOLDER)))
    assert [sum(each.values()) for each in counts] == [24, 24]
    assert workspace.read_all("selections/s", SELECTIONS).to_pylist() == alone


def test_only_videos_of_the_licences_named_are_kept(workspace: Workspace, scores: dict[str, float]) -> None:
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    for row, license in zip(rows, ("CC-BY", None, "CC0", "cc0", "", "CC-BY"), strict=True):
        row["license"] = license
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    decided = decide(workspace, FilteringConfig(licenses=("CC-BY", "CC0")))  # the other part's are CC0
    refused = {row["video_id"] for row in decided if row["reason"] == "license"}
    assert refused == {rows[number]["video_id"] for number in (1, 3, 4)}
    assert sum(row["kept"] for row in decided) == 4 * 9


def test_a_video_that_another_upload_represents_is_refused_and_all_uploads_have_the_split_of_their_group(
    workspace: Workspace, scores: dict[str, float]
) -> None:
    first, second = (workspace.read(VIDEOS_FOLDER, part, VIDEOS)["video_id"][0].as_py() for part in ("00000", "00001"))
    for part, video in (("00000", first), ("00001", second)):
        facts = {"group_id": first, "split": "validate", "like_video_id": first, "shared_fraction": 1.0}
        rows = [facts | {"video_id": video, "can_represent": True, "linked_video_ids": []}]
        workspace.commit("duplicates/s", part, from_rows(rows, DUPLICATES, part), DUPLICATES)
    decided = decide(workspace, FilteringConfig(), {first})
    assert {row["reason"] for row in decided if row["video_id"] == first} == {"near_duplicate"}
    assert {row["reason"] for row in decided if row["video_id"] != first} == {"kept"}
    assert {row["split"] for row in decided if row["video_id"] in (first, second)} == {"validate"}


def test_the_histograms_count_the_scored_and_the_kept_clips(workspace: Workspace, scores: dict[str, float]) -> None:
    decide(workspace, FilteringConfig(min_score=0.5))
    histograms = summarize(workspace, "s")["score_histograms"]
    expected = np.histogram(list(scores.values()), 20, (0, 1))[0].tolist()
    assert histograms["scored"] == expected
    assert histograms["kept"] == [0] * 10 + expected[10:]


def test_the_cap_keeps_the_best_clips_of_each_video(workspace: Workspace, scores: dict[str, float]) -> None:
    decided = decide(workspace, FilteringConfig(max_clips_per_video=2))
    by_video: dict[str, list[tuple[float, bool]]] = collections.defaultdict(list)
    for row in decided:
        by_video[row["video_id"]].append((row["score"], row["kept"]))
    assert len(by_video) == 12
    for clips in by_video.values():
        assert [kept for _, kept in sorted(clips, reverse=True)] == [True, True, False, False]


def test_all_clips_of_a_video_are_in_its_split(workspace: Workspace, scores: dict[str, float], world: World) -> None:
    found: dict[str, set[str]] = collections.defaultdict(set)
    for row in decide(workspace, FilteringConfig()):
        found[row["split"]].add(row["video_id"])
    assert {split: sorted(videos) for split, videos in found.items()} == {
        split: sorted(videos) for split, videos in world.video_ids.items()
    }


def test_labels_play_no_role_where_there_are_none(workspace: Workspace, scores: dict[str, float]) -> None:
    decided = decide(workspace, FilteringConfig())
    assert {row["label"] for row in decided} == {None}
    assert all(row["kept"] for row in decided)


def test_the_same_inputs_give_the_same_bytes(workspace: Workspace, scores: dict[str, float]) -> None:
    uris = [workspace.part_uri("selections/s", part) for part in workspace.parts(CLIPS_FOLDER)]
    config = FilteringConfig(max_clips_per_video=1)
    decide(workspace, config)
    first = [files.read_bytes(uri) for uri in uris]
    decide(workspace, config)
    assert [files.read_bytes(uri) for uri in uris] == first


def test_a_share_counts_no_clip_that_another_rule_refuses(workspace: Workspace, scores: dict[str, float]) -> None:
    ranked = sorted(scores, key=scores.__getitem__)
    write_labels(workspace, dict.fromkeys(ranked[24:], "off_screen"))  # the better half
    kept = {row["clip_id"] for row in decide(workspace, FilteringConfig(keep_fraction=0.5)) if row["kept"]}
    assert kept == set(ranked[12:24])


def test_a_part_without_videos_is_decided_on(workspace: Workspace, scores: dict[str, float]) -> None:
    for folder, schema in ((CLIPS_FOLDER, CLIPS), (VIDEOS_FOLDER, VIDEOS), ("scores/m", SCORES)):
        workspace.commit(folder, "00002", schema.empty_table(), schema)
    assert len(decide(workspace, FilteringConfig(licenses=("CC0",), keep_fraction=0.5, top_clips=7))) == 48
    assert workspace.read("selections/s", "00002", SELECTIONS).num_rows == 0


def test_a_licence_that_no_video_has_is_told_and_refused_where_none_is_left(workspace: Workspace) -> None:
    rows = workspace.read(VIDEOS_FOLDER, "00001", VIDEOS).to_pylist()
    for number, row in enumerate(rows):
        row["license"] = "CC BY\x1b" if number else None
    workspace.commit(VIDEOS_FOLDER, "00001", from_rows(rows, VIDEOS, "here"), VIDEOS)
    output = (
        "filtering.licenses: no video has 'cc0', 'GPL'. Found: 'CC0' of 6 videos, 'CC BY\\x1b' of 5 videos, None of 1"
    )
    assert check_values(workspace, FilteringConfig(licenses=("cc0", "CC0", "GPL"))).startswith(output)
    with pytest.raises(ConfigError, match=r"no video has 'cc0', 'GPL'\. Found: 'CC0' of 6 .* Spell them as"):
        check_values(workspace, FilteringConfig(licenses=("cc0", "GPL")))
    assert (
        check_values(workspace, FilteringConfig(licenses=("CC0",))) == check_values(workspace, FilteringConfig()) == ""
    )


def test_labels_cannot_be_asked_for_before_there_are_any(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"filtering\.labels = mixed, on_screen: nothing is labelled"):
        check_values(workspace, FilteringConfig(labels=("mixed", "on_screen")))
    write_labels(workspace, {})
    assert check_values(workspace, FilteringConfig(labels=("mixed",))) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_score": -0.1},
        {"min_score": 1.1},
        {"keep_fraction": 0},
        {"max_clips_per_video": 0},
        {"top_clips": 0},
        {"top_videos": -1},
        {"max_frozen_fraction": 1.5},
        {"labels": ("on_screen", "onscreen")},
        {"min_loudness_lufs": float("nan")},
        {"min_loudness_lufs": float("-inf")},
        {"keep_fraction": float("nan")},
    ],
)
def test_a_config_out_of_range_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(wrong))} = "):
        FilteringConfig(**wrong)


def test_unique_seconds_add_up_to_the_length_of_what_is_kept_however_clips_overlap() -> None:
    # two videos of 5 s clips every second: the first keeps 0, 1, 2 and 10 s, the second 0 and 4 s
    starts = [2.0, 0.0, 1.0, 3.0, 10.0, 0.0, 4.0]
    videos, kept = ["a"] * 5 + ["b"] * 2, np.array([True, True, True, False, True, True, True])
    clips = pa.table({"video_id": videos, "start_s": starts, "duration_s": [5.0] * 7})
    unique = unique_seconds(clips, kept)
    assert unique.tolist() == [1.0, 5.0, 1.0, 0.0, 5.0, 5.0, 4.0]
    assert unique[:5].sum() == (7 - 0) + (15 - 10)
    assert unique[5:].sum() == 9.0
    assert unique_seconds(clips, np.zeros(7, bool)).tolist() == [0.0] * 7
