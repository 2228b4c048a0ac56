"""Evaluation of lip reading: clips of mouths of the test split -> which sound their lips find -> figures beside chance.

| metric | meaning |
|---|---|
| short_sound_recall_at_1 | windows of 0.2 s whose lips score their own sound above those of all windows of the clip |
| short_lips_recall_at_1 | the same of windows whose sound scores its own lips highest |
| long_sound_recall_at_1, long_lips_recall_at_1 | the same of whole clips, among 32 of different videos |
| short_chance, long_chance | what equal scores would reach |
| offset_found | clips with a second of sound, made late or early by up to 400 ms, of which 40 ms or less is missed |
| offset_chance | what a drawn offset would reach |
| identity_probe | who is seen, by a linear classifier of the mean embedding of lips: less is better |
| identity_chance | of always saying the commonest one |
| modality_probe | lips or speech, by a linear classifier of single embeddings: less is better; chance is 0.5 |
| lips_verification_eer | equal error rate of pairs of clips of one identity against pairs of two: more is better |
| speech_verification_eer | the same of what is heard; both compare the cosines of mean embeddings, chance is 0.5 |

Intervals are over videos (`metrics/bootstrap.py`). A test video that has a duplicate in another split is left out.

An identity is what the collection's column `speaker` says. Where it has none, it is the video: then the classifier is
tried on other clips of the same videos, and pairs of one identity are of one video, so what stays the same from clip to
clip, such as light, counts as identity too. Of each video only the face with the most clips takes part. Classifiers are
fresh ones, fitted to some of the test clips and tried on others (`metrics/linear_probe.py`).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import DataError
from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.evaluation.identities import NUM_FOLDS, draw_clips, draw_pairs, probed_identities, to_embeddings
from pipeline.hashing import hash_json
from pipeline.learners.loading import load_model
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.linear_probe import predict_by_probe
from pipeline.metrics.verification import equal_error_rate
from schemas.reports import SummaryRow
from schemas.utterances import UTTERANCES

LEARNER, SPEC = "lipreading", "speech"
TEST = "test"
BATCH_SIZE = 16  # clips that go through the network at once
GALLERY_VIDEOS = 128  # from which the others of each clip are drawn
MIN_SOUND_S = 1.0  # of a clip whose offset counts
FOUND_MS = 40.0
STEP_MS = 40.0  # between offsets that are planted and looked for
CHANCE = 0.5
NOTHING_KNOWN = "perfect, as chance is here"  # what adversaries are to reach, and nothing exceeds


def _chance(name: str) -> Any:
    return lambda figures: figures[name]


class LipreadingEvaluation(Evaluation):
    """Its source is the clips of mouths. Loads model and clips at its first part and keeps them."""

    tables = (UTTERANCES,)
    headlines = (
        Headline(
            *(VALIDATION, "validate_short_recall", "lips find their sound of 0.2 s first, R@1, validation"),
            *(0.1, "chance"),
        ),
        Headline(
            *(TEST, "short_sound_recall_at_1", "lips find their sound of 0.2 s first, R@1, among 10 of a clip"),
            *(_chance("short_chance"), "chance"),
        ),
        Headline(
            *(TEST, "long_sound_recall_at_1", "lips find their clip's sound first, R@1, among 32 videos"),
            *(_chance("long_chance"), "chance"),
        ),
        Headline(
            *(TEST, "offset_found", "offset of a sound moved by up to 400 ms, found within 40 ms"),
            *(_chance("offset_chance"), "chance"),
        ),
        Headline(
            *(TEST, "identity_probe", "who is seen, read from what is known of lips: less is better"),
            *(_chance("identity_chance"), NOTHING_KNOWN),
        ),
        Headline(
            *(TEST, "modality_probe", "lips or speech, read from an embedding: less is better"),
            *(CHANCE, NOTHING_KNOWN),
        ),
        Headline(
            *(TEST, "lips_verification_eer", "same speaker or not, equal errors: more is better"),
            *(CHANCE, NOTHING_KNOWN),
        ),
    )
    columns: ClassVar = {
        "short_sound_recall_at_1": "R@1 of 0.2 s, V->A",
        "short_lips_recall_at_1": "R@1 of 0.2 s, A->V",
        "short_chance": "chance of 0.2 s",
        "long_sound_recall_at_1": "R@1 of clips, V->A",
        "long_lips_recall_at_1": "R@1 of clips, A->V",
        "long_chance": "chance of clips",
        "offset_found": "offsets found",
        "offset_chance": "chance of offsets",
        "identity_probe": "identity probe",
        "identity_chance": "chance of identity",
        "modality_probe": "modality probe",
        "lips_verification_eer": "EER, lips",
        "speech_verification_eer": "EER, speech",
    }
    source = f"clips/{SPEC}"

    def __init__(self, workspace: Any, model: str, mixtures: str = "default", seed: int = 0) -> None:
        super().__init__(workspace, model, mixtures, seed)
        self._loaded: tuple[Any, Any] | None = None

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now, and the seed."""
        return {"splitting": self.trained()["splitting"], "seed": self.seed}

    def facts(self) -> Row:
        """A hash of which parts there are and which test videos are duplicates: there may be more of them later."""
        return {"seen": hash_json([self.workspace.parts(self.source), sorted(self.leaking())])}

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """A row of each test clip of a part."""
        clips, utterances = self._loaded = self._loaded or self._load()
        numbers = np.flatnonzero(pc.equal(clips.rows["part"], part))
        rows: list[Row] = []
        for start in range(0, len(numbers), BATCH_SIZE):
            rows += utterances.rows(clips.read_many(numbers[start : start + BATCH_SIZE]))
        if not all(np.isfinite(row["lips_mean"] + row["speech_mean"]).all() for row in rows):
            raise DataError(f"model {self.model}: its embeddings are not finite. Train it again.")
        return {"utterances": rows}

    def summarise(self) -> list[SummaryRow]:
        """Every figure of the table above, of the test clips."""
        rows = self.workspace.read_all(self.table(UTTERANCES), UTTERANCES)
        rows = rows.filter(pc.invert(pc.is_in(rows["video_id"], pa.array(sorted(self.leaking()), pa.string()))))
        return [*self._found(rows), *self._identities(rows), *self._modalities(rows)]

    def _found(self, rows: pa.Table) -> Iterator[SummaryRow]:
        """What lips and speech find of each other."""
        videos = rows["video_id"].to_numpy()
        short = {name: rows[name].to_pylist() for name in ("rank_short", "rank_short_lips")}
        for metric, column in (
            ("short_sound_recall_at_1", "rank_short"),
            ("short_lips_recall_at_1", "rank_short_lips"),
        ):
            firsts = np.array([np.mean(np.array(of_clip) == 1) for of_clip in short[column]])
            yield self._mean(metric, firsts, videos, sum(map(len, short[column])))
        yield self._mean("short_chance", np.array([1 / len(of_clip) for of_clip in short["rank_short"]]), None)
        for metric, column in (("long_sound_recall_at_1", "rank_long"), ("long_lips_recall_at_1", "rank_long_lips")):
            yield self._mean(metric, (rows[column].to_numpy() == 1).astype(float), videos)
        yield self._mean("long_chance", 1 / rows["num_long"].to_numpy(), None)
        tested = rows.filter(pc.and_(pc.greater_equal(rows["sound_s"], MIN_SOUND_S), pc.is_valid(rows["planted_ms"])))
        planted, found = tested["planted_ms"].to_numpy(), tested["found_ms"].to_numpy()
        yield self._mean("offset_found", is_found(planted, found).astype(float), tested["video_id"].to_numpy())
        most_ms = np.abs(planted).max(initial=0.0)  # short clips have room for smaller offsets alone
        offsets_ms = np.arange(-most_ms, most_ms + STEP_MS / 2, STEP_MS)
        yield self._mean("offset_chance", is_found(planted[:, None], offsets_ms[None]).mean(axis=1), None)

    def _identities(self, rows: pa.Table) -> Iterator[SummaryRow]:
        """What embeddings say of who is seen and heard."""
        known = probed_identities(rows, self.seed)
        lips, speech = (to_embeddings(known.rows[name]) for name in ("lips_mean", "speech_mean"))
        videos = known.rows["video_id"].to_numpy()
        is_right = np.zeros(0)
        if len(np.unique(known.folds)) > 1:
            is_right = (predict_by_probe(lips, known.classes, known.folds) == known.classes).astype(float)
        yield self._mean("identity_probe", is_right, videos[: len(is_right)])
        shares = np.bincount(known.classes) / max(1, len(known.classes))
        yield self.summary_row(TEST, "identity_chance", float(shares.max()) if len(shares) else None, "1", len(videos))
        first, second, is_same = draw_pairs(known, self.seed)
        for metric, embeddings in (("lips_verification_eer", lips), ("speech_verification_eer", speech)):
            if not len(first):
                yield self.summary_row(TEST, metric, None, "1", 0)
                continue
            unit = embeddings / (np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-12)
            cosines = (unit[first] * unit[second]).sum(axis=1)

            def rate(drawn: np.ndarray, cosines: np.ndarray = cosines) -> float:
                kinds = is_same[drawn]
                return equal_error_rate(cosines[drawn], kinds) if 0 < kinds.sum() < len(kinds) else float("nan")

            interval = bootstrap_interval(rate, videos[first])
            yield self.summary_row(TEST, metric, equal_error_rate(cosines, is_same), "1", len(first), interval)

    def _modalities(self, rows: pa.Table) -> Iterator[SummaryRow]:
        """How well lips and speech are distinguished by single embeddings."""
        rows = rows.take(pa.array(draw_clips(len(rows), self.seed)))
        _, numbers = np.unique(rows["video_id"].to_numpy(), return_inverse=True)
        is_right = np.zeros(0)
        if len(np.unique(numbers)) > 1:
            features = np.concatenate([to_embeddings(rows[name]) for name in ("lips_step", "speech_step")])
            classes, videos = np.repeat([0, 1], len(rows)), np.tile(numbers, 2)
            is_right = (predict_by_probe(features, classes, videos % NUM_FOLDS) == classes).astype(float)
        yield self._mean("modality_probe", is_right, np.tile(numbers, 2)[: len(is_right)])

    def _mean(self, metric: str, values: np.ndarray, videos: np.ndarray | None, count: int | None = None) -> SummaryRow:
        """A row of the mean of values, with its interval where the videos are given; None without values."""
        if not len(values):
            return self.summary_row(TEST, metric, None, "1", 0)
        interval = None
        if videos is not None:
            interval = bootstrap_interval(lambda drawn: float(values[drawn].mean()), videos)
        return self.summary_row(TEST, metric, float(values.mean()), "1", count or len(values), interval)

    def _load(self) -> tuple[Any, Any]:
        """The test clips, and what judges them.

        The gallery is of the parts that the model was trained with: later ones would change what a clip is beside.
        """
        from pipeline.evaluation.utterance_rows import Utterances  # here, because evaluations are listed without torch
        from pipeline.learners.sources import load_sets
        from pipeline.training.clipsets import begun_with, load_splits

        learner, model = load_model(self.workspace, self.model, LEARNER)
        settings = self.trained()
        (clips,) = load_sets(self.workspace, learner, settings, (TEST,), self.workspace.parts(self.source))
        began = begun_with(self.workspace, f"models/{self.model}", self.source, is_finished=True)
        (others,) = load_splits(self.workspace, (TEST,), from_dict(SplittingConfig, settings["splitting"]), began, SPEC)
        drawn = others.draw(np.random.default_rng(self.seed), GALLERY_VIDEOS)
        batches = (others.read_many(drawn[at : at + BATCH_SIZE]) for at in range(0, len(drawn), BATCH_SIZE))
        return clips, Utterances(learner, model, batches, self.seed)


def is_found(planted_ms: np.ndarray, found_ms: np.ndarray) -> np.ndarray:
    """Whether offsets are found as near as FOUND_MS."""
    return np.abs(planted_ms - found_ms) <= FOUND_MS + 1e-6
