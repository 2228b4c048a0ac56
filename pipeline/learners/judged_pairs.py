"""Pairs of a picture and a sound that people judged, with the embeddings that a model gives both, as a `ClipSet`.

A pair is in a split if both of its videos are: one whose picture is of a training video and whose sound of a held-out
one would give the latter away to a classifier, so it is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig, drawn_splits, shared_splits
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.pair_files import read_pairs
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.scores import SCORES
from schemas.videos import VIDEOS

SIDES = ("picture", "sound")
MAX_NAMED = 5
Key = tuple[str, int | None]
"""A clip_id and None, or the address of a video and a clip's start in milliseconds."""


class JudgedPair(NamedTuple):
    """One row of a table of pairs."""

    row: int
    """From 1, without the header."""
    picture: Key
    sound: Key
    match: bool


class Embedded(NamedTuple):
    """What is known of one clip."""

    clip_id: str
    video_id: str
    split: str | None
    """None: its owner refuses training."""
    visual: np.ndarray
    """[D] float32"""
    audio: np.ndarray
    """[D] float32"""


class PairSet(ClipSet[Clip]):
    """Judged pairs, a row each; its video is the picture's.

    Args:
        workspace: the root's.
        rows: clip_id, video_id, sound_clip_id, sound_video_id and match of each.
        visual, audio: [pairs, D] float32 unit embeddings of the picture and of the sound.
    """

    def __init__(self, workspace: Workspace, rows: pa.Table, visual: np.ndarray, audio: np.ndarray) -> None:
        super().__init__(workspace, CLIPS_FOLDER, rows)
        self.visual, self.audio = visual, audio
        self.match = np.asarray(rows["match"].to_pylist(), np.float32)


def load_pairs(
    workspace: Workspace,
    uri: str,
    model: str,
    splits: Sequence[str],
    splitting: SplittingConfig,
    parts: Sequence[str],
) -> list[PairSet]:
    """The judged pairs of each of the splits.

    Args:
        uri: of the table of pairs.
        model: whose embeddings are taken, from scores/<model>.
        parts: of clips.
    Raises:
        ConfigError: the table lacks a column, a value, or one of both judgements, also among training videos; a row is
            of no scored clip, or several are of one pair; or the table cannot be read.
    """
    pairs = read_judged(uri)
    clips = _find_clips(workspace, model, {key for pair in pairs for key in pair[1:3]}, splitting, parts)
    unknown = [(pair.row, key) for pair in pairs for key in pair[1:3] if key not in clips]
    if unknown:
        named = ", ".join(f"row {row}: {_format(key)}" for row, key in unknown[:MAX_NAMED])
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        raise ConfigError(f"pairs {uri}: no clip that {model} has scored has the name in {named}{more}.")
    found = [(clips[pair.picture], clips[pair.sound], pair) for pair in pairs]
    _check_twice(uri, [((seen.clip_id, heard.clip_id), pair.row) for seen, heard, pair in found])
    sets = []
    for split in splits:
        within = [of for of in found if of[0].split == split and of[1].split == split]
        if split == "train" and len({pair.match for _, _, pair in within}) < 2:
            raise ConfigError(
                f"pairs {uri}: of {len(pairs)} pairs, {len(within)} are of training videos on both sides, and all of "
                "these are judged alike. Expected some that match and some that do not."
            )
        sets.append(_pair_set(workspace, within))
    return sets


def read_judged(uri: str) -> list[JudgedPair]:
    """The rows of a table of pairs that have a `match`. Raises as `load_pairs`."""
    pairs = read_pairs(uri, lambda names: names)  # an address without a start names no one clip: each is a clip_id
    found, folders = [], dict[str, str]()
    for number, pair in enumerate(pairs, start=1):
        if empty := [side for side in SIDES if not getattr(pair, side)]:
            raise ConfigError(f"pairs {uri}, row {number}: no {' and no '.join(empty)}.")
        if pair.match is not None:
            picture = _key(pair.picture, pair.picture_start_s, folders)
            sound = _key(pair.sound, pair.sound_start_s, folders)
            found.append(JudgedPair(number, picture, sound, bool(pair.match)))
    kinds = {pair.match for pair in found}
    if len(kinds) < 2:
        of = f"match is {int(kinds.pop())} in all {len(found)} judged" if found else f"no match in {len(pairs)}"
        raise ConfigError(f"pairs {uri}: {of} rows. Expected both 0 and 1.")
    return found


