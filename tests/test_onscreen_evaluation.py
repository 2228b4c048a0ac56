"""Evaluation of separation: a row per example and per source, and figures that are medians and areas of those rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import World
from sklearn.metrics import roc_auc_score

from pipeline.errors import ConfigError
from pipeline.evaluation.evaluating import commit_summary
from pipeline.evaluation.mixing import MixingConfig
from pipeline.evaluation.onscreen_evaluation import OnScreenEvaluation
from pipeline.hashing import hash_json
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_clips
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SOURCES, SUMMARY
from tests.helpers.evaluated_separation import CONFIG, evaluate_separation
from tests.helpers.selections import select_and_mix
from tests.helpers.si_snr import si_snr

SETS = ("on_single", "off_single", "on_mom", "off_mom")


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The world with frozen sets `m` and a model `s`, evaluated on them."""
    return evaluate_separation(world.workspace, tmp_path_factory.mktemp("evaluated") / "workspace")


def test_every_frozen_example_has_its_row_and_a_row_per_source(evaluated: Workspace) -> None:
    mixtures = evaluated.read_all("mixtures/m", MIXTURES).to_pylist()
    examples = evaluated.read_all("examples/s/m", EXAMPLES).to_pylist()
    sources = evaluated.read_all("sources/s/m", SOURCES).to_pylist()
    names = sorted((row["eval_set"], row["example_id"]) for row in mixtures)
    assert len(names) == 4 * 4  # four test videos, a clip of each, in four sets
    assert sorted((row["eval_set"], row["example_id"]) for row in examples) == names
    num_sources = CONFIG.model.num_sources
    expected = sorted((*name, source) for name in names for source in range(num_sources))
    assert sorted((row["eval_set"], row["example_id"], row["source"]) for row in sources) == expected


def test_the_input_of_a_row_is_the_si_snr_of_the_mixture_against_its_first_sound(evaluated: Workspace) -> None:
    mixtures = {row["example_id"]: row for row in evaluated.read_all("mixtures/m", MIXTURES).to_pylist()}
    clips = load_clips(evaluated, "all", "test", labelled=True)
    numbers = {clips.clip_id(number): number for number in range(len(clips))}
    rows = evaluated.read_all("examples/s/m", EXAMPLES).to_pylist()
    for row in rows:
        mixture = mixtures[row["example_id"]]
        assert (row["osr_db"] is None) == (row["si_snr_db"] is not None) == row["eval_set"].startswith("on")
        if row["eval_set"] == "on_mom":
            first, second = (
                torch.from_numpy(clips.read(numbers[mixture[f"{role}_clip_id"]]).waveform)
                for role in ("sound", "second")
            )
            assert row["si_snr_input_db"] == pytest.approx(float(si_snr(first, first + second)), abs=0.01)


def test_attention_of_random_weights_on_a_rendered_world_has_the_masks_share_of_the_picture(
    evaluated: Workspace,
) -> None:
    rows = evaluated.read_all("examples/s/m", EXAMPLES).to_pylist()
    found = [row for row in rows if row["attention_chance"] is not None]
    assert found
    assert {row["eval_set"] for row in found} <= {"on_single", "on_mom"}
    chance = np.mean([row["attention_chance"] for row in found])
    assert 0 < chance < 1
    assert np.mean([row["attention_mass"] for row in found]) == pytest.approx(chance, abs=0.1)


def test_evaluating_again_in_other_batches_changes_last_digits_only(evaluated: Workspace) -> None:
    before = evaluated.read_all("examples/s/m", EXAMPLES).to_pylist()
    evaluate = OnScreenEvaluation(evaluated, "s", "m")
    evaluate.batch_size = 3
    for part in evaluated.parts("mixtures/m"):
        evaluate(part)
    after = evaluated.read_all("examples/s/m", EXAMPLES).to_pylist()
    for first, second in zip(before, after, strict=True):
        assert first["example_id"] == second["example_id"]
        for name in ("si_snr_db", "osr_db"):
            assert first[name] == (None if second[name] is None else pytest.approx(second[name], abs=0.05))


def reported(workspace: Workspace, mixtures: str) -> dict[str, bytes]:
    """Every file of the tables of the model's evaluation on these sets."""
    folders = [workspace.table(f"{table}/s/{mixtures}") for table in ("examples", "sources", "summary")]
    return {entry.uri: files.read_bytes(entry.uri) for folder in folders for entry in files.list_files(folder)}


