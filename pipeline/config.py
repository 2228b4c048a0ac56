"""Configs: frozen dataclasses that hold what changes a result, and nothing else.

Each stage's config class stands beside the code that reads it; this file only knows how to hash one, write one as JSON,
override a field of one, and list the fields with their meaning. The hash of a config names the artifact it made, so
paths, addresses and worker counts are arguments, never fields.
"""

import ast
import dataclasses
import hashlib
import inspect
import itertools
import json
import math
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from pipeline.errors import ConfigError

T = TypeVar("T")


def as_dict(config: Any) -> dict[str, Any]:
    """A config, or a dict that holds configs, as plain JSON types."""
    return json.loads(json.dumps(config, default=dataclasses.asdict))


def hash_json(value: Any) -> str:
    """12 hex digits of sha256 over the canonical JSON of `value`: equal values, equal names."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hash_bytes(canonical.encode())


def hash_bytes(data: bytes) -> str:
    """12 hex digits of sha256 over the bytes."""
    return hashlib.sha256(data).hexdigest()[:12]


class Setting(NamedTuple):
    """One field that `override` can change."""

    path: str
    """Such as filtering.min_score."""
    text: str
    """Its value, as `override` reads it."""
    doc: str
    """What moving it does."""


def list_settings(config: Any, prefix: str = "") -> Iterator[Setting]:
    """Every single value of a nested config, in order; its meaning is the docstring under the field."""
    docs: dict[str, str] = {}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(type(config)))).body
    for field, below in itertools.pairwise(typing.cast(ast.ClassDef, definition).body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            docs[ast.unparse(field.target)] = " ".join(ast.literal_eval(below.value).split())
    for name in (field.name for field in dataclasses.fields(config)):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from list_settings(value, f"{prefix}{name}.")
        else:
            yield Setting(prefix + name, _text(value), docs.get(name, ""))


def override(config: T, assignments: Sequence[str]) -> T:
    """Replace fields of a nested config by `stage.field=value` strings.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Mixing:
    ...     max_examples: int = 4
    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     mixing: Mixing = Mixing()
    >>> override(Config(), ["mixing.max_examples=8"]).mixing.max_examples
    8

    Raises:
        ConfigError: no such field, or a value that is not of the field's type or out of its range.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected stage.field=value, for example mixing.max_examples=100.")
        config = _replace(config, path.strip().split("."), text.strip(), assignment)
    return config


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """The inverse of `as_dict`: a config of class `kind`, nested configs included.

    Raises:
        ConfigError: a field that the class does not have, or a value out of its range.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ConfigError(f"{kind.__name__} has no field `{unknown[0]}`: it was written by another version.")
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            value = from_dict(typing.cast(type, hints[name]), value)
        fields[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind.__name__}: {error}") from error


def _replace(config: T, path: list[str], text: str, assignment: str) -> T:
    hints = typing.get_type_hints(type(config)) if dataclasses.is_dataclass(config) else {}
    if path[0] not in hints:
        known = ", ".join(hints) or "nothing: the name before it is a single value"
        raise ConfigError(f"--set {assignment}: no field `{path[0]}`. Known here: {known}.")
    old = getattr(config, path[0])
    if len(path) > 1:
        new = _replace(old, path[1:], text, assignment)
    elif dataclasses.is_dataclass(old):
        fields = ", ".join(field.name for field in dataclasses.fields(old))
        raise ConfigError(f"--set {assignment}: `{path[0]}` is a group. Set one of its fields: {fields}.")
    else:
        new = _parse(hints[path[0]], text, assignment)
    try:
        return dataclasses.replace(config, **{path[0]: new})  # type: ignore[type-var]
    except ValueError as error:
        raise ConfigError(f"--set {assignment}: {error}") from error


def _text(value: Any) -> str:
    """The inverse of `_parse`."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _parse(hint: Any, text: str, assignment: str) -> Any:
    """`text` as the field's type: bool, int, float, str, an optional of these, or a tuple of these."""
    options = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = list(typing.get_args(hint))
        if type(None) in options and text.lower() in ("none", ""):
            return None
    for option in options:
        if typing.get_origin(option) is tuple:
            inner = typing.get_args(option)[0]
            return tuple(_parse(inner, item.strip(), assignment) for item in text.split(",") if item.strip())
        if typing.get_origin(option) is typing.Literal:
            if text in typing.get_args(option):
                return text
        elif option is bool:
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
        elif option in (int, float):
            try:
                number = option(text)
            except ValueError:
                continue
            if math.isfinite(number):
                return number
        elif option is str:
            return text
    expected = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"--set {assignment}: found `{text}`, expected {expected}.")
