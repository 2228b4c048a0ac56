"""Evaluation of a separator that learnt from sounds: sums of held-out sounds -> rows -> figures, as FUSS reports them.

A mixture whose sources a list states (FUSS) is separated as it is. Every other held-out clip is separated alone, and
together with 1, 2 and 3 clips of other recordings, drawn by the seed. Sets are named by how many sounds are not silent:
`1_sound`, `2_sounds`, ..., and `many_sounds` for all of 2 or more.

| metric | of | meaning |
|---|---|---|
| mean_si_snr_db, median_si_snr_db | 1_sound | SI-SNR of the source that is the sound: FUSS' 1S |
| mean_, median_si_snr_improvement_db | 2 or more | SI-SNR of each source less that of the mixture: FUSS' MSi |
| worse_pair_share | 2 or more | pairs whose SI-SNR is below that of the mixture |
| mean_, median_combined_improvement_db | 2 or more | the same for all sources that the best assignment gives a sound |
| under_, equal_, over_separation_share | all | fewer, as many or more active sources than sounds |

Pairs are matched and counted by `metrics/source_matching.py`. Intervals draw recordings (`metrics/bootstrap.py`).
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pipeline.clip_specs import SOUNDS
from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import DataError
from pipeline.evaluation.evaluating import Evaluation, Headline, Row, mean_or_median
from pipeline.hashing import hash_text
from pipeline.learners.loading import load_model
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.signal_products import count_active, si_snr_db
from schemas.reports import SummaryRow
from schemas.sound_examples import SOUND_EXAMPLES

MAX_SOUNDS = 4  # in a sum of recordings, as in FUSS
MAX_RECORDED = 500  # clips that are the first of sums, those with the smallest hash: four examples each
MIXTURE = "untouched mixture"
MANY_SOUNDS = "many_sounds"


class SoundExample(NamedTuple):
    """Sounds to add up and to separate."""

    clips: tuple[int, ...]
    """Their numbers in the held-out set."""
    recording: str


class PairFigure(NamedTuple):
    """A figure of each example, or of each of its pairs."""

    metric: str
    values: Callable[[Row], Sequence[float]]
    unit: str = "dB"


def _improvements(row: Row) -> Sequence[float]:
    return [found - before for found, before in zip(row["si_snr_db"], row["si_snr_input_db"], strict=True)]


def _combined(row: Row) -> Sequence[float]:
    return [] if row["combined_improvement_db"] is None else [row["combined_improvement_db"]]


def _separation(compare: np.ufunc) -> Callable[[Row], Sequence[float]]:
    return lambda row: [float(compare(row["num_active_sources"], row["num_references"]))]


ALONE = tuple(PairFigure(f"{of}_si_snr_db", lambda row: row["si_snr_db"]) for of in ("mean", "median"))
SEVERAL = (
    *(PairFigure(f"{of}_si_snr_improvement_db", _improvements) for of in ("mean", "median")),
    PairFigure("worse_pair_share", lambda row: [float(value < 0) for value in _improvements(row)], "1"),
    *(PairFigure(f"{of}_combined_improvement_db", _combined) for of in ("mean", "median")),
)
COUNTS = (
    PairFigure("under_separation_share", _separation(np.less), "1"),
    PairFigure("equal_separation_share", _separation(np.equal), "1"),
    PairFigure("over_separation_share", _separation(np.greater), "1"),
)


class SoundsEvaluation(Evaluation):
    """Of models that phase audio trained on the clip spec `sounds`. Loads the model at its first part and keeps it."""

    tables = (SOUND_EXAMPLES,)
    headlines = (
        Headline(
            MANY_SOUNDS, "mean_si_snr_improvement_db", "2 to 4 sounds, SI-SNRi of each source (MSi)", 0.0, MIXTURE
        ),
        Headline("2_sounds", "mean_si_snr_improvement_db", "2 sounds, SI-SNRi of each source", 0.0, MIXTURE),
        Headline("2_sounds", "mean_combined_improvement_db", "2 sounds, sources best combined, SI-SNRi", 0.0, MIXTURE),
        Headline("1_sound", "median_si_snr_db", "1 sound, SI-SNR (1S)", 80.0, "a copy: the metric's cap"),
        Headline(
            MANY_SOUNDS, "equal_separation_share", "2 to 4 sounds, as many active sources", 1.0, "perfect counting"
        ),
    )
    columns: ClassVar = {
        "mean_si_snr_db": "mean SI-SNR",
        "mean_si_snr_improvement_db": "mean improvement",
        "worse_pair_share": "worse pairs",
        "mean_combined_improvement_db": "mean, combined",
        "median_combined_improvement_db": "combined",
    }
    source = f"clips/{SOUNDS}"
    batch_size = 8
    _model: Any = None
    _clips: Any = None

    @staticmethod
    def is_for(settings: Mapping[str, Any]) -> bool:
        """Whether a model with these settings learnt from sounds alone."""
        config = settings["separation"]  # of an older version perhaps, without these fields
        return (config.get("phase"), config.get("audio_from")) == ("audio", "sounds")

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now, and the seed."""
        return {"splitting": self.trained()["splitting"], "seed": self.seed}

    def pending(self) -> list[str]:
        """Parts without rows yet, of those that the model was trained with: later ones would change who is mixed."""
        finished = set(self.workspace.parts(self.table(SOUND_EXAMPLES)))
        return [part for part in self._parts() if part not in finished]

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        """Rows of `sound_examples`: those whose first sound is of the part."""
        if self._model is None:
            _, self._model = load_model(self.workspace, self.model, "separation")
            self._clips = self._held_out()
        by_size: dict[int, list[SoundExample]] = {}
        for example in self._examples(part):
            by_size.setdefault(len(example.clips), []).append(example)
        rows = []
        for _, examples in sorted(by_size.items()):
            for begin in range(0, len(examples), self.batch_size):
                rows += self._rows(examples[begin : begin + self.batch_size])
        return {"sound_examples": sorted(rows, key=lambda row: row["example_id"])}

    def summarise(self) -> list[SummaryRow]:
        """Means, medians and shares of each set, and of all with several sounds."""
        rows = self.workspace.read_all(self.table(SOUND_EXAMPLES), SOUND_EXAMPLES).to_pylist()
        sets: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row["num_references"]):
            count = row["num_references"]
            sets.setdefault("1_sound" if count == 1 else f"{count}_sounds", []).append(row)
        sets.pop("0_sounds", None)
        several = [row for row in rows if row["num_references"] > 1]
        found = [
            self._figure_row(name, figure, of_set)
            for name, of_set in sets.items()
            for figure in (*(ALONE if name == "1_sound" else SEVERAL), *COUNTS)
        ]
        return found + [self._figure_row(MANY_SOUNDS, figure, several) for figure in (*SEVERAL, *COUNTS)]

    def _figure_row(self, eval_set: str, figure: PairFigure, rows: list[Row]) -> SummaryRow:
        of_rows = [figure.values(row) for row in rows]
        values = np.array([value for of_row in of_rows for value in of_row], dtype=np.float64)
        groups = [row["recording"] for row, of_row in zip(rows, of_rows, strict=True) for _ in of_row]
        interval = bootstrap_interval(
            lambda drawn: mean_or_median(figure.metric, values[drawn]), np.array(groups, dtype=object)
        )
        value = mean_or_median(figure.metric, values) if len(values) else None
        return self.summary_row(eval_set, figure.metric, value, figure.unit, len(values), interval)

    def _held_out(self) -> Any:
        """The clips of the split test."""
        from pipeline.training.clipsets import load_splits  # here, because evaluations are listed without torch

        splitting = from_dict(SplittingConfig, self.trained()["splitting"])
        return load_splits(self.workspace, ("test",), splitting, self._parts(), SOUNDS)[0]

    def _parts(self) -> list[str]:
        from pipeline.training.clipsets import begun_with

        return begun_with(self.workspace, f"models/{self.model}", self.source, is_finished=True)

    def _examples(self, part: str) -> Iterator[SoundExample]:
        """Those whose first sound is of the part, a function of the clips and the seed."""
        from pipeline.learners.mixtures_of_sounds import list_mixtures

        parts, ids = (self._clips.rows[name].to_pylist() for name in ("part", "clip_id"))
        recordings = list_mixtures(self._clips)
        recorded = [of.clips[0] for mixtures in recordings for of in mixtures if not of.are_known]
        firsts = set(heapq.nsmallest(MAX_RECORDED, recorded, key=lambda number: (hash_text(ids[number]), number)))
        for place, mixtures in enumerate(recordings):
            for mixture in mixtures:
                first = mixture.clips[0]
                if parts[first] != part or not (mixture.are_known or first in firsts):
                    continue
                if mixture.are_known:
                    yield SoundExample(mixture.clips, mixtures[0].recording)
                    continue
                others = [other for number, other in enumerate(recordings) if number != place]
                rng = np.random.default_rng([self.seed, hash_text(ids[first])])
                order = rng.permutation(len(others))[: MAX_SOUNDS - 1]
                drawn = [others[number][int(rng.integers(len(others[number])))].clips[0] for number in order]
                for count in range(len(drawn) + 1):
                    yield SoundExample((first, *drawn[:count]), mixture.recording)

    def _rows(self, examples: list[SoundExample]) -> list[Row]:
        """The examples, of as many sounds each, separated together."""
        import torch  # here, because evaluations are listed without it

        from pipeline.losses.mixit import all_to_first, best_assignment

        device = next(self._model.parameters()).device
        sounds = [np.stack([clip.waveform for clip in self._clips.read_many(example.clips)]) for example in examples]
        references = torch.from_numpy(np.stack(sounds)).to(device)
        with torch.no_grad():
            sources = self._model.separate(references.sum(dim=1))
            is_alone = references.shape[1] == 1
            assignment = all_to_first(sources) if is_alone else best_assignment(references, sources)
            waveforms = torch.cat([references, sources], dim=1).double()
            products = (waveforms @ waveforms.mT / waveforms.shape[-1]).cpu().numpy()
        if not np.isfinite(products).all():
            raise DataError(f"model {self.model}: its sources are not finite. Train it again.")
        ids = self._clips.rows["clip_id"]
        return [
            sound_example_row(example.recording, [ids[number].as_py() for number in example.clips], found, to)
            for example, found, to in zip(examples, products, assignment.cpu().numpy(), strict=True)
        ]


