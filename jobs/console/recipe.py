"""`earshot filter --recipe`: a recipe's rules before those of the session; what is not as published is said."""

import dataclasses

from jobs.console.options import Session
from jobs.console.overrides import override
from jobs.console.progress import printable
from pipeline.config import format_value
from pipeline.errors import ConfigError
from pipeline.selection.recipes import fit, read_recipe


def with_recipe(session: Session, name: str, model: str | None) -> Session:
    """The session with the rules of a recipe that its workspace has columns for, before its own.

    Args:
        name: of a recipe that comes along, or the address of a file.
        model: that the command names for scores.
    Raises:
        ConfigError: there is no such recipe, or none of its rules can be applied.
    """
    recipe = read_recipe(name)
    are_scored = model is not None or session.workspace.has_stage("scores/coincidence")
    fitting = fit(session.workspace, recipe.rules, are_scored)
    lines = [*recipe.notes, *(f"left out, {text}" for text in fitting.left_out)]
    for line in lines:
        print(printable(f"filter: recipe {name}: {line}"), flush=True)
    if not fitting.rules:
        raise ConfigError(f"recipe {name}: none of its {len(recipe.rules)} rules can be applied to this workspace.")
    own = [rule for rule in session.config.filtering.rules if rule not in fitting.rules]
    setting = f"filtering.rules={format_value([*fitting.rules, *own])}"
    given = None if session.given is None else (*session.given, setting)
    return dataclasses.replace(session, config=override(session.config, [setting]), given=given)
