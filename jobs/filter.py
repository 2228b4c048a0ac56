"""Decide which clips belong to a selection: clips, scores and labels 00042 -> selections/<name>/00042."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Annotated

import typer

from cluster.resources import FILTERING
from jobs.console.options import Address, Name, Preset, Root, Scorer, Seed, Set
from jobs.console.session import Session, open_session
from pipeline.errors import ConfigError
from pipeline.formatting import format_counts
from pipeline.hashing import hash_json
from pipeline.selection.cutoffs import load_or_compute
from pipeline.selection.deciding import DecidePart, summarize
from pipeline.selection.duplicate_groups import group_facts
from pipeline.selection.duplicates import VideoVectors, find_duplicates
from pipeline.selection.filtering import ClipRules, check_values
from pipeline.selection.leakage import audit
from pipeline.selection.materializing import MaterializePart, plan_shards
from pipeline.storage.workspace import CLIPS_FOLDER, LABELS_FOLDER
from schemas.duplicates import DUPLICATES

PARTS_PER_TASK = 16  # parts of one task: to decide on one takes 10 ms, to hand it out as much


def select(session: Session, name: str, model: str) -> None:
    """Decide on the parts that have no decisions yet, and prove that no video is in two splits."""
    folder = f"selections/{name}"
    session = session.resume(folder)
    workspace, config = session.workspace, session.config
    workspace.require(f"scores/{model}")
    sources = [CLIPS_FOLDER, f"scores/{model}"]
    if workspace.has_stage(LABELS_FOLDER):
        sources.append(LABELS_FOLDER)
        if unlabelled := workspace.pending(f"scores/{model}", LABELS_FOLDER):
            raise ConfigError(
                f"{workspace.uri(LABELS_FOLDER)}: {len(unlabelled)} parts are not labelled, first {unlabelled[0]}. Run "
                f"`earshot label --root {workspace.root}` with the same --labels first."
            )
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    told = check_values(workspace, config.filtering)  # before the folder is claimed for a misspelt rule
    if told:
        print(f"filter: {told}", flush=True)
    with session.begin(folder, {"filtering": config.filtering, "splitting": config.splitting}, inputs):
        parts = workspace.pending(f"scores/{model}", folder)
        if not parts and workspace.is_finished(folder):  # else it was killed after its last part
            session.done("filter", f"nothing to do, every clip is decided; {_audit(session)}", folder)
            return
        duplicates = _find_duplicates(session, name, model, inputs)
        rules = ClipRules(workspace, name, model, config.filtering, config.splitting)
        cutoffs = load_or_compute(
            rules, lambda step, work, todo: session.each(f"{step} {name}", work, todo, FILTERING, PARTS_PER_TASK)
        )
        counts = session.map(f"filter {name}", DecidePart(rules, cutoffs), parts, FILTERING, PARTS_PER_TASK)
        facts, audited = summarize(workspace, name), _audit(session)
        workspace.finish(folder, audit=audited, **facts)
        session.done(
            "filter", f"{format_counts(counts)}{_none_kept(facts['reasons'])}; {duplicates}; {audited}", folder
        )


def materialize(session: Session, selection: str) -> None:
    """Write the shuffled shards of a selection that are missing."""
    folder, source = f"materialized/{selection}", f"selections/{selection}"
    session = session.resume(folder)
    workspace, config = session.workspace, session.config.materializing
    # a selection that has grown is another one to shuffle: its parts are part of what the shards are made of
    inputs = {source: workspace.stage(source)["hash"], f"{source} parts": hash_json(workspace.parts(source))}
    with session.begin(folder, {"materializing": config, "seed": session.seed}, inputs):
        plan = plan_shards(workspace, selection, config, session.seed)
        finished = set(workspace.parts(folder))
        shards = [shard for shard in plan.shards if shard not in finished]
        work = MaterializePart(workspace, selection, plan, session.seed)
        counts = session.map(f"materialize {selection}", work, shards, FILTERING)
        if shards or not workspace.is_finished(folder):
            workspace.finish(folder)
        note = f"{format_counts(counts)} in {len(shards)} shards" if shards else "nothing to do, every shard is written"
        if not plan.shards:
            note = "0 clips kept: no shards"
        session.done("materialize", f"{note}; {_audit(session)}", folder)


def _audit(session: Session) -> str:
    """What was proved of the splits."""
    return f"audit of the whole workspace: {audit(session.workspace)}"


def _none_kept(reasons: Mapping[str, int]) -> str:
    """What refused the most clips, where nothing is kept: a typo, or rules that no clip meets."""
    if reasons.get("kept"):
        return ""
    reason, count = max(reasons.items(), key=lambda item: item[1], default=("not_cut", 0))
    return f"; 0 clips kept, {count} of {sum(reasons.values())} refused as {reason}: loosen that under another --name"


def _find_duplicates(session: Session, name: str, model: str, inputs: dict[str, str]) -> str:
    """Compare the videos of parts that have not been compared; tell what was found in all."""
    workspace, filtering, splitting = session.workspace, session.config.filtering, session.config.splitting
    if filtering.duplicate_similarity is None:
        return "no duplicates looked for"
    folder, scored = f"duplicates/{name}", workspace.parts(f"scores/{model}")
    with session.begin(folder, {"filtering": filtering, "splitting": splitting}, inputs):
        if workspace.pending(f"scores/{model}", folder) or not workspace.is_finished(folder):
            by_itself = dataclasses.replace(filtering, duplicate_similarity=None)
            rules = ClipRules(workspace, name, model, by_itself, splitting)

            def count_good(part: str) -> dict[str, int]:
                return collections.Counter(rules.passing(part, filtering.min_score)["video_id"].to_pylist())

            work = VideoVectors(workspace, model, splitting, count_good)
            found = session.each(f"compare {name}", work, scored, FILTERING, PARTS_PER_TASK)
            least = find_duplicates(
                workspace,
                name,
                model,
                (video for videos in found for video in videos),
                filtering.duplicate_similarity,
                lambda match, parts: session.each(f"match {name}", match, parts, FILTERING),
            )
            workspace.finish(folder, median_least_cosine=least)
    facts = group_facts(workspace.read_all(folder, DUPLICATES).to_pylist())
    return (
        f"{facts['num_groups']} groups of uploads, the largest of {facts['largest_group']} videos, "
        f"{facts['num_collapsed']} videos collapsed"
    )


Materialize = Annotated[bool, typer.Option("--materialize", help="Also write shuffled training shards.")]


def command(
    root: Root,
    name: Name = "default",
    model: Scorer = "coincidence",
    materialized: Materialize = False,
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
        materialize(session, name)
