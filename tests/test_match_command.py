"""`earshot match`: one pair, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from conftest import World

from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.tombstones import write_tombstone
from pipeline.storage.workspace import Workspace
from schemas.scores import SCORES
from schemas.videos import VIDEOS
from tests.helpers.command import earshot
from tests.helpers.match_models import add_scores


@pytest.fixture
def root(workspace: Workspace, world: World) -> str:
    return add_scores(workspace, world.spec).root


def videos(root: str) -> dict[str, str]:
    """Addresses of the first part's videos by id."""
    rows = Workspace(root).read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    return {row["video_id"]: row["uri"] for row in rows}


def test_a_pair_is_printed_for_people_and_for_programs(root: str, tmp_path: Path) -> None:
    (video, uri), (_, other), *_ = videos(root).items()
    scores = Workspace(root).read("scores/coincidence", "00000", SCORES).to_pylist()
    own = [row["score"] for row in scores if row["video_id"] == video]
    code, said, err = earshot("match", "--root", root, "--picture", uri, "--sound", uri, "--format", "json")
    assert code == 0, err
    (row,) = json.loads(said)
    assert row["clip_probabilities"] == pytest.approx(own, rel=1e-3)
    code, said, err = earshot("match", "--root", root, "--picture", uri, "--sound", other)
    assert code == 0, err
    assert "probability" in said
    out = tmp_path / "pair.parquet"
    assert earshot("match", "--root", root, "--picture", uri, "--sound", other, "--out", str(out))[0] == 0
    assert pq.read_table(out)["num_clips"].to_pylist() == [4]


def test_a_table_of_pairs_has_a_row_for_each_and_figures_of_those_that_are_known(root: str, tmp_path: Path) -> None:
    found = list(videos(root).values())
    lines = [f"{a},{b},{int(a == b)}" for a in found for b in (a, found[0])] + [f"gone.mp4,{found[0]},1"]
    (tmp_path / "pairs.csv").write_text("\n".join(["picture,sound,match", *lines]) + "\n")
    out = tmp_path / "judged.csv"
    code, said, err = earshot("match", "--root", root, "--pairs", f"{tmp_path}/pairs.csv", "--out", str(out), "-q")
    assert code == 0, err
    assert said == f"match: {len(lines)} rows -> {out}\n"
    first, *figures = err.splitlines()
    assert first == f"match: {len(lines) - 1} of {len(lines)} pairs judged; not judged: 1 missing"
    assert [line.split()[1] for line in figures] == ["accuracy", "auc", "calibration_error", "brier"]
    rows = pacsv.read_csv(out).to_pylist()
    assert [row["reason"] for row in rows] == [""] * (len(lines) - 1) + ["missing"]
    assert rows[-1]["detail"].startswith(f"picture {tmp_path}/gone.mp4: ")
    assert rows[0]["probability"] == rows[1]["probability"]


def test_a_pair_of_clips_of_the_root_is_judged_by_their_stored_embeddings(root: str, tmp_path: Path) -> None:
    scores = Workspace(root).read("scores/coincidence", "00000", SCORES).to_pylist()
    uri = videos(root)[scores[0]["video_id"]]
    rows = [{"picture": row["clip_id"], "sound": row["clip_id"]} for row in scores]
    rows.append({"picture": scores[0]["clip_id"], "sound": uri, "sound_start_s": 0})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, said, err = earshot("match", "--root", root, "--pairs", f"{tmp_path}/pairs.jsonl", "--format", "json", "-q")
    assert code == 0, err
    found = [row["probability"] for row in json.loads(said)]
    expected = [row["score"] for row in scores]
    np.testing.assert_allclose(found, [*expected, expected[0]], rtol=0.05)  # half floats


def test_files_of_a_folder_and_clips_of_the_root_are_ranked(root: str) -> None:
    uri = next(iter(videos(root).values()))
    folder = uri.rpartition("/")[0]
    code, said, err = earshot("match", "--root", root, "--sound", uri, "--among", folder, "--format", "json", "-q")
    assert code == 0, err
    rows = json.loads(said)
    assert [row["rank"] for row in rows] == list(range(1, 11))  # of twelve
    assert [row["probability"] for row in rows] == sorted((row["probability"] for row in rows), reverse=True)
    code, said, err = earshot(
        "match", "--root", root, "--sound", uri, "--among", "root", "--top", "3", "--by", "logit", "--format", "json"
    )
    assert code == 0, err
    assert [row["rank"] for row in json.loads(said)] == [1, 2, 3]


