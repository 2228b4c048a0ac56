"""What `run` refuses before any work: files it cannot read, settings it cannot train, stages begun with others."""

from cluster.addresses import cluster_address
from cluster.resources import STAGES
from jobs.console.options import Session
from jobs.console.systems import (
    CLIPS_OF,
    EVENTS,
    FOLDERS,
    FOLDERS_OF,
    FOLDERS_OF_COINCIDENCE,
    LIPREADING,
    SEGMENTATION,
    SEPARATION,
    needs_coincidence,
    of_sound_alone,
    of_words,
)
from pipeline.errors import ConfigError


def check_run(
    session: Session,
    collection: str,
    systems: list[str],
    labels: list[str] | None,
    spans: list[str] | None,
    masks: str | None,
    stream: bool = False,
    workers: int | None = None,
) -> None:
    """Refuse what would be refused after hours of work.

    Raises:
        ConfigError: a file of labels or spans or a folder of masks cannot be used or is not given, a setting is none
            that `run` trains, the root holds work of other settings, or there is no such collection.
        ConnectionError: a stage fits no node, or this machine or a node lacks what it needs.
    """
    from jobs.console.fitting import check_training_address
    from jobs.console.preflight import check_here, check_nodes
    from pipeline.collection.listing import list_videos
    from pipeline.labels.ratings import read_judgements
    from pipeline.labels.span_files import read_spans
    from pipeline.masks.mask_folders import read_mask_folder
    from pipeline.storage import files

    if labels:
        read_judgements(labels)
    if spans:
        read_spans(spans)
    if masks:
        read_mask_folder(masks)
    if EVENTS in systems:
        _check_events(session, spans)
    if SEGMENTATION in systems:
        _check_segmentation(session, masks)
    if SEPARATION in systems:
        _check_separation(session)
    if LIPREADING in systems:
        _check_lipreading(session, systems, spans)
    if needs_coincidence(systems):
        session.check(*FOLDERS_OF_COINCIDENCE)
    elif labels or masks or stream:
        given = "--labels" if labels else "--masks" if masks else "--stream"
        raise ConfigError(
            f"run --system lipreading: {given} is for systems on top of a coincidence model; lip reading learns from "
            "lips and sound alone. Leave it out, or name another system too."
        )
    session.check(*FOLDERS, *(folder for system in systems for folder in FOLDERS_OF[system]))
    if not (files.exists(collection) or files.store_at(collection).has_folder(collection)):
        list_videos(collection)  # refuses it, before Ray is started
    is_trained = all(session.workspace.is_finished(f"models/{system}") for system in systems)
    if not is_trained and workers != 0:
        check_training_address(session.address)
    address = cluster_address(session.address)  # in a Ray job there is a cluster without it
    check_here(session.workspace.root, address)
    if not is_trained:
        session.check_placement(STAGES)  # evaluation needs the largest nodes, and comes last
        if address is not None:
            check_nodes(session.workspace.root, address)


def _check_separation(session: Session) -> None:
    separation = session.config.separation
    if separation.phase != "joint" or separation.audio_from != "selection":
        raise ConfigError(
            f"separation.phase = {separation.phase}, separation.audio_from = {separation.audio_from}: run trains both "
            "phases on its selection, expected joint and selection. Train another model with `earshot train`."
        )
    if separator := of_sound_alone(session):
        separator.session.check(f"models/{separator.name}")


def _check_events(session: Session, spans: list[str] | None) -> None:
    from pipeline.features.extracting import check_clips

    if not spans:
        raise ConfigError(
            "run --system events: no spans. Give --spans FILE, which says when events are seen and heard."
        )
    check_clips(EVENTS, session.config.clips.events, session.config.coincidence.model.rate_hz)


def _check_segmentation(session: Session, masks: str | None) -> None:
    from pipeline.learners.segmentation import SegmentationLearner
    from pipeline.masks.masked_clips import check_fit

    if not masks:
        raise ConfigError(
            "run --system segmentation: no masks. Give --masks FOLDER, which shows what sounds in the pictures."
        )
    check_fit(SEGMENTATION, session.config.clips.segmentation)
    learner = SegmentationLearner(session.config.segmentation)
    if learner.builds_on() == {"coincidence": "coincidence"}:  # the model that `run` trains first
        learner.check_towers("coincidence.model", session.config.coincidence.model)


def _check_lipreading(session: Session, systems: list[str], spans: list[str] | None) -> None:
    from pipeline.clips.video_cutting import check_faces

    task = session.config.lipreading.task
    if task != "contrast":
        raise ConfigError(
            f"lipreading.task = {task}: run trains it without labels, and words after it where there are spans; "
            "expected contrast. Train another model with `earshot train`."
        )
    if not session.workspace.is_finished(f"clips/{CLIPS_OF[LIPREADING]}"):
        check_faces({CLIPS_OF[LIPREADING]: session.config.clips.speech})
    if words := of_words(session, systems, spans):
        words.session.check(f"models/{words.name}")
