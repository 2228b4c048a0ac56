"""Rows of the table `utterances`: what embeddings of a clip's lips and speech say of each other.

In: unit embeddings of clips, a row per frame of the picture (25 per second). Out: ranks of a clip's own sound among
others, at the short scale (0.2 s) and at the long one (a clip), and the offset of a sound that was moved on purpose.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.clips.samples import Clip
from pipeline.evaluation.evaluating import Row
from pipeline.hashing import hash_text
from pipeline.metrics.speaking import shifted_cosines
from pipeline.metrics.synchrony import found_offset

FRAME_MS = 40.0
FRAME_SAMPLES = 640  # of sound at 16 kHz, for each frame of the picture
WINDOW = 5  # frames: 0.2 s
EDGE = WINDOW // 2  # frames at both ends of a clip whose windows reach beyond it
NUM_LONG = 32  # clips of which a clip's own sound is found at the long scale
MAX_OFFSET = 10  # frames: planted offsets are of up to 400 ms, and so are those that are looked for
QUIET_DB, QUIET_BELOW_LOUDEST_DB = -60.0, 30.0
TINY = 1e-12


def ranks(scores: Tensor) -> Tensor:
    """[N] rank of each query's own counterpart, which is in its row's place on the diagonal of [N, N]; 1 is first.

    A counterpart that scores as high as others comes after them: a constant score finds nothing.
    """
    own = scores.diagonal()[:, None]
    return (scores >= own).sum(dim=1)


def short_ranks(lips: Tensor, speech: Tensor) -> tuple[list[int], list[int]]:
    """Of each window of a clip: the rank of its own sound by its lips, and of its own lips by its sound.

    Args:
        lips, speech: [T, D]. Windows of WINDOW frames lie end to end; each stands for its middle frame, whose embedding
            is of them all.
    """
    middles = slice(EDGE, len(lips) - EDGE, WINDOW)
    scores = lips[middles] @ speech[middles].T
    return ranks(scores).tolist(), ranks(scores.T).tolist()


def long_rank(query: Tensor, own: Tensor, others: Tensor) -> int:
    """Rank of a query's own counterpart [E] among the others [N, E] and itself; 1 is first."""
    return 1 + int((others @ query >= own @ query).sum())


def plant(waveform: Tensor, frames: int) -> Tensor:
    """What a clip holds of its sound [T] when that is made late by so many frames; below 0, early.

    The rest would have to come from before or after the clip, and is not there: |frames| * FRAME_SAMPLES are missing,
    at the start where the sound is late.
    """
    missing = abs(frames) * FRAME_SAMPLES
    return waveform[: len(waveform) - missing] if frames >= 0 else waveform[missing:]


