"""Searching the clips of a root: in the order of a plain sort, within a selection, by this model's scores alone."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import World

from jobs.console.match_model import load_match_model
from pipeline.errors import ConfigError
from pipeline.selection.clip_search import FIGURES, find_clips
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from tests.helpers.match_models import add_scores


@pytest.fixture
def scored(workspace: Workspace, world: World) -> Workspace:
    return add_scores(workspace, world.spec)


def all_scores(workspace: Workspace) -> list[dict]:
    return workspace.read_all("scores/coincidence", SCORES).to_pylist()


@pytest.mark.parametrize("sought", ["picture", "sound"])
@pytest.mark.parametrize("by", FIGURES)
def test_the_best_are_the_first_of_all_clips_in_order(scored: Workspace, sought: str, by: str) -> None:
    judge = load_match_model(scored.root, "coincidence").judge
    rows = all_scores(scored)
    visual, audio = (np.array([row[f"{side}_embedding"] for row in rows], np.float32) for side in ("visual", "audio"))
    queries = (audio if sought == "picture" else visual)[:3]
    pairs = (visual[:, None], queries[None]) if sought == "picture" else (queries[None], audio[:, None])
    figure = judge(*pairs)[FIGURES.index(by)].mean(axis=1)
    found = find_clips(scored, "coincidence", queries, sought, judge, 7, by).to_pylist()  # type: ignore[arg-type]
    order = np.argsort(-figure, kind="stable")[:7]
    np.testing.assert_allclose([row[by] for row in found], figure[order], rtol=1e-4)
    assert [row["rank"] for row in found] == list(range(1, 8))
    clips = {row["clip_id"]: row for row in scored.read_all("clips/base", CLIPS).to_pylist()}
    for row in found:
        assert row["start_s"] == clips[row["clip_id"]]["start_s"]
        assert row["clip_id"].startswith(row["video_id"])
        assert row["uri"].endswith((".mp4", ".webm", ".mkv", ".mov", ".avi"))


def test_a_selection_limits_the_search_to_its_kept_clips(scored: Workspace) -> None:
    kept = set()
    for part in scored.parts("scores/coincidence"):
        rows = []
        for number, row in enumerate(scored.read("scores/coincidence", part, SCORES).to_pylist()):
            is_kept = number % 4 == 1
            kept |= {row["clip_id"]} if is_kept else set()
            ids = {"clip_id": row["clip_id"], "video_id": row["video_id"], "part": part, "kept": is_kept}
            facts = {"reason": "kept" if is_kept else "score", "split": "train", "unique_s": None}
            rows.append(ids | facts | {"score": None, "label": None})
        scored.commit("selections/some", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    judge = load_match_model(scored.root, "coincidence").judge
    queries = np.array([all_scores(scored)[0]["audio_embedding"]], np.float32)
    found = find_clips(scored, "coincidence", queries, "picture", judge, 100, selection="some")
    assert set(found["clip_id"].to_pylist()) == kept
    with pytest.raises(ConfigError, match="selection=other"):
        find_clips(scored, "coincidence", queries, "picture", judge, 5, selection="other")


def test_a_clip_without_embeddings_is_not_found_and_scores_of_another_model_are_refused(scored: Workspace) -> None:
    part = scored.parts("scores/coincidence")[0]
    rows = scored.read("scores/coincidence", part, SCORES).to_pylist()
    rows[0] |= {"score": None, "audio_embedding": None, "visual_embedding": None}
    scored.commit("scores/coincidence", part, pa.Table.from_pylist(rows, SCORES), SCORES)
    judge = load_match_model(scored.root, "coincidence").judge
    queries = np.array([rows[1]["audio_embedding"]], np.float32)
    found = find_clips(scored, "coincidence", queries, "picture", judge, 1000)
    assert len(found) == len(all_scores(scored)) - 1
    assert rows[0]["clip_id"] not in found["clip_id"].to_pylist()
    scored.finish("models/coincidence", content="trained again")
    with pytest.raises(ConfigError, match="of another models/coincidence than there is now"):
        find_clips(scored, "coincidence", queries, "picture", judge, 5)
