"""Commands that are imported once they are chosen: how the arguments of each are parsed and named in its help."""

import copy
import importlib
import math
from typing import Any

import typer
import typer.core

from pipeline.errors import ConfigError

# What is typed after an option or in place of an argument, by its name; NUMBER or NAME for the others.
WORDS = {
    **dict.fromkeys(("root", "out", "media", "folder", "masks"), "FOLDER"),
    **dict.fromkeys(("labels", "spans", "prices"), "FILE"),
    **dict.fromkeys(("picture", "sound", "pairs"), "FILE"),
    **{"dataset": "DATASET", "videos": "VIDEO", "region": "X,Y,W,H", "at": "X,Y", "span": "+FROM-TO"},
    **dict.fromkeys(("on_screen_gain", "off_screen_gain"), "DB"),
    **{"collection": "VIDEOS", "settings": "FIELD=VALUE", "address": "ADDRESS", "retry": "REASON", "stage": "STAGE"},
    **{"sql": "SQL", "deadline": "TIME", "learner": "LEARNER", "max_reject_rate": "SHARE"},
}
SHARED = ("quiet", "log_format")  # options of `earshot` that may also come after the command


class LazyGroup(typer.core.TyperGroup):
    """Lists commands by their help lines; imports the one that was chosen."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The chosen command's name, the command itself, and its arguments; for a typo the nearest names."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, placeholder, rest
        command = load(name)
        for option in (copy.copy(parameter) for parameter in self.params if parameter.name in SHARED):
            option.expose_value = False  # `earshot -q run` and `earshot run -q` are the same
            option.default = ctx.params.get(option.name, option.default)  # what came before the command
            command.params.append(option)
        return name, command, rest


def load(name: str) -> Any:
    """The command of a module of `jobs`, ready to parse its arguments."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name)(importlib.import_module(f"jobs.{name}").command)
    command: Any = typer.main.get_command(app)
    for parameter in command.params:
        shown = parameter.type_descriptor
        if not (shown.is_choice or parameter.metavar or getattr(parameter, "is_flag", False)):
            word = "NUMBER" if shown.is_ranged or shown.annotation in (int, float) else "NAME"
            parameter.metavar = WORDS.get(parameter.name, word)
            parameter.display_type = lambda _: ""  # an argument's metavar, unlike an option's, does not replace it
        if shown.annotation is float:
            parameter.callback = _check_finite
    return command


def _check_finite(_: Any, option: Any, number: float | None) -> float | None:
    """An option's number, if it is finite: NaN exceeds no limit, and none is what infinity means as one."""
    if number is not None and not math.isfinite(number):
        raise ConfigError(f"{option.opts[0]} {number}: expected a finite number.")
    return number
