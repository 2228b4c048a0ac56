"""Decide which clips belong to a selection: clips, scores and labels 00042 -> selections/<name>/00042."""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import FILTERING
from jobs.progress import progress_bar, tell
from jobs.session import Address, Name, Preset, Root, Scorer, Seed, Session, Set, open_session
from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER
from pipeline.auditing import audit
from pipeline.config import from_dict, hash_json
from pipeline.duplicates import VideoVectors, find_duplicates
from pipeline.filtering import FilterPart, lowest_score, summarize
from pipeline.materializing import MaterializePart, MaterializingConfig, plan_shards
from pipeline.thresholds import Thresholds, settle

THRESHOLDS_FILE = "_thresholds.json"
MOST_AT_ONCE = 16  # parts of one task


def select(session: Session, name: str, model: str) -> None:
    """Decide on the parts that have no decisions yet, and prove that no video is in two splits."""
    workspace, config, folder = session.workspace, session.config, f"selections/{name}"
    workspace.require(f"scores/{model}", "earshot score")
    sources = [CLIPS_FOLDER, f"scores/{model}"]
    if workspace.has_stage(LABELS_FOLDER):
        sources.append(LABELS_FOLDER)
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    with session.begin(folder, {"filtering": config.filtering, "splitting": config.splitting}, inputs):
        parts = workspace.pending(f"scores/{model}", folder)
        if not parts:
            session.done("filter", f"nothing to do, every clip is decided; audit: {audit(workspace)}", folder)
            return
        if config.filtering.duplicate_similarity is not None:
            _find_duplicates(session, name, model, config.filtering.duplicate_similarity)
        thresholds = _thresholds(session, name, model)
        work = FilterPart(workspace, name, model, config.filtering, config.splitting, thresholds)
        counts: collections.Counter[str] = collections.Counter()
        for found in _each(session, f"filter {name}", work, parts):
            counts.update(found)
        workspace.finish(folder, **summarize(workspace, name))
        session.done("filter", f"{tell(counts)}; audit: {audit(workspace)}", folder)


def materialize(session: Session, selection: str, clips_per_shard: int) -> None:
    """Write the shuffled shards of a selection that are missing."""
    workspace, folder, source = session.workspace, f"materialized/{selection}", f"selections/{selection}"
    config = MaterializingConfig(clips_per_shard=clips_per_shard)
    # a selection that has grown is another one to shuffle: its parts are part of what the shards are made of
    inputs = {source: workspace.stage(source)["hash"], f"{source} parts": hash_json(workspace.parts(source))}
    with session.begin(folder, {"materializing": config, "seed": session.seed}, inputs):
        plan = plan_shards(workspace, selection, config, session.seed)
        finished = set(workspace.parts(folder))
        shards = [shard for shard in plan.shards if shard not in finished]
        work = MaterializePart(workspace, selection, plan, session.seed)
        counts = session.map(f"materialize {selection}", work, shards, FILTERING)
        if shards:
            workspace.finish(folder)
        note = f"{tell(counts)} in {len(shards)} shards" if shards else "nothing to do, every shard is written"
        session.done("materialize", f"{note}; audit: {audit(workspace)}", folder)


def _find_duplicates(session: Session, name: str, model: str, similarity: float) -> None:
    """Compare the videos of parts that have not been compared."""
    workspace, config, folder = session.workspace, session.config, f"duplicates/{name}"
    compared = {
        "similarity": similarity,
        "licenses": config.filtering.licenses,
        "min_score": config.filtering.min_score,
    }
    inputs = {f"scores/{model}": workspace.stage(f"scores/{model}")["hash"]}
    with session.begin(folder, {"duplicates": compared, "splitting": config.splitting}, inputs):
        if not workspace.pending(f"scores/{model}", folder):
            return
        work = VideoVectors(workspace, model, config.splitting, config.filtering.licenses, config.filtering.min_score)
        found = _each(session, "compare videos", work, workspace.parts(f"scores/{model}"))
        find_duplicates(workspace, name, model, (video for videos in found for video in videos), similarity)
        workspace.finish(folder)


def _thresholds(session: Session, name: str, model: str) -> Thresholds:
    """What the corpus asks of a clip, settled once and stored before any part is decided.

    A run that was killed goes on with the same thresholds, and a collection that grows is judged by those of its first
    run, not by others each night.
    """
    workspace, filtering = session.workspace, session.config.filtering
    uri = workspace.uri(f"selections/{name}", THRESHOLDS_FILE)
    if storage.exists(uri):
        return from_dict(Thresholds, json.loads(storage.read_bytes(uri)))
    thresholds = Thresholds(lowest_score=lowest_score(workspace, model, filtering))
    if filtering.top_videos is not None or filtering.top_clips is not None:
        work = FilterPart(workspace, name, model, filtering, session.config.splitting, thresholds)
        offers = _each(session, "survey", work.survey, workspace.parts(f"scores/{model}"))
        thresholds = settle(thresholds.lowest_score, filtering.top_videos, filtering.top_clips, offers)
    storage.commit_bytes(uri, json.dumps(dataclasses.asdict(thresholds), indent=1).encode())
    return thresholds


def _each(session: Session, what: str, work: Callable[[str], Any], parts: list[str]) -> Iterator[Any]:
    """What `work` gives of each part, as the parts are done.

    Where there are many, a worker is handed several at once: to decide on one takes 10 ms, to hand it out as much.
    """

    def several(handed: str) -> list[Any]:
        return [work(part) for part in handed.split()]

    at_once = max(1, min(MOST_AT_ONCE, len(parts) // 64))
    handed = [" ".join(parts[first : first + at_once]) for first in range(0, len(parts), at_once)]
    connect(session.address)
    with progress_bar(what, len(parts)) as advance:
        for _, given in map_parts(several, handed, FILTERING):
            yield from given
            advance(len(given), "")


Materialize = Annotated[bool, typer.Option("--materialize", help="Also write shuffled training shards.")]
ClipsPerShard = Annotated[int, typer.Option(min=1, help="With --materialize: clips in one tar.")]


def command(
    root: Root,
    name: Name = "default",
    model: Scorer = "coincidence",
    materialized: Materialize = False,
    clips_per_shard: ClipsPerShard = 2000,
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Decide which clips train and evaluate the next model.

    Reads clips/, scores/<model>/ and labels/ if there are any. Writes selections/<name>/: for every clip whether it is
    kept, the first rule that refused it, and its split; duplicates/<name>/ if near-duplicates are looked for; with
    --materialize materialized/<name>/: the kept clips in shuffled order, as tars of each split. Ends with an audit:
    no video, and no group of uploads of the same content, is in two splits.

    Example: earshot filter --root my_workspace --name strict --set filtering.min_score=0.9
    """
    session = open_session(root, preset, settings, seed, address)
    select(session, name, model)
    if materialized:
        materialize(session, name, clips_per_shard)
