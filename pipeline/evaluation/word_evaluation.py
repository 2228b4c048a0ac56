"""Evaluation of named words: those of the test split -> rows of `utterances` -> accuracy beside chance.

| metric | meaning |
|---|---|
| word_accuracy | share of test words that the model reads right; a word that it was not taught counts as wrong |
| commonest_word | what a model reaches that always names the commonest word of the test clips |
| chance | one of the words that the model was taught |
| untaught_share | of the test words, those that it was not taught |

Intervals are over videos. A test video that has a duplicate in another split is left out.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.hashing import hash_json
from pipeline.learners.loading import load_model
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.segments import Ratio
from pipeline.storage.layout import SPANS_FOLDER
from schemas.reports import SummaryRow
from schemas.utterances import UTTERANCES

SPEC = "speech"
TEST = "test"
BATCH_SIZE = 16  # windows that go through the network at once


class WordEvaluation(Evaluation):
    """Its source is the clips; parts without spans wait for theirs. Loads model and clips at its first part."""

    tables = (UTTERANCES,)
    headlines = (
        Headline(VALIDATION, "validate_word_accuracy", "words read from lips, validation", lambda figures: None, ""),
        Headline(TEST, "word_accuracy", "words read from lips", lambda figures: figures["chance"], "chance"),
        Headline(TEST, "word_accuracy", "the same", lambda figures: figures["commonest_word"], "the commonest word"),
    )
    columns: ClassVar = {
        "word_accuracy": "words read",
        "chance": "chance",
        "commonest_word": "commonest word",
        "untaught_share": "untaught",
    }
    source = f"clips/{SPEC}"

    def __init__(self, workspace: Any, model: str, mixtures: str = "default", seed: int = 0) -> None:
        super().__init__(workspace, model, mixtures, seed)
        self._loaded: tuple[Any, Any, Any] | None = None

    @staticmethod
    def is_for(settings: Mapping[str, Any]) -> bool:
        """Models that name words."""
        return bool(settings["lipreading"]["task"] == "words")

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now."""
        return {"splitting": self.trained()["splitting"]}

    def inputs(self) -> dict[str, str]:
        """Hash of each stage that is read, by folder; of the spans too."""
        self.workspace.require(SPANS_FOLDER)
        return super().inputs() | {SPANS_FOLDER: self.workspace.stage(SPANS_FOLDER)["hash"]}

    def facts(self) -> Row:
        """A hash of which parts there are and which test videos are duplicates: there may be more of them later."""
        parts = [self.workspace.parts(self.source), self.workspace.parts(SPANS_FOLDER)]
        return {"seen": hash_json([*parts, sorted(self.leaking())])}

    def pending(self) -> list[str]:
        """Parts without rows that have spans: others wait for theirs, and would have no row for good."""
        labelled = set(self.workspace.parts(SPANS_FOLDER))
        return [part for part in super().pending() if part in labelled]

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """A row for each word of a part's test clips."""
        import torch  # here, because evaluations are listed without it

        from pipeline.learners.word_examples import window_of

        learner, model, clips = self._loaded = self._loaded or self._load()
        numbers, rows = np.flatnonzero(pc.equal(clips.rows["part"], part)), list[Row]()
        vocabulary = learner.config.vocabulary
        for start in range(0, len(numbers), BATCH_SIZE):
            chosen = numbers[start : start + BATCH_SIZE]
            facts = clips.rows.take(pa.array(chosen)).to_pylist()
            read = clips.read_many(chosen)
            windows = [
                window_of(clip, row["first_frame"], learner.config.words, None)
                for clip, row in zip(read, facts, strict=True)
            ]
            likeliest = learner.predict(model, torch.from_numpy(np.stack(windows))).argmax(dim=1).tolist()
            rows += [
                dict.fromkeys(UTTERANCES.names)
                | {"clip_id": row["clip_id"], "video_id": row["video_id"], "track": clip.facts.get("track")}
                | {"word": row["word"], "predicted": vocabulary[place]}
                for clip, row, place in zip(read, facts, likeliest, strict=True)
            ]
        return {"utterances": rows}

    def summarise(self) -> list[SummaryRow]:
        """Every figure of the test clips."""
        rows = self.workspace.read_all(self.table(UTTERANCES), UTTERANCES)
        rows = rows.filter(pc.invert(pc.is_in(rows["video_id"], pa.array(sorted(self.leaking()), pa.string()))))
        vocabulary = self.trained()["lipreading"]["vocabulary"]
        words, videos = rows["word"].to_pylist(), rows["video_id"].to_numpy(zero_copy_only=False)
        commonest = max(sorted(set(words)), key=words.count, default=None)
        shares = {
            "word_accuracy": pc.equal(rows["word"], rows["predicted"]),
            "commonest_word": [word == commonest for word in words],
            "untaught_share": [word not in set(vocabulary) for word in words],
        }
        found = [self._share(name, np.array(values, dtype=float), videos) for name, values in shares.items()]
        return [*found, self.summary_row(TEST, "chance", 1 / len(vocabulary), "1", len(words))]

    def _share(self, metric: str, values: np.ndarray, videos: np.ndarray) -> SummaryRow:
        if not len(values):
            return self.summary_row(TEST, metric, None, "1", 0)
        ratio = Ratio(values, np.ones_like(values))
        return self.summary_row(TEST, metric, ratio.of(), "1", len(values), bootstrap_interval(ratio.of, videos))

    def _load(self) -> tuple[Any, Any, Any]:
        """The learner, its network, and the words of the test split."""
        from pipeline.learners.sources import load_sets  # here, because evaluations are listed without torch

        learner, model = load_model(self.workspace, self.model, "lipreading")
        (clips,) = load_sets(self.workspace, learner, self.trained(), (TEST,), self.workspace.parts(self.source))
        return learner, model, clips
