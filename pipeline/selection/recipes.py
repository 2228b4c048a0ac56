"""Recipes: rules that others have published, or that a team shares, in TOML files: `recipes/<name>.toml`, or your own.

A recipe has `rules`, as `filtering.rules`, and `notes`: what differs from its source, and what of it no column can say.
A rule is left out, and named, where the workspace lacks a column of it, or no clip has a value of one: else it would
refuse every clip. It is never dropped in silence.
"""

import importlib.resources
import tomllib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa

from pipeline.clip_specs import BASE
from pipeline.config import config_dataclass, from_dict
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.selection.filtering import REASONS
from pipeline.selection.own_rules import OwnRules, read_rules
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, IMPORTED, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.labels import LABELS
from schemas.videos import VIDEOS

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
    """The rules that the workspace has columns for, with a value in any of its clips.

    Args:
        are_scored: whether the clips have a score.
    Raises:
        ConfigError: a rule is wrong whatever columns there are.
    """
    fitting = Fitting([], [])
    for rule in rules:
        try:
            own = read_rules(workspace, [rule], are_scored, REASONS)
        except ConfigError as error:
            if error.topic not in ("no column", "missing"):
                raise
            fitting.left_out.append(f"{rule}: {error.__cause__ or error}")
            continue
        if without := list(_without_values(workspace, own)):
            fitting.left_out.append(f"{rule}: {' '.join(without)}")
        else:
            fitting.rules.append(rule)
    return fitting


def _without_values(workspace: Workspace, own: OwnRules) -> Iterable[str]:
    """A sentence about each column of a rule that is null for every clip; of the score, rules before these say it."""
    tables = {"": (CLIPS_FOLDER, CLIPS), "videos": (VIDEOS_FOLDER, VIDEOS), "labels": (LABELS_FOLDER, LABELS)}
    tables |= {name: (f"{IMPORTED}/{name}", schema) for name, schema in own.schemas.items()}
    for column in own.rules[0].expression.columns:
        table, _, name = column.rpartition(".")
        if column == "num_cuts" and _ignores_cuts(workspace):
            yield (
                f"column num_cuts is null for every clip, because clips.{BASE}.at_cuts is ignore. Clips that are cut "
                "with count have it."
            )
        elif column != "score" and _is_null(workspace, *tables[table], name):
            yield f"column {column} is null for every clip."


def _ignores_cuts(workspace: Workspace) -> bool:
    has_clips = workspace.has_stage(CLIPS_FOLDER)
    return has_clips and workspace.stage(CLIPS_FOLDER)["settings"]["clips"][BASE]["at_cuts"] == "ignore"


def _is_null(workspace: Workspace, folder: str, schema: pa.Schema, column: str) -> bool:
    """Whether no part has a value; parts are read up to the first that has one."""
    parts = workspace.parts(folder)
    found = (workspace.read(folder, part, schema, [column])[column] for part in parts)
    return bool(parts) and all(values.null_count == len(values) for values in found)
