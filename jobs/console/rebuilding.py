"""The commands that make a stage again, from the records of the stages it was made from and the root's settings."""

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jobs.console.options import PRESET_NAMES
from jobs.console.remedies import COMMAND_FOR, SETTINGS_FOR
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from jobs.console.session import Session

SCORER = "scores/coincidence"  # the scores that `filter` takes by default


def rebuild_commands(session: "Session", stages: Iterable[dict[str, Any]]) -> list[str]:
    """A command line per stage, in order. The first names the preset that is nearest to the root's settings.

    Folders and files are ROOT, COLLECTION and FILE, since whoever reads the lines has others.

    Raises:
        ConfigError: no command is known that makes a stage.
    """
    lines, options = [], _of_root(session)
    for record in stages:
        kind, _, name = (stage := record["stage"]).partition("/")
        command = COMMAND_FOR.get(stage) or COMMAND_FOR.get(kind)
        if command is None:
            raise ConfigError(f"stage {stage}: no command is known that makes it, so none can be named.")
        spec, _, name = name.rpartition("/")
        text = command.format(name=name, spec=spec, learner=record["settings"].get("learner", "LEARNER"))
        text += SETTINGS_FOR.get(stage, "")
        if "scorer" in record["settings"]:
            text = _by_scorer(name, record["settings"])
        scorers = [other for other in record["inputs"] if other.startswith("scores/") and other != SCORER]
        if kind == "selections" and scorers:
            text += f" --model {scorers[0].partition('/')[2]}"
        if vectors := record["settings"].get("vectors"):
            text += f" --vectors {vectors}"
        text += "".join(_option(setting) for setting in session.own_settings(stage) if setting not in text)
        lines.append(f"{text} --root ROOT{options}")
        options = ""  # the root keeps them
    return lines


def _by_scorer(name: str, settings: dict[str, Any]) -> str:
    """The command that scored clips by a class of the user's; files that it was given have their names alone."""
    given = [f"--with {shlex.quote(f'{key}={value}')}" for key, value in settings["arguments"].items()]
    class_name = shlex.quote(settings["scorer"])
    return " ".join(["earshot score --scorer", class_name, "--name", name, "--clips", settings["spec"], *given])


def _of_root(session: "Session") -> str:
    """--preset, --set and --seed that begin a root with the session's settings."""
    from jobs.console.overrides import list_settings
    from jobs.console.presets import preset

    mine = [f"{path}={text}" for path, text, _ in list_settings(session.config)]
    others = {}
    for name in PRESET_NAMES:
        known = {f"{path}={text}" for path, text, _ in list_settings(preset(name))}
        others[name] = [setting for setting in mine if setting not in known]
    nearest = min(others, key=lambda name: len(others[name]))
    seed = [f"seed={session.seed}"] if session.seed else []
    return f" --preset {nearest}" + "".join(map(_option, [*others[nearest], *seed]))


def _option(setting: str) -> str:
    """--seed for the seed, --set for any other."""
    name, _, value = setting.partition("=")
    return f" --seed {value}" if name == "seed" else f" --set {shlex.quote(setting)}"
