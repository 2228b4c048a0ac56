"""Kept clips -> frozen evaluation sets: single mixtures and mixtures of mixtures, of held-out videos only.

| set | first mixture | second mixture | truth |
|---|---|---|---|
| on_single | an on-screen clip | - | all of it is on screen |
| off_single | a clip whose sound is off screen | - | none of it is |
| on_mom | an on-screen clip | the sound of another video | the first is on screen |
| off_mom | a clip whose sound is off screen | the sound of another video | none of it is |

With labels, on-screen clips are those labelled on_screen (LOn), off-screen ones those labelled off_screen (LOff).
Without, on-screen clips are the selection's (NOn) and off-screen ones are its frames with another video's sound (SOff);
`label_source` then says `coincidence`, or `unscored` where no model has scored the selection. Second mixtures are the
sounds of any clips of other videos, as in the lists of AudioScopeV2: whatever is seen in its own video, a second sound
is off screen here. Every clip is used before one is used again, and among these a clip of the video used least.
Mixtures are added without any gain; each is stored as its parts, so that no sum clips.
"""

import dataclasses
import itertools
import json
from typing import Any, Literal, cast

import numpy as np

from pipeline.clips.samples import Clip, encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.config import Count, config_dataclass
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.clipsets import load_clips
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES, MixtureRow
from schemas.samples import ExampleFacts, SourceFacts

EVAL_SETS = ("on_single", "off_single", "on_mom", "off_mom")


