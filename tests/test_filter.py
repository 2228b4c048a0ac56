"""`earshot filter` and `materialize`, whole: through Ray, again, after a kill, and on a collection that grew."""

import collections
import os
import re
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.mapping import map_parts
from cluster.resources import FILTERING
from jobs.cli import main
from jobs.console.remedies import explain
from jobs.console.session import Session, open_session
from jobs.duplicates import find
from jobs.filter import select
from jobs.materialize import materialize
from pipeline.errors import ConfigError
from pipeline.reports import attribution
from pipeline.selection.materializing import MaterializePart, MaterializingConfig, plan_shards
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.lineage import places
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.imported import import_rows

SETTINGS = ["filtering.top_clips=15", "filtering.max_clips_per_video=3", "duplicates.similarity=0.95"]
SETTINGS += ["materializing.clips_per_shard=4"]


@pytest.fixture
def scored(workspace: Workspace) -> Workspace:
    """The world with scores of a model `m`, to which the first video of both parts is the same."""
    rng = np.random.default_rng(0)
    for number, part in enumerate(workspace.parts(CLIPS_FOLDER)):
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS)
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS)["video_id"].to_pylist()
        content = {video: 0 if i == 0 else 1 + 10 * number + i for i, video in enumerate(videos)}
        rows = np.eye(32, dtype=np.float16)[[content[video] for video in clips["video_id"].to_pylist()]]
        columns = {"clip_id": clips["clip_id"], "video_id": clips["video_id"]}
        columns |= {"score": rng.random(len(clips)).astype(np.float32)}
        columns |= {f"{side}_embedding": pa.array(list(rows)) for side in ("audio", "visual")}
        workspace.commit("scores/m", part, pa.table(columns, schema=SCORES), SCORES)
    for folder in (CLIPS_FOLDER, "scores/m"):
        workspace.begin(folder, {}, {})
    return workspace


def selected(workspace: Workspace) -> list[dict]:
    return workspace.read_all("selections/s", SELECTIONS).to_pylist()


def content(workspace: Workspace, stage: str) -> dict[str, bytes]:
    """Bytes of the parts of a stage: of its table, and of its tars if it has any."""
    entries = [entry for place in places(workspace, stage)[:2] for entry in files.list_files(place)]
    return {entry.uri: files.read_bytes(entry.uri) for entry in entries if "/usage/" not in entry.uri}


@pytest.fixture
def session(scored: Workspace, ray_session: None) -> Session:
    return open_session(scored.root, "tiny", [*SETTINGS, "filtering.keep_fraction=1"], seed=1)