def test_a_model_that_is_evaluated_on_a_second_set_keeps_its_rows_of_the_first(evaluated: Workspace) -> None:
    first = OnScreenEvaluation(evaluated, "s", "m")
    commit_summary(first, first.summarise(), {"models/s": "0123456789ab", "mixtures/m": "ba9876543210"})
    traced = query(evaluated, "SELECT DISTINCT model_hash, data_hash FROM summary").to_pylist()
    assert traced == [{"model_hash": "0123456789ab", "data_hash": hash_json({"mixtures/m": "ba9876543210"})}]
    before = reported(evaluated, "m")
    assert len(before) == 2 * len(evaluated.parts("mixtures/m")) + 1
    select_and_mix(evaluated, "n", MixingConfig(max_examples=1))  # one example per set
    second = OnScreenEvaluation(evaluated, "s", "n")
    for part in evaluated.parts("mixtures/n"):
        second(part)
    commit_summary(second, second.summarise(), {})
    assert reported(evaluated, "m") == before
    sql = "SELECT mixtures, count(DISTINCT eval_set) AS sets, count(*) AS n FROM {} GROUP BY 1 ORDER BY 1"
    num_sources = CONFIG.model.num_sources
    expected = {"examples": (4 * 4, 4), "sources": (4 * 4 * num_sources, 4 * num_sources)}
    for table, (of_first, of_second) in expected.items():
        assert query(evaluated, sql.format(table)).to_pylist() == [
            {"mixtures": "m", "sets": 4, "n": of_first},
            {"mixtures": "n", "sets": 4, "n": of_second},
        ]
    figure = (
        "SELECT mixtures, n FROM summary WHERE eval_set = 'on_mom' AND metric = 'median_si_snr_input_db' ORDER BY 1"
    )
    assert query(evaluated, figure).to_pylist() == [{"mixtures": "m", "n": 4}, {"mixtures": "n", "n": 1}]


def figures(rows: list[dict]) -> dict[tuple[str, str], dict]:
    return {(row["eval_set"], row["metric"]): row for row in rows}


def write_reports(workspace: Workspace, examples: list[dict], sources: list[dict]) -> None:
    for table, rows, schema in (("examples", examples, EXAMPLES), ("sources", sources, SOURCES)):
        workspace.commit(f"{table}/r/m", "x-00000", from_rows(rows, schema, "here"), schema)


EXAMPLE = {
    "num_references": 2,
    "num_active_sources": 2,
    "power_first": 1.0,
    "power_second": 1.0,
    "product_first_second": 0.0,
}
SOURCE = {"product_first": 0.0, "product_second": 0.0, "products": [0.0]}


def on_mom(number: int, **values: float | str | None) -> dict:
    """A row of `examples`, of a video of its own."""
    return EXAMPLE | {"eval_set": "on_mom", "example_id": f"a{number}", "video_id": f"v{number}"} | values


