"""Proof that nothing a model trains on comes back in its evaluation: every video, together with all videos of its
address or its bytes and all uploads of its content, is in one split, wherever the workspace uses its clips.

Checked are the clips that a stage may draw: the kept and the labelled clips of each selection (`load_clips`), and the
clips of the frozen mixtures. A materialized shard may hold only clips that its selection keeps, in their split. Models
that train on whole splits, before there is a selection, must have been trained with the same splitting, and on splits
that parts cut since have not changed. Memory holds one word per video, and one per materialized clip.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.copies import duplicate_groups
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import SplittingConfig, part_splits, shared_splits
from pipeline.clips.withdrawing import read_withdrawn
from pipeline.config import from_dict
from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.selections import DRAWN_REASONS, SELECTIONS
from schemas.videos import SPLITS

COPIED = ["clip_id", "video_id", "split"]  # what a materialized clip has in common with its selection


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What was checked: every video, and every group, is in one split."""

    num_videos: int
    num_groups: int
    """Groups of near-duplicate videos, of all selections together."""
    num_uses: int
    """Pairs of a video and a part that uses it."""
    withdrawn: dict[str, int]
    """By the stage of shards that have some: clips that its selection kept and refuses for their video's rights now."""

    def __str__(self) -> str:
        return (
            f"audit of the whole workspace: {self.num_videos} videos, {self.num_groups} groups of duplicates, "
            f"{self.num_uses} uses: none in two splits"
            + "".join(f"; {count} clips in {stage} are refused now" for stage, count in self.withdrawn.items())
        )


def audit(workspace: Workspace) -> Audit:
    """Check every use of every video.

    A group that one selection found counts for all: a selection without duplicates may have torn it apart.

    Raises:
        DataError: a video, or a group of duplicates, is in two splits; the message names both places. Or a model was
            given other splits, or a shard holds what its selection does not keep.
    """
    _check_shares(workspace)
    groups = duplicate_groups(workspace)
    num_uses, videos = 0, set[str]()
    seen: dict[str, tuple[str, str, str]] = {}  # by group: split, video and part of its first use
    for place, video, split in _uses(workspace):
        if split not in SPLITS:
            raise DataError(f"{place}, video {video}: split `{split}`, expected {', '.join(SPLITS)}. Make it again.")
        num_uses += 1
        videos.add(video)
        found, other, where = seen.setdefault(groups.get(video, video), (split, video, place))
        if found != split:
            what = f"video {video}" if video == other else f"videos {other} and {video}, uploads of the same content"
            raise DataError(
                f"{what}: {found} in {where}, {split} in {place}. What one model trains on would evaluate another, or "
                "itself. Make all of a workspace with the same splitting and duplicates.similarity, each part "
                "once; or remove what was made with others."
            )
    withdrawn = {}
    for selection in workspace.names("materialized"):
        if count := check_copies(workspace, selection):
            withdrawn[f"materialized/{selection}"] = count
    return Audit(len(videos), len(set(groups.values())), num_uses, withdrawn)


def _check_shares(workspace: Workspace) -> None:
    """Raise a DataError if two of the selections, and of the models that train on whole splits, split differently."""
    known: dict[str, SplittingConfig] = {}
    for folder in [f"{kind}/{name}" for kind in ("selections", "models") for name in workspace.names(kind)]:
        settings = workspace.stage(folder)["settings"] if workspace.has_stage(folder) else {}
        if "splitting" in settings and settings.get("selection") is None:
            known[folder] = from_dict(SplittingConfig, settings["splitting"])
            _check_begun(workspace, folder, known[folder])
    for (other, expected), (folder, splitting) in itertools.pairwise(known.items()):
        if splitting != expected:
            raise DataError(
                f"{workspace.place(folder)}: made with {splitting}, {other} with {expected}. What one trains on is "
                "the other's test. Remove one of them and what was made from it, and make it with the same splitting."
            )