@config_dataclass
class MixingConfig:
    """How many frozen examples, and of which clips."""

    split: Literal["train", "validate", "test"] = "test"
    """The split whose videos they are from."""
    max_examples: Count = 2000
    """Most examples per set."""
    max_clips_per_video: Count = 5
    """Clips of one video used as first mixtures. Overlapping clips add examples that say the same."""
    moms_per_clip: Count = 5
    """Mixtures of mixtures per first clip, each with another second one."""
    second_sounds: Literal["any", "off_screen"] = "any"
    """any: of the split's kept and labelled clips. off_screen: with labels, of those labelled off_screen alone, as in
    the lists of AudioScope."""
    examples_per_part: Count = 500
    """Examples in one tar."""


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One example to render: clip numbers of a ClipSet, and its row of `schemas.mixtures.MIXTURES` but for the part."""

    first: int
    sound: int
    second: int | None
    row: dict[str, Any]


def plan_mixtures(
    workspace: Workspace, selection: str, config: MixingConfig, seed: int, label_source: str | None
) -> dict[str, list[Example]]:
    """Examples by part, a function of the selection and the seed.

    A set whose clips are missing has no part. `label_source` is the name of the label file that the workspace's labels
    come from, None if it has none.
    """
    clips, source = load_clips(workspace, selection, config.split, labelled=True), f"selections/{selection}"
    inputs = workspace.stage(source)["inputs"] if workspace.has_stage(source) else {"scores/": ""}
    without_labels = "coincidence" if any(name.startswith("scores/") for name in inputs) else "unscored"
    planned: dict[str, list[Example]] = {}
    for index, eval_set in enumerate(EVAL_SETS):
        rng = step_rng(seed, index)
        examples = itertools.islice(
            _plan_set(clips, eval_set, config, rng, label_source, without_labels), config.max_examples
        )
        for i, example in enumerate(examples):
            part = f"{eval_set}-{i // config.examples_per_part:05d}"
            facts = {"example_id": f"{eval_set}_{i:05d}", "eval_set": eval_set, "split": config.split}
            planned.setdefault(part, []).append(dataclasses.replace(example, row=example.row | facts))
    return planned


def _plan_set(
    clips: ClipSet[Clip],
    eval_set: str,
    config: MixingConfig,
    rng: np.random.Generator,
    label_source: str | None,
    without_labels: str,
) -> Any:
    labels = np.array(clips.rows.column("label").to_pylist(), dtype=object)
    kept = np.flatnonzero(clips.rows.column("kept").to_numpy(zero_copy_only=False))
    on, off = np.flatnonzero(labels == "on_screen"), np.flatnonzero(labels == "off_screen")
    labelled = label_source is not None and len(on) > 0 and len(off) > 0
    is_on, is_mom = eval_set.startswith("on"), eval_set.endswith("mom")
    kind = ("LOn" if is_on else "LOff") if labelled else ("NOn" if is_on else "SOff")
    firsts = (on if is_on else off) if labelled else kept
    any_sounds = np.arange(len(clips)) if labelled else kept
    seconds = Spread(clips, off if labelled and config.second_sounds == "off_screen" else any_sounds, rng)
    others = Spread(clips, kept, rng)
    for first in _per_video(clips, rng.permutation(firsts), config.max_clips_per_video):
        sounds = [first] if kind != "SOff" else others.take([first], 1)
        if not sounds:
            continue
        sound = sounds[0]
        for second in seconds.take([first, sound], config.moms_per_clip) if is_mom else [None]:
            row = {
                "kind": kind,
                "first_clip_id": clips.clip_id(first),
                "sound_clip_id": clips.clip_id(sound),
                "second_clip_id": None if second is None else clips.clip_id(second),
                "label_source": label_source if labelled else without_labels,
            }
            yield Example(first, sound, second, row)


def _per_video(clips: ClipSet[Clip], numbers: np.ndarray, most: int) -> list[int]:
    """The first `most` clips of each video, in the given order."""
    taken: dict[int, int] = {}
    chosen = []
    for number in numbers:
        video = int(clips.video_index[number])
        taken[video] = taken.get(video, 0) + 1
        if taken[video] <= most:
            chosen.append(int(number))
    return chosen


class Spread:
    """Gives out the clips of a pool evenly: those used least first, of these the clip of the video used least.

    What then is still equal is in an order drawn once.
    """

    def __init__(self, clips: ClipSet[Clip], pool: np.ndarray, rng: np.random.Generator) -> None:
        self._pool = rng.permutation(pool)
        self._videos = clips.video_index[self._pool]
        self._video_of, self._uses = clips.video_index, np.zeros(len(pool), np.int64)
        self._uses_of_video = np.zeros(clips.num_videos, np.int64)

    def take(self, not_of: list[int], count: int) -> list[int]:
        """`count` different clips, or all there are, from videos that none of the clips `not_of` is from."""
        allowed = ~np.isin(self._videos, self._video_of[not_of])
        taken = []
        for _ in range(min(count, int(allowed.sum()))):
            candidates = np.flatnonzero(allowed)
            least = candidates[self._uses[candidates] == self._uses[candidates].min()]
            place = least[np.argmin(self._uses_of_video[self._videos[least]])]  # of equals the first
            self._uses[place] += 1
            self._uses_of_video[self._videos[place]] += 1
            allowed[place] = False
            taken.append(int(self._pool[place]))
        return taken


class MixPart:
    """Renders one part of the frozen examples."""

    def __init__(self, workspace: Workspace, name: str, selection: str, config: MixingConfig, planned: Any) -> None:
        self._workspace, self._name, self._selection, self._config = workspace, name, selection, config
        self._planned: dict[str, list[Example]] = planned
        self._clips: ClipSet[Clip] | None = None

    def __call__(self, part: str) -> dict[str, int]:
        """Write the part's tar and rows; return how many examples."""
        if self._clips is None:
            self._clips = load_clips(self._workspace, self._selection, self._config.split, labelled=True)
        folder, clips = f"mixtures/{self._name}", self._clips
        rows = []
        with files.building(self._workspace.tar_uri(folder, part)) as path, TarWriter(path) as tar:
            for example in self._planned[part]:
                row = cast(MixtureRow, example.row | {"part": part})
                first, sound = clips.raw(example.first), clips.read(example.sound)
                second = None if example.second is None else clips.read(example.second)
                tar.add(row["example_id"], _members(first, sound, second, row))
                rows.append(row)
        self._workspace.commit(folder, part, from_rows(rows, MIXTURES, part), MIXTURES)
        return {"examples": len(rows)}


def _members(first: dict[str, bytes], sound: Clip, second: Clip | None, row: MixtureRow) -> dict[str, bytes]:
    """The first clip's frames as they are, the sounds as FLAC, and what is known of them as JSON."""
    members = {name: data for name, data in first.items() if name.endswith(".jpg")}
    rate_hz = sound.facts["sample_rate_hz"]
    members["first.flac"] = encode_flac(sound.waveform, rate_hz)
    if second is not None:
        members["second.flac"] = encode_flac(second.waveform, rate_hz)
    seen = json.loads(first["json"])
    clips = [seen, sound.facts, *([second.facts] if second else [])]
    sources = [{name: clip.get(name) for name in SourceFacts.__annotations__} for clip in clips]  # attribution
    facts: ExampleFacts = {
        **row,
        "sample_rate_hz": rate_hz,
        "frame_times_s": seen["frame_times_s"],
        "sources": cast(list[SourceFacts], sources),
    }
    members["json"] = json.dumps(facts, sort_keys=True).encode()
    return members