def most_frames(num_frames: int) -> int:
    """The largest offset, in frames, that can be planted in a clip of so many frames and looked for in it."""
    return max(0, min(MAX_OFFSET, (num_frames - 2 * EDGE - 1) // 2))


def find_planted(lips: Tensor, speech: Tensor, frames: int) -> tuple[int, float]:
    """The offset that is found where one of so many frames was planted, and its confidence.

    Only frames of which both are there are compared, 26 of 50 or more, so nothing but what is said betrays the offset.
    Embeddings nearer than EDGE to the ends of what was embedded are left out: half of what they are of is not there.

    Args:
        lips: [T, D].
        speech: [T - |frames|, D] of what `plant` gives.
    """
    most = most_frames(len(lips))
    seen = torch.full_like(lips, torch.nan)
    seen[EDGE:-EDGE] = lips[EDGE:-EDGE]
    heard = torch.full((len(lips) + 2 * most, lips.shape[1]), torch.nan, device=lips.device)
    first = most + max(0, frames)
    heard[first + EDGE : first + len(speech) - EDGE] = speech[EDGE:-EDGE]
    found, confidence = found_offset(shifted_cosines(seen, heard).nanmean(dim=0))
    return int(found), float(confidence)


def sounding_s(waveform: np.ndarray) -> float:
    """Seconds of a sound [T] at 16 kHz, in frames of 40 ms, that are not quiet: QUIET_BELOW_LOUDEST_DB or more below
    the loudest frame, or below QUIET_DB re full scale."""
    frames = waveform[: len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    level_db = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + TINY)
    floor_db = max(QUIET_DB, level_db.max(initial=-np.inf) - QUIET_BELOW_LOUDEST_DB)
    return float((level_db > floor_db).sum() * FRAME_MS / 1000)


class Utterances:
    """What a model makes of clips, beside a gallery of clips of other videos. Embeds the gallery when it is made.

    Args:
        learner: has `embed(model, frames, waveform)` and `embed_speech(model, waveform)`.
        model: its network.
        gallery: clips of different videos, in batches.
        seed: of the others of each clip, of planted offsets, and of the moment whose embeddings are kept.
    """

    def __init__(self, learner: Any, model: Any, gallery: Iterable[Sequence[Clip]], seed: int) -> None:
        self._learner, self._model, self._seed = learner, model, seed
        self._device = next(model.parameters()).device
        self._videos: list[str] = []
        found: list[tuple[Tensor, Tensor]] = []
        for clips in gallery:
            lips, speech = self.embed(clips)
            found.append((lips.clip, speech.clip))
            self._videos += [clip.facts["video_id"] for clip in clips]
        self._lips, self._speech = (torch.cat(side) for side in zip(*found, strict=True))

    def embed(self, clips: Sequence[Clip]) -> tuple[Any, Any]:
        """Embeddings of the lips and of the speech of some clips, which go through the network together."""
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(self._device)
        waveform = torch.from_numpy(np.stack([clip.waveform for clip in clips])).to(self._device)
        return self._learner.embed(self._model, frames, waveform)

    def rows(self, clips: Sequence[Clip]) -> list[Row]:
        """A row of each clip."""
        lips, speech = self.embed(clips)
        rows = []
        for number, clip in enumerate(clips):
            rng = np.random.default_rng([self._seed, hash_text(clip.key)])
            row = facts_row(clip) | self._of_steps(lips.steps[number], speech.steps[number], rng)
            others = self._draw_others(clip.facts["video_id"], rng)
            row["rank_long"] = long_rank(lips.clip[number], speech.clip[number], self._speech[others])
            row["rank_long_lips"] = long_rank(speech.clip[number], lips.clip[number], self._lips[others])
            row["num_long"] = 1 + len(others)
            most = most_frames(lips.steps.shape[1])
            row["planted_ms"] = FRAME_MS * int(rng.integers(-most, most + 1))
            rows.append(row)
        self._find_planted(clips, lips.steps, rows)
        return rows

    def _of_steps(self, lips: Tensor, speech: Tensor, rng: np.random.Generator) -> Row:
        """Of one clip [T, D] twice: ranks of the short scale, and embeddings."""
        of_sound, of_lips = short_ranks(lips, speech)
        step = int(rng.integers(EDGE, len(lips) - EDGE))
        return {
            "rank_short": of_sound,
            "rank_short_lips": of_lips,
            "lips_mean": lips[EDGE:-EDGE].mean(dim=0).tolist(),
            "speech_mean": speech[EDGE:-EDGE].mean(dim=0).tolist(),
            "lips_step": lips[step].tolist(),
            "speech_step": speech[step].tolist(),
        }

    def _draw_others(self, video: str, rng: np.random.Generator) -> Tensor:
        """Numbers of clips of the gallery, none of this video: NUM_LONG - 1 where there are as many."""
        others = np.array([number for number, other in enumerate(self._videos) if other != video], np.int64)
        return torch.from_numpy(rng.permutation(others)[: NUM_LONG - 1]).to(self._device)

    def _find_planted(self, clips: Sequence[Clip], lips: Tensor, rows: list[Row]) -> None:
        """Plant each row's offset in its clip's sound, and add what is found. Sounds of one length go together."""
        planted = [round(row["planted_ms"] / FRAME_MS) for row in rows]
        for missing in sorted({abs(frames) for frames in planted}):
            numbers = [number for number, frames in enumerate(planted) if abs(frames) == missing]
            sounds = [plant(torch.from_numpy(clips[number].waveform), planted[number]) for number in numbers]
            speech = self._learner.embed_speech(self._model, torch.stack(sounds).to(self._device)).steps
            for number, heard in zip(numbers, speech, strict=True):
                found, confidence = find_planted(lips[number], heard, planted[number])
                rows[number] |= {"found_ms": FRAME_MS * found, "confidence": confidence}


def facts_row(clip: Clip) -> Row:
    """What a clip's row says of it without a model."""
    speaker = (clip.facts.get("extra") or {}).get("speaker")
    return {
        "clip_id": clip.key,
        "video_id": clip.facts["video_id"],
        "track": clip.facts.get("track"),
        "speaker": None if speaker is None else str(speaker),
        "sound_s": sounding_s(clip.waveform),
    }
