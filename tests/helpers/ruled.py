"""A workspace with all that a selection's rules may read, with gaps, and its selections."""

import numpy as np

from pipeline.clips.splitting import SplittingConfig
from pipeline.selection.cutoffs import load_or_compute
from pipeline.selection.deciding import DecidePart
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.imported import import_rows
from tests.helpers.selections import backwards, write_labels, write_scores


def fill(workspace: Workspace) -> Workspace:
    """The world with scores, labels, licences and the imported tables peav and tags, all with gaps; 48 clips."""
    rng = np.random.default_rng(0)
    clips, videos = [], []
    for part in workspace.parts(CLIPS_FOLDER):
        rows = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
        for row in rows:
            row |= {"loudness_lufs": rng.uniform(-40, -10), "silent_fraction": rng.random()}
            row |= {"loudness_lufs": None} if rng.random() < 0.1 else {}
        rows[3] |= {"outcome": "silent", "tar_offset": None, "tar_bytes": None}
        workspace.commit(CLIPS_FOLDER, part, from_rows(rows, CLIPS, part), CLIPS)
        clips += [row["clip_id"] for row in rows]
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        for row, license in zip(videos, ("CC0", "CC-BY", "CC0", None, "GPL", "CC0"), strict=True):
            row["license"] = license
        workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)
    for stage in (CLIPS_FOLDER, "scores/m"):
        workspace.begin(stage, {}, {})
    write_scores(workspace, {clip: rng.random() for clip in clips[1:]})
    names = ("on_screen", "off_screen", "mixed")
    write_labels(workspace, {clip: names[rng.integers(3)] for clip in clips if rng.random() < 0.6})

    def gap(value: object) -> object:
        return None if rng.random() < 0.07 else value

    peav = {clip: (gap(rng.random()), gap(rng.uniform(-2, 2))) for clip in clips if rng.random() < 0.9}
    import_rows(workspace, "peav", {"similarity": "DOUBLE", "offset_s": "FLOAT"}, peav)
    tags = {clip: (gap(rng.random()), gap(("music", "dog", "rain")[rng.integers(3)])) for clip in clips[2:]}
    import_rows(workspace, "tags", {"speech_fraction": "DOUBLE", "kind": "VARCHAR"}, tags)
    return workspace


def reasons_of(workspace: Workspace, config: FilteringConfig, name: str = "s") -> dict[str, str]:
    """The reason of every clip of a new selection."""
    rules = ClipRules(workspace, name, "m", config, SplittingConfig())
    work = DecidePart(rules, load_or_compute(rules, backwards))
    for part in workspace.parts(CLIPS_FOLDER):
        work(part)
    rows = workspace.read_all(f"selections/{name}", SELECTIONS).to_pylist()
    return {row["clip_id"]: row["reason"] for row in rows}
