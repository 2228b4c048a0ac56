"""A scorer of the user's own: a class by its name, the columns that it declares, and its answers, checked and typed.

    class Loudness:
        columns = {"rms": "DOUBLE", "spectrum": "FLOAT[128]"}

        def __init__(self, device: str) -> None: ...        # once per worker; device is cpu or cuda
        def __call__(self, clips: list[Clip]) -> list[dict]: ...   # a dict with exactly these keys per clip

        @classmethod
        def check(cls) -> None: ...   # if it has one: before any work, where the command runs; raises what is missing

Design note: the class declares its types, and no answer settles them. Parts are scored in any order on any worker, and
a column whose first part has nulls alone would have another type than one whose parts came the other way round.
"""

import hashlib
import importlib
import inspect
import math
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.outside.imported_types import KEYS, MAX, MIN
from pipeline.storage.sql_files import TABLE_NAME

NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
TYPE = re.compile(r"(BIGINT|DOUBLE|FLOAT|BOOLEAN|VARCHAR)|(BIGINT|DOUBLE|FLOAT)\[([1-9]\d{0,5})\]")
BATCH_SIZE = 32
Answer = Mapping[str, Any]
Scores = Callable[[list[Clip]], Sequence[Answer]]


@dataclass(frozen=True)
class ScorerClass:
    """A scorer by name; cheap to send to a worker, which loads it.

    Args:
        name: package.module:Class.
        folder: searched for the module after all of sys.path.
        arguments: keyword arguments of the class beside `device`.
    """

    name: str
    folder: str
    arguments: Mapping[str, str]

    def load(self) -> type:
        """The class.

        Raises:
            ConfigError: the name is none, its module cannot be imported here, or has no such class.
        """
        if not NAME.fullmatch(self.name):
            raise ConfigError(f"scorer {self.name}: expected package.module:Class.")
        module, _, name = self.name.partition(":")
        if self.folder not in sys.path:
            sys.path.append(self.folder)
        try:
            found = getattr(importlib.import_module(module), name, None)
        except Exception as error:
            searched = ", ".join(path or "." for path in sys.path)
            raise ConfigError(
                f"scorer {self.name}: {module} cannot be imported on {platform.node()}: {type(error).__name__}: "
                f"{error}. Searched: {searched}."
            ) from error
        if not inspect.isclass(found):
            raise ConfigError(f"scorer {self.name}: {module} has no class {name}.")
        return found

    def check(self) -> None:
        """Ask the class, if it has a class method `check`, whether its arguments and what it needs are there.

        Raises:
            ConfigError: as `load`, or with what the class says.
        """
        loaded = self.load()
        if hasattr(loaded, "check"):
            try:
                loaded.check(**self.arguments)
            except Exception as error:
                raise ConfigError(f"scorer {self.name}: {type(error).__name__}: {error}") from error

    def make(self, device: str) -> Scores:
        """A scorer of the class, on a device.

        Raises:
            ConfigError: as `load`, or the class cannot be made; the message has its reason.
        """
        made_of = self.load()
        try:
            scorer: Scores = made_of(device, **self.arguments)
        except Exception as error:
            raise ConfigError(
                f"scorer {self.name}: cannot be made on {platform.node()} for {device}: {type(error).__name__}: {error}"
            ) from error
        return scorer


def declared_columns(scorer: type, name: str) -> dict[str, str]:
    """Types of the columns that a class declares, by name, such as DOUBLE or FLOAT[128].

    Raises:
        ConfigError: it declares none, or a name or type that cannot be stored.
    """
    columns = getattr(scorer, "columns", None)
    if not isinstance(columns, Mapping) or not columns:
        raise ConfigError(
            f'scorer {name}: expected an attribute columns, such as {{"similarity": "DOUBLE", "vector": "FLOAT[128]"}}.'
        )
    for column, kind in columns.items():
        if not isinstance(column, str) or not re.fullmatch(TABLE_NAME, column) or column in KEYS:
            raise ConfigError(
                f"scorer {name}: column {column!r}: expected a name of a-z, 0-9 and _, but for {', '.join(KEYS)}."
            )
        if not isinstance(kind, str) or not TYPE.fullmatch(kind):
            raise ConfigError(
                f"scorer {name}: column {column} is {kind!r}: expected BIGINT, DOUBLE, FLOAT, BOOLEAN, VARCHAR, or a "
                "vector with its length, such as FLOAT[128]."
            )
    return dict(columns)


