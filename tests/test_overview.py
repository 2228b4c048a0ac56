"""The first screen: numbers of the corpus, and findings where there is something to find."""

from typing import Any

import pytest

from pipeline.reports.comparing import Change
from pipeline.reports.headline_metrics import Figure
from pipeline.reports.overview import list_facts, list_findings

ROWS: dict[str, list[dict[str, Any]]] = {
    "corpus": [{"num_videos": 2000, "num_kept": 1999, "hours": 50.0, "size_bytes": 3 * 10**9}],
    "cut": [{"spec": "base", "num_planned": 9000, "num_kept": 8000, "hours": 11.0}],
    "chosen": [{"selection": "strict", "num_clips": 8000, "num_kept": 4000, "hours": 5.5}],
    "licences": [{"license": "CC0", "hours": 8.25}, {"license": "CC-BY", "hours": 2.75}],
    "effort": [{"cpu_hours": 10.0, "gpu_hours": 0.0}],
    "refused": [{"outcome": "no_audio", "n": 1}],
}
GOOD = Figure("m", "AUC", 0.9, "1", 0.5, "chance", 400, 0.85, 0.95, "coincidence", "-", "pairs", "auc")


def test_facts_are_the_numbers_of_the_corpus() -> None:
    assert [tuple(fact) for fact in list_facts(ROWS)] == [
        ("videos", "2 000", "50 h, 3 GB"),
        ("gave clips", "over 99.9 %", "of the videos"),  # never looks like all of them
        ("clips (base)", "8 000", "11 h, each second counted once"),
        ("clips in selection strict", "4 000", "5.5 h, 50 % of the clips"),
        ("CPU time", "10 h", "no GPU"),
        ("licences", "2", "CC0 75 %, CC-BY 25 %"),
    ]
    assert list_facts({name: [] for name in ROWS}) == []


def test_nothing_is_found_where_all_is_well() -> None:
    assert list_findings(ROWS, [GOOD], [{"stage": "models/m", "finished": "now"}], []) == []


@pytest.mark.parametrize(
    ("rows", "figure", "stage", "said"),
    [
        (
            {"refused": [{"outcome": "no_audio", "n": 300}]},
            GOOD,
            {},
            "15 % of the videos gave no clip, most often: no audio (300)",
        ),
        ({"chosen": [{**ROWS["chosen"][0], "num_kept": 8}]}, GOOD, {}, "strict keeps 0.1 % of the clips"),
        ({"licences": [{"license": None, "hours": 1.0}]}, GOOD, {}, "100 % of the hours have no licence"),
        ({}, GOOD._replace(low=0.4), {}, "cannot be told from the baseline, 0.500 (chance)"),
        ({}, GOOD._replace(value=0.3, low=0.2, high=0.4), {}, "is worse than the baseline"),
        (
            {},
            GOOD._replace(value=0.4, low=None, high=None),
            {},
            "0.400 is not better than the baseline, 0.500 (chance)",
        ),
        ({}, GOOD._replace(n=16), {}, "Fewer than 30 examples are behind m, AUC (16)"),
        ({}, GOOD, {"stage": "models/m"}, "models/m has not finished"),
    ],
)
def test_what_needs_a_look_is_found(rows: dict[str, Any], figure: Figure, stage: dict[str, str], said: str) -> None:
    (finding,) = list_findings(ROWS | rows, [figure], [stage] if stage else [], [])
    assert said in finding.what
    assert finding.meaning.endswith(".")


def test_a_regression_comes_first() -> None:
    worse = Change(GOOD, GOOD._replace(of="old", value=0.99), "worse")
    first, *_ = list_findings(ROWS, [GOOD._replace(n=16)], [], [worse, worse._replace(verdict="alike")])
    assert first.what == "m is worse than old: AUC 0.900 [0.850, 0.950] against 0.990 [0.850, 0.950]"


def test_regressions_of_one_model_are_one_finding() -> None:
    worse = Change(GOOD, GOOD._replace(of="m", value=0.99), "worse")
    (finding,) = list_findings(ROWS, [], [], [worse, worse, worse])
    assert finding.what.startswith("m is worse than that of the other workspace: AUC 0.900")
    assert finding.what.endswith("(and 2 more figures)")
