"""What a command says on stderr beside its result: lines for people, or one JSON object in each line for machines.

`--log-format json`, or EARSHOT_LOG_FORMAT=json in the environment, chooses the second: every line has the fields of
`Record`, no more and no less. What a library writes to stderr by itself becomes the `message` of a record of level
warning, line by line.
"""

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypedDict

from pipeline.errors import ConfigError

VARIABLE, OPTION, FORMATS = "EARSHOT_LOG_FORMAT", "--log-format", ("text", "json")
Level = Literal["info", "warning", "error"]
OF_MODELS = ("models", "scores", "reports")  # stages whose name is a model's


class Record(TypedDict):
    """One line of JSON; a field that does not apply is null."""

    time: str
    """UTC, ISO 8601, with milliseconds."""
    level: Level
    command: str
    """What was typed after `earshot`, such as run."""
    stage: str | None
    """What is being made, such as clips/base."""
    step: str | None
    """The work within the stage, such as shard base."""
    part: str | None
    """The part that the message is about, such as 00042."""
    model: str | None
    """The model that is trained, evaluated, or scores."""
    message: str
    """The line that people see."""
    done: int | None
    """Parts, or steps of a training, of `total`: in messages about progress."""
    total: int | None
    seconds_to_go: float | None
    counts: dict[str, float]
    """What was counted so far, or losses and clips per second of a training: in messages about progress."""


_is_json = False
_command = ""
_stages: list[str] = []
_steps: list[str] = []


def begin(arguments: Sequence[str], command: str) -> None:
    """Choose the format of a command's messages, from its arguments or the environment, before anything is said.

    Raises:
        ConfigError: neither text nor json is asked for.
    """
    global _is_json, _command
    where, chosen = VARIABLE, os.environ.get(VARIABLE) or "text"
    for place, word in enumerate(arguments):
        name, is_joined, value = word.partition("=")
        if name == OPTION and (is_joined or place + 1 < len(arguments)):
            where, chosen = OPTION, value if is_joined else arguments[place + 1]
    _is_json, _command = chosen == "json", command
    if chosen not in FORMATS:
        raise ConfigError(f"{where} {chosen}: expected one of {', '.join(FORMATS)}.")


def is_json() -> bool:
    """Whether messages are JSON: then there is no bar."""
    return _is_json


@contextlib.contextmanager
def at_work(stage: str = "", step: str = "") -> Iterator[None]:
    """Name the stage or the step of what is said in the block."""
    for names, name in ((_stages, stage), (_steps, step)):
        names += [name] * bool(name)
    try:
        yield
    finally:
        for names, name in ((_stages, stage), (_steps, step)):
            if name:
                names.remove(name)


def say(
    message: str,
    level: Level = "info",
    part: str | None = None,
    done: int | None = None,
    total: int | None = None,
    seconds_to_go: float | None = None,
    counts: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write a message to stderr; for the arguments see `Record`."""
    if not _is_json:
        print(message, file=sys.stderr, flush=True)
        return
    stage = _stages[-1] if _stages else None
    kind, _, name = (stage or "").partition("/")
    record: Record = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "command": _command,
        "stage": stage,
        "step": _steps[-1] if _steps else None,
        "part": part,
        "model": name.partition("/")[0] if kind in OF_MODELS else None,
        "message": message,
        "done": done,
        "total": total,
        "seconds_to_go": seconds_to_go,
        "counts": dict(counts),
    }
    getattr(sys.stderr, "whole", sys.stderr).write(json.dumps(record) + "\n")
    sys.stderr.flush()
