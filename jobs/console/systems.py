"""The systems that `earshot run` trains: the clips and stages of each, and the models that it needs first."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.console.options import SPECS, Session

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace

SEPARATION, EVENTS, SEGMENTATION, LIPREADING = "separation", "events", "segmentation", "lipreading"
SYSTEMS = (SEPARATION, EVENTS, SEGMENTATION, LIPREADING)
WORDS = "words"  # the model of words, which starts from the one of lip reading
# The clip spec that a system reads, beside `base` where a coincidence model is needed.
CLIPS_OF = {EVENTS: "events", SEGMENTATION: "segmentation", LIPREADING: "speech"}
# Of every stage that has settings of its own.
FOLDERS = ("labels/base", "spans", "masks")
FOLDERS_OF_COINCIDENCE = ("clips/base", "models/coincidence", "duplicates/default")
FOLDERS_OF = {
    SEPARATION: ("selections/default", "mixtures/default", "models/separation"),
    EVENTS: ("clips/events", "features/events/coincidence", "models/events"),
    SEGMENTATION: ("clips/segmentation", "models/segmentation"),
    LIPREADING: ("clips/speech", "models/lipreading"),
}
# What `earshot run` makes of every collection, in its order; labels, duplicates and a separator are shown once begun.
# Of other systems without it: RUN_ALONE, by the clip spec that their name is too.
RUN = (
    *("clips/base", "models/coincidence", "scores/coincidence", "selections/default", "mixtures/default"),
    *("models/separation", "reports/coincidence/-", "reports/separation/default"),
)
RUN_ALONE = {
    "events": (
        *("clips/base", "clips/events", "models/coincidence", "scores/coincidence", "spans"),
        *("features/events/coincidence", "models/events", "reports/coincidence/-", "reports/events/-"),
    ),
    "segmentation": (
        *("clips/base", "clips/segmentation", "models/coincidence", "scores/coincidence", "masks"),
        *("models/segmentation", "reports/coincidence/-", "reports/segmentation/-"),
    ),
}
RUN_LIPREADING = ("clips/speech", "models/lipreading", "reports/lipreading/-")
RUN_PUBLISHED = ("clips/segmentation", "masks", "models/segmentation", "reports/segmentation/-")  # after `ingest`


def expected_stages(workspace: "Workspace") -> Iterable[str]:
    """What is made by the systems whose clips a root has, in the order of `run`; of a root without clips, RUN."""
    from pipeline.storage.lineage import published_stage

    if published_stage(workspace):
        return RUN_PUBLISHED
    specs = [spec for spec in SPECS if workspace.has_stage(f"clips/{spec}")]
    stages = [RUN_ALONE[spec] for spec in specs if spec in RUN_ALONE]
    if workspace.has_stage("selections/default") or not specs or ("base" in specs and not stages):
        stages = [RUN]
    if CLIPS_OF[LIPREADING] in specs:
        stages.append(RUN_LIPREADING)
    return dict.fromkeys(sum(stages, ()))  # each once


def needs_coincidence(systems: list[str]) -> bool:
    """Whether one of the systems learns on top of a coincidence model: all but lip reading do."""
    return any(name != LIPREADING for name in systems)


class OtherModel(NamedTuple):
    """A model of a system's that is trained with another config than the root's."""

    session: Session
    """With the config that it is trained with."""
    name: str


def of_sound_alone(session: Session) -> OtherModel | None:
    """The separator that `run` trains first; None where separation starts without one, or from one that is there."""
    config: Any = session.config  # a learner's field is no declared one
    separation = config.separation
    if separation.start_from or not separation.first_separator:
        return None
    alone = dataclasses.replace(config, separation=dataclasses.replace(separation, phase="audio"))
    return OtherModel(dataclasses.replace(session, config=alone), separation.first_separator)


def of_words(session: Session, systems: list[str], spans: list[str] | None) -> OtherModel | None:
    """The model of words that `run` trains after lip reading; None where there are no spans, or they are of events."""
    if LIPREADING not in systems or not spans or EVENTS in systems:
        return None
    config: Any = session.config
    words = dataclasses.replace(config.lipreading, task="words", first_model=LIPREADING)
    return OtherModel(dataclasses.replace(session, config=dataclasses.replace(config, lipreading=words)), WORDS)
