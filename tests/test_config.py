"""Configs: values are checked against the types of their fields, in code, from a file and by `--set`."""

import copy
import dataclasses
import doctest
import json
import math
import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from jobs.console.overrides import Setting, list_settings, override
from pipeline import config as config_module
from pipeline import errors
from pipeline.clip_specs import ClipSpec
from pipeline.config import Count, Share, config_dataclass, from_dict
from pipeline.errors import ConfigError, did_you_mean
from pipeline.hashing import as_dict, hash_json
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.separation_config import SeparationLearnerConfig


@config_dataclass
class Inner:
    size: Count = 4
    """How large it is,
    in steps."""
    share: Share = 0.5
    gap: Annotated[float, Field(gt=0, lt=1)] = 0.5
    level: float = 0.0
    kind: Literal["a", "b"] = "a"
    cap: Count | None = None
    names: tuple[str, ...] = ("x",)
    is_on: bool = False

    def __post_init__(self) -> None:
        if self.cap is not None and self.cap > self.size:
            raise ValueError(f"cap = {self.cap}, size = {self.size}: expected a cap of at most the size.")


@config_dataclass
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    title: str = "t"


def test_the_hash_changes_with_any_field() -> None:
    changes: list[dict[str, Any]] = [{"size": 5}, {"share": 0.25}, {"kind": "b"}, {"cap": 1}, {"names": ("y",)}]
    hashes = {hash_json(as_dict(Outer(inner=Inner(**change)))) for change in [{}, {"is_on": True}, *changes]}
    assert len(hashes) == len(changes) + 2


@pytest.mark.parametrize(
    "config",
    [Outer(inner=Inner(cap=3, names=("p", "q"))), ClipSpec(), CoincidenceLearnerConfig(), SeparationLearnerConfig()],
    ids=lambda config: type(config).__name__,
)
def test_a_config_survives_the_way_through_json(config: Any) -> None:
    assert from_dict(type(config), json.loads(json.dumps(as_dict(config)))) == config
    assert copy.deepcopy(config) == config
    assert hash(dataclasses.replace(config)) == hash(config)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("size", 0, "size = 0: expected 1 or more."),
        ("size", 2.0, "size = 2.0: expected a whole number, 1 or more."),
        ("size", True, "size = true: expected a whole number, 1 or more."),
        ("size", "4", "size = 4: expected a whole number, 1 or more."),
        ("share", 1.5, "share = 1.5: expected 0 to 1."),
        ("gap", 1.0, "gap = 1.0: expected more than 0, less than 1."),
        ("level", math.nan, "level = nan: expected a number."),
        ("level", math.inf, "level = inf: expected a number."),
        ("kind", "c", "kind = c: expected one of a, b."),
        ("cap", 0, "cap = 0: expected 1 or more, or none."),
        ("cap", 5, "cap = 5, size = 4: expected a cap of at most the size."),
        ("names", (1,), "names = 1: expected text."),
        ("is_on", 1, "is_on = 1: expected true or false."),
        ("colour", 1, "colour: no such field in this version."),
    ],
)
def test_a_wrong_value_is_refused_in_code_and_from_a_file(field: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Inner(**{field: value})
    assert str(caught.value) == says
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, {"inner": {field: value}})
    assert str(caught.value) == f"inner.{says}"


def test_every_wrong_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^inner.size = 0: .* title = 3: expected text\.$"):
        from_dict(Outer, {"inner": {"size": 0}, "title": 3})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("size", " Did you mean inner.size or outer.size?"),
        ("iner.size", " Did you mean inner.size?"),
        ("inner.sise", " Did you mean inner.size?"),
        ("sise", " Did you mean inner.size or outer.size?"),
        ("inner.colour", ""),
    ],
)
def test_a_wrong_name_gets_the_names_that_it_may_stand_for(name: str, says: str) -> None:
    assert did_you_mean(name, ["inner.size", "inner.share", "outer.size"]) == says


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("inner.size=8", 8),
        ("inner.share=1e-3", 0.001),
        ("inner.share=1", 1.0),
        ("inner.kind=b", "b"),
        ("inner.cap=3", 3),
        ("inner.cap=none", None),
        ("inner.names=p, q,r", ("p", "q", "r")),
        ('inner.names=["p, q", "[r]"]', ("p, q", "[r]")),
        ("inner.is_on=True", True),
        (" inner.is_on = false ", False),
    ],
)
def test_set_changes_one_field_and_leaves_the_others(assignment: str, value: Any) -> None:
    name = assignment.split("=")[0].strip().removeprefix("inner.")
    start = Outer(inner=Inner(cap=1, is_on=value is False), title="kept")
    changed = override(start, [assignment])
    assert getattr(changed.inner, name) == value
    assert type(getattr(changed.inner, name)) is type(value)
    assert changed == dataclasses.replace(start, inner=dataclasses.replace(start.inner, **{name: value}))


def test_a_text_may_look_like_a_number_and_hold_an_equals_sign() -> None:
    assert override(Outer(), ["title=a=b"]).title == "a=b"
    assert override(Outer(), ["title=7"]).title == "7"


@pytest.mark.parametrize("names", [("p, q", "r"), ("[p]",), ("p", "q"), ("é, 'x'",), ()])
def test_a_list_is_written_as_it_is_read(names: tuple[str, ...]) -> None:
    listed = next(setting for setting in list_settings(Inner(names=names)) if setting.path == "names")
    assert override(Inner(), [f"names={listed.text}"]).names == names


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("inner.size", "expected stage.field=value"),
        ("size=8", "no field `size`. Did you mean inner.size?"),
        ("inner.sise=8", "no field `inner.sise`. Did you mean inner.size?"),
        ("outer.size=8", "no field `outer.size`. Did you mean inner.size?"),
        ("inner.colour=8", "no field `inner.colour`. `earshot settings` lists all fields."),
        ("inner=8", "`inner` is a group. Set one of its fields: size"),
        ("inner.size.more=8", "no field `inner.size.more`"),
        ("inner.size=big", "expected a whole number, 1 or more."),
        ("inner.size=2.5", "expected a whole number, 1 or more."),
        ("inner.is_on=1", "expected true or false."),
        ("inner.kind=c", "expected one of a, b."),
        ("inner.size=0", "expected 1 or more."),
        ("inner.level=nan", "expected a number."),
        ("inner.level=1e400", "inner.level = inf: expected a number."),
        ("inner.cap=9", "inner.cap = 9, size = 4: expected a cap of at most the size."),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Outer(), [assignment])
    assert str(caught.value).startswith(f"--set {assignment}: {says}")


def test_the_list_of_settings_has_every_value_with_the_docstring_under_its_field() -> None:
    found = list_settings(Outer(inner=Inner(cap=None, names=("p", "q"), is_on=True)))
    assert found[0] == Setting("inner.size", "4", "How large it is, in steps.")
    assert [(path, text) for path, text, _ in found[1:]] == [
        ("inner.share", "0.5"),
        ("inner.gap", "0.5"),
        ("inner.level", "0.0"),
        ("inner.kind", "a"),
        ("inner.cap", "none"),
        ("inner.names", "p,q"),
        ("inner.is_on", "true"),
        ("title", "t"),
    ]
    assert {doc for _, _, doc in found[1:]} == {""}


def test_names_of_content_and_errors_need_no_pydantic() -> None:
    code = "import sys, pipeline.errors, pipeline.hashing; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", [config_module, errors])
def test_examples_in_docstrings_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0
