"""Evaluation of events in time: labelled clips of the test split -> rows of seconds -> figures beside anchors.

| metric | meaning |
|---|---|
| segment_accuracy | segments, background included, that are given what they are: the official figure of AVE |
| always_background | segment accuracy of saying background everywhere |
| perfect_category | segment accuracy of a perfect classifier of whole clips that never says background |
| category_accuracy | segments with an event whose most likely category is right |
| commonest_category | the same of the category that most of them have |
| foreground_accuracy | segments rightly called an event or background |
| event_f1 | events found with an intersection over union of 0.5: harmonic mean of precision and recall |
| perfect_category_event_f1 | the same of the perfect classifier of whole clips |
| untaught_share | segments with an event of a category that no training clip has: always a mistake |

All are ratios of sums over clips (`metrics/segments.py`), with intervals over videos (`metrics/bootstrap.py`). A test
video that has a duplicate in another split is left out. Where clips were moved out of test because their video is
in another split too, as with some of AVE, the set `published_test` has them back: what others report, leak included.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError
from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.hashing import hash_json
from pipeline.learners.loading import load_model
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.segments import (
    BACKGROUND,
    MIN_PROBABILITY,
    Ratio,
    category_accuracy,
    commonest_category,
    event_f1,
    foreground_accuracy,
    segment_accuracy,
    whole_clips,
)
from pipeline.storage.layout import SPANS_FOLDER
from schemas.features import LEAKED
from schemas.reports import SummaryRow
from schemas.segments import BACKGROUND as NO_EVENT
from schemas.segments import SEGMENT_S, SEGMENTS

TEST, PUBLISHED = "test", "published_test"
NEVER_BACKGROUND = "perfect category, never background"
BATCH_SIZE = 64


class EventEvaluation(Evaluation):
    """Its source is the feature set that the model was trained on. Loads both at its first part and keeps them."""

    tables = (SEGMENTS,)
    headlines = (
        Headline(
            VALIDATION,
            "validate_segment_accuracy",
            "seconds that are given their event or background, accuracy, validation",
            lambda figures: figures["validate_always_background"],
            "always background",
        ),
        Headline(
            TEST,
            "segment_accuracy",
            "seconds that are given their event or background, accuracy",
            lambda figures: figures["always_background"],
            "always background",
        ),
        Headline(TEST, "segment_accuracy", "the same", lambda figures: figures["perfect_category"], NEVER_BACKGROUND),
        Headline(
            TEST,
            "category_accuracy",
            "category of seconds with an event, accuracy",
            lambda figures: figures["commonest_category"],
            "the commonest category",
        ),
        Headline(
            TEST,
            "foreground_accuracy",
            "seconds with an event against those without, accuracy",
            lambda figures: None if (share := figures["always_background"]) is None else max(share, 1 - share),
            "the more frequent of both",
        ),
        Headline(
            TEST,
            "event_f1",
            "events found from start to end, F1 at IoU 0.5",
            lambda figures: figures["perfect_category_event_f1"],
            NEVER_BACKGROUND,
        ),
    )
    columns: ClassVar = {
        "segment_accuracy": "segment accuracy",
        "always_background": "always background",
        "perfect_category": "never background",
        "category_accuracy": "category accuracy",
        "commonest_category": "commonest category",
        "foreground_accuracy": "event or background",
        "event_f1": "event F1",
        "perfect_category_event_f1": "event F1, never background",
        "untaught_share": "untaught",
    }
    source = ""

    def __init__(self, workspace: Any, model: str, mixtures: str = "default", seed: int = 0) -> None:
        super().__init__(workspace, model, mixtures, seed)
        self.source = f"features/events/{self.trained()['features']}"
        self._loaded: tuple[Any, Any, dict[str, Any]] | None = None

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now, and the seed."""
        return {"splitting": self.trained()["splitting"], "seed": self.seed}

    def facts(self) -> Row:
        """A hash of which parts there are and which test videos are duplicates: there may be more of them later."""
        return {"seen": hash_json([*self._parts(), sorted(self.leaking())])}

    def pending(self) -> list[str]:
        """Parts without rows that have spans: others wait for theirs, and would have no row for good."""
        _, labelled = self._parts()
        return [part for part in super().pending() if part in labelled]

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """A row per segment of each labelled test clip of a part."""
        import torch  # here, because evaluations are listed without it

        learner, model, sets = self._loaded = self._loaded or self._load()
        device = next(model.parameters()).device
        rows: list[Row] = []
        for split, clips in sets.items():
            numbers = np.flatnonzero(pc.and_(pc.equal(clips.rows["part"], part), clips.rows["is_labelled"]))
            for start in range(0, len(numbers), BATCH_SIZE):
                chosen = numbers[start : start + BATCH_SIZE]
                batch = learner.stack(clips.read_many(chosen))
                with torch.inference_mode():
                    found = learner.predict(model, {name: tensor.to(device) for name, tensor in batch.items()})
                event, category = (each.float().cpu().numpy() for each in found)
                facts = clips.rows.take(pa.array(chosen)).to_pylist()
                for clip, events, categories in zip(facts, event, category, strict=True):
                    clip["is_leaked"] = split == LEAKED
                    rows += segment_rows(clip, events, categories, learner.config.categories)
        return {"segments": rows}

    def summarise(self) -> list[SummaryRow]:
        """Every figure of the test clips; of `published_test` too where clips were moved out of test."""
        rows = self.workspace.read_all(self.table(SEGMENTS), SEGMENTS)
        rows = rows.filter(pc.invert(pc.is_in(rows["video_id"], pa.array(sorted(self.leaking()), pa.string()))))
        own = rows.filter(pc.invert(rows["is_leaked"]))
        sets = {TEST: own} | ({PUBLISHED: rows} if len(own) < len(rows) else {})
        return [row for name, of_set in sets.items() for row in self._figures(name, of_set)]

    def _figures(self, eval_set: str, rows: pa.Table) -> Iterator[SummaryRow]:
        truth, predicted, likeliest, videos = to_matrices(rows)
        for metric, ratio in event_figures(truth, predicted, likeliest).items():
            value = ratio.of()
            interval = bootstrap_interval(ratio.of, videos)
            yield self.summary_row(
                eval_set, metric, None if np.isnan(value) else value, "1", int(ratio.denominator.sum()), interval
            )
        taught = [NO_EVENT, *self.trained()["events"]["categories"]]
        untaught = pc.mean(pc.invert(pc.is_in(rows["truth"], pa.array(taught, pa.string())))).as_py()
        yield self.summary_row(eval_set, "untaught_share", untaught, "1", len(rows))

    def _parts(self) -> tuple[list[str], list[str]]:
        """Those of the features, and those of the spans."""
        return self.workspace.parts(self.source), self.workspace.parts(SPANS_FOLDER)

    def _load(self) -> tuple[Any, Any, dict[str, Any]]:
        """The learner, its network, and the clips of the splits test and LEAKED."""
        from pipeline.learners.sources import load_sets  # here, because evaluations are listed without torch

        learner, model = load_model(self.workspace, self.model, "events")
        splits, parts = (TEST, LEAKED), self.workspace.parts(self.source)
        sets = load_sets(self.workspace, learner, self.trained(), splits, parts)
        return learner, model, dict(zip(splits, sets, strict=True))


