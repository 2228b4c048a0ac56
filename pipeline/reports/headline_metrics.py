"""What a run reached, each figure beside what it is to be held against.

0.7 says nothing until it is told that chance is 0.5, and 8 dB nothing until the untouched mixture has 0. The figures of
held-out videos come from the `summary` of evaluations; those of training, labelling and selecting stand in the stages'
own records, so they are told from the first stage on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.formatting import format_figure, format_number

UNTOUCHED = "untouched mixture"
COPY = "a copy: the metric's cap"

# What is told first: set, metric, in words, what it stands beside (a value, or a metric of the set), whose that is.
HEADLINES: tuple[tuple[str, str, str, float | str, str], ...] = (
    ("held_out_pairs", "match_auc", "tells own sound from another video's, AUC", 0.5, "chance"),
    ("on_mom", "median_si_snr_db", "on-screen sound in a mixture, median SI-SNR", "median_si_snr_input_db", UNTOUCHED),
    ("on_mom", "median_si_snr_improvement_db", "its improvement, median", 0.0, UNTOUCHED),
    (
        "on_mom",
        "median_si_snr_oracle_db",
        "its oracle choice of sources, median SI-SNR",
        "median_si_snr_input_db",
        UNTOUCHED,
    ),
    ("off_mom", "median_osr_db", "off-screen mixture suppressed, median OSR", 0.0, UNTOUCHED),
    ("on_single", "median_si_snr_db", "on-screen sound alone, median SI-SNR", "median_si_snr_input_db", COPY),
    ("off_single", "median_osr_db", "off-screen sound alone suppressed, median OSR", 0.0, UNTOUCHED),
    ("all", "auc_roc", "tells on-screen from off-screen sources, AUC", 0.5, "chance"),
)
# What training found out about a coincidence model, on the videos it validates on; beside None: one of the gallery.
VALIDATED: tuple[tuple[str, str, float | None, str], ...] = (
    ("validate_match_auc", "tells own sound from another video's, AUC, validation", 0.5, "chance"),
    ("validate_match_calibration_error", "calibration error of the score, validation", 0.0, "a perfect score"),
    ("validate_picture_recall_at_1", "finds a sound's picture first, R@1, validation", None, "chance"),
    ("validate_sound_recall_at_1", "finds a picture's sound first, R@1, validation", None, "chance"),
)
# Columns of the table of all figures, in order; a metric that is not here comes after them by its own name.
METRICS = {
    "median_si_snr_db": "SI-SNR",
    "median_si_snr_input_db": "untouched",
    "median_si_snr_improvement_db": "improvement",
    "median_si_snr_oracle_db": "oracle",
    "median_osr_db": "OSR",
    "auc_roc": "AUC-ROC",
    "match_auc": "match AUC",
}


class Figure(NamedTuple):
    """One line of the console's table: a figure beside what no model at all would reach."""

    run: str
    what: str
    value: float | None
    unit: str
    baseline: float | None
    baseline_of: str
    n: int | None

    def cells(self) -> tuple[str, str, str, str, str]:
        """What, value with unit, baseline with unit, whose baseline, n: as text."""
        value, baseline = format_figure(self.value, self.unit), format_figure(self.baseline, self.unit)
        return self.what, value, baseline, self.baseline_of, "" if self.n is None else format_number(self.n)


def list_figures(summary: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Every figure that is there, those of one run together, in the order in which the stages began.

    Args:
        summary: rows of the table `summary`.
        stages: what each `_stage.json` says, with its `folder`, by the time it began.
    """
    figures = [figure for stage in stages for figure in _of_stage(stage)] + list(_of_summary(summary))
    runs = list(dict.fromkeys(figure.run for figure in figures))
    return sorted(figures, key=lambda figure: runs.index(figure.run))  # stable: the order within a run stays


def _of_summary(summary: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """The figures of HEADLINES that have been computed."""
    known = {(row["model"], row["eval_set"], row["metric"]): row for row in summary}
    for run in dict.fromkeys(row["model"] for row in summary):
        for eval_set, metric, what, beside, whose in HEADLINES:
            row = known.get((run, eval_set, metric))
            if row is not None:
                other = known.get((run, eval_set, beside), {}).get("value") if isinstance(beside, str) else beside
                yield Figure(run, what, row["value"], row["unit"], other, whose, row["n"])


def _of_stage(stage: Mapping[str, Any]) -> Iterator[Figure]:
    """What a stage of coincidence has found out: training, labelling or selecting."""
    kind, _, name = stage["folder"].partition("/")
    found = stage.get("figures", {})
    for metric, what, beside, whose in VALIDATED if kind == "models" else ():
        if metric in found:
            gallery = found["validate_gallery"]
            told = what if beside is not None else f"{what}, among {gallery:.0f} videos"
            yield Figure(name, told, found[metric], "1", 1 / gallery if beside is None else beside, whose, None)
    if kind == "labels" and "num_kept" in stage:
        coverage = stage["num_judged"] / max(stage["num_kept"], 1)
        conflicts = stage["num_conflicts"] / max(stage["num_judged"], 1)
        yield Figure("labels", "kept clips that people judged", coverage, "1", None, "", stage["num_kept"])
        yield Figure("labels", "judged clips on which they disagree", conflicts, "1", None, "", stage["num_judged"])
        what = "agreement of clips judged twice, Fleiss kappa"
        yield Figure("labels", what, stage["fleiss_kappa"], "1", 0.0, "chance", stage["num_rated_twice"])
    if kind == "selections" and "reasons" in stage:
        count = sum(stage["reasons"].values())
        kept = stage["reasons"].get("kept", 0) / max(count, 1)
        yield Figure(f"selection {name}", "clips kept, of all that were planned", kept, "1", None, "", count)