def test_a_selection_has_its_number_of_clips_its_facts_and_one_of_two_uploads(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    find(session, "s", "m")
    select(session, "s", "m")
    rows = selected(session.workspace)
    assert len(rows) == 48
    assert sum(row["kept"] for row in rows) == 15
    first, second = (row["video_id"] for row in session.workspace.read_all("duplicates/s", DUPLICATES).to_pylist())
    assert {row["reason"] for row in rows if row["video_id"] == second} == {"near_duplicate"}
    assert "near_duplicate" not in {row["reason"] for row in rows if row["video_id"] == first}
    assert len({row["split"] for row in rows if row["video_id"] in (first, second)}) == 1
    facts = session.workspace.stage("selections/s")
    assert facts["reasons"]["kept"] == sum(facts["score_histograms"]["kept"]) == 15
    assert sum(facts["score_histograms"]["scored"]) == 48
    output = capfd.readouterr().out
    assert "duplicates: 1 groups of uploads, the largest of 2 videos -> " in output
    assert "; 1 videos are represented by another upload; audit" in output
    assert "1 groups of duplicates" in output

    before = content(session.workspace, "selections/s")
    find(session, "s", "m")
    select(session, "s", "m")
    output = capfd.readouterr().out
    assert "duplicates: nothing to do, every part is compared; 1 groups of uploads" in output
    assert "nothing to do, every clip is decided; audit of the whole workspace: " in output
    assert content(session.workspace, "selections/s") == before


def test_a_selection_that_keeps_nothing_says_so_and_what_refused_most(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    silent = open_session(session.workspace.root, "tiny", ["filtering.min_loudness_lufs=0"], seed=1)
    select(silent, "s", "m")
    output = capfd.readouterr().out
    assert "; 0 clips kept, 48 of 48 refused as too_quiet" in output
    assert "; no duplicates looked for; audit" in output
    for _ in range(2):
        materialize(silent, "s")
        assert "materialize: 0 clips kept: no shards; audit" in capfd.readouterr().out


def test_rules_of_ones_own_are_looked_at_applied_and_bound_to_what_was_imported(
    scored: Workspace, ray_session: None, capfd: pytest.CaptureFixture[str]
) -> None:
    clips = scored.read_all(CLIPS_FOLDER, CLIPS)["clip_id"].to_pylist()
    similar = {clip: (number / 48,) for number, clip in enumerate(clips[1:])}
    import_rows(scored, "peav", {"similarity": "DOUBLE"}, similar, content="a")
    settings = ["filtering.keep_fraction=0.5", 'filtering.rules=["peav.similarity >= 0.25 as low, or_less"]']
    with pytest.raises(ConfigError, match="rule 1, peav"):
        open_session(scored.root, "tiny", settings, seed=1)
    session = open_session(scored.root, "tiny", [settings[0], "filtering.rules=peav.similarity >= 0.25 as low"], seed=1)
    before = {entry.uri for entry in files.list_files(scored.root)}
    select(session, "s", "m", dry_run=True)
    output = capfd.readouterr().out
    assert "filter: would keep 18 clips of " in output  # half of the 36 from 0.25 to 47/48 that have a similarity
    assert re.search(r"low .* 35 .* 35 .* CC0", output)
    assert {entry.uri for entry in files.list_files(scored.root)} == before
    select(session, "s", "m")
    reasons = collections.Counter(row["reason"] for row in selected(scored))
    assert reasons == {"no_peav": 1, "low": 12, "kept": 18, "low_score": 17}
    assert scored.stage("selections/s")["inputs"]["imported/peav"] == scored.stage("imported/peav")["hash"]

    whole = content(scored, "selections/s")
    Path(scored.part_uri("selections/s", "00001")).unlink()  # as a kill between the parts leaves it
    select(open_session(scored.root), "s", "m")
    assert content(scored, "selections/s") == whole
    assert main(["clean", "--root", scored.root, "--from", "imported/peav", "--yes"]) == 0
    assert not scored.has_stage("selections/s")
    import_rows(scored, "peav", {"similarity": "DOUBLE"}, similar)
    Path(scored.part_uri("imported/peav", "00001")).unlink()
    with pytest.raises(ConfigError, match="imported/name=peav: 1 parts of scores/m are missing, first 00001") as error:
        select(session, "s", "m")
    assert "earshot import --name peav FILE" in explain(error.value, "filter")


def test_a_share_is_of_what_other_rules_leave_and_a_licence_that_no_video_has_is_named(
    scored: Workspace, ray_session: None, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = scored.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    for row in rows:
        row["license"] = "proprietary"
    scored.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    with pytest.raises(ConfigError, match="no video has 'CC-0'"):
        select(open_session(scored.root, "tiny", ["filtering.licenses=CC-0"], seed=1), "s", "m")
    settings = ["filtering.keep_fraction=0.25", "filtering.licenses=CC0,CC-0"]
    select(open_session(scored.root, "tiny", settings, seed=1), "s", "m")
    rows = selected(scored)
    assert collections.Counter(row["reason"] for row in rows) == {"license": 24, "low_score": 18, "kept": 6}
    assert "no video has 'CC-0'. Found: 'proprietary' of 6 videos, 'CC0' of 6 videos" in capfd.readouterr().out


def test_shards_end_the_same_after_a_kill_and_a_selection_that_grew_is_refused(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = session.workspace
    find(session, "s", "m")
    select(session, "s", "m")
    materialize(session, "s")
    before = content(workspace, "materialized/s")
    assert "15 clips in" in capfd.readouterr().out
    shard = workspace.parts("materialized/s")[0]
    for uri in (workspace.part_uri("materialized/s", shard), workspace.tar_uri("materialized/s", shard)):
        files.delete(uri)
    materialize(session, "s")
    assert content(workspace, "materialized/s") == before
    materialize(session, "s")
    assert "nothing to do, every shard is written" in capfd.readouterr().out

    files.local_path(workspace.part_uri("selections/s", "00001")).rename(workspace.uri("later"))
    with pytest.raises(ConfigError, match="selections/s parts"):
        materialize(session, "s")


def test_a_worker_that_dies_while_it_writes_a_shard_costs_no_clip(session: Session, tmp_path: Path) -> None:
    workspace = session.workspace
    find(session, "s", "m")
    select(session, "s", "m")
    materialize(session, "s")
    written = content(workspace, "materialized/s")
    before = {uri: data for uri, data in written.items() if not uri.endswith(attribution.FILE)}  # no shard's
    mark = tmp_path / "killed"
    for uri in before:
        files.delete(uri)
    plan = plan_shards(workspace, "s", MaterializingConfig(clips_per_shard=4), session.seed)

    def write(shard: str) -> dict[str, int]:
        if not mark.exists():
            mark.touch()
            uri = workspace.tar_uri("materialized/s", shard)
            Path(uri).write_bytes(before[uri][:5000])
            os.kill(os.getpid(), signal.SIGKILL)
        return MaterializePart(workspace, "s", plan, session.seed)(shard)

    done = dict(map_parts(write, list(plan.shards), FILTERING))
    assert sum(counts["clips"] for counts in done.values()) == 15
    assert mark.exists()
    assert content(workspace, "materialized/s") == written


def test_a_killed_selection_goes_on_with_its_thresholds_though_clips_have_arrived(session: Session) -> None:
    workspace = session.workspace
    later = files.local_path(workspace.part_uri("scores/m", "00001"))
    hidden = later.rename(later.with_suffix(".later"))
    find(session, "s", "m")
    select(session, "s", "m")
    first = selected(workspace)
    files.local_path(workspace.part_uri("selections/s", "00000")).unlink()
    hidden.rename(later)
    find(session, "s", "m")
    select(session, "s", "m")
    assert selected(workspace)[: len(first)] == first


def test_parts_that_arrive_later_are_held_against_the_first_run(session: Session) -> None:
    workspace = session.workspace
    later = files.local_path(workspace.part_uri("scores/m", "00001"))
    later.rename(later.with_suffix(".later"))
    find(session, "s", "m")
    select(session, "s", "m")
    first = selected(workspace)
    assert sum(row["kept"] for row in first) == 15  # 6 videos of 3 clips at most
    least = min(row["score"] for row in first if row["kept"])
    later.with_suffix(".later").rename(later)
    find(session, "s", "m")
    select(session, "s", "m")
    rows = selected(workspace)
    assert rows[: len(first)] == first
    assert {row["kept"] for row in rows[len(first) :]} == {True, False}
    assert all(row["score"] >= least for row in rows if row["kept"])


def test_a_selection_waits_for_the_labels_of_parts_that_arrived(session: Session) -> None:
    workspace = session.workspace
    workspace.begin("labels/base", {}, {})
    workspace.commit("labels/base", workspace.parts(CLIPS_FOLDER)[0], LABELS.empty_table(), LABELS)
    last = workspace.parts(CLIPS_FOLDER)[1]
    find(session, "s", "m")
    message = f"1 parts of scores/m are missing, first {last}."
    with pytest.raises(ConfigError, match=message):
        select(session, "s", "m")
    assert not workspace.has_stage("selections/s")


def test_a_selection_waits_for_the_duplicates_that_its_settings_ask_for(session: Session) -> None:
    workspace = session.workspace
    with pytest.raises(ConfigError, match="selection=s: nothing there yet"):
        select(session, "s", "m")
    later = files.local_path(workspace.part_uri("scores/m", "00001"))
    hidden = later.rename(later.with_suffix(".later"))
    find(session, "s", "m")
    hidden.rename(later)
    with pytest.raises(ConfigError, match=r"selection=s: 1 parts of scores/m are missing, first 00001\.") as refusal:
        select(session, "s", "m")
    assert explain(refusal.value, "filter").endswith(
        f"Run `earshot duplicates --name s --root {workspace.root}` first."
    )
    other = open_session(workspace.root, "tiny", ["duplicates.similarity=0.9"], seed=1)
    with pytest.raises(ConfigError, match=r"selection=s: found with .*0.95.* expected .*0.9"):
        select(other, "s", "m")
    with pytest.raises(ConfigError, match=r"duplicates.similarity = none: expected a cosine"):
        find(open_session(workspace.root, "tiny", seed=1), "t", "m")
    assert not workspace.has_stage("selections/s")
    find(session, "s", "m")
    select(open_session(workspace.root), "s", "m")  # takes up the settings of duplicates/s
    assert workspace.stage("selections/s")["settings"]["duplicates"] == {"similarity": 0.95}


def test_without_scores_the_rules_that_need_none_decide_and_those_that_do_are_refused(
    workspace: Workspace, ray_session: None, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.begin(CLIPS_FOLDER, {}, {})
    rows = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    for row in rows:
        row["license"] = "proprietary"
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    needing = ["filtering.keep_fraction=0.8", "filtering.min_score=0.5", "filtering.top_clips=5"]
    needing += ["filtering.top_videos=5", "filtering.max_clips_per_video=2", "duplicates.similarity=0.9"]
    for setting in needing:
        settings = ["filtering.keep_fraction=1", setting]
        name, _, value = setting.partition("=")
        with pytest.raises(
            ConfigError, match=rf"scores/model=coincidence: nothing there yet, .* {name} = {value} \("
        ) as error:
            select(open_session(workspace.root, "tiny", settings, seed=1), "s")
        assert "earshot score --model coincidence" in explain(error.value, "filter")
    with pytest.raises(ConfigError, match="scores/model=m: nothing there yet"):
        select(open_session(workspace.root, "tiny", ["filtering.keep_fraction=1"], seed=1), "s", "m")
    settings = ["filtering.keep_fraction=1", "filtering.licenses=CC0", "filtering.max_silent_fraction=0.5"]
    select(open_session(workspace.root, "tiny", settings, seed=1), "s")
    clips = {row["clip_id"]: row for row in workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()}
    for row in selected(workspace):
        is_silent = clips[row["clip_id"]]["silent_fraction"] > 0.5
        reason = "license" if row["part"] == "00000" else "silences" if is_silent else "kept"
        assert (row["reason"], row["score"]) == (reason, None)
    assert "; no scores; no duplicates looked for; audit" in capfd.readouterr().out
    assert sum(workspace.stage("selections/s")["score_histograms"]["scored"]) == 0
    workspace.begin(
        "scores/coincidence", {}, {}
    )  # a model that scores later does not change a selection that was begun
    select(open_session(workspace.root), "s")
    assert "nothing to do, every clip is decided" in capfd.readouterr().out
