"""Configs: frozen dataclasses that hold what changes a result, and nothing else.

Each stage declares its config class with `config_dataclass`, beside the code that reads it: the type of a field holds
its range, the docstring under the field says what changing it does, `__post_init__` compares fields. The hash of a
config names the artifact it made, so paths, addresses and worker counts are arguments, never fields.

Design note: pydantic checks values strictly: no text passes for a number, no bool for an int, no NaN for a float. Its
errors are worded here, once, from the JSON schema of the field.
"""

import dataclasses
import functools
import json
import typing
from typing import Annotated, Any, TypeVar

import pydantic.dataclasses
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import ConfigError

T = TypeVar("T")
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]

RULES = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid", use_attribute_docstrings=True)
TYPE_WORDS = {
    "null": "none",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
}
LOW_WORDS = {"minimum": "{} or more", "exclusiveMinimum": "more than {}"}
HIGH_WORDS = {"maximum": "at most {}", "exclusiveMaximum": "less than {}"}


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def config_dataclass(kind: type[T]) -> type[T]:
    """A frozen dataclass of keyword arguments, whose values are checked when it is made.

    >>> @config_dataclass
    ... class Mixing:
    ...     max_examples: Count = 4
    >>> Mixing(max_examples=0)
    Traceback (most recent call last):
    pipeline.errors.ConfigError: max_examples = 0: expected 1 or more.
    """
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, slots=True, config=RULES)(kind)
    check = made.__init__

    @functools.wraps(check)
    def checked(self: Any, **values: Any) -> None:
        try:
            check(self, **values)
        except ValidationError as error:
            raise _refusal(made, error) from None

    made.__init__ = checked
    return made


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """The inverse of `as_dict`: a config of class `kind`, nested configs included.

    Raises:
        ConfigError: a field that the class does not have, or a value out of its range.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        raise _refusal(kind, error) from None


@functools.cache
def field_schema(kind: Any, name: str) -> dict[str, Any]:
    """The JSON schema of a field of a config class: its type or, in `anyOf`, its types, and their ranges."""
    return TypeAdapter(kind.__pydantic_fields__[name].rebuild_annotation()).json_schema()


def format_value(value: Any) -> str:
    """A field's value as users write it: `true`, `none`, a comma between the values of a list; JSON if one has it."""
    if isinstance(value, tuple | list):
        if any(isinstance(item, str) and ("," in item or item.startswith("[")) for item in value):
            return json.dumps(value, ensure_ascii=False)
        return ",".join(map(format_value, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _refusal(kind: Any, error: ValidationError) -> ConfigError:
    """`stage.field = value: expected ...` for every value that pydantic refused."""
    messages = []
    for wrong in error.errors():
        *groups, name = names = [name for name in wrong["loc"] if isinstance(name, str)] or [""]
        path, reason = ".".join(names), wrong["type"]
        if reason == "value_error":  # of a __post_init__, which names the fields of its own class
            messages.append(f"{path}.{wrong['ctx']['error']}".removeprefix("."))
        elif reason == "unexpected_keyword_argument":
            messages.append(f"{path}: no such field in this version.")
        elif "missing" in reason:
            messages.append(f"{path}: not given, expected a value.")
        else:
            owner = functools.reduce(lambda at, group: at.__pydantic_fields__[group].annotation, groups, kind)
            expected = _expected(field_schema(owner, name), is_out_of_range="than" in reason)
            messages.append(f"{path} = {format_value(wrong['input'])}: expected {expected}.")
    return ConfigError(" ".join(messages))


def _expected(schema: dict[str, Any], is_out_of_range: bool) -> str:
    """A field's JSON schema in words; where a number is out of its range, the range alone."""
    if "anyOf" in schema:
        return ", or ".join(_expected(option, is_out_of_range) for option in schema["anyOf"])
    schema = schema.get("items", schema)
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    bounds = [words.format(schema[key]) for key, words in (LOW_WORDS | HIGH_WORDS).items() if key in schema]
    if {"minimum", "maximum"} <= schema.keys():
        bounds = [f"{schema['minimum']} to {schema['maximum']}"]
    type_words = TYPE_WORDS.get(schema.get("type", ""), "text")
    return ", ".join(bounds if is_out_of_range and bounds else [type_words, *bounds])
