"""Evaluation of separation: frozen mixtures -> rows per example and per separated source -> medians and areas.

| metric | of | meaning |
|---|---|---|
| median_si_snr_db, median_snr_db, median_level_db | on sets | estimate: SI-SNR, plain SNR, level against the target |
| median_si_snr_input_db, median_si_snr_improvement_db, median_snr_gain_db | on_mom | untouched mixture; gains over it |
| worse_share | on_mom | examples whose SI-SNR is below that of the untouched mixture |
| median_si_snr_oracle_db | on_mom | the best assignment of the sources to the two mixtures, found with the references |
| median_osr_db | off sets | power of the mixture over power of the on-screen estimate |
| false_alarm_share | off sets | zero-target mixtures whose on-screen estimate is above -20 dB of the mixture |
| mean_capi_sdri_db | all | on_mom and the off sets by the rule of DCASE 2026, `metrics/signal_products.py` |
| under_, equal_, over_separation_share | all sets | fewer, as many or more active sources than sounding mixtures |
| median_similarity_input, median_similarity_gain | all sets | cosine of picture and mixture; gain of the estimate |
| mean_attention_mass, mean_attention_hit_rate, mean_attention_chance | on sets | attention on what is seen to sound |
| auc_roc | all, singles, moms | sources' probabilities against truth, weighted by their power |

Medians, because a perfect reconstruction or an empty estimate has no finite value (AudioScope, section 4.3): the
metrics stop at 80 dB. In a single mixture the input is the target, so there is no gain over it. Intervals are of
`metrics/bootstrap.py`: whole videos are drawn, because clips of one video are alike.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clip_specs import BASE
from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.tars import read_sequence
from pipeline.evaluation.evaluating import Evaluation, Headline, Row, mean_or_median
from pipeline.evaluation.mixing import EVAL_SETS
from pipeline.evaluation.onscreen_rows import example_row, separate_examples, source_rows
from pipeline.evaluation.operating_points import operating_points, stored_examples
from pipeline.evaluation.sounding_masks import sounding_masks
from pipeline.learners.loading import check_model, load_model, rebuild, trained_models
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.detection import weighted_auc_roc
from pipeline.metrics.signal_products import CAP_DB
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, OPERATING_POINTS, SOURCES, SummaryRow

MIXTURE = "untouched mixture"
COPY = "a copy: the metric's cap"

ON, OFF, MOM = ("on_single", "on_mom"), ("off_single", "off_mom"), ("on_mom",)


def _worse(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """1 where the estimate is worse than the untouched mixture, else 0."""
    return _where(rows["si_snr_improvement_db"], np.less)


def _similarity_gain(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    return rows["similarity_estimate"] - rows["similarity_input"]


def _excess(compare: np.ufunc) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """1 where the active sources less the mixtures that sound compare so with 0, else 0; NaN where none sounds."""

    def values(rows: Mapping[str, np.ndarray]) -> np.ndarray:
        references = np.where(rows["num_references"] > 0, rows["num_references"], np.nan)
        return _where(rows["num_active_sources"] - references, compare)

    return values


def _where(values: np.ndarray, compare: np.ufunc) -> np.ndarray:
    """1 where a value compares so with 0, else 0; NaN where it is NaN."""
    return np.where(np.isnan(values), np.nan, compare(values, 0))


class SetFigure(NamedTuple):
    """A figure of one evaluation set, or of several together."""

    metric: str
    sets: tuple[str, ...]
    values: str | Callable[[Mapping[str, np.ndarray]], np.ndarray]
    """Column of `examples`, or a function of its columns, whose mean or median it is; NaN is left out."""
    unit: str = "dB"


FIGURES = (
    *(SetFigure(f"median_{name}_db", ON, f"{name}_db") for name in ("si_snr", "snr", "level")),
    *(
        SetFigure(f"median_{name}_db", MOM, f"{name}_db")
        for name in ("si_snr_input", "si_snr_improvement", "snr_gain", "si_snr_oracle")
    ),
    SetFigure("worse_share", MOM, _worse, "1"),
    SetFigure("median_osr_db", OFF, "osr_db"),
    SetFigure("false_alarm_share", OFF, "is_answered", "1"),
    SetFigure("median_similarity_input", EVAL_SETS, "similarity_input", "1"),
    SetFigure("median_similarity_gain", EVAL_SETS, _similarity_gain, "1"),
    *(SetFigure(f"mean_attention_{name}", ON, f"attention_{name}", "1") for name in ("mass", "hit_rate", "chance")),
    SetFigure("under_separation_share", EVAL_SETS, _excess(np.less), "1"),
    SetFigure("equal_separation_share", EVAL_SETS, _excess(np.equal), "1"),
    SetFigure("over_separation_share", EVAL_SETS, _excess(np.greater), "1"),
)
DCASE = SetFigure("mean_capi_sdri_db", EVAL_SETS, "capi_sdri_db")
POOLED = {"all": EVAL_SETS, "singles": ("on_single", "off_single"), "moms": ("on_mom", "off_mom")}


def _input(figures: Mapping[str, Any]) -> float | None:
    return figures.get("median_si_snr_input_db")


class OnScreenEvaluation(Evaluation):
    """Loads the model at its first part and keeps it."""

    tables = (EXAMPLES, SOURCES)
    derived = (OPERATING_POINTS,)
    headlines = (
        Headline("on_mom", "median_si_snr_improvement_db", "on-screen sound in a mixture, SI-SNRi", 0.0, MIXTURE),
        Headline("on_mom", "worse_share", "on-screen sound in a mixture, share made worse", 0.0, "none, as untouched"),
        Headline("on_mom", "median_snr_gain_db", "on-screen sound in a mixture, plain SNR gain", 0.0, MIXTURE),
        Headline("on_mom", "median_si_snr_db", "on-screen sound in a mixture, SI-SNR", _input, MIXTURE),
        Headline(
            "on_mom",
            "median_si_snr_oracle_db",
            "on-screen sound in a mixture, SI-SNR of the best choice of sources",
            _input,
            MIXTURE,
        ),
        Headline("on_single", "median_si_snr_db", "on-screen sound alone, SI-SNR", CAP_DB, COPY),
        Headline("on_single", "median_level_db", "on-screen sound alone, level against the original", 0.0, "a copy"),
        Headline("off_mom", "median_osr_db", "off-screen mixture suppressed, OSR", 0.0, MIXTURE),
        Headline("off_single", "median_osr_db", "off-screen sound alone suppressed, OSR", 0.0, MIXTURE),
        Headline("all", "mean_capi_sdri_db", "mixtures and zero-target ones, CAPI-SDRi of DCASE", 0.0, MIXTURE),
        Headline("all", "auc_roc", "on-screen against off-screen sources, AUC", 0.5, "chance"),
    )
    columns: ClassVar = {
        "median_si_snr_db": "SI-SNR",
        "median_si_snr_input_db": "untouched",
        "median_si_snr_improvement_db": "improvement",
        "worse_share": "worse",
        "median_si_snr_oracle_db": "oracle",
        "median_snr_db": "SNR",
        "median_snr_gain_db": "SNR gain",
        "median_level_db": "level",
        "median_osr_db": "OSR",
        "false_alarm_share": "false alarms",
        "mean_capi_sdri_db": "CAPI-SDRi",
        "auc_roc": "AUC-ROC",
        "median_similarity_input": "similarity",
        "median_similarity_gain": "similarity gain",
        "mean_attention_mass": "attention",
        "mean_attention_hit_rate": "pointing",
        "mean_attention_chance": "attention by chance",
        "under_separation_share": "under-separated",
        "equal_separation_share": "equally separated",
        "over_separation_share": "over-separated",
    }
    source = "mixtures/{mixtures}"
    batch_size = 8  # examples per forward pass: speed, memory, and the last digits of figures
    _models: tuple[Any, Any] | None = None

    def inputs(self) -> dict[str, str]:
        """The frozen sets, the model, and the coincidence model that compares picture and sound."""
        first = self._coincidence_model()
        return super().inputs() | (check_model(self.workspace, first, "coincidence") if first else {})

    def _coincidence_model(self) -> str | None:
        """The one that the model's towers started from; None if there is none, or it is gone."""
        first = rebuild(self.workspace, self.model, "separation").config.first_model
        return first if first in trained_models(self.workspace) else None

    def _load(self) -> tuple[Any, Any]:
        """The model, and the towers that compare picture and sound: the coincidence model's, or else its own.

        Design note: the model's towers may have learnt from its own sources, and would find them similar.
        """
        _, model = load_model(self.workspace, self.model, "separation")
        first = self._coincidence_model()
        return model, load_model(self.workspace, first, "coincidence")[1] if first else model.classifier

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """Rows of `examples` and `sources`."""
        model, towers = self._models = self._models or self._load()
        keys = self.workspace.read(self.source, part, MIXTURES, ["example_id"]).column("example_id").to_pylist()
        uri, is_stretched = self.workspace.tar_uri(self.source, part), self._is_stretched()
        rows: dict[str, list[Row]] = {"examples": [], "sources": []}
        with files.local_copy(uri) as path:
            batch: list[Clip] = []
            for key, members in read_sequence(path, keys, uri):
                batch.append(decode_sample(key, members, uri))
                if len(batch) == self.batch_size or key == keys[-1]:
                    for example, found in zip(batch, separate_examples(model, towers, batch), strict=True):
                        masks = sounding_masks(example) if is_stretched else None
                        rows["examples"].append(example_row(example, found, masks))
                        rows["sources"] += source_rows(example, found)
                    batch = []
        return rows

    def _all_rows(self) -> tuple[pa.Table, pa.Table]:
        """All rows of `examples` and of `sources`."""
        examples, sources = (self.workspace.read_all(self.table(schema), schema) for schema in self.tables)
        return examples, sources

    def derive(self) -> dict[str, list[Row]]:
        """The curve of SI-SNR against suppression."""
        return {"operating_points": operating_points(stored_examples(*self._all_rows()))}

    def _is_stretched(self) -> bool:
        """Whether frames show the whole picture and nothing else, as the masks of the world's truth do."""
        if not self.workspace.has_stage(CLIPS_FOLDER):
            return True
        specs = self.workspace.stage(CLIPS_FOLDER)["settings"].get("clips", {})
        return specs.get(BASE, {}).get("fit") != "pad"

    def summarise(self) -> list[SummaryRow]:
        """Medians and shares of `examples`, areas of `sources`."""
        examples, sources = self._all_rows()
        columns = {name: _column(examples[name]) for name in EXAMPLES.names}
        rows = [
            self._figure_row(eval_set, figure, columns, np.isin(columns["eval_set"], (eval_set,)))
            for eval_set in EVAL_SETS
            for figure in FIGURES
            if eval_set in figure.sets
        ]
        rows.append(self._figure_row("all", DCASE, columns, np.ones(len(examples), bool)))
        videos = dict(zip(columns["example_id"], columns["video_id"], strict=True))
        return rows + [self._auc_row(name, sets, sources, videos) for name, sets in POOLED.items()]

    def _figure_row(
        self, eval_set: str, figure: SetFigure, columns: Mapping[str, np.ndarray], chosen: np.ndarray
    ) -> SummaryRow:
        """A figure of the chosen examples."""
        of_set = {name: column[chosen] for name, column in columns.items()}
        values = of_set[figure.values] if isinstance(figure.values, str) else figure.values(of_set)
        values, videos = (array[np.isfinite(values)] for array in (values, of_set["video_id"]))
        interval = bootstrap_interval(lambda drawn: mean_or_median(figure.metric, values[drawn]), videos)
        value = mean_or_median(figure.metric, values) if len(values) else None
        return self.summary_row(eval_set, figure.metric, value, figure.unit, len(values), interval)

    def _auc_row(self, name: str, sets: tuple[str, ...], sources: pa.Table, videos: Mapping[str, str]) -> SummaryRow:
        """Power-weighted AUC-ROC of the sources of some sets; no value where all have one truth."""
        weights = _column(sources["weight"])
        chosen = np.isin(_column(sources["eval_set"]), sets) & np.isfinite(weights)  # no weight: a silent mixture
        scores, truths, weights = (array[chosen] for array in (_column(sources["logit"]), _truths(sources), weights))
        groups = np.array([videos.get(example, example) for example in _column(sources["example_id"])[chosen]])

        def area(drawn: np.ndarray) -> float:
            one_class = any(not weights[drawn][truths[drawn] == truth].any() for truth in (True, False))
            return np.nan if one_class else weighted_auc_roc(scores[drawn], truths[drawn], weights[drawn])

        value = area(np.arange(len(scores)))
        interval = bootstrap_interval(area, groups)
        return self.summary_row(name, "auc_roc", None if np.isnan(value) else value, "1", len(scores), interval)


def _column(column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array: of numbers, with NaN for null, or of texts."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


def _truths(sources: pa.Table) -> np.ndarray:
    return _column(sources["on_screen"]) > 0.5
