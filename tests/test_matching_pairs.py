"""Pairs of files: the score of the table for a clip's own file, means over clips, and rows with reasons."""

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia, World

from jobs.console.match_model import load_match_model
from pipeline.inference.match_sides import Sides
from pipeline.inference.matching_pairs import judge_pairs, match_files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.pair_files import Pair
from pipeline.storage.workspace import Workspace
from schemas.scores import SCORES
from schemas.videos import VIDEOS
from tests.helpers.cutting import sound
from tests.helpers.match_models import add_scores


@pytest.fixture
def scored(workspace: Workspace, world: World) -> Workspace:
    return add_scores(workspace, world.spec)


@pytest.fixture
def sides(scored: Workspace) -> Sides:
    return Sides(load_match_model(scored.root, "coincidence"))


def uris(workspace: Workspace) -> dict[str, str]:
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    return {row["video_id"]: row["uri"] for row in rows}


def test_a_file_with_itself_has_the_scores_of_its_clips(scored: Workspace, sides: Sides) -> None:
    rows = scored.read("scores/coincidence", "00000", SCORES).to_pylist()
    assert len({row["score"] for row in rows}) > 5
    for video, uri in uris(scored).items():
        found = match_files(sides, uri, uri)
        of_clips = [row["score"] for row in rows if row["video_id"] == video]
        np.testing.assert_allclose(found.clip_probabilities, of_clips, rtol=1e-3)
        assert found.probability == pytest.approx(np.mean(of_clips), rel=1e-3)
        apart = match_files(sides, uri, str(Path(uri).parent / ".." / Path(uri).parent.name / Path(uri).name))
        assert apart.clip_probabilities == pytest.approx(found.clip_probabilities, rel=1e-3)  # each side read alone


def test_a_start_picks_one_clip_on_either_side(scored: Workspace, sides: Sides) -> None:
    first, second, *_ = uris(scored).values()
    found = match_files(sides, first, second, 1.0, 3.0)
    assert found.num_clips == 1
    said = sides.model.judge(sides.picture(first).embeddings[1:2], sides.sound(second).embeddings[3:4])
    assert found.probability == pytest.approx(said.probability[0], abs=1e-5)
    assert found.logit == pytest.approx(said.logit[0], abs=1e-3)


def test_a_logit_is_the_models_own_and_not_the_cosine(sides: Sides) -> None:
    rng = np.random.default_rng(0)
    visual, audio = (rng.normal(size=(5, 16)).astype(np.float32) for _ in range(2))
    network = sides.model.judge._network  # type: ignore[attr-defined]
    scale, bilinear = float(network.logit_scale.detach()), network.bilinear.detach().numpy()
    expected = scale * np.einsum("ni,ij,nj->n", visual, bilinear, audio)
    np.testing.assert_allclose(sides.model.judge(visual, audio).logit, expected, rtol=1e-4)


def test_a_pair_that_cannot_be_judged_is_a_row_with_its_reason(
    scored: Workspace, sides: Sides, make_media: MakeMedia, tmp_path: Path
) -> None:
    film = next(iter(uris(scored).values()))
    quiet, broken = make_media("match_quiet.wav", *sound(3.0, "0")), tmp_path / "broken.mp4"
    broken.write_text("no video at all")
    pairs = [
        Pair(film, film, match=1),
        Pair(film, "gone.wav"),
        Pair(film, str(quiet)),
        Pair(str(broken), film, match=0),
    ]
    rows = judge_pairs(sides, pairs).to_pylist()
    assert [row["reason"] for row in rows] == [None, "missing", "silent", "unreadable"]
    assert [row["match"] for row in rows] == [1, None, None, 0]
    assert [row["probability"] is None for row in rows] == [False, True, True, True]
    assert rows[1]["detail"].startswith("sound gone.wav: ")
    assert rows[3]["detail"].startswith(f"picture {broken}: ")