def _key(name: str, start_s: float | None, folders: dict[str, str]) -> Key:
    """The key of a clip. Of a local address, the folder is resolved, links and all, as the collection does."""
    if start_s is None:
        return name, None
    if not name.startswith(files.SCHEMES):
        folder, _, file = name.rpartition("/")
        folders[folder] = folders.get(folder) or files.absolute(folder or ".", follow_links=True)
        name = files.join(folders[folder], file)
    return name, round(1000 * start_s)


def _find_clips(
    workspace: Workspace, model: str, keys: set[Key], splitting: SplittingConfig, parts: Sequence[str]
) -> dict[Key, Embedded]:
    """What is known of each key's clip, of those that are kept and scored."""
    found: dict[Key, Embedded] = {}
    ids = pa.array(sorted(name for name, start in keys if start is None), pa.string())
    uris = {name for name, start in keys if start is not None}
    shared, scored = shared_splits(workspace, splitting, parts), set(workspace.parts(f"scores/{model}"))
    for part in (part for part in parts if part in scored):
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id", "start_s"])
        keys_of: dict[str, list[Key]] = {}
        for clip_id in clips["clip_id"].filter(pc.is_in(clips["clip_id"], ids)).to_pylist():
            keys_of.setdefault(clip_id, []).append((clip_id, None))
        if uris:
            videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "uri"]).to_pylist()
            uri_of = {row["video_id"]: row["uri"] for row in videos if row["uri"] in uris}
            wanted = clips.filter(pc.is_in(clips["video_id"], pa.array(uri_of, pa.string())))
            for row in wanted.to_pylist():
                key = (uri_of[row["video_id"]], round(1000 * row["start_s"]))
                keys_of.setdefault(row["clip_id"], []).extend([key] if key in keys else [])
        keys_of = {clip_id: of for clip_id, of in keys_of.items() if of}
        if not keys_of:
            continue
        splits = drawn_splits(workspace, part, splitting, shared)
        columns = ["clip_id", "video_id", "visual_embedding", "audio_embedding"]
        scores = workspace.read(f"scores/{model}", part, SCORES, columns)
        is_wanted = pc.is_in(scores["clip_id"], pa.array(keys_of, pa.string()))
        for row in scores.filter(pc.and_(is_wanted, pc.is_valid(scores["visual_embedding"]))).to_pylist():
            vectors = [np.asarray(row[f"{side}_embedding"], np.float32) for side in ("visual", "audio")]
            clip = Embedded(row["clip_id"], row["video_id"], splits[row["video_id"]], *vectors)
            found |= dict.fromkeys(keys_of[clip.clip_id], clip)
    return found


def _check_twice(uri: str, pairs: list[tuple[tuple[str, str], int]]) -> None:
    rows: dict[tuple[str, str], list[int]] = {}
    for pair, row in pairs:
        rows.setdefault(pair, []).append(row)
    twice = [f"{' and '.join(pair)} in rows {', '.join(map(str, of))}" for pair, of in rows.items() if len(of) > 1]
    if twice:
        raise ConfigError(
            f"pairs {uri}: several rows are about one pair: {'; '.join(twice[:MAX_NAMED])}. Expected one."
        )


def _pair_set(workspace: Workspace, found: list[tuple[Embedded, Embedded, JudgedPair]]) -> PairSet:
    columns = {
        "clip_id": pa.array([seen.clip_id for seen, _, _ in found], pa.string()),
        "video_id": pa.array([seen.video_id for seen, _, _ in found], pa.string()),
        "sound_clip_id": pa.array([heard.clip_id for _, heard, _ in found], pa.string()),
        "sound_video_id": pa.array([heard.video_id for _, heard, _ in found], pa.string()),
        "match": pa.array([pair.match for _, _, pair in found], pa.bool_()),
    }
    empty = np.zeros((0, 1), np.float32)
    visual = np.stack([seen.visual for seen, _, _ in found]) if found else empty
    audio = np.stack([heard.audio for _, heard, _ in found]) if found else empty
    return PairSet(workspace, pa.table(columns), visual, audio)


def _format(key: Key) -> str:
    return key[0] if key[1] is None else f"{key[0]} at {key[1] / 1000:g} s"
