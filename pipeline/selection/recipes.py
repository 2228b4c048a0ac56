"""Recipes: rules that others have published, or that a team shares, in TOML files: `recipes/<name>.toml`, or your own.

A recipe has `rules`, as `filtering.rules`, and `notes`: what differs from its source, and what of it no column can say.
A rule whose columns a workspace does not have is left out, and named: it is never dropped in silence.
"""

import importlib.resources
import tomllib
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.config import config_dataclass, from_dict
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.selection.own_rules import read_rules
from pipeline.storage import files
from pipeline.storage.workspace import Workspace

FOLDER = importlib.resources.files("pipeline.selection") / "recipes"


@config_dataclass
class Recipe:
    """Rules with their source."""

    source: str = ""
    """Who uses them, and where that is published."""
    rules: tuple[str, ...]
    """In order, as `filtering.rules`."""
    notes: tuple[str, ...] = ()
    """What differs from the source, and what of it is left out."""


class Fitting(NamedTuple):
    """What of a recipe a workspace can apply."""

    rules: list[str]
    left_out: list[str]
    """Why a rule cannot be applied, for each that cannot; names the rule."""


def recipe_names() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by its name, or by the address of a file that ends with .toml.

    Raises:
        ConfigError: there is none, or its file is none.
    """
    names = recipe_names()
    if not name.endswith(".toml") and name not in names:
        near = did_you_mean(name, names)
        raise ConfigError(f"recipe {name}: expected one of {', '.join(names)}, or a .toml file with `rules`.{near}")
    uri = name if name.endswith(".toml") else str(FOLDER / f"{name}.toml")
    try:
        return from_dict(Recipe, tomllib.loads(files.read_bytes(uri).decode()))
    except (DataError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {name}: cannot be read as TOML ({error}).") from error
    except ConfigError as error:
        raise ConfigError(f"recipe {name}: {error} Expected rules, and perhaps source and notes.") from error


def fit(workspace: Workspace, rules: Sequence[str], are_scored: bool) -> Fitting:
    """The rules that the workspace has columns for.

    Args:
        are_scored: whether the clips have a score.
    Raises:
        ConfigError: a rule is wrong whatever columns there are.
    """
    fitting = Fitting([], [])
    for rule in rules:
        try:
            read_rules(workspace, [rule], are_scored)
            fitting.rules.append(rule)
        except ConfigError as error:
            if error.topic not in ("no column", "missing"):
                raise
            fitting.left_out.append(f"{rule}: {error.__cause__ or error}")
    return fitting
