"""The fields of a config as users see them: `--set stage.field=value` changes one, `earshot settings` lists all."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from pipeline.config import field_schema, format_value, from_dict
from pipeline.errors import ConfigError, did_you_mean
from pipeline.hashing import as_dict

T = TypeVar("T")


class Setting(NamedTuple):
    """One field that `override` can change."""

    path: str
    """Such as filtering.min_score."""
    text: str
    """Its value, as `override` reads it."""
    doc: str
    """What changing it does."""


def list_settings(config: Any) -> list[Setting]:
    """Every single value of a nested config, in order; its meaning is the docstring under the field."""
    return [Setting(path, format_value(value), doc) for path, _, value, doc in _fields(config)]


def override(config: T, assignments: Sequence[str]) -> T:
    """Replace fields of a nested config by `stage.field=value` strings.

    Raises:
        ConfigError: no such field, or a value that is not of the field's type or out of its range.
    """
    for assignment in assignments:
        path, equals, text = (piece.strip() for piece in assignment.partition("="))
        if not equals:
            raise ConfigError(f"--set {assignment}: expected stage.field=value, for example mixing.max_examples=100.")
        fields = {name: owner for name, owner, _, _ in _fields(config)}
        inside = dict.fromkeys(name[len(path) + 1 :].split(".")[0] for name in fields if name.startswith(f"{path}."))
        if inside:
            raise ConfigError(f"--set {assignment}: `{path}` is a group. Set one of its fields: {', '.join(inside)}.")
        if path not in fields:
            near = did_you_mean(path, fields) or " `earshot settings` lists all fields."
            raise ConfigError(f"--set {assignment}: no field `{path}`.{near}")
        values = as_dict(config)
        *groups, name = path.split(".")
        functools.reduce(dict.__getitem__, groups, values)[name] = _parse(field_schema(fields[path], name), text)
        try:
            config = from_dict(type(config), values)
        except ConfigError as error:
            raise ConfigError(f"--set {assignment}: {str(error).removeprefix(f'{path} = {text}: ')}") from error
    return config


def _fields(config: Any, prefix: str = "") -> Iterator[tuple[str, type, Any, str]]:
    """Path, class that declares it, value and docstring of every field that is not a group."""
    for name, info in type(config).__pydantic_fields__.items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, type(config), value, " ".join((info.description or "").split())


def _parse(schema: dict[str, Any], text: str) -> Any:
    """`text` as JSON of a type in the schema; as it is where it can be none of them: `from_dict` then refuses it.

    A list may also be its values with a comma between.
    """
    types = {option["type"] for option in schema.get("anyOf", [schema])}
    if "null" in types and text.lower() in ("none", ""):
        return None
    if "array" in types:
        with contextlib.suppress(ValueError):
            if text.startswith("["):
                return json.loads(text)
        return [item.strip() for item in text.split(",") if item.strip()]
    if "boolean" in types:
        return {"true": True, "false": False}.get(text.lower(), text)
    for read in (int, float) if types & {"integer", "number"} else ():
        with contextlib.suppress(ValueError):
            return read(text)
    return text
