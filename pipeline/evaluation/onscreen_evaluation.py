"""Evaluation of separation: frozen mixtures -> rows per example and per separated source -> medians and areas.

| metric | of | meaning |
|---|---|---|
| median_si_snr_db, median_si_snr_input_db, median_si_snr_improvement_db | on sets | estimate; mixture; gain |
| median_si_snr_oracle_db | on_mom | the best assignment of the sources to the two mixtures, found with the references |
| median_osr_db | off sets | power of the mixture over power of the on-screen estimate |
| auc_roc | all | sources' probabilities against truth, weighted by their power |

Medians, because a perfect reconstruction or an empty estimate has no finite value (AudioScope, section 4.3): the
metrics stop at 80 dB.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.tars import read_sequence
from pipeline.evaluation.evaluating import Evaluation, Headline, Row
from pipeline.learners.loading import load_model
from pipeline.storage import files
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SOURCES, SummaryRow

MIXTURE = "untouched mixture"
COPY = "a copy: the metric's cap"


def _input(figures: Mapping[str, Any]) -> float | None:
    return figures.get("median_si_snr_input_db")


class OnScreenEvaluation(Evaluation):
    """Loads the model at its first part and keeps it."""

    tables = (EXAMPLES, SOURCES)
    headlines = (
        Headline("on_mom", "median_si_snr_db", "on-screen sound in a mixture, median SI-SNR", _input, MIXTURE),
        Headline("on_mom", "median_si_snr_improvement_db", "its improvement, median", 0.0, MIXTURE),
        Headline("on_mom", "median_si_snr_oracle_db", "its oracle choice of sources, median SI-SNR", _input, MIXTURE),
        Headline("off_mom", "median_osr_db", "off-screen mixture suppressed, median OSR", 0.0, MIXTURE),
        Headline("on_single", "median_si_snr_db", "on-screen sound alone, median SI-SNR", _input, COPY),
        Headline("off_single", "median_osr_db", "off-screen sound alone suppressed, median OSR", 0.0, MIXTURE),
        Headline("all", "auc_roc", "on-screen against off-screen sources, AUC", 0.5, "chance"),
    )
    columns: ClassVar = {
        "median_si_snr_db": "SI-SNR",
        "median_si_snr_input_db": "untouched",
        "median_si_snr_improvement_db": "improvement",
        "median_si_snr_oracle_db": "oracle",
        "median_osr_db": "OSR",
        "auc_roc": "AUC-ROC",
    }
    source = "mixtures/{mixtures}"
    batch_size = 8  # examples per forward pass: speed, memory, and the last digits of figures
    _loaded: tuple[Any, Any] | None = None

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """Rows of `examples` and `sources`."""
        learner, model = self._loaded = self._loaded or load_model(self.workspace, self.model, "separation")
        keys = self.workspace.read(self.source, part, MIXTURES, ["example_id"]).column("example_id").to_pylist()
        uri, eval_set = self.workspace.tar_uri(self.source, part), part.rpartition("-")[0]
        rows: dict[str, list[Row]] = {"examples": [], "sources": []}
        with files.local_copy(uri) as path:
            batch: list[Clip] = []
            for key, members in read_sequence(path, keys, uri):
                batch.append(decode_sample(key, members, uri))
                if len(batch) == self.batch_size or key == keys[-1]:
                    for table, found in learner.evaluate(model, batch).items():
                        rows[table] += [{"eval_set": eval_set} | row for row in found]
                    batch = []
        return rows

    def summarise(self) -> list[SummaryRow]:
        """Medians of `examples`, the area of `sources`."""
        examples = self.workspace.read_all(self.table(EXAMPLES), EXAMPLES)
        sources = self.workspace.read_all(self.table(SOURCES), SOURCES)
        rows = []
        for eval_set in ("on_single", "off_single", "on_mom", "off_mom"):
            chosen = examples.filter(pc.equal(examples["eval_set"], eval_set))
            names = ("si_snr", "si_snr_input", "si_snr_oracle", "osr")
            figures = {name: _floats(chosen[f"{name}_db"]) for name in names}
            figures["si_snr_improvement"] = figures["si_snr"] - figures["si_snr_input"]
            on = ("si_snr", "si_snr_input", "si_snr_improvement", "si_snr_oracle")
            for name in on if "on_" in eval_set else ("osr",):
                values = figures[name][np.isfinite(figures[name])]
                if name != "si_snr_oracle" or eval_set == "on_mom":
                    median = float(np.median(values)) if len(values) else None
                    rows.append(self.summary_row(eval_set, f"median_{name}_db", median, "dB", len(values)))
        rows.append(self.summary_row("all", "auc_roc", _auc(sources), "1", len(sources)))
        return rows


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


def _auc(sources: pa.Table) -> float | None:
    """Power-weighted AUC-ROC, or None where all sources have one truth."""
    from pipeline.metrics.detection import weighted_auc_roc

    truth = sources["on_screen"].to_numpy()
    if len(truth) == 0 or truth.all() or not truth.any():
        return None
    return weighted_auc_roc(sources["probability"].to_numpy(), truth, sources["weight"].to_numpy())
