"""The fields that `--set` can change: name, value and meaning of each, of a preset or of a workspace."""

import textwrap
from typing import Annotated

import typer

from jobs.console.options import DEFAULT_PRESET, Preset
from pipeline.errors import ConfigError, did_you_mean

WIDTH = 100


def command(
    stage: Annotated[str | None, typer.Argument(help="Only these, such as filtering or separation.training.")] = None,
    root: Annotated[str | None, typer.Option(help="A workspace: its values. Default: those of --preset.")] = None,
    preset: Preset = None,
) -> None:
    """List every field that --set can change, with its value and its meaning.

    Reads the settings of a workspace, or a preset. Writes nothing.

    Example: earshot settings filtering --preset base
    """
    from jobs.console.overrides import list_settings
    from jobs.console.presets import preset as find_preset
    from jobs.console.session import open_session
    from pipeline.storage.workspace import open_workspace

    if root is None:
        config = find_preset(preset or DEFAULT_PRESET)
    elif preset is None:
        config = open_session(open_workspace(root).root).config
    else:
        raise ConfigError(f"--root {root} --preset {preset}: found both, expected one. Leave one out.")
    known = list_settings(config)
    wanted = [setting for setting in known if stage is None or f"{setting.path}.".startswith(f"{stage}.")]
    if not wanted:
        groups = dict.fromkeys(setting.path.partition(".")[0] for setting in known)
        near = did_you_mean(str(stage), [*groups, *(setting.path for setting in known)])
        raise ConfigError(f"earshot settings {stage}: no such field. Expected one of {', '.join(groups)}.{near}")
    for path, text, doc in wanted:
        print(f"{path}={text}")
        print(textwrap.fill(doc, WIDTH, initial_indent="    ", subsequent_indent="    "))
