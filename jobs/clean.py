"""Remove what a stage made, and everything that was made from it: lists it first."""

import contextlib
from typing import Annotated

import typer

from jobs.console.options import ReadRoot
from pipeline.errors import ConfigError, did_you_mean


def command(
    root: ReadRoot,
    stage: Annotated[str, typer.Option("--from", help="A stage, such as clips/base or scores/coincidence.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this it is only listed.")] = False,
) -> None:
    """Remove what a stage made and what was made from it.

    Reads the records of all stages. Writes nothing, and removes nothing without --yes; the collection's videos and
    label files always stay. `--from collection` starts the workspace over.

    Example: earshot clean --root my_workspace --from scores/coincidence
    """
    from pipeline.storage import files
    from pipeline.storage.layout import COLLECTION_FOLDER
    from pipeline.storage.lineage import dependents, list_outputs, list_stages
    from pipeline.storage.locking import claim
    from pipeline.storage.workspace import open_workspace

    workspace, stage = open_workspace(root), stage.strip("/")
    stages = list_stages(workspace)
    folders = [stage, *dependents(stages, stage)]
    if stage not in (*stages, COLLECTION_FOLDER) and len(folders) == 1:
        known, near = ", ".join([COLLECTION_FOLDER, *stages]), did_you_mean(stage, stages)
        raise ConfigError(f"--from {stage}: no stage of that name. Expected one of {known}.{near}")
    outputs = {folder: list_outputs(workspace, folder) for folder in folders}
    for folder, uris in outputs.items():
        print(f"{workspace.place(folder)}: {len(uris)} files")
    total = sum(map(len, outputs.values()))
    if not yes:
        print(f"clean: nothing is removed yet. The same command with --yes removes these {total} files.")
        return
    with contextlib.ExitStack() as claims:
        for folder in folders:
            claims.enter_context(claim(workspace, folder))
        for folder in reversed(folders):  # a clean that was stopped finds the rest again
            for uri in outputs[folder]:
                files.delete(uri)
    print(f"clean: {total} files of {len(folders)} stages removed")
