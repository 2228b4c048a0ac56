"""Extract features of every part of clips that has none: clips/events/00042 -> features/events/<name>/00042."""

import functools
from typing import Annotated

import typer

from cluster.resources import SCORING
from jobs.console.options import SPECS, Scorer, Session, named, one_of, with_session
from jobs.console.remedies import query_command
from pipeline.formatting import format_counts


def extract(
    session: Session,
    model: Scorer = "coincidence",
    clips: Annotated[
        str,
        typer.Option(help=f"Clip spec of the clips: {', '.join(SPECS)}.", callback=one_of("--clips", SPECS)),
    ] = "events",
    name: Annotated[str | None, named("Name of the features. Default: the model's.")] = None,
) -> None:
    """Extract features of each second of the clips, for event localisation.

    Reads clips/<clips>/ and models/<model>/. Writes features/<clips>/<name>/ (what the model's towers see in each place
    of the picture, and what they hear) and the table features: a row per kept clip. `earshot train events` reads them.

    Example: earshot features --root my_workspace --clips events
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.config import from_dict
    from pipeline.features.extracting import FeaturesPart, check_clips
    from pipeline.learners.loading import check_model, check_towers, load_model, rebuild

    name = name or model
    workspace, source, folder = session.workspace, f"clips/{clips}", f"features/{clips}/{name}"
    workspace.require(source)
    check_towers(workspace, model)
    inputs = check_model(workspace, model, "coincidence") | {source: workspace.stage(source)["hash"]}
    spec = getattr(from_dict(ClipSpecs, workspace.stage(source)["settings"]["clips"]), clips)
    check_clips(clips, spec, rebuild(workspace, model, "coincidence").config.model.rate_hz)
    with session.begin(folder, {"model": model}, inputs):
        parts = workspace.pending(source, folder)
        load = functools.partial(load_model, workspace, model, "coincidence")
        work = FeaturesPart(workspace, clips, spec, name, load)
        counts = session.map(f"features {clips} {name}", work, parts, SCORING)
        if parts or not workspace.is_finished(folder):  # it may have been killed after its last part
            workspace.finish(folder)
        if counts["damaged"]:
            sql = "SELECT * FROM features WHERE tar_offset IS NULL"
            print(f"features: damaged clips have none: {query_command(workspace.root, sql)}")
        session.done("features", format_counts(counts) or "nothing to do, every clip has features", folder)


command = with_session(extract)
