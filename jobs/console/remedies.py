"""What to type about an error of the library, which knows folders and facts, and no command line."""

import shlex

from jobs.console.options import SPECS
from pipeline.errors import EarshotError

# The command that makes a folder, by its name or its first name.
COMMAND_FOR = {
    "clips": "earshot shard --collection COLLECTION",
    "models": "earshot train {learner} --name {name}",
    "scores": "earshot score --model {name}",
    "features": "earshot features --clips {spec} --name {name}",
    "features/events/ave": "earshot ingest ave FOLDER",
    "labels": "earshot label --labels FILE",
    "spans": "earshot label --spans FILE",
    "masks": "earshot label --masks FOLDER",
    "imported": "earshot import --name {name} FILE",
    "duplicates": "earshot duplicates --name {name}",
    "selections": "earshot filter --name {name}",
    "materialized": "earshot materialize --selection {name}",
    "mixtures": "earshot mix --name {name}",
}
# Settings that the command for a folder needs, where the folder has its usual name.
SETTINGS_FOR = {"models/separator": " --set separation.phase=audio", "models/words": " --set lipreading.task=words"}
SETTINGS_FOR |= {f"clips/{spec}": f" --clips {spec}" for spec in SPECS if spec != "base"}
# The option that leads to another folder, where it is not --name; `run` and `demo` have only --root.
OTHER_FOLDER = dict.fromkeys(("clips", "labels", "spans", "masks"), "--root")
OTHER_FOLDER |= {"materialized": "--selection", "scores": "--model", "reports": "--model"}
# Of commands that need a trained model and no data of the user's.
DEMOS = {
    "separate": "earshot demo --root my_demo",
    "events": "earshot demo --system events --root my_demo",
    "segment": "earshot demo --system segmentation --root my_demo",
    "sync": "earshot demo --system lipreading --root my_demo",
}
SENTENCES = {
    "other version": "Give --preset and --set again, or use another --root.",
    "media": "Give --media, a folder or prefix with a copy of these files.",
    "outage": "The same command goes on from what is finished.",
    "workers": "Lower --workers.",
    "other features": "Train one on them: `earshot train events --features FEATURES --name NAME`.",
    "no features": "Without them, --out writes tables to cut the videos by.",
    "overwrite": "Give --overwrite to replace it, or another --out.",
    "no workspace": "Make one with `earshot run` or `earshot shard`.",
}


def remedy(error: EarshotError, command: str) -> str:
    """The sentence to add to the error's message when `command` met it; "" where the message says what to do."""
    is_missing = error.topic in ("no model", "no workspace") or error.facts.get("stage", "").startswith("models/")
    if command in DEMOS and is_missing:
        return f"`{DEMOS[command]}` trains one in less than an hour; then give --root my_demo."
    if error.topic == "takedown":
        return f"`earshot takedown --root {shlex.quote(error.facts['root'])}` ends it."
    if error.topic in ("missing", "refused", "stale", "undecided"):
        folder, root = error.facts["stage"], shlex.quote(error.facts["root"])
        kind, _, name = folder.partition("/")
        if error.topic == "missing":
            usual = COMMAND_FOR.get(kind, "earshot run --collection COLLECTION")
            make = COMMAND_FOR.get(folder, usual) + SETTINGS_FOR.get(folder, "")
            spec, _, name = name.rpartition("/")  # of features
            made = make.format(name=name, spec=spec, learner=error.facts.get("learner", "LEARNER"))
            return f"Run `{made} --root {root}` first."
        if error.topic == "undecided":
            return f"Run `earshot filter --name {name} --root {root}` again, then materialize what it keeps."
        clean = f"`earshot clean --from {folder} --root {root}`"
        if error.topic == "stale":
            return f"Train another --name, or remove these first: {clean} lists them."
        option = "--root" if command in ("run", "demo") else OTHER_FOLDER.get(kind, "--name")
        return f"Use another {option}, or remove that folder and what was made from it: {clean} lists it."
    return SENTENCES.get(error.topic, "")


def explain(error: BaseException, command: str) -> str:
    """The message of an error, and the remedy of the error or of its cause."""
    cause = getattr(error, "cause", error)  # of a PartError: what the part raised
    return f"{error} {remedy(cause, command) if isinstance(cause, EarshotError) else ''}".rstrip()


def query_command(root: str, sql: str) -> str:
    """What to type to see the rows that a message counts."""
    return f'earshot query --root {shlex.quote(root)} "{sql}"'