def _check_begun(workspace: Workspace, folder: str, splitting: SplittingConfig) -> None:
    """Raise a DataError if a copy in an earlier part, cut since a model began, moved a video that it trained on."""
    uri, cut = workspace.record_uri(folder, "parts"), cut_parts(workspace)
    begun = json.loads(files.read_bytes(uri)) if files.exists(uri) else []
    if begun == cut[: len(begun)]:  # later parts change no split of earlier ones
        return
    there = [part for part in begun if part in cut]
    then, now = (shared_splits(workspace, splitting, parts) for parts in (there, cut))
    for part in there:
        after = part_splits(workspace, part, splitting, now)
        for video, split in part_splits(workspace, part, splitting, then).items():
            if after[video] != split:
                raise DataError(
                    f"{workspace.uri(folder)}: began with video {video} as {split}, and a video of the same content in "
                    f"a part that was cut later makes it {after[video]}. Remove the model and what was made from it, "
                    "and train it again."
                )


def _uses(workspace: Workspace) -> Iterator[tuple[str, str, str]]:
    """(part, video, split), each once."""
    for selection in workspace.names("selections"):
        columns = ["video_id", "split", "kept", "label", "reason"]
        for place, rows in _parts(workspace, f"selections/{selection}", SELECTIONS, columns):
            may_be_drawn = pc.is_in(rows["reason"], pa.array(DRAWN_REASONS))
            is_drawn = pc.or_(rows["kept"], pc.and_(pc.is_valid(rows["label"]), may_be_drawn))
            yield from _distinct(place, rows.filter(is_drawn))
    for name in workspace.names("mixtures"):
        columns = ["first_clip_id", "sound_clip_id", "second_clip_id", "split"]
        for place, rows in _parts(workspace, f"mixtures/{name}", MIXTURES, columns):
            for column in columns[:3]:
                clips = rows.filter(pc.is_valid(rows[column]))
                # clip_id: <video_id>_<ms>, and _<spec> but for base
                videos = pc.replace_substring_regex(clips[column], "_[0-9]+(_[a-z]+)?$", "")
                yield from _distinct(place, pa.table({"video_id": videos, "split": clips["split"]}))


def check_copies(workspace: Workspace, selection: str) -> int:
    """Raise a DataError unless each materialized clip is one that the selection keeps, in its split, and there once.

    Missing clips are allowed: shards may be half written, and a selection grows before its shards do. So are clips that
    it refuses now of videos that `read_withdrawn` names; return how many there are.
    """
    folder, source = f"materialized/{selection}", f"selections/{selection}"
    shards = [_hashes(rows) for _, rows in _parts(workspace, folder, MATERIALIZED, COPIED)]
    if not sum(map(len, shards)):
        return 0
    hashes, counts = np.unique(np.concatenate(shards), return_counts=True)
    is_kept, is_withdrawn = np.zeros((2, len(hashes)), bool)
    # whatever rule refuses their clips now: users have rules of their own about licences and authors
    withdrawn = pa.array(read_withdrawn(workspace, source), pa.string())
    for _, rows in _parts(workspace, source, SELECTIONS, [*COPIED, "kept"]):
        of_rights = pc.and_(pc.is_in(rows["video_id"], withdrawn), pc.invert(rows["kept"]))
        for mask, found in ((is_kept, rows["kept"]), (is_withdrawn, of_rights)):
            wanted = _hashes(rows.filter(found))
            at = np.searchsorted(hashes, wanted)
            at[at == len(hashes)] = 0
            mask[at[hashes[at] == wanted]] = True
    is_kept |= is_withdrawn
    for wrong, what in ((~is_kept, f"are none that {source} keeps, or in another split"), (counts > 1, "are repeated")):
        if wrong.any():
            raise DataError(
                f"{workspace.place(folder)}: {wrong.sum()} of {len(hashes)} clips {what}. Remove the folder, and "
                "materialize the selection again."
            )
    return int(is_withdrawn.sum())


def _hashes(rows: pa.Table) -> np.ndarray:
    """[n] int64, equal for equal rows of COPIED within this process: 8 bytes instead of a clip's name."""
    values = zip(*(rows[name].to_pylist() for name in COPIED), strict=True)
    return np.fromiter(map(hash, values), np.int64, len(rows))


def _parts(workspace: Workspace, folder: str, schema: pa.Schema, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    for part in workspace.parts(folder):
        yield f"{folder}/{part}", workspace.read(folder, part, schema, columns)


def _distinct(place: str, rows: pa.Table) -> Iterator[tuple[str, str, str]]:
    """The place with each (video_id, split) of the rows once."""
    found = rows.group_by(["video_id", "split"], use_threads=False).aggregate([])
    yield from ((place, *pair) for pair in zip(found["video_id"].to_pylist(), found["split"].to_pylist(), strict=True))
