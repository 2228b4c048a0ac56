"""Clips of mouths of a synthetic world: what a model of lip reading makes of them, and what the truth knows of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.clips.samples import Clip
from pipeline.evaluation.lipreading_evaluation import BATCH_SIZE
from pipeline.learners.loading import load_model
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.scenes import Scene, Word
from pipeline.synthetic.truth import SCENES
from pipeline.training.batching import ClipSet


@dataclass
class Utterance:
    """One clip of a mouth, what a model makes of it, and what is known of it."""

    clip: Clip
    scene: Scene
    source: int | None
    """Number of the speaker among the scene's sources; None of a face that never speaks."""
    person: int
    lips: torch.Tensor
    """[T, D] unit embeddings of the short scale, and so is the next; those of the long scale are [E]."""
    speech: torch.Tensor
    clip_lips: torch.Tensor
    clip_speech: torch.Tensor

    @property
    def video(self) -> str:
        return self.scene.name

    @property
    def start_s(self) -> float:
        return float(self.clip.facts["start_s"])

    @property
    def words(self) -> list[Word]:
        """Words of this person that lie in the clip as a whole."""
        end_s = self.start_s + self.clip.facts["duration_s"]
        said = self.scene.sources[self.source].words if self.source is not None else ()
        return [word for word in said if word.start_s >= self.start_s and word.end_s <= end_s]

    @property
    def spoken_s(self) -> float:
        """Seconds of this person's words in the clip, of parts of words too."""
        end_s = self.start_s + self.clip.facts["duration_s"]
        said = self.scene.sources[self.source].words if self.source is not None else ()
        return sum(max(0.0, min(word.end_s, end_s) - max(word.start_s, self.start_s)) for word in said)


class Judge:
    """A model, and what it makes of clips."""

    def __init__(self, workspace: Workspace, model: str, is_untrained: bool) -> None:
        self.learner, self.network = load_model(workspace, model, "lipreading")
        if is_untrained:
            torch.manual_seed(0)
            self.network = self.learner.model().to(next(self.network.parameters()).device)
        self._square = float(workspace.stage("clips/speech")["settings"]["clips"]["speech"]["decode_side"])
        self._scenes: dict[str, Scene] = {}

    def utterances(self, clips: ClipSet[Clip], numbers: np.ndarray) -> Iterator[Utterance]:
        """Some clips, embedded."""
        for at in range(0, len(numbers), BATCH_SIZE):
            batch = clips.read_many(numbers[at : at + BATCH_SIZE])
            frames, waveform = (np.stack(side) for side in zip(*((c.frames, c.waveform) for c in batch), strict=True))
            lips, speech = self.learner.embed(self.network, torch.from_numpy(frames), torch.from_numpy(waveform))
            for place, clip in enumerate(batch):
                scene = self._scene(clip)
                embedded = (side[place].cpu() for side in (lips.steps, speech.steps, lips.clip, speech.clip))
                yield Utterance(clip, scene, *whose(clip, scene, self._square), *embedded)

    def _scene(self, clip: Clip) -> Scene:
        """The plan of the video that a clip is of."""
        video = Path(clip.facts["uri"])
        if video.stem not in self._scenes:
            path = video.parent.parent / "truth" / video.stem / "scene.json"
            self._scenes[video.stem] = SCENES.validate_python(json.loads(path.read_text()))
        return self._scenes[video.stem]


def whose(clip: Clip, scene: Scene, square: float) -> tuple[int | None, int]:
    """Whose mouth a clip follows, by where its crops lie: number of the source, None of a silent face; the person."""
    transforms = np.array(clip.facts["transforms"])
    side = clip.frames.shape[-1]
    x = np.median(transforms @ np.array([side / 2, side / 2, 1, 0, 0, 0]))  # in the decoded square, padded to its side
    scale = square / max(scene.width, scene.height)
    x = (x - (square - scale * scene.width) / 2) / scale / scene.width
    faces = [(number, source.thing) for number, source in enumerate(scene.sources) if source.thing]
    everybody = [*faces, *((None, thing) for thing in scene.still)]
    number, thing = min(everybody, key=lambda face: abs(face[1].x - x))
    assert thing.identity is not None
    return number, thing.identity
