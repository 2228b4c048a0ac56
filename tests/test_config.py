"""Configs: a name that follows from the content, a way there and back, and messages that say which field is wrong."""

import dataclasses
import doctest
import hashlib
import json
from typing import Any, Literal

import pytest

from pipeline import config as config_module
from pipeline.clip_specs import ClipSpec
from pipeline.config import Setting, as_dict, from_dict, hash_json, list_settings, override
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearnerConfig
from pipeline.learners.separation import SeparationLearnerConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    size: int = 4
    """How large it is,
    in steps."""
    share: float = 0.5
    kind: Literal["a", "b"] = "a"
    cap: int | None = None
    names: tuple[str, ...] = ("x",)
    is_on: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"inner.size = {self.size}: expected 1 or more.")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    title: str = "t"


def test_the_hash_is_the_first_12_digits_of_sha256_of_sorted_json_without_spaces() -> None:
    text = b'{"a":[1,2.5,null],"b":"\\u00fc"}'
    assert json.loads(text) == {"a": [1, 2.5, None], "b": "ü"}
    assert hash_json({"b": "ü", "a": [1, 2.5, None]}) == hashlib.sha256(text).hexdigest()[:12]


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


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("inner.size=8", 8),
        ("inner.share=1e-3", 0.001),
        ("inner.kind=b", "b"),
        ("inner.cap=7", 7),
        ("inner.cap=none", None),
        ("inner.names=p, q,r", ("p", "q", "r")),
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


def test_a_value_may_hold_an_equals_sign() -> None:
    assert override(Outer(), ["title=a=b"]).title == "a=b"


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("inner.size", "expected stage.field=value"),
        ("inner.sise=8", "no field `sise`. Known here: size, share"),
        ("outer.size=8", "no field `outer`. Known here: inner, title"),
        ("inner=8", "`inner` is a group. Set one of its fields: size"),
        ("inner.size.more=8", "no field `more`"),
        ("inner.size=big", "found `big`, expected int"),
        ("inner.size=2.5", "found `2.5`, expected int"),
        ("inner.is_on=1", "found `1`, expected bool"),
        ("inner.kind=c", "found `c`, expected"),
        ("inner.size=0", "inner.size = 0: expected 1 or more"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Outer(), [assignment])
    assert says in str(caught.value)
    assert f"--set {assignment}" in str(caught.value)


def test_a_field_of_another_version_is_named() -> None:
    with pytest.raises(ConfigError, match="Inner has no field `colour`"):
        from_dict(Outer, {"inner": {"colour": 1}})


def test_a_saved_value_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Inner: inner.size = 0: expected 1 or more"):
        from_dict(Outer, {"inner": {"size": 0}})


def test_the_list_of_settings_has_every_value_with_what_stands_under_its_field() -> None:
    found = list(list_settings(Outer(inner=Inner(cap=None, names=("p", "q"), is_on=True))))
    assert found[0] == Setting("inner.size", "4", "How large it is, in steps.")
    assert [(path, text) for path, text, _ in found[1:]] == [
        ("inner.share", "0.5"),
        ("inner.kind", "a"),
        ("inner.cap", "none"),
        ("inner.names", "p,q"),
        ("inner.is_on", "true"),
        ("title", "t"),
    ]
    assert {doc for _, _, doc in found[1:]} == {""}


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(config_module).failed == 0
    assert doctest.testmod(config_module).attempted > 0