def stored_columns(declared: Mapping[str, str]) -> dict[str, str]:
    """The types as the record of an imported table has them.

    >>> stored_columns({"similarity": "DOUBLE", "vector": "FLOAT[128]"})
    {'similarity': 'DOUBLE', 'vector': 'FLOAT[]'}
    """
    return {column: re.sub(r"\[\d+\]", "[]", kind) for column, kind in declared.items()}


def batch_size_of(scores: Scores, name: str) -> int:
    """Clips that a scorer takes at once: its `batch_size`, if it has one.

    Args:
        name: of its class, for messages.
    Raises:
        ConfigError: it is no whole number from 1 on.
    """
    given = getattr(scores, "batch_size", BATCH_SIZE)
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ConfigError(f"scorer {name}: batch_size is {given!r}. Expected a whole number from 1 on.")
    return given


def source_hash(scorer: type) -> dict[str, str]:
    """Hash of the file that has the class, by the file's name; {} for one of no file."""
    try:
        path = Path(inspect.getfile(scorer))
    except (TypeError, OSError):
        return {}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12]} if path.is_file() else {}


def checked(answers: Any, clips: Sequence[Clip], columns: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    """The answers to clips, as rows of plain values. A float that is no finite number becomes null.

    Args:
        answers: what the scorer has returned.
        clips: what it was called with.
        columns: as declared.
        name: of the scorer, for messages.
    Raises:
        ConfigError: it has not answered with one dict per clip, or a dict has other keys, or a value of another type.
    """
    if not isinstance(answers, list | tuple) or len(answers) != len(clips):
        found = f"{len(answers)} answers" if isinstance(answers, list | tuple) else type(answers).__name__
        raise ConfigError(
            f"scorer {name}: {found} for {len(clips)} clips from {clips[0].key} on. Expected a list of one dict each."
        )
    rows = []
    for clip, answer in zip(clips, answers, strict=True):
        if not isinstance(answer, Mapping) or set(answer) != set(columns):
            found = f"keys {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else type(answer).__name__
            raise ConfigError(f"scorer {name}: {clip.key}: {found}. Expected a dict of {', '.join(columns)}.")
        row = {"clip_id": clip.key}
        for column, kind in columns.items():
            try:
                row[column] = to_value(answer[column], kind)
            except (TypeError, ValueError, OverflowError) as error:
                raise ConfigError(f"scorer {name}: {clip.key}: {column} {error}, expected {kind}.") from error
        rows.append(row)
    return rows


def to_value(value: Any, kind: str) -> Any:
    """A value of a declared type as Arrow takes it; numbers of numpy and torch become Python's.

    Raises:
        TypeError, ValueError: it is of another type; the message completes "<column> ...".
    """
    if hasattr(value, "tolist"):  # numpy's and torch's arrays and numbers; of a GPU too
        value = value.tolist()
    if value is None:
        return None
    kind, bracket, length = kind.rstrip("]").partition("[")
    if not bracket:
        return _to_scalar(value, kind)
    if not isinstance(value, list | tuple):
        raise TypeError(f"is {type(value).__name__}")
    if len(value) != int(length):
        raise ValueError(f"has {len(value)} numbers")
    numbers = [_to_scalar(number, kind) for number in value]
    if None in numbers:
        raise ValueError("has a number that is none")
    return numbers


def _to_scalar(value: Any, kind: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "BOOLEAN" and isinstance(value, bool):
        return value
    if kind == "VARCHAR" and isinstance(value, str):
        value.encode()  # a lone surrogate is no text
        return value
    if kind == "BIGINT" and is_number and isinstance(value, int):
        if not MIN <= value <= MAX:
            raise ValueError(f"is {value}")
        return value
    if kind in ("DOUBLE", "FLOAT") and is_number:
        with np.errstate(over="ignore"):
            number = float(np.float32(value)) if kind == "FLOAT" else float(value)
        return number if math.isfinite(number) else None
    raise TypeError(f"is {type(value).__name__}")
