"""Scorers of the user's own: found by name, held to what they declare; what is wrong is said with the clip's name."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.clips.samples import NO_FRAMES, Clip
from pipeline.errors import ConfigError
from pipeline.outside.scorers import ScorerClass, batch_size_of, checked, declared_columns, source_hash, to_value

CLIPS = [Clip(key, {"flac": np.zeros(4, np.float32)}, NO_FRAMES, {}) for key in ("a", "b")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def write(folder: Path, module: str, text: str) -> None:
    (folder / f"{module}.py").write_text(text)


def test_a_class_is_found_in_the_folder_and_made_once_with_the_device_and_its_arguments(folder: Path) -> None:
    (folder / "own").mkdir()
    write(
        folder / "own",
        "scorer_one",
        """
class Given:
    columns = {"x": "VARCHAR"}
    def __init__(self, device, weights, scale="1"):
        self.given = f"{device} {weights} {scale}"
    def __call__(self, clips):
        return [{"x": f"{self.given} {clip.key}"} for clip in clips]
""",
    )
    scorer = ScorerClass("own.scorer_one:Given", str(folder), {"weights": "w.pt"})
    assert declared_columns(scorer.load(), scorer.name) == {"x": "VARCHAR"}
    assert scorer.make("cpu")(CLIPS) == [{"x": "cpu w.pt 1 a"}, {"x": "cpu w.pt 1 b"}]
    before = source_hash(scorer.load())
    assert list(before) == ["scorer_one.py"]
    assert len(before["scorer_one.py"]) == 12


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("scorer_a", "", "scorer scorer_a: expected package.module:Class"),
        ("../x:Y", "", "expected package.module:Class"),
        (
            "scorer_gone:A",
            "",
            r"scorer_gone cannot be imported on .*: ModuleNotFoundError: .*scorer_gone.* Searched: .*lib",
        ),
        ("scorer_b:A", "import no_such_package", "scorer_b cannot be imported.*No module named 'no_such_package'"),
        ("scorer_c:A", "def f(:", r"scorer_c cannot be imported.*SyntaxError.*scorer_c\.py, line 1"),
        ("scorer_d:A", "B = 1", "scorer_d has no class A"),
        ("scorer_e:A", "A = 1", "scorer_e has no class A"),
        (
            "scorer_f:A",
            "class A:\n  def __init__(self, device): raise OSError('no weights')",
            "cpu: OSError: no weights",
        ),
        ("scorer_g:A", "class A:\n  def __init__(self): pass", "TypeError: .*positional"),
    ],
)
def test_what_cannot_be_loaded_or_made_says_why_and_where_it_was_searched(
    folder: Path, name: str, text: str, said: str
) -> None:
    if text:
        write(folder, name.partition(":")[0], text)
    with pytest.raises(ConfigError, match=said):
        ScorerClass(name, str(folder), {}).make("cpu")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (None, "expected an attribute columns"),
        ({}, "expected an attribute columns"),
        ({"A b": "DOUBLE"}, "column 'A b': expected a name"),
        ({"clip_id": "VARCHAR"}, "column 'clip_id': expected a name"),
        ({"x": "REAL"}, "column x is 'REAL': expected BIGINT"),
        ({"x": "FLOAT[]"}, r"a vector with its length, such as FLOAT\[128\]"),
        ({"x": "VARCHAR[2]"}, "column x is"),
    ],
)
def test_columns_are_declared_with_types_that_can_be_stored(columns: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        declared_columns(type("A", (), {"columns": columns}), "m:A")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, "DOUBLE", 1.0),
        (np.float32(0.5), "DOUBLE", 0.5),
        (torch.tensor(0.25), "FLOAT", 0.25),
        (0.1, "FLOAT", float(np.float32(0.1))),
        (float("nan"), "DOUBLE", None),
        (1e300, "FLOAT", None),
        (None, "BIGINT", None),
        (np.int64(-(2**63)), "BIGINT", -(2**63)),
        (np.True_, "BOOLEAN", True),
        (np.str_("ö"), "VARCHAR", "ö"),
        (torch.arange(2), "DOUBLE[2]", [0.0, 1.0]),
        ((1, 2), "BIGINT[2]", [1, 2]),
        (None, "FLOAT[2]", None),
    ],
)
def test_numbers_of_numpy_and_torch_are_values_of_their_type(value: Any, kind: str, expected: Any) -> None:
    found = to_value(value, kind)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (None, "NoneType for 2 clips from a on"),
        ([{"x": 1.0, "v": [1.0, 2.0]}], "1 answers for 2 clips from a on"),
        ([{"x": 1.0, "v": None}, {"x": 1.0}], r"m:A: b: keys x\. Expected a dict of x, v"),
        ([{"x": 1.0, "v": None}, 3.0], "b: float. Expected a dict"),
        ([{"x": 1.0, "v": None}, {"x": 1.0, "v": None, "y": 1}], "b: keys x, v, y"),
        ([{"x": "1", "v": None}] * 2, "a: x is str, expected DOUBLE"),
        ([{"x": True, "v": None}] * 2, "a: x is bool, expected DOUBLE"),
        ([{"x": 10**400, "v": None}] * 2, "a: x .*expected DOUBLE"),
        ([{"x": [1.0], "v": None}] * 2, "a: x is list"),
        ([{"x": 1, "v": [1.0]}] * 2, r"a: v has 1 numbers, expected FLOAT\[2\]"),
        ([{"x": 1, "v": [1.0, float("inf")]}] * 2, "a: v has a number that is none"),
        ([{"x": 1, "v": 1.0}] * 2, "a: v is float"),
    ],
)
def test_an_answer_that_is_not_what_was_declared_is_named_with_its_clip(answers: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(answers, CLIPS, {"x": "DOUBLE", "v": "FLOAT[2]"}, "m:A")


@pytest.mark.parametrize(("value", "kind"), [(2**63, "BIGINT"), (1.0, "BIGINT"), ("\ud800", "VARCHAR"), (1, "BOOLEAN")])
def test_a_value_that_the_column_cannot_hold_is_refused(value: Any, kind: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        to_value(value, kind)


def test_a_batch_has_a_whole_number_of_clips_from_one_on() -> None:
    class Given:
        def __call__(self, clips: list[Clip]) -> list[dict]:
            return []

    scores: Any = Given()
    assert batch_size_of(scores, "own:Given") == 32
    for scores.batch_size in (1, 5):
        assert batch_size_of(scores, "own:Given") == scores.batch_size
    for scores.batch_size in (0, -3, "eight", 2.5, None, True):
        with pytest.raises(ConfigError, match=r"scorer own:Given: batch_size is .*Expected a whole number from 1 on"):
            batch_size_of(scores, "own:Given")