def test_root_and_files_may_lie_in_a_bucket(root: str, s3_bucket: str) -> None:
    uri = next(iter(videos(root).values()))
    there = f"{s3_bucket}/match"
    for entry in files.list_files(root):
        files.commit_bytes(files.join(there, "root", files.relative(entry.uri, root)), files.read_bytes(entry.uri))
    files.commit_bytes(f"{there}/media/a.mp4", files.read_bytes(uri))
    options = ("match", "--root", f"{there}/root", "--picture", f"{there}/media/a.mp4", "--format", "json", "-q")
    found = []
    for more in (("--sound", uri), ("--among", f"{there}/media"), ("--among", "root", "--top", "1")):
        code, said, err = earshot(*options, *more)
        assert code == 0, err
        found.append(json.loads(said)[0])
    assert found[0]["probability"] == pytest.approx(found[1]["probability"], rel=1e-3)
    assert found[2]["rank"] == 1


def test_a_shift_of_clips_of_two_seconds_is_refused_and_so_are_modes_that_are_not_clear(root: str) -> None:
    uri = next(iter(videos(root).values()))
    for options, message in (
        (("--picture", uri, "--over-time"), "clips of 2 s: expected more than 2 s"),
        (("--picture", uri, "--sound", uri, "--over-time"), "--over-time with --picture or with --among FOLDER"),
        (("--over-time",), "--over-time with --picture or with --among FOLDER"),
    ):
        code, _, err = earshot("match", "--root", root, *options)
        assert (code, message in err) == (2, True), err


def test_what_cannot_be_judged_is_said_in_one_line(root: str, tmp_path: Path) -> None:
    uri = next(iter(videos(root).values()))
    for options, message in (
        (("--picture", uri), "expected --picture and --sound, one of them with --among"),
        (("--picture", uri, "--pairs", "pairs.csv"), "--pairs, or --over-time"),
        (("--picture", uri, "--sound", uri, "--among", "root"), "one of them with --among"),
        (("--picture", "gone.mp4", "--among", "root"), "gone.mp4: no such file"),
        (("--picture", uri, "--selection", "other"), "selection=other"),
        (("--pairs", "pairs.csv"), "pairs pairs.csv: no such file"),
        (("--picture", uri, "--sound", "gone.wav"), "missing: sound gone.wav"),
        (("--picture", uri, "--sound", uri, "--model", "other"), "nothing there yet"),
        (("--picture", uri, "--sound", uri, "--out", f"{root}/x.csv"), "expected a place outside the root"),
    ):
        code, said, err = earshot("match", "--root", root, *options)
        assert (code, said) == (2, ""), err
        assert message in err
        assert err.count("\n") == 1
    code, _, err = earshot("match", "--root", f"{tmp_path}/nowhere", "--picture", uri, "--sound", uri)
    assert (code, "no Earshot workspace there" in err) == (2, True), err


def test_while_a_takedown_is_open_rows_are_shown_with_a_warning_and_no_file_is_written(
    root: str, tmp_path: Path
) -> None:
    write_tombstone(Workspace(root), "00000", {"reason": "asked to", "begun": "2026-11-30", "videos": [{}, {}]})
    (uri, *_), out = videos(root).values(), tmp_path / "ranked.csv"
    words = ("match", "--root", root, "--picture", uri, "--among", "root", "--top", "2")
    code, said, err = earshot(*words, "--format", "json")
    assert (code, len(json.loads(said))) == (0, 2), err
    assert "a takedown of 2 videos began at 2026-11-30 and has not ended. `earshot takedown --root" in err
    code, said, err = earshot(*words, "--out", str(out))
    assert (code, said, out.exists()) == (2, "", False)
    assert "a takedown of 2 videos" in err
