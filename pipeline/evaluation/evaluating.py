"""What the evaluations of all learners share: parts -> rows of their tables -> rows of `summary`.

Each learner's evaluation is a file of this folder with one subclass of `Evaluation`. `earshot evaluate`, `report` and
`query` take its tables and headlines from there; its module imports torch and sklearn only in functions that need them,
because a query lists every table and must start at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.evaluation.seen_videos import leaking_videos, split_of_videos
from pipeline.hashing import hash_json
from pipeline.learners.loading import check_model, learner_of
from pipeline.metrics.bootstrap import Interval
from pipeline.storage.layout import NO_MIXTURES, report_table
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows, table_name
from schemas.reports import SUMMARY, SummaryRow

Row = dict[str, Any]
VALIDATION = "validation"
"""The set of the figures that training measured itself and left in the model's record."""


class Headline(NamedTuple):
    """A figure that a report shows first, beside what it is compared with."""

    eval_set: str
    """A set of `summary`, or VALIDATION."""
    metric: str
    text: str
    """What it says, in words; `{name}` becomes the set's figure of that name."""
    baseline: float | Callable[[Mapping[Any, Any]], float | None]
    """A value, or a function of the set's figures by metric, and of other sets' figures by (set, metric)."""
    baseline_of: str
    """What reaches the baseline, such as chance."""


def mean_or_median(metric: str, values: np.ndarray) -> float:
    """The median where a metric's name begins with `median_`, else the mean; NaN without values."""
    if not len(values):
        return float("nan")
    return float(np.median(values) if metric.startswith("median_") else np.mean(values))


class Evaluation:
    """One model's evaluation. A subclass sets `source`, and says what is measured and how it is summarised.

    Args:
        workspace: where the model lies.
        model: its name.
        mixtures: name of the frozen sets, for an evaluation that uses them.
        seed: of what is drawn.
    """

    tables: ClassVar[tuple[pa.Schema, ...]] = ()
    """Its own, beside `summary`. The first is written last: a part that is in it is finished."""
    derived: ClassVar[tuple[pa.Schema, ...]] = ()
    """Tables made of all parts at the end, beside `summary`."""
    headlines: ClassVar[tuple[Headline, ...]] = ()
    columns: ClassVar[Mapping[str, str]] = {}
    """Title of each metric's column in the report's table of all figures, in order."""
    source: str
    """Stage whose parts are evaluated; {model} and {mixtures} become the names of these."""

    def __init__(self, workspace: Workspace, model: str, mixtures: str = "default", seed: int = 0) -> None:
        self.workspace, self.model, self.seed = workspace, model, seed
        sets = mixtures if "{mixtures}" in self.source else NO_MIXTURES
        self.stage = f"reports/{model}/{sets}"
        """Of this evaluation: one for each model and frozen sets."""
        self.source = self.source.format(model=model, mixtures=mixtures)

    def trained(self) -> Row:
        """The settings that the model was trained with."""
        settings: Row = self.workspace.stage(f"models/{self.model}")["settings"]
        return settings

    def splits(self) -> dict[str, str]:
        """The split of each video, by the settings that the model was trained with."""
        return split_of_videos(self.workspace, from_dict(SplittingConfig, self.trained()["splitting"]))

    def leaking(self) -> set[str]:
        """Test videos that are uploads of what the model may have learnt from: see `leaking_videos`."""
        return leaking_videos(self.workspace, self.splits())

    @staticmethod
    def is_for(settings: Mapping[str, Any]) -> bool:
        """Whether it measures models of these settings, among the evaluations of their learner."""
        return True

    def missing(self) -> str:
        """The folder that is not complete yet, where a model cannot be evaluated before it is; else empty."""
        return ""

    def settings(self) -> Row:
        """What the report's record keeps, named as in `PipelineConfig`."""
        return {}

    def inputs(self) -> dict[str, str]:
        """Hash of each stage that is read, by folder.

        Raises:
            ConfigError: the source is not there, or the model is not trained.
        """
        self.workspace.require(self.source)
        trained = check_model(self.workspace, self.model, learner_of(self.workspace, self.model))
        return {self.source: self.workspace.stage(self.source)["hash"]} | trained

    def table(self, schema: pa.Schema) -> str:
        """The partition of one of its tables that holds its rows."""
        return report_table(self.stage, table_name(schema))

    def facts(self) -> Row:
        """What the finished report's record also keeps; once that differs, the summary is made again."""
        return {}

    def pending(self) -> list[str]:
        """Parts of the source that have no rows yet."""
        if not self.tables:
            return []
        return self.workspace.pending(self.source, self.table(self.tables[0]))

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """Rows of each of `tables` for one part. Runs on a worker."""
        raise NotImplementedError

    def summarise(self) -> list[SummaryRow]:
        """Rows of `summary` (see `summary_row`), of all parts."""
        raise NotImplementedError

    def derive(self) -> dict[str, list[Row]]:
        """Rows of each of `derived`, of all parts."""
        return {}

    def __call__(self, part: str) -> dict[str, int]:
        """Evaluate a part and write its rows; return how many the first table has."""
        rows = self.evaluate(part)
        for schema in reversed(self.tables):
            name = table_name(schema)
            self.workspace.commit(self.table(schema), part, from_rows(rows[name], schema, part), schema)
        return {name: len(rows[name])}

    def summary_row(
        self, eval_set: str, metric: str, value: float | None, unit: str, n: int, interval: Interval | None = None
    ) -> SummaryRow:
        """A row of `summary`: a figure over `n` examples; None where they have no value."""
        low, high, num_videos = interval or (None, None, None)
        return {
            "eval_set": eval_set,
            "metric": metric,
            "value": value,
            "unit": unit,
            "n": n,
            "low": low,
            "high": high,
            "num_videos": num_videos,
            "model_hash": None,  # these two: see `commit_summary`
            "data_hash": None,
        }


def commit_summary(evaluation: Evaluation, rows: list[SummaryRow], inputs: Mapping[str, str]) -> None:
    """Write the tables of an evaluation that are made of all its parts: `derived`, and the given rows of `summary`.

    Args:
        evaluation: all of whose parts are done.
        rows: what `summarise` gave.
        inputs: hashes of what was read, by folder, as `Evaluation.inputs` had them when the evaluation began: each row
            keeps that of the model, and one of all others, so that a figure can be traced to bytes.
    """
    trained = f"models/{evaluation.model}"
    data = {folder: value for folder, value in inputs.items() if folder != trained}
    model_hash, data_hash = inputs.get(trained), hash_json(data) if data else None
    rows = [row | {"model_hash": model_hash, "data_hash": data_hash} for row in rows]
    derived = evaluation.derive()
    for schema in evaluation.derived:
        table = from_rows(derived[table_name(schema)], schema, evaluation.stage)
        evaluation.workspace.commit(evaluation.table(schema), "00000", table, schema)
    evaluation.workspace.commit(evaluation.table(SUMMARY), "00000", from_rows(rows, SUMMARY, evaluation.stage), SUMMARY)