def sound_example_row(recording: str, clip_ids: list[str], products: np.ndarray, assignment: np.ndarray) -> Row:
    """Row of the table `sound_examples`.

    Args:
        recording: of the first sound.
        clip_ids: of the R sounds.
        products: [R + S, R + S] means over time of the products of the sounds and the sources.
        assignment: [R, S] 1 where the best assignment gives a source to a sound; not used for one sound.
    """
    from pipeline.metrics.source_matching import match_sources  # here, because it imports scipy

    num_references, signals = len(clip_ids), np.eye(len(products))
    powers, mixture = np.diag(products), signals[:num_references].sum(axis=0)
    pairs = match_sources(products, num_references)
    input_db = si_snr_db(products, signals[:num_references], mixture[None])
    combined = np.concatenate([np.zeros((len(assignment), num_references)), assignment], axis=1)[:num_references]
    active, num_active = count_active(powers[:num_references], powers[num_references:])
    improvement_db = (
        np.nanmean(si_snr_db(products, signals[:num_references], combined) - input_db) if active > 1 else None
    )
    return {
        "example_id": f"{clip_ids[0]}_{num_references}",
        "recording": recording,
        "clip_ids": clip_ids,
        "num_references": active,
        "num_active_sources": num_active,
        "reference": [reference for reference, _ in pairs],
        "source": [source for _, source in pairs],
        "si_snr_db": [float(si_snr_db(products, signals[r], signals[num_references + s])) for r, s in pairs],
        "si_snr_input_db": [float(input_db[r]) for r, _ in pairs],
        "combined_improvement_db": None if improvement_db is None else float(improvement_db),
    }
