"""Evaluation of masks of what sounds: frames of the test split that have one -> rows -> figures beside trivial masks.

Each frame is judged with its clip's own sound, muted, and with the sound of another test video, chosen by the seed. The
truth stays the same, so what the last two lose is what the sound brings: a model that looks only loses nothing.

| set | of |
|---|---|
| test, muted, swapped | the model with each of the sounds |
| empty_mask, full_mask | a mask of nothing, and one of the whole picture, for the same frames |
| ellipse | a centred one, as large as the masks of training videos are on average where something sounds |

| metric | meaning |
|---|---|
| miou | mean over frames of intersection over union |
| official_miou | AVSBench's: the same by batches of 4 clips as they are listed, then the mean of batches |
| f | F of all frames in which something sounds, averaged, at its best threshold |
| official_f | AVSBench's: the same by batches of 4 clips, with a threshold of its own for each, then their mean |

Batches change the official figures (`metrics/mask_overlap.py`); the others have intervals over videos. A test video
that has a duplicate in another split is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import DataError
from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.evaluation.frame_rows import (
    TRIVIAL,
    frame_rows,
    mask_shares,
    peak_interval,
    stored_curves,
    trivial_figures,
)
from pipeline.hashing import hash_json, hash_text
from pipeline.learners.loading import load_model
from pipeline.metrics.mask_overlap import BATCH_CLIPS, batched_peak, peak
from pipeline.storage.layout import MASKS_FOLDER
from schemas.frames import FRAMES, MUTED, OWN, SOUNDS, SWAPPED
from schemas.masks import KEPT, MASKS
from schemas.reports import SummaryRow

SPEC = "segmentation"
TEST = "test"
BATCH_SIZE = 4  # clips that go through the network at once


def _best_trivial(metric: str) -> Any:
    def baseline(figures: Mapping[Any, Any]) -> float | None:
        return max((value for name in TRIVIAL if (value := figures[name, metric]) is not None), default=None)

    return baseline


class MaskEvaluation(Evaluation):
    """Its source is the clips; parts without masks wait for theirs. Loads model and clips at its first part."""

    tables = (FRAMES,)
    headlines = (
        Headline(VALIDATION, "validate_iou", "what sounds in a picture, mIoU, validation", lambda figures: None, ""),
        Headline(TEST, "miou", "what sounds in a picture, mIoU", _best_trivial("miou"), "best of trivial masks"),
        Headline(TEST, "miou", "the same", lambda figures: figures[SWAPPED, "miou"], "with another video's sound"),
        Headline(TEST, "f", "the same, F", _best_trivial("f"), "best of trivial masks"),
        Headline(
            *(TEST, "official_miou", "mIoU as AVSBench has it, in batches of 4"),
            *(_best_trivial("official_miou"), "best of trivial masks"),
        ),
        Headline(
            *(TEST, "official_f", "F as AVSBench has it, in batches of 4"),
            *(_best_trivial("official_f"), "best of trivial masks"),
        ),
    )
    columns: ClassVar = {"miou": "mIoU", "official_miou": "mIoU, official", "f": "F", "official_f": "F, official"}
    source = f"clips/{SPEC}"

    def __init__(self, workspace: Any, model: str, mixtures: str = "default", seed: int = 0) -> None:
        super().__init__(workspace, model, mixtures, seed)
        self._loaded: tuple[Any, Any, Any, Any, float] | None = None

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now, and the seed."""
        return {"splitting": self.trained()["splitting"], "seed": self.seed}

    def inputs(self) -> dict[str, str]:
        """Hash of each stage that is read, by folder; of the masks too, which may be replaced."""
        self.workspace.require(MASKS_FOLDER)
        return super().inputs() | {MASKS_FOLDER: self.workspace.stage(MASKS_FOLDER)["hash"]}

    def facts(self) -> Row:
        """A hash of which parts there are and which test videos are duplicates: there may be more of them later."""
        leaking = self.leaking()
        return {"seen": hash_json([self.workspace.parts(self.source), self._labelled(), sorted(leaking)])}

    def pending(self) -> list[str]:
        """Parts without rows that have masks: others wait for theirs, and would have no row for good."""
        labelled = set(self._labelled())
        return [part for part in super().pending() if part in labelled]

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """Rows of each frame with a mask of a part's test clips, clip by clip, with each of SOUNDS."""
        self._loaded = self._loaded or self._load()
        clips = self._loaded[2]
        numbers = np.flatnonzero(pc.equal(clips.rows["part"], part))
        rows: list[Row] = []
        for start in range(0, len(numbers), BATCH_SIZE):
            rows += self._rows(clips.read_many(numbers[start : start + BATCH_SIZE]))
        return {"frames": rows}

    def summarise(self) -> list[SummaryRow]:
        """Both forms of both figures, of the model with each sound and of each trivial mask."""
        rows = self.workspace.read_all(self.table(FRAMES), FRAMES)
        leaking = self.leaking()
        rows = rows.filter(pc.invert(pc.is_in(rows["video_id"], pa.array(sorted(leaking), pa.string()))))
        of_sound = {sound: rows.filter(pc.equal(rows["sound"], sound)) for sound in SOUNDS}
        found: list[SummaryRow] = []
        for name, sound in ((TEST, OWN), (MUTED, MUTED), (SWAPPED, SWAPPED)):
            iou, curves = of_sound[sound]["iou"].to_numpy(), stored_curves(of_sound[sound])
            found += self._figures(name, iou, curves, of_sound[sound])
        for name, (iou, curves) in trivial_figures(of_sound[OWN]).items():
            found += self._figures(name, iou, curves, of_sound[OWN])
        return found

    def _figures(self, eval_set: str, iou: np.ndarray, curves: np.ndarray, rows: pa.Table) -> Iterator[SummaryRow]:
        clip_ids, videos = rows["clip_id"].to_numpy(), rows["video_id"].to_numpy()
        batches = np.cumsum(np.append(True, clip_ids[1:] != clip_ids[:-1])[: len(clip_ids)]) - 1
        batches //= BATCH_CLIPS
        for metric, values in (("miou", iou[:, None]), ("f", curves)):
            count = int((~np.isnan(values[:, 0])).sum())
            exact, official = peak(values), batched_peak(values, batches)
            interval = peak_interval(values, videos)
            yield self.summary_row(eval_set, metric, None if np.isnan(exact) else exact, "1", count, interval)
            yield self.summary_row(eval_set, f"official_{metric}", None if np.isnan(official) else official, "1", count)

    def _rows(self, clips: Sequence[Any]) -> list[Row]:
        """Rows of some clips, which go through the network together, once with each sound."""
        import torch  # here, because evaluations are listed without it

        assert self._loaded is not None
        learner, model, _, others, share = self._loaded
        device = next(model.parameters()).device
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device).float() / 255
        heard = {OWN: [(clip.key, clip.waveform) for clip in clips]}
        heard[MUTED] = [(None, np.zeros_like(clip.waveform)) for clip in clips]
        heard[SWAPPED] = [self._other_sound(clip, others) for clip in clips]
        rows: dict[tuple[str, str], list[Row]] = {}
        for sound, of_clips in heard.items():
            known = [number for number, (_, waveform) in enumerate(of_clips) if waveform is not None]
            if not known:
                continue
            waveform = torch.from_numpy(np.stack([of_clips[number][1] for number in known])).to(device)
            with torch.inference_mode():
                scores = learner.predict(model, frames[known], waveform).float().cpu().numpy()
            if not np.isfinite(scores).all():
                raise DataError(f"model {self.model}: its probabilities are not finite. Train it again.")
            for number, of_clip in zip(known, scores, strict=True):
                rows[clips[number].key, sound] = frame_rows(clips[number], of_clip, sound, of_clips[number][0], share)
        return [row for clip in clips for sound in SOUNDS for row in rows.get((clip.key, sound), ())]

    def _other_sound(self, clip: Any, others: Any) -> tuple[str | None, np.ndarray | None]:
        """A clip of another test video and its sound [T]; None where there is no other video."""
        candidates = np.flatnonzero(others.rows["video_id"].to_numpy() != clip.facts["video_id"])
        if not len(candidates):
            return None, None
        number = np.random.default_rng([self.seed, hash_text(clip.key)]).choice(candidates)
        (other,) = others.open_many([number])
        return other.key, other.take_sound(0, len(clip.waveform))

    def _labelled(self) -> list[str]:
        return self.workspace.parts(MASKS_FOLDER)

    def _load(self) -> tuple[Any, Any, Any, Any, float]:
        """The learner, its network, the test clips with masks, those whose sound is lent, and the ellipse's share.

        Sounds are lent by the parts that the model was trained with: later ones would change which one a clip gets.
        """
        from pipeline.learners.sources import load_sets  # here, because evaluations are listed without torch
        from pipeline.training.clipsets import begun_with, load_splits

        learner, model = load_model(self.workspace, self.model, SPEC)
        settings, parts = self.trained(), self.workspace.parts(self.source)
        (clips,) = load_sets(self.workspace, learner, settings, (TEST,), parts)
        began = begun_with(self.workspace, f"models/{self.model}", self.source, is_finished=True)
        splitting = from_dict(SplittingConfig, settings["splitting"])
        (others,) = load_splits(self.workspace, (TEST,), splitting, began, SPEC)
        return learner, model, clips, others, self._mean_share()

    def _mean_share(self) -> float:
        """Mean share of the picture that true masks of training videos have where something sounds; 0 without any."""
        splits = self.splits()
        rows = self.workspace.read_all(MASKS_FOLDER, MASKS)
        rows = rows.filter(pc.equal(rows["outcome"], KEPT)).to_pylist()
        shares = mask_shares([row for row in rows if splits.get(row["video_id"]) == "train"])
        return float(np.mean(shares)) if shares else 0.0