def segment_rows(clip: Mapping[str, Any], event: np.ndarray, category: np.ndarray, names: Sequence[str]) -> list[Row]:
    """Rows of the table `segments` of one clip.

    Args:
        clip: clip_id, video_id, start_s, is_leaked, and the `categories` [N] of its segments, None for background.
        event: [N] probability that there is an event.
        category: [N, K] probability of each category, if there is one.
        names: of the K categories.
    """
    best = category.argmax(axis=1)
    return [
        {
            "clip_id": clip["clip_id"],
            "video_id": clip["video_id"],
            "segment": number,
            "start_s": clip["start_s"] + number * SEGMENT_S,
            "truth": truth or NO_EVENT,
            "predicted": names[best[number]] if event[number] > MIN_PROBABILITY else NO_EVENT,
            "event_probability": float(event[number]),
            "category": names[best[number]],
            "category_probability": float(category[number, best[number]]),
            "is_leaked": clip["is_leaked"],
        }
        for number, truth in enumerate(clip["categories"])
    ]


def to_matrices(rows: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`truth`, `predicted` and `likeliest` [V, N] of the rows of V clips, as numbers, and their videos [V].

    Raises:
        DataError: not every clip has as many segments as the others, in their order.
    """
    segments = rows["segment"].to_numpy()
    num_segments = int(segments.max(initial=0)) + 1
    if not np.array_equal(segments, np.resize(np.arange(num_segments), len(segments) // num_segments * num_segments)):
        raise DataError(f"table segments: {len(segments)} rows, expected {num_segments} for each clip, in order.")
    columns = [rows[name].combine_chunks() for name in ("truth", "predicted", "category")]
    names = pc.unique(pa.concat_arrays(columns))
    names = names.filter(pc.not_equal(names, NO_EVENT)).sort()
    truth, predicted, likeliest = (
        pc.fill_null(pc.index_in(column, names), BACKGROUND).to_numpy().reshape(-1, num_segments) for column in columns
    )
    return truth, predicted, likeliest, rows["video_id"].to_numpy().reshape(-1, num_segments)[:, 0]


def event_figures(truth: np.ndarray, predicted: np.ndarray, likeliest: np.ndarray) -> dict[str, Ratio]:
    """Each metric of the table above, of V clips of N segments: see `metrics/segments.py`."""
    perfect = whole_clips(truth)
    return {
        "segment_accuracy": segment_accuracy(truth, predicted),
        "always_background": segment_accuracy(truth, np.full_like(truth, BACKGROUND)),
        "perfect_category": segment_accuracy(truth, perfect),
        "category_accuracy": category_accuracy(truth, likeliest),
        "commonest_category": category_accuracy(truth, commonest_category(truth)),
        "foreground_accuracy": foreground_accuracy(truth, predicted),
        "event_f1": event_f1(truth, predicted),
        "perfect_category_event_f1": event_f1(truth, perfect),
    }
