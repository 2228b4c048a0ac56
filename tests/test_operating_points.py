"""Every point of the curve is what the waveforms give at that shift: by the stored products, in numpy and in SQL."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.clips.samples import Clip
from pipeline.evaluation.onscreen_rows import SeparatedExample, example_row, source_rows
from pipeline.evaluation.operating_points import SHIFTS, StoredExamples, operating_points, stored_examples
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.reports import EXAMPLES, OPERATING_POINTS, SOURCES
from tests.helpers.si_snr import off_screen_suppression_ratio, si_snr

SETS = ("on_single", "off_single", "on_mom", "off_mom")
NUM_SOURCES, NUM_SAMPLES, PER_SET = 3, 500, 3


class Example:
    """Noise, separated badly: sources leak into each other and add up to the mixture."""

    def __init__(self, eval_set: str, number: int) -> None:
        rng = np.random.default_rng([SETS.index(eval_set), number])
        self.eval_set, is_mom = eval_set, eval_set.endswith("mom")
        self.first, second = rng.normal(size=(2, NUM_SAMPLES))
        self.second = second * is_mom
        shares = rng.dirichlet(np.ones(NUM_SOURCES), size=2)
        self.sources = shares.T @ np.stack([self.first, self.second])
        self.logits = rng.normal(0, 2, NUM_SOURCES)
        sounds = {"first.flac": self.first} | ({"second.flac": self.second} if is_mom else {})
        facts = {"eval_set": eval_set, "first_clip_id": f"v{number}_000000", "sources": [{"uri": "s3://a/b.mp4"}]}
        self.clip = Clip(f"{eval_set}_{number}", sounds, np.zeros((1, 3, 8, 8), np.uint8), facts)
        waveforms = np.stack([self.first, self.second, *self.sources])
        self.found = SeparatedExample(
            waveforms @ waveforms.T / NUM_SAMPLES, self.logits, np.zeros(NUM_SOURCES), np.zeros(2), np.ones((1, 1, 1))
        )

    def estimate(self, shift: float) -> torch.Tensor:
        return torch.from_numpy((1 / (1 + np.exp(-self.logits - shift))) @ self.sources)

    def si_snr_db(self, shift: float) -> float:
        return float(si_snr(torch.from_numpy(self.first), self.estimate(shift)))

    def osr_db(self, shift: float) -> float:
        return float(off_screen_suppression_ratio(torch.from_numpy(self.first + self.second), self.estimate(shift)))


EXAMPLES_OF = {eval_set: [Example(eval_set, number) for number in range(PER_SET)] for eval_set in SETS}
ALL = [example for examples in EXAMPLES_OF.values() for example in examples]


def tables() -> tuple[pa.Table, pa.Table]:
    examples = [example_row(example.clip, example.found) for example in ALL]
    sources = [row for example in ALL for row in source_rows(example.clip, example.found)]
    return from_rows(examples, EXAMPLES, "test"), from_rows(sources[::-1], SOURCES, "test")  # any order of rows will do


def points() -> dict[float, dict]:
    rows = operating_points(stored_examples(*tables()))
    assert from_rows(rows, OPERATING_POINTS, "test").num_rows == len(SHIFTS)
    return {row["logit_shift"]: row for row in rows}


def test_what_is_stored_is_what_was_measured() -> None:
    stored = stored_examples(*tables())
    assert stored.eval_set.tolist() == [example.eval_set for example in ALL]
    np.testing.assert_array_equal(stored.products, [example.found.products for example in ALL])
    np.testing.assert_array_equal(stored.logits, [example.logits for example in ALL])


@pytest.mark.parametrize("shift", [-4.0, 0.0, 1.5])
def test_a_point_has_the_medians_of_the_waveforms_at_that_shift(shift: float) -> None:
    row = points()[shift]
    on_mom, on_single = EXAMPLES_OF["on_mom"], EXAMPLES_OF["on_single"]
    si_snrs = np.array([example.si_snr_db(shift) for example in on_mom])
    sums = [(torch.from_numpy(example.first), torch.from_numpy(example.first + example.second)) for example in on_mom]
    gains = si_snrs - [float(si_snr(first, mixture)) for first, mixture in sums]
    assert row["on_mom_si_snr_db"] == pytest.approx(np.median(si_snrs), abs=1e-6)
    assert row["on_mom_si_snr_improvement_db"] == pytest.approx(np.median(gains), abs=1e-6)
    assert row["on_mom_worse_share"] == pytest.approx(np.mean(gains < 0))
    for eval_set in ("off_mom", "off_single"):
        expected = np.median([example.osr_db(shift) for example in EXAMPLES_OF[eval_set]])
        assert row[f"{eval_set}_osr_db"] == pytest.approx(expected, abs=1e-6)
    levels = [-example.osr_db(shift) for example in on_single]  # the mixture is the sound
    assert row["on_single_level_db"] == pytest.approx(np.median(levels), abs=1e-6)


def test_shifts_run_from_all_off_to_all_on_and_no_shift_is_the_model_as_it_is() -> None:
    rows = points()
    levels = [rows[shift]["on_single_level_db"] for shift in sorted(rows)]
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(0, abs=0.1)
    assert rows[10.0]["off_mom_osr_db"] == pytest.approx(0, abs=0.1)
    assert rows[-10.0]["off_mom_osr_db"] > 20
    examples, _ = tables()
    gains = [row["snr_gain_db"] for row in examples.to_pylist() if row["eval_set"] == "on_mom"]
    assert rows[0.0]["on_mom_snr_gain_db"] == pytest.approx(np.median(gains), abs=1e-9)


def test_without_examples_there_is_no_curve_and_without_a_set_no_value() -> None:
    empty = (schema.empty_table() for schema in (EXAMPLES, SOURCES))
    assert operating_points(stored_examples(*empty)) == []
    stored = stored_examples(*tables())
    singles = np.char.endswith(stored.eval_set, "single")
    row = operating_points(StoredExamples(*(array[singles] for array in stored)))[0]
    assert row["on_mom_si_snr_db"] is row["on_mom_worse_share"] is row["off_mom_osr_db"] is None
    assert row["off_single_osr_db"] is not None


def test_the_sql_of_the_guide_gives_the_same_point(tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "guide.md").read_text()
    (sql,) = re.findall(r"```sql\n(WITH shifted.*?)```", guide, re.DOTALL)
    workspace = Workspace(str(tmp_path))
    for table, schema in zip(tables(), (EXAMPLES, SOURCES), strict=True):
        name = schema.metadata[b"table"].decode()
        workspace.commit(f"{name}/m/default", "00000", table, schema)
    found = {row["eval_set"]: row["osr_db"] for row in query(workspace, sql).to_pylist()}
    row = points()[1.5]
    expected = {eval_set: row[f"{eval_set}_osr_db"] for eval_set in ("off_single", "off_mom")}
    assert found == pytest.approx(expected, abs=1e-9)