def test_figures_are_the_medians_and_shares_of_their_set(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    on = [(3.0, 1.0, 2.0, 5.0), (10.0, -1.0, 11.0, 12.0), (4.0, 2.0, 2.0, 4.5), (-1.0, 1.0, -2.0, 3.0)]
    names = ("si_snr_db", "si_snr_input_db", "si_snr_improvement_db", "si_snr_oracle_db")
    examples = [on_mom(i, **dict(zip(names, values, strict=True))) for i, values in enumerate(on)]
    examples += [on_mom(4, num_references=0, num_active_sources=0)]  # a silent one
    examples[0] |= {"num_active_sources": 1}
    examples[1] |= {"num_active_sources": 4, "capi_sdri_db": 6.0}
    off = [(1.0, True, 0.0), (8.0, True, 0.0), (30.0, False, None)]
    examples += [
        on_mom(5 + i) | {"eval_set": "off_mom", "osr_db": osr, "is_answered": answered, "capi_sdri_db": capi}
        for i, (osr, answered, capi) in enumerate(off)
    ]
    write_reports(workspace, examples, [])
    found = figures(OnScreenEvaluation(workspace, "r", "m").summarise())
    expected = {
        ("on_mom", "median_si_snr_db"): (3.5, 4),
        ("on_mom", "median_si_snr_input_db"): (1.0, 4),
        ("on_mom", "median_si_snr_improvement_db"): (2.0, 4),
        ("on_mom", "median_si_snr_oracle_db"): (4.75, 4),
        ("on_mom", "worse_share"): (0.25, 4),
        ("on_mom", "under_separation_share"): (0.25, 4),
        ("on_mom", "equal_separation_share"): (0.5, 4),
        ("on_mom", "over_separation_share"): (0.25, 4),
        ("off_mom", "median_osr_db"): (8.0, 3),
        ("off_mom", "false_alarm_share"): (2 / 3, 3),
        ("all", "mean_capi_sdri_db"): (2.0, 3),  # of 6, 0 and 0: true silence is left out
        ("on_single", "median_si_snr_db"): (None, 0),
        ("off_single", "median_osr_db"): (None, 0),
        ("all", "auc_roc"): (None, 0),
    }
    for key, (value, n) in expected.items():
        assert (found[key]["value"], found[key]["n"]) == (pytest.approx(value) if value else value, n), key
    assert not any(key[0].startswith("off") and "si_snr" in key[1] for key in found)
    assert ("on_single", "median_si_snr_improvement_db") not in found
    assert (found["on_mom", "median_si_snr_db"]["low"], found["on_mom", "median_si_snr_db"]["num_videos"]) == (None, 4)
    commit_summary(OnScreenEvaluation(workspace, "r", "m"), list(found.values()), {})
    assert workspace.read("summary/r/m", "00000", SUMMARY).num_rows == len(found)


def test_an_interval_is_that_of_videos_and_not_of_examples(tmp_path: Path) -> None:
    workspace, rng = Workspace(str(tmp_path)), np.random.default_rng(0)
    values = rng.normal(5, 2, size=40)
    examples = [on_mom(10 * i + copy, video_id=f"v{i}", snr_db=v) for i, v in enumerate(values) for copy in range(10)]
    write_reports(workspace, examples, [])
    row = figures(OnScreenEvaluation(workspace, "r", "m").summarise())["on_mom", "median_snr_db"]
    assert (row["n"], row["num_videos"]) == (400, 40)
    # the standard error of a median of 40 is 1.25 * 2 / 40 ** 0.5 = 0.4 dB; of 400 it would be 0.13
    assert row["low"] < row["value"] < row["high"]
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * 0.4, rel=0.4)


def test_the_area_under_the_curve_is_sklearns_with_powers_as_weights_for_all_and_each_kind(tmp_path: Path) -> None:
    workspace, rng = Workspace(str(tmp_path)), np.random.default_rng(0)
    truth, sets = rng.random(80) < 0.5, np.array(["on_single", "on_mom", "off_single", "off_mom"] * 20)
    probability, weight = np.clip(truth * 0.3 + 0.7 * rng.random(80), 0.01, 0.99), rng.random(80)
    sources = [
        SOURCE
        | {"eval_set": s, "example_id": f"{i % 12}", "source": i, "logit": float(np.log(p / (1 - p)))}
        | {"probability": p, "weight": w, "on_screen": bool(t)}
        for i, (s, p, w, t) in enumerate(zip(sets, probability, weight, truth, strict=True))
    ]
    silent = sources[0] | {"weight": None, "logit": 9.0}
    write_reports(workspace, [], [*sources, silent])
    found = figures(OnScreenEvaluation(workspace, "r", "m").summarise())
    for name, ending in (("all", ""), ("singles", "single"), ("moms", "mom")):
        of = np.char.endswith(sets, ending)
        row = found[name, "auc_roc"]
        assert row["value"] == pytest.approx(roc_auc_score(truth[of], probability[of], sample_weight=weight[of]))
        assert row["n"] == of.sum()
        assert row["low"] < row["value"] < row["high"]


def test_a_model_that_is_not_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="models/s"):
        OnScreenEvaluation(workspace, "s", "m")("on_mom-00000")


def test_examples_are_committed_last_because_they_make_a_part_finished(evaluated: Workspace) -> None:
    times = [
        files.local_path(evaluated.part_uri(f"{table}/s/m", "on_mom-00000")).stat().st_mtime_ns
        for table in ("sources", "examples")
    ]
    assert times == sorted(times)
